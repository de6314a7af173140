//! Axes backwards; `dx` is `dy` backwards.

use super::sample_data::floats;
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use kerast_kernels::copy::Strided;
use kerast_kernels::dtype::DType;

/// Axes backwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Reverse(
    /// The axes, increasing.
    pub Vec<usize>,
);

impl OpRule for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        match x {
            [x] if self.0.windows(2).all(|w| w[0] < w[1]) && self.0.iter().all(|&a| a < x.rank()) => {
                Ok(vec![(*x).clone()])
            }
            _ => Err(shape_error("reverse", format!("axes {:?} do not exist in {x:?}", self.0))),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        vec![Some(cx.dy(0).reverse(&self.0))]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Kernel(Box::new(Strided::reverse(operands[0].dtype.size(), &operands[0].shape, &self.0)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("axes", &self.0)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "reverse" {
            return Ok(None);
        }
        Ok(Some(Reverse(a.sizes("axes")?)))
    }

    fn samples() -> Vec<Sample> {
        let x = floats(&[2, 3, 4], 1);
        let mut all: Vec<Sample> = [vec![0], vec![1], vec![2], vec![0, 2], vec![0, 1, 2], vec![]]
            .map(|dims| Sample::new(Reverse(dims), vec![x.clone()]))
            .into();
        for dtype in [DType::I64, DType::U8, DType::F16, DType::F64] {
            all.push(Sample::flat(Reverse(vec![1, 2]), vec![x.cast(dtype)]));
        }
        all.push(Sample::flat(Reverse(vec![0]), vec![floats(&[0, 3], 1)]));
        all.push(Sample::flat(Reverse(vec![1]), vec![floats(&[3, 700], 1)]));
        all
    }
}

impl Var {
    /// Reverse order along `axes`; itself when there are none.
    #[track_caller]
    pub fn reverse(&self, axes: &[usize]) -> Var {
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        if axes.is_empty() { self.clone() } else { self.apply(Reverse(axes), &[]) }
    }
}
