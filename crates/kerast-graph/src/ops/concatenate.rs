//! Values one after the other along an axis; each operand's cotangent is its part of `dy`.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::copy;

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
        let x = |rows: usize, cols: usize, from: f32| {
            Tensor::new(&[rows, cols], &(0..rows * cols).map(|i| from + i as f32).collect::<Vec<_>>())
                .expect("n values")
        };
        vec![
            Sample::new(Concatenate(0), vec![x(2, 3, 0.0), x(1, 3, 9.0)]),
            Sample::new(Concatenate(1), vec![x(2, 1, 0.0), x(2, 3, 9.0), x(2, 2, 5.0)]),
            Sample::flat(Concatenate(0), vec![x(0, 3, 0.0), x(1, 3, 9.0)]),
            Sample::flat(
                Concatenate(1),
                vec![x(2, 1, 0.0).cast(crate::DType::I64), x(2, 3, 9.0).cast(crate::DType::I64)],
            ),
        ]
    }
}

impl Var {
    /// Values one after the other along `axis`. There must be at least one.
    #[track_caller]
    pub fn concatenate(values: &[&Var], axis: usize) -> Var {
        match values {
            [one] => (*one).clone(),
            many => many[0].trace().push(Concatenate(axis), many),
        }
    }
}
