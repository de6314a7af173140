//! Data movement by element size: transpose, slice, reverse, broadcast (one strided copy), pad, concatenate, dynamic slices.
//!
//! Values are dense and row-major on both sides; only the size of an element matters, not its type.

use crate::dtype::DType;
use crate::machine::{Io, Kernel};
use crate::pool::Pool;

/// Bytes from which on the pool shares the work.
const LARGE: usize = 256 * 1024;

fn strides(shape: &[usize]) -> Vec<isize> {
    let mut out = vec![1isize; shape.len()];
    for i in (1..shape.len()).rev() {
        out[i - 1] = out[i] * shape[i] as isize;
    }
    out
}

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// `y[i, j, …] = x[offset + i·s₀ + j·s₁ + …]`: strides in elements of the source, written densely or by strides of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Strided {
    size: usize,
    /// Length, source stride and target stride of each axis, outermost first; neighbours that walk on are joined.
    axes: Vec<(usize, isize, isize)>,
    source: isize,
    target: isize,
    what: &'static str,
}

impl Strided {
    fn new(
        what: &'static str,
        size: usize,
        shape: &[usize],
        from: &[isize],
        to: &[isize],
        source: isize,
        target: isize,
    ) -> Strided {
        let mut axes: Vec<(usize, isize, isize)> = vec![];
        for ((&n, &s), &t) in shape.iter().zip(from).zip(to).filter(|((n, _), _)| **n != 1) {
            match axes.last_mut() {
                Some(a) if a.1 == s * n as isize && a.2 == t * n as isize => *a = (a.0 * n, s, t),
                _ => axes.push((n, s, t)),
            }
        }
        Strided { size, axes, source, target, what }
    }

    /// Result axis `i` is operand axis `permutation[i]`.
    pub fn transpose(size: usize, shape: &[usize], permutation: &[usize]) -> Strided {
        let own = strides(shape);
        let out: Vec<usize> = permutation.iter().map(|&p| shape[p]).collect();
        let from: Vec<isize> = permutation.iter().map(|&p| own[p]).collect();
        Strided::new("transpose", size, &out, &from, &strides(&out), 0, 0)
    }

    /// Elements `start .. limit` of each axis, every `step`-th.
    pub fn slice(size: usize, shape: &[usize], start: &[usize], limit: &[usize], step: &[usize]) -> Strided {
        let own = strides(shape);
        let out: Vec<usize> = (0..shape.len()).map(|i| (limit[i] - start[i]).div_ceil(step[i])).collect();
        let from: Vec<isize> = (0..shape.len()).map(|i| own[i] * step[i] as isize).collect();
        let first = (0..shape.len()).map(|i| own[i] * start[i] as isize).sum();
        Strided::new("slice", size, &out, &from, &strides(&out), first, 0)
    }

    /// The given axes backwards.
    pub fn reverse(size: usize, shape: &[usize], axes: &[usize]) -> Strided {
        let mut from = strides(shape);
        let mut first = 0;
        for &a in axes {
            first += from[a] * (shape[a] as isize - 1);
            from[a] = -from[a];
        }
        Strided::new("reverse", size, shape, &from, &strides(shape), first, 0)
    }

    /// # Safety
    /// `x` and `y` reach as far as the axes say; nobody else writes these elements of `y`.
    unsafe fn run_typed<T: Copy>(&self, x: *const T, y: *mut T, pool: &Pool) {
        let total: usize = self.axes.iter().map(|a| a.0).product();
        let (x, y) = (Pointer(x.wrapping_offset(self.source).cast_mut()), Pointer(y.wrapping_offset(self.target)));
        let outer = self.axes.first().map_or(1, |a| a.0);
        let tasks = if total * self.size < LARGE || outer < 2 { 1 } else { (4 * pool.threads()).min(outer) };
        let body = |t: usize| {
            let (from, to) = (outer * t / tasks, outer * (t + 1) / tasks);
            let (x, y) = (&x, &y);
            // SAFETY: the caller's promise; tasks write different slices of the outermost axis.
            unsafe {
                match self.axes.first() {
                    None => *y.0 = *x.0,
                    Some(&(_, s, d)) => {
                        let mut axes = self.axes.clone();
                        axes[0].0 = to - from;
                        walk(&axes, x.0.wrapping_offset(s * from as isize), y.0.wrapping_offset(d * from as isize));
                    }
                }
            }
        };
        if tasks == 1 { body(0) } else { pool.run(tasks, &body) }
    }
}

struct Pointer<T>(*mut T);
// SAFETY: tasks reach disjoint elements through it.
unsafe impl<T> Sync for Pointer<T> {}

/// # Safety
/// As for `run_typed`.
unsafe fn walk<T: Copy>(axes: &[(usize, isize, isize)], x: *const T, y: *mut T) {
    // SAFETY: the caller's promise.
    unsafe {
        match *axes {
            [] => *y = *x,
            [(n, 1, 1)] => std::ptr::copy_nonoverlapping(x, y, n),
            [(n, s, t)] => (0..n as isize).for_each(|i| *y.offset(i * t) = *x.offset(i * s)),
            // A matrix transposed: in tiles, so that both sides stay in cache lines.
            [(m, s0, t0), (n, s1, t1)] if s0 == 1 && t1 == 1 => {
                const TILE: usize = 16;
                for i0 in (0..m).step_by(TILE) {
                    for j0 in (0..n).step_by(TILE) {
                        for i in i0..(i0 + TILE).min(m) {
                            for j in j0..(j0 + TILE).min(n) {
                                *y.offset(i as isize * t0 + j as isize) = *x.offset(i as isize + j as isize * s1);
                            }
                        }
                    }
                }
            }
            [(n, s, t), ..] => {
                for i in 0..n as isize {
                    walk(&axes[1..], x.offset(i * s), y.offset(i * t));
                }
            }
        }
    }
}

macro_rules! by_size {
    ($size:expr, $t:ident => $body:expr) => {
        match $size {
            1 => {
                type $t = u8;
                $body
            }
            2 => {
                type $t = u16;
                $body
            }
            4 => {
                type $t = u32;
                $body
            }
            _ => {
                type $t = u64;
                $body
            }
        }
    };
}
pub(crate) use by_size;

impl Kernel for Strided {
    fn name(&self) -> &'static str {
        self.what
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        if self.axes.iter().any(|a| a.0 == 0) {
            return;
        }
        let (x, y) = (io.input_ptr(0), io.output_ptr(0));
        // SAFETY: the constructors keep within the operands' shapes.
        by_size!(self.size, T => unsafe { self.run_typed::<T>(x.cast(), y.cast(), pool) })
    }
}

/// Padding around and between elements; negative amounts cut. Input 1 is the scalar padding value.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    copy: Option<Strided>,
    size: usize,
}

impl Pad {
    /// `low` and `high` elements at the ends of each axis and `interior` between any two.
    pub fn new(size: usize, shape: &[usize], low: &[i64], high: &[i64], interior: &[usize]) -> Pad {
        let rank = shape.len();
        let spread = |i: usize| shape[i] as i64 + (shape[i] as i64 - 1).max(0) * interior[i] as i64;
        let out: Vec<usize> = (0..rank).map(|i| (low[i] + spread(i) + high[i]).max(0) as usize).collect();
        let (own, target) = (strides(shape), strides(&out));
        let (mut source, mut first, mut kept) = (0isize, 0isize, vec![0usize; rank]);
        for i in 0..rank {
            let step = interior[i] as i64 + 1;
            // The operand elements whose place lies within the result.
            let begin = if low[i] < 0 { (-low[i] + step - 1) / step } else { 0 };
            let room = out[i] as i64 - low[i];
            let end = if room <= 0 { 0 } else { ((room - 1) / step + 1).min(shape[i] as i64) };
            if end <= begin {
                return Pad { copy: None, size };
            }
            kept[i] = (end - begin) as usize;
            source += own[i] * begin as isize;
            first += target[i] * (low[i] + begin * step) as isize;
        }
        let to: Vec<isize> = (0..rank).map(|i| target[i] * (interior[i] as isize + 1)).collect();
        Pad { copy: Some(Strided::new("pad", size, &kept, &own, &to, source, first)), size }
    }
}

impl Kernel for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let x = io.input_ptr(0);
        by_size!(self.size, T => {
            let value = io.input::<T>(1)[0];
            let y = io.output::<T>(0);
            y.fill(value);
            if let Some(copy) = &self.copy {
                // SAFETY: the constructor keeps within both shapes.
                unsafe { copy.run_typed::<T>(x.cast(), y.as_mut_ptr(), pool) }
            }
        })
    }
}

/// Operands one after the other along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Concatenate {
    parts: Vec<Strided>,
    empty: Vec<bool>,
    size: usize,
}

impl Concatenate {
    /// Operands of these shapes, equal but for `axis`.
    pub fn new(size: usize, shapes: &[&[usize]], axis: usize) -> Concatenate {
        let mut out = shapes[0].to_vec();
        out[axis] = shapes.iter().map(|s| s[axis]).sum();
        let target = strides(&out);
        let mut at = 0;
        let mut parts = vec![];
        for s in shapes {
            parts.push(Strided::new("concatenate", size, s, &strides(s), &target, 0, at * target[axis]));
            at += s[axis] as isize;
        }
        Concatenate { parts, empty: shapes.iter().map(|s| count(s) == 0).collect(), size }
    }
}

impl Kernel for Concatenate {
    fn name(&self) -> &'static str {
        "concatenate"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let y = io.output_ptr(0);
        for (i, part) in self.parts.iter().enumerate().filter(|(i, _)| !self.empty[*i]) {
            let x = io.input_ptr(i);
            // SAFETY: each part lies within its operand and its stretch of the result.
            by_size!(self.size, T => unsafe { part.run_typed::<T>(x.cast(), y.cast(), pool) })
        }
    }
}

/// Start indices from scalar inputs, clamped so that the window lies inside.
fn starts(io: &Io<'_>, first: usize, dtype: DType, shape: &[usize], window: &[usize]) -> Vec<usize> {
    (0..shape.len())
        .map(|i| {
            let v = crate::with_element!(dtype, T => crate::dtype::Element::to_i64(io.input::<T>(first + i)[0]));
            v.clamp(0, (shape[i] - window[i]) as i64) as usize
        })
        .collect()
}

/// A window of fixed size at a place known only at run time: inputs operand and one scalar start per axis.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicSlice {
    size: usize,
    shape: Vec<usize>,
    window: Vec<usize>,
    index: DType,
}

impl DynamicSlice {
    /// A window of this size in an operand of this shape.
    pub fn new(size: usize, shape: &[usize], window: &[usize], index: DType) -> DynamicSlice {
        DynamicSlice { size, shape: shape.to_vec(), window: window.to_vec(), index }
    }
}

impl Kernel for DynamicSlice {
    fn name(&self) -> &'static str {
        "dynamic_slice"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        if count(&self.window) == 0 {
            return;
        }
        let start = starts(io, 1, self.index, &self.shape, &self.window);
        let limit: Vec<usize> = start.iter().zip(&self.window).map(|(s, w)| s + w).collect();
        let copy = Strided::slice(self.size, &self.shape, &start, &limit, &vec![1; start.len()]);
        let (x, y) = (io.input_ptr(0), io.output_ptr(0));
        // SAFETY: the clamped window lies inside the operand.
        by_size!(self.size, T => unsafe { copy.run_typed::<T>(x.cast(), y.cast(), pool) })
    }
}

/// An operand with a window replaced at a place known only at run time: inputs operand, update, one scalar start per axis.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicUpdateSlice {
    size: usize,
    shape: Vec<usize>,
    update: Vec<usize>,
    index: DType,
}

impl DynamicUpdateSlice {
    /// An update of this shape in an operand of this shape.
    pub fn new(size: usize, shape: &[usize], update: &[usize], index: DType) -> DynamicUpdateSlice {
        DynamicUpdateSlice { size, shape: shape.to_vec(), update: update.to_vec(), index }
    }
}

impl Kernel for DynamicUpdateSlice {
    fn name(&self) -> &'static str {
        "dynamic_update_slice"
    }

    fn in_place(&self, input: usize, _: usize) -> bool {
        input == 0
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let start = starts(io, 2, self.index, &self.shape, &self.update);
        let (x, u, y) = (io.input_ptr(0), io.input_ptr(1), io.output_ptr(0));
        if !std::ptr::eq(x, y) {
            // SAFETY: operand and result have the same length and do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(x, y, count(&self.shape) * self.size) }
        }
        if count(&self.update) == 0 {
            return;
        }
        let target = strides(&self.shape);
        let first = start.iter().zip(&target).map(|(s, t)| *s as isize * t).sum();
        let copy = Strided::new("update", self.size, &self.update, &strides(&self.update), &target, 0, first);
        // SAFETY: the clamped window lies inside the operand.
        by_size!(self.size, T => unsafe { copy.run_typed::<T>(u.cast(), y.cast(), pool) })
    }
}
