//! Softmax of rows: each is read from memory once and written once.

use crate::gather::Shared;
use crate::isa::per_isa;
use crate::lanes;
use crate::machine::{Io, Kernel};
use crate::math;
use crate::pool::Pool;

/// Elements worked on at a time, short rows together: they stay in the first-level cache.
const TILE: usize = 2 * 1024;
/// Elements of one task at least.
const TASK: usize = 16 * 1024;
/// Columns from which on more numbers are kept side by side in registers.
const LONG: usize = 64;

/// Input: x of `[rows, columns]` in f32. Output: `e^(x - largest) / Σ e^(x - largest)` row by row; it may lie on the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    rows: usize,
    columns: usize,
}

impl Softmax {
    /// Of so many rows and columns.
    pub fn new(rows: usize, columns: usize) -> Softmax {
        Softmax { rows, columns }
    }
}

impl Kernel for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn in_place(&self, _: usize, _: usize) -> bool {
        true
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let (rows, columns) = (self.rows, self.columns);
        if rows * columns == 0 {
            return;
        }
        let (x, y) = (Shared(io.input_ptr(0).cast_mut().cast::<f32>()), Shared(io.output_ptr(0).cast::<f32>()));
        let at_once = (TILE / columns).max(1);
        let per_task = (TASK / columns).max(1).next_multiple_of(at_once);
        let work = |t: usize| {
            let end = rows.min((t + 1) * per_task);
            for first in (t * per_task..end).step_by(at_once) {
                let count = at_once.min(end - first) * columns;
                // SAFETY: both values have `rows * columns` elements, checked when the program was made; tasks have different rows.
                let y = unsafe {
                    let (x, y) = (x.at(first * columns), y.at(first * columns));
                    if !std::ptr::eq(x, y) {
                        std::ptr::copy_nonoverlapping(x, y, count);
                    }
                    std::slice::from_raw_parts_mut(y, count)
                };
                softmax(y, columns);
            }
        };
        let tasks = rows.div_ceil(per_task);
        if tasks < 2 { (0..tasks).for_each(work) } else { pool.run(tasks, &work) }
    }

    fn flops(&self) -> f64 {
        4.0 * (self.rows * self.columns) as f64
    }
}

per_isa! {
    /// Some rows, where they are.
    fn softmax(rows: &mut [f32], columns: usize) => softmax_with::<FMA>(rows, columns)
}

#[inline(always)]
fn softmax_with<const FMA: bool>(rows: &mut [f32], columns: usize) {
    match columns < LONG {
        true => by_lanes::<FMA, 8>(rows, columns),
        false => by_lanes::<FMA, 64>(rows, columns),
    }
}

#[inline(always)]
fn by_lanes<const FMA: bool, const LANES: usize>(rows: &mut [f32], columns: usize) {
    for row in rows.chunks_exact_mut(columns) {
        let top = lanes::largest::<LANES>(row);
        row.iter_mut().for_each(|v| *v -= top);
    }
    rows.iter_mut().for_each(|v| *v = math::exp::<FMA>(*v));
    for row in rows.chunks_exact_mut(columns) {
        let scale = 1.0 / lanes::fold::<LANES>(row, 0.0, |a, b| a + b, |a, b| a + b);
        row.iter_mut().for_each(|v| *v *= scale);
    }
}
