//! Scatter as StableHLO defines it: windows of the operand combined with updates.

use crate::dtype::DType;
use crate::gather::{CHUNK, LARGE, Shared, SliceAxis, Walk, WalkDims, each_offset};
use crate::machine::{Io, Kernel};
use crate::number::Number;
use crate::pool::Pool;
use std::ops::Range;

/// Tasks share a contiguous run in pieces of this many elements, so that they do not write to the same cache line.
const PIECE: usize = 16;

/// StableHLO's dimension numbers of a scatter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScatterDims {
    /// Axes of the updates that walk the window.
    pub update_window_dims: Vec<usize>,
    /// Operand axes of window size 1 that the updates do not have.
    pub inserted_window_dims: Vec<usize>,
    /// Operand axes that go along with axes of the indices.
    pub input_batching_dims: Vec<usize>,
    /// The axes of the indices that they go along with.
    pub scatter_indices_batching_dims: Vec<usize>,
    /// The operand axis of each component of an index.
    pub scatter_dims_to_operand_dims: Vec<usize>,
    /// The axis of the indices that holds the components; their rank if there is none.
    pub index_vector_dim: usize,
}

/// How an update meets what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Combine {
    /// Their sum; of bools whether one is true.
    Add,
    /// The update.
    Set,
    /// Their product; of bools whether both are true.
    Multiply,
    /// The smaller; NaN if one is.
    Min,
    /// The larger; NaN if one is.
    Max,
}

impl Combine {
    /// All of them.
    pub const ALL: [Combine; 5] = [Combine::Add, Combine::Set, Combine::Multiply, Combine::Min, Combine::Max];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Combine::Add => "add",
            Combine::Set => "set",
            Combine::Multiply => "multiply",
            Combine::Min => "minimum",
            Combine::Max => "maximum",
        }
    }
}

/// `y = x` with windows combined with updates, in the order of the indices; windows that do not lie inside are left out whole.
///
/// Inputs: operand, indices, updates. The result may lie on the operand. It is the same for any number of threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    walk: Walk,
    dtype: DType,
    combine: Combine,
    bytes: usize,
}

/// What the tasks share: parts that never write to the same element.
#[derive(Clone, Copy)]
enum Split {
    /// Positions of a window axis along which all windows begin at the same place.
    Slice(usize),
    /// Pieces of the contiguous run.
    Run,
    /// The first axis of the indices, which an axis of the operand goes along with.
    Batch,
}

impl Scatter {
    /// Into an operand of `shape` at indices of shape `indices`, updates of shape `updates`.
    pub fn new(
        dtype: DType,
        shape: &[usize],
        indices: &[usize],
        index: DType,
        updates: &[usize],
        dims: &ScatterDims,
        combine: Combine,
    ) -> Scatter {
        let kept = (0..shape.len())
            .filter(|i| !dims.inserted_window_dims.contains(i) && !dims.input_batching_dims.contains(i));
        let mut window = vec![1; shape.len()];
        for (axis, &u) in kept.zip(&dims.update_window_dims) {
            window[axis] = updates[u];
        }
        let walk = Walk::new(&WalkDims {
            operand: shape,
            indices,
            index,
            other: updates,
            window_axes: &dims.update_window_dims,
            collapsed: &dims.inserted_window_dims,
            operand_batching: &dims.input_batching_dims,
            index_batching: &dims.scatter_indices_batching_dims,
            map: &dims.scatter_dims_to_operand_dims,
            index_vector_dim: dims.index_vector_dim,
            window: &window,
        });
        let combine = match (dtype, combine) {
            (DType::Bool, Combine::Add) => Combine::Max,
            (DType::Bool, Combine::Multiply) => Combine::Min,
            (_, c) => c,
        };
        Scatter { walk, dtype, combine, bytes: shape.iter().product::<usize>() * dtype.size() }
    }

    /// The axis with the most parts to share, and how many parts.
    fn split(&self) -> Option<(Split, usize)> {
        let w = &self.walk;
        let slices = w.slice.iter().enumerate().filter(|(_, a)| a.fixed).map(|(i, a)| (Split::Slice(i), a.length));
        let run = w.run.fixed.then_some((Split::Run, w.run.length.div_ceil(PIECE)));
        let batch = w.batch.first().filter(|b| b.operand > 0).map(|b| (Split::Batch, b.length));
        slices.chain(run).chain(batch).filter(|s| s.1 > 1).max_by_key(|s| s.1)
    }

    /// The part of the work that `range` of the split's parts is.
    fn part<T: Number>(&self, split: Option<Split>, range: Range<usize>, indices: &[u8], updates: &[T], y: &Shared<T>) {
        let w = &self.walk;
        let mut slice: Vec<SliceAxis> = w.slice.clone();
        let (mut batches, mut run, mut dx, mut du) = (0..w.batches(), w.run.length, 0, 0);
        match split {
            None => {}
            Some(Split::Slice(i)) => {
                (dx, du) = (range.start * slice[i].operand, range.start * slice[i].other);
                slice[i].length = range.len();
            }
            Some(Split::Run) => {
                (dx, du) = (range.start * PIECE, range.start * PIECE);
                run = (range.end * PIECE).min(run) - dx;
            }
            Some(Split::Batch) => {
                let inner: usize = w.batch[1..].iter().map(|b| b.length).product();
                batches = range.start * inner..range.end * inner;
            }
        }
        // Windows that may overlap in different positions are taken one by one, to keep the order of the indices.
        let together = if w.slice.iter().all(|a| a.fixed) { CHUNK } else { 1 };
        w.chunks(indices, batches, false, |places| {
            for places in places.chunks(together) {
                each_offset(&slice, dx, du, &mut |dx, du| {
                    for &(to, from) in places {
                        let u = &updates[from + du..from + du + run];
                        // SAFETY: the window lies inside the operand; this task alone writes this part of it.
                        let y = unsafe { std::slice::from_raw_parts_mut(y.at(to + dx), run) };
                        combine_run(self.combine, y, u);
                    }
                });
            }
        });
    }
}

impl Kernel for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn in_place(&self, input: usize, _: usize) -> bool {
        input == 0
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let (x, y) = (io.input_ptr(0), io.output_ptr(0));
        if !std::ptr::eq(x, y) {
            // SAFETY: operand and result have the same length and do not overlap.
            unsafe { copy_all(x, y, self.bytes, pool) }
        }
        let work = self.walk.batches() * self.walk.window() * self.dtype.size();
        if work == 0 {
            return;
        }
        let indices = io.input::<u8>(1);
        let split = if work < LARGE || pool.threads() == 1 { None } else { self.split() };
        crate::with_element!(self.dtype, T => {
            let (updates, y) = (io.input::<T>(2), Shared(y.cast::<T>()));
            match split {
                None => self.part(None, 0..1, indices, updates, &y),
                Some((split, parts)) => {
                    // Every task reads all the indices of its part, so there are no more tasks than threads.
                    let tasks = pool.threads().min(parts);
                    pool.run(tasks, &|t| {
                        self.part(Some(split), parts * t / tasks..parts * (t + 1) / tasks, indices, updates, &y)
                    });
                }
            }
        })
    }
}

/// # Safety
/// `bytes` bytes are readable at `x` and writable at `y`, and do not overlap.
unsafe fn copy_all(x: *const u8, y: *mut u8, bytes: usize, pool: &Pool) {
    let (x, y) = (Shared(x.cast_mut()), Shared(y));
    let tasks = (bytes / LARGE).clamp(1, pool.threads());
    pool.run(tasks, &|t| {
        let (from, to) = (bytes * t / tasks, bytes * (t + 1) / tasks);
        // SAFETY: the caller's promise; tasks copy different parts.
        unsafe { std::ptr::copy_nonoverlapping(x.at(from).cast_const(), y.at(from), to - from) }
    });
}

fn combine_run<T: Number>(combine: Combine, y: &mut [T], u: &[T]) {
    #[inline(always)]
    fn each<T: Number>(y: &mut [T], u: &[T], f: impl Fn(T, T) -> T) {
        y.iter_mut().zip(u).for_each(|(y, &u)| *y = f(*y, u));
    }
    match combine {
        Combine::Add => each(y, u, |a, b| T::narrow(T::plus(a.to_sum(), b.to_sum()))),
        Combine::Set => y.copy_from_slice(u),
        Combine::Multiply => each(y, u, |a, b| T::narrow(T::times(a.to_sum(), b.to_sum()))),
        Combine::Min => each(y, u, T::smaller),
        Combine::Max => each(y, u, T::larger),
    }
}
