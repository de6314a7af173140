//! Gather and scatter, as StableHLO defines them.

use crate::copy::by_size;
use crate::dtype::{DType, Element};
use crate::machine::{Io, Kernel};
use crate::number::Number;
use crate::pool::Pool;

/// Bytes from which on the pool shares the work.
const LARGE: usize = 64 * 1024;

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

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut out = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        out[i - 1] = out[i] * shape[i];
    }
    out
}

/// The walk over index vectors and windows that gather and scatter share.
#[derive(Clone, Debug, PartialEq)]
struct Walk {
    operand: Vec<usize>,
    index: DType,
    /// Length and stride in the indices of each batch axis.
    batch: Vec<(usize, usize)>,
    /// Stride between the components of an index.
    component: usize,
    /// Operand axis of each component.
    map: Vec<usize>,
    /// Operand axis that goes along with each batch axis.
    along: Vec<Option<usize>>,
    /// Extent of the window along each operand axis.
    window: Vec<usize>,
    /// Operand axes of the window, outermost first: length, operand stride, stride in the other array.
    slice: Vec<(usize, usize, usize)>,
    /// Stride of each batch axis in the other array.
    other: Vec<usize>,
}

impl Walk {
    fn batches(&self) -> usize {
        self.batch.iter().map(|b| b.0).product()
    }

    fn slice_len(&self) -> usize {
        self.slice.iter().map(|s| s.0).product()
    }

    /// Batch number `b`: the start of its window along each operand axis, and its offset in the other array.
    fn start<I: Element>(&self, indices: &[I], b: usize, start: &mut [i64]) -> usize {
        start.fill(0);
        let (mut rest, mut at, mut other) = (b, 0, 0);
        for (k, &(n, s)) in self.batch.iter().enumerate().rev() {
            let i = rest % n;
            rest /= n;
            at += i * s;
            other += i * self.other[k];
            if let Some(axis) = self.along[k] {
                start[axis] = i as i64;
            }
        }
        for (c, &axis) in self.map.iter().enumerate() {
            start[axis] = indices[at + c * self.component].to_i64();
        }
        other
    }
}

/// `y = x[indices]`: windows of the operand at places that the indices name, clamped so that they lie inside.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    walk: Walk,
    size: usize,
}

impl Gather {
    /// From an operand of `shape` (elements of `size` bytes) at indices of shape `indices`, windows of `slice_sizes`.
    pub fn new(
        size: usize,
        shape: &[usize],
        indices: &[usize],
        index: DType,
        dims: &GatherDims,
        slice_sizes: &[usize],
    ) -> Gather {
        let out = gather_shape(indices, dims, slice_sizes);
        let target = strides(&out);
        let batch_axes: Vec<usize> = (0..indices.len()).filter(|&i| i != dims.index_vector_dim).collect();
        let batch_out: Vec<usize> = (0..out.len()).filter(|i| !dims.offset_dims.contains(i)).collect();
        let kept = (0..shape.len())
            .filter(|i| !dims.collapsed_slice_dims.contains(i) && !dims.operand_batching_dims.contains(i));
        let own = strides(shape);
        let slice = kept.zip(&dims.offset_dims).map(|(axis, &o)| (slice_sizes[axis], own[axis], target[o])).collect();
        let walk = Walk {
            operand: shape.to_vec(),
            index,
            batch: batch_axes.iter().map(|&i| (indices[i], strides(indices)[i])).collect(),
            component: strides(indices).get(dims.index_vector_dim).copied().unwrap_or(1),
            map: dims.start_index_map.clone(),
            along: along(&batch_axes, &dims.start_indices_batching_dims, &dims.operand_batching_dims),
            window: slice_sizes.to_vec(),
            slice,
            other: batch_out.iter().map(|&i| target[i]).collect(),
        };
        Gather { walk, size }
    }
}

fn along(batch_axes: &[usize], index_dims: &[usize], operand_dims: &[usize]) -> Vec<Option<usize>> {
    batch_axes.iter().map(|a| index_dims.iter().position(|d| d == a).map(|p| operand_dims[p])).collect()
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

struct Out<T>(*mut T);
// SAFETY: tasks write disjoint elements through it.
unsafe impl<T> Sync for Out<T> {}

impl Kernel for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let w = &self.walk;
        let (batches, len) = (w.batches(), w.slice_len());
        if batches * len == 0 {
            return;
        }
        let own = strides(&w.operand);
        by_size!(self.size, T => {
            let x = io.input::<T>(0);
            let y = Out(io.output::<T>(0).as_mut_ptr());
            crate::with_element!(w.index, I => {
                let indices = io.input::<I>(1);
                let tasks = if batches * len * self.size < LARGE { 1 } else { (4 * pool.threads()).min(batches) };
                let body = |t: usize| {
                    let y = &y;
                    let mut start = vec![0i64; w.operand.len()];
                    for b in batches * t / tasks..batches * (t + 1) / tasks {
                        let to = w.start(indices, b, &mut start);
                        let from: usize = (0..start.len())
                            .map(|i| start[i].clamp(0, (w.operand[i] - w.window[i]) as i64) as usize * own[i])
                            .sum();
                        // SAFETY: the clamped window lies inside the operand; batches write different elements.
                        unsafe { copy_window(&w.slice, x.as_ptr().add(from), y.0.add(to)) }
                    }
                };
                if tasks == 1 { body(0) } else { pool.run(tasks, &body) }
            })
        })
    }
}

/// # Safety
/// Both arrays reach as far as the slice says.
unsafe fn copy_window<T: Copy>(slice: &[(usize, usize, usize)], x: *const T, y: *mut T) {
    // SAFETY: the caller's promise.
    unsafe {
        match *slice {
            [] => *y = *x,
            [(n, 1, 1)] => std::ptr::copy_nonoverlapping(x, y, n),
            [(n, s, t), ..] => (0..n).for_each(|i| copy_window(&slice[1..], x.add(i * s), y.add(i * t))),
        }
    }
}

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
    /// Their sum.
    Add,
    /// The update.
    Set,
    /// Their product.
    Multiply,
    /// The smaller.
    Min,
    /// The larger.
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

/// `y = x` with windows combined with updates, in the order of the indices; windows that do not lie inside are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    walk: Walk,
    dtype: DType,
    combine: Combine,
    elements: usize,
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
        let source = strides(updates);
        let own = strides(shape);
        let batch_axes: Vec<usize> = (0..indices.len()).filter(|&i| i != dims.index_vector_dim).collect();
        let batch_updates: Vec<usize> = (0..updates.len()).filter(|i| !dims.update_window_dims.contains(i)).collect();
        let kept: Vec<usize> = (0..shape.len())
            .filter(|i| !dims.inserted_window_dims.contains(i) && !dims.input_batching_dims.contains(i))
            .collect();
        let mut window = vec![1; shape.len()];
        for (&axis, &u) in kept.iter().zip(&dims.update_window_dims) {
            window[axis] = updates[u];
        }
        let slice =
            kept.iter().zip(&dims.update_window_dims).map(|(&axis, &u)| (updates[u], own[axis], source[u])).collect();
        let walk = Walk {
            operand: shape.to_vec(),
            index,
            batch: batch_axes.iter().map(|&i| (indices[i], strides(indices)[i])).collect(),
            component: strides(indices).get(dims.index_vector_dim).copied().unwrap_or(1),
            map: dims.scatter_dims_to_operand_dims.clone(),
            along: along(&batch_axes, &dims.scatter_indices_batching_dims, &dims.input_batching_dims),
            window,
            slice,
            other: batch_updates.iter().map(|&i| source[i]).collect(),
        };
        Scatter { walk, dtype, combine, elements: shape.iter().product() }
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
        let w = &self.walk;
        let (x, y) = (io.input_ptr(0), io.output_ptr(0));
        if !std::ptr::eq(x, y) {
            // SAFETY: operand and result have the same length and do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(x, y, self.elements * self.dtype.size()) }
        }
        let (batches, len) = (w.batches(), w.slice_len());
        if batches * len == 0 {
            return;
        }
        let own = strides(&w.operand);
        crate::with_element!(self.dtype, T => {
            let y = Out(y.cast::<T>());
            let updates = io.input::<T>(2);
            crate::with_element!(w.index, I => {
                let indices = io.input::<I>(1);
                // Threads share the first axis of the window, never the order of updates to an element.
                let width = w.slice.first().map_or(1, |s| s.0);
                let small = batches * len * self.dtype.size() < LARGE;
                let tasks = if small { 1 } else { pool.threads().min(width) };
                let body = |t: usize| {
                    let y = &y;
                    let mut start = vec![0i64; w.operand.len()];
                    let (from, to) = (width * t / tasks, width * (t + 1) / tasks);
                    for b in 0..batches {
                        let other = w.start(indices, b, &mut start);
                        let inside = (0..start.len()).all(|i| start[i] >= 0 && start[i] + w.window[i] as i64 <= w.operand[i] as i64);
                        if !inside {
                            continue;
                        }
                        let at: usize = (0..start.len()).map(|i| start[i] as usize * own[i]).sum();
                        let mut slice = w.slice.clone();
                        let (mut dx, mut du) = (0, 0);
                        if let Some(s) = slice.first_mut() {
                            (dx, du) = (from * s.1, from * s.2);
                            s.0 = to - from;
                        }
                        // SAFETY: the window lies inside the operand, the update inside the updates; tasks write different columns.
                        unsafe { combine_window(self.combine, &slice, y.0.add(at + dx), updates.as_ptr().add(other + du)) }
                    }
                };
                if tasks == 1 { body(0) } else { pool.run(tasks, &body) }
            })
        })
    }
}

/// # Safety
/// Both arrays reach as far as the slice says.
unsafe fn combine_window<T: Number>(c: Combine, slice: &[(usize, usize, usize)], y: *mut T, u: *const T) {
    // SAFETY: the caller's promise.
    unsafe {
        match *slice {
            [] => *y = combined(c, *y, *u),
            [(n, 1, 1)] => {
                let (y, u) = (std::slice::from_raw_parts_mut(y, n), std::slice::from_raw_parts(u, n));
                match c {
                    Combine::Add => y.iter_mut().zip(u).for_each(|(a, b)| *a = combined(Combine::Add, *a, *b)),
                    _ => y.iter_mut().zip(u).for_each(|(a, b)| *a = combined(c, *a, *b)),
                }
            }
            [(n, s, t), ..] => (0..n).for_each(|i| combine_window(c, &slice[1..], y.add(i * s), u.add(i * t))),
        }
    }
}

#[inline(always)]
fn combined<T: Number>(c: Combine, a: T, b: T) -> T {
    match c {
        Combine::Add => T::narrow(T::plus(a.widen(), b.widen())),
        Combine::Set => b,
        Combine::Multiply => T::narrow(T::multiply_add(a.widen(), b.widen(), T::Sum::default())),
        Combine::Min => {
            if b < a {
                b
            } else {
                a
            }
        }
        Combine::Max => {
            if b > a {
                b
            } else {
                a
            }
        }
    }
}
