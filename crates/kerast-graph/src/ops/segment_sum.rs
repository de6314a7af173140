//! Rows summed by number: the gradient of looking rows up, without a table of zeros to begin with. `dx` is `dy` at the rows' numbers, zero
//! for rows that are left out.

use super::sample_data::{floats, indices};
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::ops::GatherDims;
use kerast_kernels::dtype::DType;
use kerast_kernels::segment_sum;

/// JAX's `segment_sum`. Operands: rows of shape `ids.shape + row.shape` in f32, ids in i32. Result: `[segments] + row.shape`, each the sum of
/// the rows with its number, in their order. Rows with other numbers are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentSum {
    /// How many sums there are.
    pub segments: usize,
}

impl OpRule for SegmentSum {
    fn name(&self) -> &'static str {
        "segment_sum"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x, ids] = x else { return Err(shape_error("segment_sum", "takes rows and their numbers")) };
        if x.dtype != DType::F32 || ids.dtype != DType::I32 {
            return Err(dtype_error("segment_sum", "takes f32 and i32").received(format!("{x}, {ids}")));
        }
        match x.shape.strip_prefix(&ids.shape[..]) {
            Some(row) => Ok(vec![Type::new(x.dtype, [&[self.segments], row].concat())]),
            None => Err(shape_error("segment_sum", "needs a number for every row").received(format!("{x}, {ids}"))),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, ids) = (cx.x(0), cx.x(1));
        let dx = || {
            let dims = GatherDims {
                offset_dims: (ids.rank()..x.rank()).collect(),
                collapsed_slice_dims: vec![0],
                operand_batching_dims: vec![],
                start_indices_batching_dims: vec![],
                start_index_map: vec![0],
                index_vector_dim: ids.rank(),
            };
            let found = cx.dy(0).gather(ids, dims, &[&[1], &x.shape()[ids.rank()..]].concat());
            let inside = ids.is_below(self.segments);
            let axes: Vec<usize> = (0..ids.rank()).collect();
            inside.broadcast_in_dim(x.shape(), &axes).select(&found, &x.full_like(0.0))
        };
        vec![cx.want(0, dx), None]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let (rows, ids) = (operands[0], operands[1]);
        let width = rows.shape[ids.rank()..].iter().product();
        Cpu::Kernel(Box::new(segment_sum::SegmentSum::new(self.segments, ids.len(), width)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("segments", self.segments)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        Ok(if name == "segment_sum" { Some(SegmentSum { segments: a.size("segments")? }) } else { None })
    }

    fn samples() -> Vec<Sample> {
        let many: Vec<i32> = (0..600).map(|i| (i * 37 + i / 7) % 310 - 5).collect();
        vec![
            Sample::new(SegmentSum { segments: 4 }, vec![floats(&[5, 3], 1), indices(&[5], &[2, 0, 2, 3, 0])]),
            Sample::new(SegmentSum { segments: 2 }, vec![floats(&[4, 1, 2], 2), indices(&[4], &[-1, 1, 2, 1])]),
            Sample::new(SegmentSum { segments: 3 }, vec![floats(&[2, 2], 3), indices(&[2, 2], &[1, 1, 0, 1])]),
            Sample::flat(SegmentSum { segments: 300 }, vec![floats(&[20, 30, 70], 4), indices(&[20, 30], &many)]),
            Sample::flat(SegmentSum { segments: 5000 }, vec![floats(&[600], 5), indices(&[600], &many)]),
            Sample::flat(SegmentSum { segments: 3 }, vec![floats(&[0, 2], 1), indices(&[0], &[])]),
        ]
    }
}
