//! Fused element-wise work: chains of scalar functions over equally long operands, run tile by tile in L1, with stores and
//! reductions at the end.
//!
//! A compiler describes the chain with a [`MapBuilder`]; [`Map`] is the kernel. Files: `kinds` (the scalar functions there are),
//! `builder` (values to slots), `join` (several steps as one), `tile` (the loops), `run` (tasks, tiles, reductions).

mod builder;
mod convert;
mod join;
mod kinds;
mod reduce;
mod run;
mod tile;

pub use builder::{Access, MapBuilder, Reg};
pub use kinds::{BinaryKind, CompareKind, ReduceKind, Scalar, UnaryKind};
pub use run::Map;

/// One scalar function of single elements, given as pairs of type and memory.
pub fn evaluate(scalar: &Scalar, inputs: &[(DType, &Buffer)], dtype: DType) -> Buffer {
    let mut b = MapBuilder::new(1);
    let args: Vec<Reg> = inputs.iter().map(|(d, _)| b.input(*d, Access::Direct)).collect();
    let y = b.op(scalar, &args, dtype);
    b.store(y);
    let map = b.finish();
    let out = Buffer::zeroed(dtype.size());
    let pointers: Vec<*mut u8> = inputs.iter().map(|(_, buffer)| buffer.as_ptr()).collect();
    // SAFETY: every operand holds one element; inputs are only read; `out` is ours alone.
    unsafe { map.run_ranges(&pointers, &[out.as_ptr()], std::iter::once(0..1)) };
    out
}

/// A reduction as `[outer, middle, inner]`, reduced over `middle`; `None` unless its axes lie together.
pub fn reduction(shape: &[usize], axes: &[usize]) -> Option<(usize, usize, usize)> {
    reduce::Geometry::of(shape, axes).map(|g| (g.outer, g.middle, g.inner))
}

/// Whether two reductions (shape and axes each) can end the same chain.
pub fn same_geometry(a: (&[usize], &[usize]), b: (&[usize], &[usize])) -> bool {
    let g = reduce::Geometry::of(a.0, a.1);
    g.is_some() && g == reduce::Geometry::of(b.0, b.1)
}

use crate::buffer::Buffer;
use crate::dtype::DType;

/// Elements of one tile.
pub const TILE: usize = 512;
/// Elements of one block: every loop over a tile runs over whole blocks.
pub(crate) const BLOCK: usize = 16;
