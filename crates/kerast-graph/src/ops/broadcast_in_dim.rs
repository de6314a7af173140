//! Repetition: operand axis `i` becomes result axis `dims[i]`; unit axes and new axes repeat. `dx = Σ dy` over the repeats.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;

/// Repetition along new or unit axes.
#[derive(Clone, Debug, PartialEq)]
pub struct BroadcastInDim {
    /// The shape of the result.
    pub shape: Vec<usize>,
    /// The result axis of each operand axis, increasing.
    pub dims: Vec<usize>,
}

impl OpRule for BroadcastInDim {
    fn name(&self) -> &'static str {
        "broadcast_in_dim"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x] = x else { return Err(shape_error("broadcast_in_dim", "takes one operand")) };
        let increasing = self.dims.windows(2).all(|w| w[0] < w[1]) && self.dims.iter().all(|&d| d < self.shape.len());
        let fits = self.dims.len() == x.rank()
            && increasing
            && self.dims.iter().zip(&x.shape).all(|(&d, &n)| n == 1 || n == self.shape[d]);
        if !fits {
            return Err(shape_error("broadcast_in_dim", "the shapes do not fit")
                .expected(format!("axes of length 1 or as in {:?}", self.shape))
                .received(format!("{x}, axes {:?}", self.dims)));
        }
        Ok(vec![Type::new(x.dtype, self.shape.clone())])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, dy) = (cx.x(0), cx.dy(0));
        let repeated = |axis: usize| match self.dims.iter().position(|&d| d == axis) {
            Some(i) => x.shape()[i] != self.shape[axis],
            None => true,
        };
        let axes: Vec<usize> = (0..self.shape.len()).filter(|&a| repeated(a)).collect();
        vec![Some(dy.reduce_sum(&axes).reshape(x.shape()))]
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Broadcast(self.dims.clone())
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("shape", &self.shape).with("dims", &self.dims)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "broadcast_in_dim" {
            return Ok(None);
        }
        Ok(Some(BroadcastInDim { shape: a.sizes("shape")?, dims: a.sizes("dims")? }))
    }

    fn samples() -> Vec<Sample> {
        let x = |shape: &[usize]| {
            let n: usize = shape.iter().product();
            Tensor::new(shape, &(0..n).map(|i| i as f32 * 0.5 - 1.0).collect::<Vec<_>>()).expect("n values")
        };
        let sample = |x: Tensor, shape: &[usize], dims: &[usize]| {
            Sample::new(BroadcastInDim { shape: shape.to_vec(), dims: dims.to_vec() }, vec![x])
        };
        vec![
            sample(x(&[]), &[2, 3], &[]),
            sample(x(&[3]), &[2, 3], &[1]),
            sample(x(&[2]), &[2, 3], &[0]),
            sample(x(&[2, 1]), &[2, 3], &[0, 1]),
            sample(x(&[2, 1, 3]), &[2, 4, 3], &[0, 1, 2]),
            sample(x(&[3, 1, 2]), &[2, 3, 2, 2], &[1, 2, 3]),
            sample(x(&[1, 2]), &[3, 2], &[0, 1]),
            Sample::flat(
                BroadcastInDim { shape: vec![2, 2], dims: vec![1] },
                vec![Tensor::from_bools(&[2], &[true, false]).expect("two values")],
            ),
        ]
    }
}

impl Var {
    /// StableHLO's `broadcast_in_dim`; itself when nothing changes.
    #[track_caller]
    pub fn broadcast_in_dim(&self, shape: &[usize], dims: &[usize]) -> Var {
        if self.shape() == shape && dims.iter().enumerate().all(|(i, &d)| i == d) {
            return self.clone();
        }
        self.apply(BroadcastInDim { shape: shape.to_vec(), dims: dims.to_vec() }, &[])
    }

    /// NumPy's `broadcast_to`: axes are matched from the last one.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &[usize]) -> Var {
        let skip = shape.len().saturating_sub(self.rank());
        let dims: Vec<usize> = (0..self.rank()).map(|i| i + skip).collect();
        self.broadcast_in_dim(shape, &dims)
    }
}
