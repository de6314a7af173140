//! Order along an axis: sort, the k largest, the place of the largest, running sums.

use crate::dtype::{DType, Element};
use crate::machine::{Io, Kernel};
use crate::number::Number;
use crate::pool::Pool;
use std::cmp::Ordering;

/// A shape as `[outer, length, inner]` around an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lines {
    outer: usize,
    length: usize,
    inner: usize,
}

impl Lines {
    fn new(shape: &[usize], axis: usize) -> Lines {
        let product = |s: &[usize]| s.iter().product();
        Lines { outer: product(&shape[..axis]), length: shape[axis], inner: product(&shape[axis + 1..]) }
    }

    /// The first element of every line.
    fn starts(self) -> impl Iterator<Item = usize> {
        let Lines { outer, length, inner } = self;
        (0..outer).flat_map(move |o| (0..inner).map(move |i| o * length * inner + i))
    }
}

/// NaN counts as the largest.
fn compare<T: Element>(a: T, b: T) -> Ordering {
    #[allow(clippy::eq_op)]
    let nan = |x: T| x != x;
    a.partial_cmp(&b).unwrap_or_else(|| nan(a).cmp(&nan(b)))
}

/// Sorts operands along an axis by the first of them; stable.
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    dtypes: Vec<DType>,
    lines: Lines,
    descending: bool,
}

impl Sort {
    /// Operands of these types and this shape.
    pub fn new(dtypes: &[DType], shape: &[usize], axis: usize, descending: bool) -> Sort {
        Sort { dtypes: dtypes.to_vec(), lines: Lines::new(shape, axis), descending }
    }
}

impl Kernel for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn run(&self, io: &mut Io<'_>, _: &Pool) {
        let Lines { length, inner, .. } = self.lines;
        let orders: Vec<Vec<usize>> = crate::with_element!(self.dtypes[0], T => {
            let x = io.input::<T>(0);
            self.lines.starts().map(|s| {
                let mut order: Vec<usize> = (0..length).collect();
                let key = |i: &usize| x[s + i * inner];
                match self.descending {
                    true => order.sort_by(|a, b| compare(key(b), key(a))),
                    false => order.sort_by(|a, b| compare(key(a), key(b))),
                }
                order
            }).collect()
        });
        for (k, dtype) in self.dtypes.iter().enumerate() {
            crate::with_element!(*dtype, T => {
                let (x, y) = (io.input::<T>(k), io.output::<T>(k));
                for (s, order) in self.lines.starts().zip(&orders) {
                    order.iter().enumerate().for_each(|(i, &o)| y[s + i * inner] = x[s + o * inner]);
                }
            })
        }
    }
}

/// The k largest along the last axis, largest first, and their places (i32); of equals the first.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    dtype: DType,
    rows: usize,
    length: usize,
    k: usize,
}

impl TopK {
    /// Of an operand of this shape.
    pub fn new(dtype: DType, shape: &[usize], k: usize) -> TopK {
        let length = shape[shape.len() - 1];
        TopK { dtype, rows: shape[..shape.len() - 1].iter().product(), length, k }
    }
}

impl Kernel for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn run(&self, io: &mut Io<'_>, _: &Pool) {
        crate::with_element!(self.dtype, T => {
            let x = io.input::<T>(0);
            let (values, places) = (io.output::<T>(0), io.output::<i32>(1));
            let mut order: Vec<usize> = vec![];
            for r in 0..self.rows {
                let row = &x[r * self.length..(r + 1) * self.length];
                order.clear();
                order.extend(0..self.length);
                order.sort_by(|a, b| compare(row[*b], row[*a]));
                for (i, &o) in order[..self.k].iter().enumerate() {
                    values[r * self.k + i] = row[o];
                    places[r * self.k + i] = o as i32;
                }
            }
        })
    }
}

/// The place (i32) of the largest or smallest along an axis; of equals the first; NaN wins.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgReduce {
    dtype: DType,
    lines: Lines,
    largest: bool,
}

impl ArgReduce {
    /// Of an operand of this shape.
    pub fn new(dtype: DType, shape: &[usize], axis: usize, largest: bool) -> ArgReduce {
        ArgReduce { dtype, lines: Lines::new(shape, axis), largest }
    }
}

impl Kernel for ArgReduce {
    fn name(&self) -> &'static str {
        "arg_reduce"
    }

    fn run(&self, io: &mut Io<'_>, _: &Pool) {
        let Lines { length, inner, .. } = self.lines;
        crate::with_element!(self.dtype, T => {
            let (x, y) = (io.input::<T>(0), io.output::<i32>(0));
            #[allow(clippy::eq_op)]
            let nan = |v: T| v != v;
            for (s, out) in self.lines.starts().zip(y) {
                let mut best = 0;
                for i in 1..length {
                    let (v, b) = (x[s + i * inner], x[s + best * inner]);
                    let better = if self.largest { v > b } else { v < b };
                    if (better || nan(v)) && !nan(b) {
                        best = i;
                    }
                }
                *out = best as i32;
            }
        })
    }
}

/// What runs along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CumulateKind {
    /// The sum so far.
    Sum,
    /// The product so far.
    Product,
    /// The largest so far.
    Max,
    /// The smallest so far.
    Min,
}

impl CumulateKind {
    /// All of them.
    pub const ALL: [CumulateKind; 4] = [CumulateKind::Sum, CumulateKind::Product, CumulateKind::Max, CumulateKind::Min];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            CumulateKind::Sum => "cumulative_sum",
            CumulateKind::Product => "cumulative_product",
            CumulateKind::Max => "cumulative_max",
            CumulateKind::Min => "cumulative_min",
        }
    }
}

/// Running sums, products, maxima or minima along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Cumulate {
    dtype: DType,
    lines: Lines,
    kind: CumulateKind,
    exclusive: bool,
    reverse: bool,
}

impl Cumulate {
    /// Along an axis of an operand of this shape; `exclusive` leaves the element itself out, `reverse` runs from the end.
    pub fn new(
        dtype: DType,
        shape: &[usize],
        axis: usize,
        kind: CumulateKind,
        exclusive: bool,
        reverse: bool,
    ) -> Cumulate {
        Cumulate { dtype, lines: Lines::new(shape, axis), kind, exclusive, reverse }
    }
}

fn step<T: Number>(kind: CumulateKind, a: T, b: T) -> T {
    match kind {
        CumulateKind::Sum => T::narrow(T::plus(a.widen(), b.widen())),
        CumulateKind::Product => T::narrow(T::multiply_add(a.widen(), b.widen(), T::Sum::default())),
        CumulateKind::Max => {
            if compare(a, b) == Ordering::Less {
                b
            } else {
                a
            }
        }
        CumulateKind::Min => {
            if b < a {
                b
            } else {
                a
            }
        }
    }
}

impl Kernel for Cumulate {
    fn name(&self) -> &'static str {
        "cumulate"
    }

    fn run(&self, io: &mut Io<'_>, _: &Pool) {
        let Lines { length, inner, .. } = self.lines;
        crate::with_element!(self.dtype, T => {
            let (x, y) = (io.input::<T>(0), io.output::<T>(0));
            let first: T = match self.kind {
                CumulateKind::Sum => T::from_f64(0.0),
                CumulateKind::Product => T::from_f64(1.0),
                CumulateKind::Max => T::from_f64(f64::NEG_INFINITY),
                CumulateKind::Min => T::from_f64(f64::INFINITY),
            };
            for s in self.lines.starts() {
                let mut running = first;
                for i in 0..length {
                    let at = s + if self.reverse { length - 1 - i } else { i } * inner;
                    let next = step(self.kind, running, x[at]);
                    y[at] = if self.exclusive { running } else { next };
                    running = next;
                }
            }
        })
    }
}
