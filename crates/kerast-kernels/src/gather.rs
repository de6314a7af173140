//! Gather as StableHLO defines it, and the walk over index vectors that it shares with [`crate::scatter`].

use crate::copy::by_size;
use crate::dtype::{DType, Element};
use crate::machine::{Io, Kernel};
use crate::pool::Pool;
use std::ops::Range;

pub use crate::scatter::{Combine, Scatter, ScatterDims};

/// Bytes from which on the pool shares the work.
pub(crate) const LARGE: usize = 64 * 1024;
/// Index vectors looked up at a time: strided windows then touch neighbouring elements of all of them.
pub(crate) const CHUNK: usize = 64;

/// StableHLO's dimension numbers of a gather.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatherDims {
    /// Result axes that walk the slice.
    pub offset_dims: Vec<usize>,
    /// Operand axes of slice size 1 that the result does not have.
    pub collapsed_slice_dims: Vec<usize>,
    /// Operand axes that go along with axes of the indices.
    pub operand_batching_dims: Vec<usize>,
    /// The axes of the indices that they go along with.
    pub start_indices_batching_dims: Vec<usize>,
    /// The operand axis of each component of an index.
    pub start_index_map: Vec<usize>,
    /// The axis of the indices that holds the components; their rank if there is none.
    pub index_vector_dim: usize,
}

/// The shape of a gather's result.
pub fn gather_shape(indices: &[usize], dims: &GatherDims, slice_sizes: &[usize]) -> Vec<usize> {
    let mut batch = (0..indices.len()).filter(|&i| i != dims.index_vector_dim).map(|i| indices[i]);
    let kept = |i: &usize| !dims.collapsed_slice_dims.contains(i) && !dims.operand_batching_dims.contains(i);
    let mut offsets = (0..slice_sizes.len()).filter(kept).map(|i| slice_sizes[i]);
    let rank = indices.len() - usize::from(dims.index_vector_dim < indices.len()) + dims.offset_dims.len();
    let axis = |i: usize| if dims.offset_dims.contains(&i) { offsets.next() } else { batch.next() };
    (0..rank).map(axis).map(|n| n.unwrap_or(0)).collect()
}

pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut out = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        out[i - 1] = out[i] * shape[i];
    }
    out
}

/// One axis of the index vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BatchAxis {
    pub(crate) length: usize,
    /// Stride in the indices.
    index: usize,
    /// Stride in the operand: not 0 if an operand axis goes along.
    pub(crate) operand: usize,
    /// Stride in the other array (result or updates).
    other: usize,
}

/// One component of an index vector: its last allowed value and its stride in the operand.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Component {
    last: i64,
    stride: usize,
}

/// One axis of the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SliceAxis {
    pub(crate) length: usize,
    /// Stride in the operand.
    pub(crate) operand: usize,
    /// Stride in the other array (result or updates).
    pub(crate) other: usize,
    /// All windows begin at the same place along this axis, so that equal positions in it never meet others.
    pub(crate) fixed: bool,
}

/// Where the windows of all index vectors lie in the operand and in the other array.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Walk {
    index: DType,
    pub(crate) batch: Vec<BatchAxis>,
    /// Stride between the components of an index vector.
    step: usize,
    components: Vec<Component>,
    /// The axes of the window that are walked one by one, outermost first.
    pub(crate) slice: Vec<SliceAxis>,
    /// The innermost axis, contiguous on both sides; of length 1 if there is none.
    pub(crate) run: SliceAxis,
}

/// What gather and scatter call differently.
pub(crate) struct WalkDims<'a> {
    pub(crate) operand: &'a [usize],
    pub(crate) indices: &'a [usize],
    pub(crate) index: DType,
    /// The array that is not the operand, and its axes that walk the window.
    pub(crate) other: &'a [usize],
    pub(crate) window_axes: &'a [usize],
    /// Operand axes that the other array does not have.
    pub(crate) collapsed: &'a [usize],
    pub(crate) operand_batching: &'a [usize],
    pub(crate) index_batching: &'a [usize],
    pub(crate) map: &'a [usize],
    pub(crate) index_vector_dim: usize,
    /// Extent of the window along each operand axis.
    pub(crate) window: &'a [usize],
}

impl Walk {
    pub(crate) fn new(d: &WalkDims<'_>) -> Walk {
        let (own, index_strides, other) = (strides(d.operand), strides(d.indices), strides(d.other));
        let batch_axes = (0..d.indices.len()).filter(|&i| i != d.index_vector_dim);
        let others = (0..d.other.len()).filter(|i| !d.window_axes.contains(i));
        let along = |axis: usize| d.index_batching.iter().position(|&b| b == axis);
        let batch = batch_axes.zip(others).map(|(axis, o)| BatchAxis {
            length: d.indices[axis],
            index: index_strides[axis],
            operand: along(axis).map_or(0, |p| own[d.operand_batching[p]]),
            other: other[o],
        });
        let last = |axis: usize| d.operand[axis] as i64 - d.window[axis] as i64;
        let kept = (0..d.operand.len()).filter(|i| !d.collapsed.contains(i) && !d.operand_batching.contains(i));
        let mut slice: Vec<SliceAxis> = vec![];
        for (axis, &o) in kept.zip(d.window_axes).filter(|(axis, _)| d.window[*axis] != 1) {
            let fixed = !d.map.contains(&axis) || last(axis) == 0;
            let a = SliceAxis { length: d.window[axis], operand: own[axis], other: other[o], fixed };
            match slice.last_mut() {
                // Neighbours that walk on are joined.
                Some(b) if b.operand == a.operand * a.length && b.other == a.other * a.length && b.fixed == fixed => {
                    *b = SliceAxis { length: b.length * a.length, ..a };
                }
                _ => slice.push(a),
            }
        }
        let run = slice.pop_if(|a| a.operand == 1 && a.other == 1);
        Walk {
            index: d.index,
            batch: batch.collect(),
            step: index_strides.get(d.index_vector_dim).copied().unwrap_or(1),
            components: d.map.iter().map(|&axis| Component { last: last(axis), stride: own[axis] }).collect(),
            slice,
            run: run.unwrap_or(SliceAxis { length: 1, operand: 1, other: 1, fixed: true }),
        }
    }

    /// How many index vectors there are.
    pub(crate) fn batches(&self) -> usize {
        self.batch.iter().map(|b| b.length).product()
    }

    /// Elements of one window.
    pub(crate) fn window(&self) -> usize {
        self.run.length * self.slice.iter().map(|s| s.length).product::<usize>()
    }

    /// Calls `f` with up to [`CHUNK`] windows at a time, each as its offset in the operand and in the other array, in the order
    /// of the index vectors. Windows that do not lie inside are moved there, or left out.
    ///
    /// `indices` are the bytes of the indices, aligned for their type.
    pub(crate) fn chunks(
        &self,
        indices: &[u8],
        range: Range<usize>,
        clamp: bool,
        mut f: impl FnMut(&[(usize, usize)]),
    ) {
        let mut cursor = self.cursor(range.start);
        let mut places = [(0, 0); CHUNK];
        let mut left = range.len();
        while left > 0 {
            let count = left.min(CHUNK);
            let found = crate::with_element!(self.index, I => {
                // SAFETY: aligned by the caller; any bits are a valid element (sealed trait).
                let indices = unsafe { std::slice::from_raw_parts(indices.as_ptr().cast::<I>(), indices.len() / size_of::<I>()) };
                self.fill::<I>(indices, &mut cursor, &mut places[..count], clamp)
            });
            f(&places[..found]);
            left -= count;
        }
    }

    fn cursor(&self, first: usize) -> Cursor {
        let mut c = Cursor { at: vec![0; self.batch.len()], index: 0, operand: 0, other: 0 };
        let mut rest = first;
        for (k, b) in self.batch.iter().enumerate().rev() {
            let i = rest % b.length;
            rest /= b.length;
            c.at[k] = i;
            c.index += i * b.index;
            c.operand += i * b.operand;
            c.other += i * b.other;
        }
        c
    }

    fn fill<I: Element>(&self, indices: &[I], c: &mut Cursor, places: &mut [(usize, usize)], clamp: bool) -> usize {
        let mut found = 0;
        for _ in 0..places.len() {
            let mut operand = c.operand;
            let mut inside = true;
            for (k, component) in self.components.iter().enumerate() {
                let value = to_index(indices[c.index + k * self.step]);
                inside &= (0..=component.last).contains(&value);
                operand += value.min(component.last).max(0) as usize * component.stride;
            }
            if inside || clamp {
                places[found] = (operand, c.other);
                found += 1;
            }
            c.advance(&self.batch);
        }
        found
    }
}

/// A large u64 stays large.
#[inline(always)]
fn to_index<I: Element>(i: I) -> i64 {
    let value = i.to_i64();
    if I::DTYPE == DType::U64 && value < 0 { i64::MAX } else { value }
}

/// The place of one index vector.
struct Cursor {
    at: Vec<usize>,
    index: usize,
    operand: usize,
    other: usize,
}

impl Cursor {
    #[inline(always)]
    fn advance(&mut self, batch: &[BatchAxis]) {
        for (at, b) in self.at.iter_mut().zip(batch).rev() {
            *at += 1;
            self.index += b.index;
            self.operand += b.operand;
            self.other += b.other;
            if *at < b.length {
                return;
            }
            *at = 0;
            self.index -= b.length * b.index;
            self.operand -= b.length * b.operand;
            self.other -= b.length * b.other;
        }
    }
}

/// Calls `f` with the offsets in operand and other array of every position of the axes, in order.
pub(crate) fn each_offset(axes: &[SliceAxis], operand: usize, other: usize, f: &mut impl FnMut(usize, usize)) {
    match axes.split_first() {
        None => f(operand, other),
        Some((a, rest)) => {
            (0..a.length).for_each(|i| each_offset(rest, operand + i * a.operand, other + i * a.other, f))
        }
    }
}

/// An array that tasks write disjoint parts of.
pub(crate) struct Shared<T>(pub(crate) *mut T);
// SAFETY: tasks reach disjoint elements through it.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn at(&self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}

/// `y = x[indices]`: windows of the operand at places that the indices name, clamped so that they lie inside.
///
/// Inputs: operand, indices. Output: a value of [`gather_shape`].
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    walk: Walk,
    size: usize,
}

impl Gather {
    /// From an operand of `shape` (elements of `size` bytes: 1, 2, 4 or 8) at indices of shape `indices`, windows of
    /// `slice_sizes`.
    pub fn new(
        size: usize,
        shape: &[usize],
        indices: &[usize],
        index: DType,
        dims: &GatherDims,
        slice_sizes: &[usize],
    ) -> Gather {
        let walk = Walk::new(&WalkDims {
            operand: shape,
            indices,
            index,
            other: &gather_shape(indices, dims, slice_sizes),
            window_axes: &dims.offset_dims,
            collapsed: &dims.collapsed_slice_dims,
            operand_batching: &dims.operand_batching_dims,
            index_batching: &dims.start_indices_batching_dims,
            map: &dims.start_index_map,
            index_vector_dim: dims.index_vector_dim,
            window: slice_sizes,
        });
        Gather { walk, size }
    }

    fn copy<T: Element>(&self, x: &[T], indices: &[u8], y: &Shared<T>, batches: Range<usize>) {
        let run = self.walk.run.length;
        self.walk.chunks(indices, batches, true, |places| {
            each_offset(&self.walk.slice, 0, 0, &mut |dx, dy| {
                for &(from, to) in places {
                    let from = &x[from + dx..from + dx + run];
                    // SAFETY: the result has this run; no other window writes it.
                    unsafe {
                        match run {
                            1 => *y.at(to + dy) = from[0],
                            _ => std::ptr::copy_nonoverlapping(from.as_ptr(), y.at(to + dy), run),
                        }
                    }
                }
            });
        });
    }
}

impl Kernel for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let (batches, window) = (self.walk.batches(), self.walk.window());
        if batches * window == 0 {
            return;
        }
        let indices = io.input::<u8>(1);
        by_size!(self.size, T => {
            let (x, y) = (io.input::<T>(0), Shared(io.output::<T>(0).as_mut_ptr()));
            let tasks = if batches * window * self.size < LARGE { 1 } else { (4 * pool.threads()).min(batches) };
            pool.run(tasks, &|t| self.copy(x, indices, &y, batches * t / tasks..batches * (t + 1) / tasks));
        })
    }
}
