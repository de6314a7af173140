//! Another shape for the same elements in the same order; `dx` is `dy` reshaped back.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;

/// Another shape for the same elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Reshape(
    /// The new shape.
    pub Vec<usize>,
);

impl OpRule for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x] = x else { return Err(shape_error("reshape", "takes one operand")) };
        let count = self.0.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if count != Some(x.len()) {
            return Err(shape_error("reshape", "the number of elements changes")
                .expected(format!("{:?}", self.0))
                .received(x));
        }
        Ok(vec![Type::new(x.dtype, self.0.clone())])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        vec![Some(cx.dy(0).reshape(cx.x(0).shape()))]
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Alias
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("shape", &self.0)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "reshape" {
            return Ok(None);
        }
        Ok(Some(Reshape(a.sizes("shape")?)))
    }

    fn samples() -> Vec<Sample> {
        let x = Tensor::new(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).expect("six values");
        vec![
            Sample::new(Reshape(vec![6]), vec![x.clone()]),
            Sample::new(Reshape(vec![3, 1, 2]), vec![x.clone()]),
            Sample::flat(Reshape(vec![3, 2]), vec![x.cast(crate::DType::I64)]),
            Sample::flat(Reshape(vec![]), vec![Tensor::new(&[1], &[7u8]).expect("one value")]),
        ]
    }
}

impl Var {
    /// The same elements under another shape; itself when nothing changes.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Var {
        if self.shape() == shape { self.clone() } else { self.apply(Reshape(shape.to_vec()), &[]) }
    }

    /// A new axis of length 1 at `axis`.
    #[track_caller]
    pub fn expand_dims(&self, axis: usize) -> Var {
        let mut shape = self.shape().to_vec();
        shape.insert(axis.min(shape.len()), 1);
        self.reshape(&shape)
    }
}
