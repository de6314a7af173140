//! Values one after the other along an axis; each operand's cotangent is its part of `dy`.

use super::sample_data::floats;
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::copy;
use kerast_kernels::dtype::DType;

/// Values one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Concatenate(
    /// The axis.
    pub usize,
);

impl OpRule for Concatenate {
    fn name(&self) -> &'static str {
        "concatenate"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let first = x
            .first()
            .filter(|t| self.0 < t.rank())
            .ok_or_else(|| shape_error("concatenate", "the axis does not exist"))?;
        let fits = x.iter().all(|t| {
            t.dtype == first.dtype
                && t.rank() == first.rank()
                && (0..t.rank()).all(|i| i == self.0 || t.shape[i] == first.shape[i])
        });
        if !fits {
            let all: Vec<String> = x.iter().map(|t| t.to_string()).collect();
            return Err(shape_error("concatenate", format!("shapes must be equal but for axis {}", self.0))
                .received(all.join(", ")));
        }
        let mut shape = first.shape.clone();
        shape[self.0] = x.iter().map(|t| t.shape[self.0]).sum();
        Ok(vec![Type::new(first.dtype, shape)])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let dy = cx.dy(0);
        let mut at = 0;
        let mut out = vec![];
        for (i, x) in cx.operands.iter().enumerate() {
            let n = x.shape()[self.0];
            out.push(cx.want(i, || dy.slice_axis(self.0, at, at + n)));
            at += n;
        }
        out
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let shapes: Vec<&[usize]> = operands.iter().map(|t| t.shape.as_slice()).collect();
        Cpu::Kernel(Box::new(copy::Concatenate::new(operands[0].dtype.size(), &shapes, self.0)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("axis", self.0)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "concatenate" {
            return Ok(None);
        }
        Ok(Some(Concatenate(a.size("axis")?)))
    }

    fn samples() -> Vec<Sample> {
        let all = |axis: usize, x: Vec<Tensor>| Sample::new(Concatenate(axis), x);
        let cast = |dtype: DType| vec![floats(&[2, 3], 1).cast(dtype), floats(&[2, 1], 2).cast(dtype)];
        vec![
            all(0, vec![floats(&[3], 1), floats(&[2], 2)]),
            all(0, vec![floats(&[2, 3], 1), floats(&[1, 3], 2)]),
            all(1, vec![floats(&[2, 3], 1), floats(&[2, 2], 2), floats(&[2, 1], 3)]),
            all(1, vec![floats(&[2, 3, 2], 1), floats(&[2, 1, 2], 2)]),
            all(2, vec![floats(&[2, 2, 2], 1), floats(&[2, 2, 1], 2)]),
            all(0, vec![floats(&[2, 3], 1), floats(&[0, 3], 2), floats(&[1, 3], 3)]),
            all(1, vec![floats(&[2, 3], 1)]),
            all(1, (0..70).map(|i| floats(&[2, 1], i)).collect()),
            Sample::new(Concatenate(1), cast(DType::F64)),
            Sample::flat(Concatenate(1), cast(DType::I64)),
            Sample::flat(Concatenate(1), cast(DType::U8)),
            Sample::flat(Concatenate(1), cast(DType::BF16)),
            Sample::flat(Concatenate(1), vec![floats(&[40, 300], 1), floats(&[40, 500], 2)]),
        ]
    }
}

impl Var {
    /// Values one after the other along `axis`.
    ///
    /// # Panics
    /// If there are none: nobody knows of which graph and type the result would be.
    #[track_caller]
    pub fn concatenate(values: &[&Var], axis: usize) -> Var {
        match values {
            [] => panic!("concatenate needs at least one value"),
            [one] => (*one).clone(),
            many => many[0].trace().push(Concatenate(axis), many),
        }
    }
}
