//! Reductions over windows, and the gradient of the largest (or smallest) of a window.

use crate::dtype::{DType, Element};
use crate::machine::{Io, Kernel};
use crate::map::ReduceKind;
use crate::number::Number;
use crate::pool::Pool;

/// Elements of work from which on the pool shares it.
const LARGE: usize = 32 * 1024;

/// One axis of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowAxis {
    /// Length of the operand.
    pub input: usize,
    /// Length of the window.
    pub size: usize,
    /// Step of the window.
    pub stride: usize,
    /// Distance between elements of the operand (1: none between).
    pub base_dilation: usize,
    /// Distance between elements of the window (1: none between).
    pub dilation: usize,
    /// Padding before.
    pub low: i64,
    /// Padding after.
    pub high: i64,
}

impl WindowAxis {
    /// Places of the window.
    pub fn output(&self) -> usize {
        let dilated = |n: usize, d: usize| if n == 0 { 0 } else { (n as i64 - 1) * d as i64 + 1 };
        let room = dilated(self.input, self.base_dilation) + self.low + self.high - dilated(self.size, self.dilation);
        if room < 0 { 0 } else { (room / self.stride as i64 + 1) as usize }
    }

    /// The element of the operand under window element `k` at place `o`, if there is one.
    #[inline(always)]
    fn element(&self, o: usize, k: usize) -> Option<usize> {
        let at = (o * self.stride + k * self.dilation) as i64 - self.low;
        let inside = at >= 0 && at % self.base_dilation as i64 == 0;
        let i = (at / self.base_dilation as i64) as usize;
        (inside && i < self.input).then_some(i)
    }
}

fn identity<T: Element>(kind: ReduceKind) -> T {
    match kind {
        ReduceKind::Sum | ReduceKind::Any => T::from_f64(0.0),
        ReduceKind::Product | ReduceKind::All => T::from_f64(1.0),
        // Casts saturate for integers: f64 infinities give the ends of the range.
        ReduceKind::Max => T::from_f64(f64::NEG_INFINITY),
        ReduceKind::Min => T::from_f64(f64::INFINITY),
    }
}

#[inline(always)]
fn combine<T: Number>(kind: ReduceKind, a: T, b: T) -> T {
    #[allow(clippy::eq_op)]
    let nan = |x: T| x != x;
    match kind {
        ReduceKind::Sum => T::narrow(T::plus(a.widen(), b.widen())),
        ReduceKind::Product => T::narrow(T::multiply_add(a.widen(), b.widen(), T::Sum::default())),
        ReduceKind::Max | ReduceKind::Any => {
            if a > b || nan(a) {
                a
            } else {
                b
            }
        }
        ReduceKind::Min | ReduceKind::All => {
            if a < b || nan(a) {
                a
            } else {
                b
            }
        }
    }
}

/// The axes as outer (walked place by place) and inner (unit windows at the end: walked as vectors).
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    axes: Vec<WindowAxis>,
    /// Operand strides of the axes.
    from: Vec<usize>,
    /// Result strides of the axes.
    to: Vec<usize>,
    /// Elements of the unit axes at the end.
    inner: usize,
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut out = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        out[i - 1] = out[i] * shape[i];
    }
    out
}

fn is_unit(a: &WindowAxis) -> bool {
    a.size == 1 && a.stride == 1 && a.base_dilation == 1 && a.low == 0 && a.high == 0
}

impl Plan {
    fn new(axes: &[WindowAxis]) -> Plan {
        let input: Vec<usize> = axes.iter().map(|a| a.input).collect();
        let output: Vec<usize> = axes.iter().map(WindowAxis::output).collect();
        let (from, to) = (strides(&input), strides(&output));
        let keep = axes.len() - axes.iter().rev().take_while(|a| is_unit(a)).count();
        let inner = input[keep..].iter().product();
        Plan { axes: axes[..keep].to_vec(), from: from[..keep].to_vec(), to: to[..keep].to_vec(), inner }
    }

    /// Splits the first axes that are walked one by one into tasks: number of tasks of whole "images".
    fn images(&self) -> usize {
        self.axes.iter().take_while(|a| is_unit(a)).map(|a| a.input).product()
    }

    /// Calls `f(place offset, element offsets…)` for every place of one image.
    fn for_places(&self, image: usize, mut f: impl FnMut(usize, &[usize])) {
        let lead = self.axes.iter().take_while(|a| is_unit(a)).count();
        let (mut x0, mut y0, mut rest) = (0, 0, image);
        for i in (0..lead).rev() {
            let n = self.axes[i].input;
            x0 += rest % n * self.from[i];
            y0 += rest % n * self.to[i];
            rest /= n;
        }
        let axes = &self.axes[lead..];
        let counts: Vec<usize> = axes.iter().map(WindowAxis::output).collect();
        let places: usize = counts.iter().product();
        let mut elements: Vec<usize> = vec![];
        let mut at = vec![0usize; axes.len()];
        for _ in 0..places {
            elements.clear();
            elements.push(x0);
            let mut y = y0;
            for (i, a) in axes.iter().enumerate() {
                y += at[i] * self.to[lead + i];
                let stride = self.from[lead + i];
                let before = elements.len();
                for e in 0..before {
                    let base = elements[e];
                    elements.extend((0..a.size).filter_map(|k| a.element(at[i], k)).map(|j| base + j * stride));
                }
                elements.drain(..before);
            }
            f(y, &elements);
            for i in (0..axes.len()).rev() {
                at[i] += 1;
                if at[i] < counts[i] {
                    break;
                }
                at[i] = 0;
            }
        }
    }
}

struct Out<T>(*mut T);
// SAFETY: tasks write disjoint images through it.
unsafe impl<T> Sync for Out<T> {}

/// StableHLO's `reduce_window`.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    dtype: DType,
    kind: ReduceKind,
    plan: Plan,
    outputs: usize,
}

impl Window {
    /// The reduction of every window.
    pub fn new(dtype: DType, kind: ReduceKind, axes: &[WindowAxis]) -> Window {
        let outputs = axes.iter().map(WindowAxis::output).product();
        Window { dtype, kind, plan: Plan::new(axes), outputs }
    }
}

#[inline(always)]
fn reduce_rows<T: Number>(kind: ReduceKind, x: &[T], elements: &[usize], y: &mut [T]) {
    let n = y.len();
    match elements.split_first() {
        None => y.fill(identity(kind)),
        Some((first, rest)) => {
            y.copy_from_slice(&x[*first..first + n]);
            for &e in rest {
                y.iter_mut().zip(&x[e..e + n]).for_each(|(a, b)| *a = combine(kind, *a, *b));
            }
        }
    }
}

impl Kernel for Window {
    fn name(&self) -> &'static str {
        "reduce_window"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        if self.outputs == 0 {
            return;
        }
        crate::with_element!(self.dtype, T => {
            let x = io.input::<T>(0);
            let out = io.output::<T>(0);
            let (images, inner) = (self.plan.images(), self.plan.inner);
            let y = Out(out.as_mut_ptr());
            let image = |i: usize| {
                let y = &y;
                self.plan.for_places(i, |place, elements| {
                    // SAFETY: places of different images are different; `inner` elements follow each.
                    let row = unsafe { std::slice::from_raw_parts_mut(y.0.add(place), inner) };
                    macro_rules! each {
                        ($($k:ident),*) => { match self.kind { $(ReduceKind::$k => reduce_rows(ReduceKind::$k, x, elements, row),)* } };
                    }
                    each!(Sum, Product, Max, Min, Any, All)
                });
            };
            if self.outputs < LARGE { (0..images).for_each(image) } else { pool.run(images, &image) }
        })
    }
}

/// StableHLO's `select_and_scatter` with "largest (or smallest), the first of equals" and addition: inputs operand and source.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectAndScatter {
    dtype: DType,
    largest: bool,
    plan: Plan,
    outputs: usize,
}

impl SelectAndScatter {
    /// Sends each source element to the chosen element of its window.
    pub fn new(dtype: DType, largest: bool, axes: &[WindowAxis]) -> SelectAndScatter {
        let outputs = axes.iter().map(WindowAxis::output).product();
        SelectAndScatter { dtype, largest, plan: Plan::new(axes), outputs }
    }
}

impl Kernel for SelectAndScatter {
    fn name(&self) -> &'static str {
        "select_and_scatter"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        crate::with_element!(self.dtype, T => {
            let (x, dy) = (io.input::<T>(0), io.input::<T>(1));
            let out = io.output::<T>(0);
            out.fill(T::from_f64(0.0));
            if self.outputs == 0 {
                return;
            }
            let (images, inner) = (self.plan.images(), self.plan.inner);
            let dx = Out(out.as_mut_ptr());
            let image = |i: usize| {
                let dx = &dx;
                self.plan.for_places(i, |place, elements| {
                    for c in 0..inner {
                        let mut best: Option<usize> = None;
                        for &e in elements {
                            let better = match best {
                                None => true,
                                Some(b) if self.largest => x[e + c] > x[b],
                                Some(b) => x[e + c] < x[b],
                            };
                            if better {
                                best = Some(e + c);
                            }
                        }
                        if let Some(b) = best {
                            // SAFETY: `b` is an element of this image.
                            unsafe {
                                let d = dx.0.add(b);
                                *d = combine(ReduceKind::Sum, *d, dy[place + c]);
                            }
                        }
                    }
                });
            };
            if self.outputs < LARGE { (0..images).for_each(image) } else { pool.run(images, &image) }
        })
    }
}
