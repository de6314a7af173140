//! Elements `start .. limit` of each axis, every `stride`-th; `dx` is `dy` put back among zeros.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::copy::Strided;

/// A regular part of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// First element of each axis.
    pub start: Vec<usize>,
    /// One past the last element of each axis.
    pub limit: Vec<usize>,
    /// Steps.
    pub strides: Vec<usize>,
}

impl OpRule for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x] = x else { return Err(shape_error("slice", "takes one operand")) };
        let n = x.rank();
        let fits = self.start.len() == n
            && self.limit.len() == n
            && self.strides.len() == n
            && (0..n).all(|i| self.start[i] <= self.limit[i] && self.limit[i] <= x.shape[i] && self.strides[i] > 0);
        if !fits {
            return Err(shape_error("slice", "the part does not lie inside")
                .expected(format!("bounds within {:?}", x.shape))
                .received(format!("{:?} .. {:?} by {:?}", self.start, self.limit, self.strides)));
        }
        let dims = (0..n).map(|i| (self.limit[i] - self.start[i]).div_ceil(self.strides[i]));
        Ok(vec![Type::new(x.dtype, dims.collect::<Vec<_>>())])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, dy) = (cx.x(0), cx.dy(0));
        let low: Vec<i64> = self.start.iter().map(|&s| s as i64).collect();
        let interior: Vec<usize> = self.strides.iter().map(|s| s - 1).collect();
        let high = (0..x.rank()).map(|i| {
            let n = dy.shape()[i];
            let covered = if n == 0 { 0 } else { (n - 1) * self.strides[i] + 1 };
            (x.shape()[i] - covered) as i64 - low[i]
        });
        let high: Vec<i64> = high.collect();
        vec![Some(dy.pad(&dy.constant_like(0.0), &low, &high, &interior))]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let x = operands[0];
        Cpu::Kernel(Box::new(Strided::slice(x.dtype.size(), &x.shape, &self.start, &self.limit, &self.strides)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("start", &self.start).with("limit", &self.limit).with("strides", &self.strides)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "slice" {
            return Ok(None);
        }
        Ok(Some(Slice { start: a.sizes("start")?, limit: a.sizes("limit")?, strides: a.sizes("strides")? }))
    }

    fn samples() -> Vec<Sample> {
        let x = Tensor::new(&[3, 5], &(0..15).map(|i| i as f32 * 0.5).collect::<Vec<_>>()).expect("15 values");
        let s =
            |a: [usize; 2], b: [usize; 2], c: [usize; 2]| Slice { start: a.into(), limit: b.into(), strides: c.into() };
        vec![
            Sample::new(s([0, 1], [2, 4], [1, 1]), vec![x.clone()]),
            Sample::new(s([0, 0], [3, 5], [2, 3]), vec![x.clone()]),
            Sample::new(s([1, 1], [3, 5], [1, 2]), vec![x.clone()]),
            Sample::flat(s([0, 2], [3, 3], [1, 1]), vec![x.cast(crate::DType::U8)]),
        ]
    }
}

impl Var {
    /// Elements `start .. limit` of each axis, every `strides`-th.
    #[track_caller]
    pub fn slice(&self, start: &[usize], limit: &[usize], strides: &[usize]) -> Var {
        self.apply(Slice { start: start.to_vec(), limit: limit.to_vec(), strides: strides.to_vec() }, &[])
    }

    /// Elements `from .. to` along one axis.
    #[track_caller]
    pub fn slice_axis(&self, axis: usize, from: usize, to: usize) -> Var {
        let (mut start, mut limit) = (vec![0; self.rank()], self.shape().to_vec());
        if axis < self.rank() {
            (start[axis], limit[axis]) = (from, to);
        }
        self.slice(&start, &limit, &vec![1; self.rank()])
    }
}
