//! Another order of axes: result axis `i` is operand axis `permutation[i]`; `dx` undoes it.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::copy::Strided;

/// Another order of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Transpose(
    /// The operand axis of each result axis.
    pub Vec<usize>,
);

impl OpRule for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x] = x else { return Err(shape_error("transpose", "takes one operand")) };
        let mut seen = self.0.clone();
        seen.sort_unstable();
        if !seen.iter().copied().eq(0..x.rank()) {
            return Err(shape_error("transpose", format!("{:?} does not name each axis of {x} once", self.0)));
        }
        Ok(vec![Type::new(x.dtype, self.0.iter().map(|&a| x.shape[a]).collect::<Vec<_>>())])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let mut inverse = vec![0; self.0.len()];
        self.0.iter().enumerate().for_each(|(i, &a)| inverse[a] = i);
        vec![Some(cx.dy(0).transpose(&inverse))]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let x = operands[0];
        Cpu::Kernel(Box::new(Strided::transpose(x.dtype.size(), &x.shape, &self.0)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("permutation", &self.0)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "transpose" {
            return Ok(None);
        }
        Ok(Some(Transpose(a.sizes("permutation")?)))
    }

    fn samples() -> Vec<Sample> {
        let x = Tensor::new(&[2, 3, 4], &(0..24).map(|i| i as f32).collect::<Vec<_>>()).expect("24 values");
        let mut all: Vec<Sample> = [vec![0, 2, 1], vec![2, 1, 0], vec![1, 0, 2], vec![0, 1, 2]]
            .map(|p| Sample::new(Transpose(p), vec![x.clone()]))
            .into();
        for dtype in [crate::DType::I64, crate::DType::U8, crate::DType::F16] {
            all.push(Sample::flat(Transpose(vec![2, 0, 1]), vec![x.cast(dtype)]));
        }
        all
    }
}

impl Var {
    /// Result axis `i` is axis `permutation[i]`; itself when nothing moves.
    #[track_caller]
    pub fn transpose(&self, permutation: &[usize]) -> Var {
        if permutation.len() == self.rank() && permutation.iter().enumerate().all(|(i, &p)| i == p) {
            return self.clone();
        }
        self.apply(Transpose(permutation.to_vec()), &[])
    }
}
