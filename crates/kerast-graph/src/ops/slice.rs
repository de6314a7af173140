//! Elements `start .. limit` of each axis, every `stride`-th; `dx` is `dy` put back among zeros.

use super::sample_data::floats;
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use kerast_kernels::copy::Strided;
use kerast_kernels::dtype::DType;

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
        let x = floats(&[4, 5, 3], 1);
        let slice = |start: [usize; 3], limit: [usize; 3], strides: [usize; 3]| Slice {
            start: start.into(),
            limit: limit.into(),
            strides: strides.into(),
        };
        let mut all: Vec<Sample> = [
            slice([0, 0, 0], [4, 5, 3], [1, 1, 1]),
            slice([1, 0, 0], [3, 5, 3], [1, 1, 1]),
            slice([0, 2, 1], [4, 5, 2], [1, 1, 1]),
            slice([0, 0, 0], [4, 5, 3], [2, 2, 2]),
            slice([1, 1, 0], [4, 5, 3], [2, 3, 1]),
            slice([0, 1, 2], [1, 4, 3], [1, 2, 7]),
            slice([2, 0, 0], [2, 5, 3], [1, 1, 1]),
        ]
        .map(|op| Sample::new(op, vec![x.clone()]))
        .into();
        for dtype in [DType::I64, DType::U8, DType::F16, DType::F64] {
            all.push(Sample::flat(slice([1, 0, 0], [4, 5, 2], [2, 1, 1]), vec![x.cast(dtype)]));
        }
        let scalar = Slice { start: vec![], limit: vec![], strides: vec![] };
        all.push(Sample::new(scalar, vec![floats(&[], 1)]));
        all
    }
}

impl Var {
    /// StableHLO's `slice`; itself when everything is taken.
    #[track_caller]
    pub fn slice(&self, start: &[usize], limit: &[usize], strides: &[usize]) -> Var {
        let all = start.iter().all(|&s| s == 0) && limit == self.shape() && strides.iter().all(|&s| s == 1);
        if all && start.len() == self.rank() && strides.len() == self.rank() {
            return self.clone();
        }
        self.apply(Slice { start: start.to_vec(), limit: limit.to_vec(), strides: strides.to_vec() }, &[])
    }

    /// Indices `from .. to` of one axis and everything of the others.
    #[track_caller]
    pub fn slice_axis(&self, axis: usize, from: usize, to: usize) -> Var {
        let (mut start, mut limit) = (vec![0; self.rank()], self.shape().to_vec());
        if axis < self.rank() {
            (start[axis], limit[axis]) = (from, to);
        } else {
            self.trace().fail(shape_error("slice", format!("axis {axis} does not exist in {}", self.ty())));
        }
        self.slice(&start, &limit, &vec![1; self.rank()])
    }

    /// Index `at` of one axis, which disappears.
    #[track_caller]
    pub fn index_axis(&self, axis: usize, at: usize) -> Var {
        let part = self.slice_axis(axis, at, at + 1);
        let shape: Vec<usize> = (0..part.rank()).filter(|&a| a != axis).map(|a| part.shape()[a]).collect();
        part.reshape(&shape)
    }

    /// Equal parts along an axis, whose length must be a multiple of `parts`.
    #[track_caller]
    pub fn split(&self, axis: usize, parts: usize) -> Vec<Var> {
        let n = self.dim(axis as isize);
        if parts == 0 || !n.is_multiple_of(parts) {
            self.trace().fail(shape_error("split", format!("axis {axis} of {} has no {parts} equal parts", self.ty())));
            return vec![self.clone(); parts];
        }
        let each = n / parts;
        (0..parts).map(|i| self.slice_axis(axis, i * each, (i + 1) * each)).collect()
    }
}
