//! Running sums, products, maxima and minima.

use super::{LANES, Lines};
use crate::dtype::{DType, Element};
use crate::gather::Shared;
use crate::machine::{Io, Kernel};
use crate::number::Number;
use crate::pool::Pool;

/// What runs along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CumulateKind {
    /// The sum so far; of bools whether one was true.
    Sum,
    /// The product so far; of bools whether all were true.
    Product,
    /// The largest so far; NaN once there was one.
    Max,
    /// The smallest so far; NaN once there was one.
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

/// Running sums, products, maxima or minima along an axis. Sums and products run in f32 or i64 at least.
///
/// Input: the operand. Output: a value of the same type and shape.
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
        let kind = match (dtype, kind) {
            (DType::Bool, CumulateKind::Sum) => CumulateKind::Max,
            // Of no bools at all the smallest is true: the largest u8 is no bool.
            (DType::Bool, CumulateKind::Min) => CumulateKind::Product,
            _ => kind,
        };
        Cumulate { dtype, lines: Lines::new(shape, axis), kind, exclusive, reverse }
    }

    /// Lines side by side, from `first` on, with what has run so far kept as `A`.
    fn walk<T: Number, A: Copy + Send + Sync>(
        &self,
        x: &[T],
        y: &Shared<T>,
        pool: &Pool,
        first: A,
        step: impl Fn(A, T) -> A + Sync,
        narrow: impl Fn(A) -> T + Sync,
    ) {
        let Lines { length, inner, .. } = self.lines;
        if inner == 1 {
            return self.lines.share(pool, &|range| {
                for line in range {
                    let x = &x[line * length..(line + 1) * length];
                    // SAFETY: this line lies in the result; this task alone writes it.
                    let y = unsafe { std::slice::from_raw_parts_mut(y.at(line * length), length) };
                    let mut running = first;
                    let mut advance = |y: &mut T, x: T| {
                        let next = step(running, x);
                        *y = narrow(if self.exclusive { running } else { next });
                        running = next;
                    };
                    let pairs = y.iter_mut().zip(x);
                    match self.reverse {
                        true => pairs.rev().for_each(|(y, &x)| advance(y, x)),
                        false => pairs.for_each(|(y, &x)| advance(y, x)),
                    }
                }
            });
        }
        self.lines.share_lanes(pool, &|start, width| {
            let mut running = [first; LANES];
            let running = &mut running[..width];
            for i in 0..length {
                let at = start + if self.reverse { length - 1 - i } else { i } * inner;
                // SAFETY: these lanes lie in the result; this task alone writes them.
                let y = unsafe { std::slice::from_raw_parts_mut(y.at(at), width) };
                for ((y, a), &x) in y.iter_mut().zip(running.iter_mut()).zip(&x[at..at + width]) {
                    let next = step(*a, x);
                    *y = narrow(if self.exclusive { *a } else { next });
                    *a = next;
                }
            }
        });
    }
}

impl Kernel for Cumulate {
    fn name(&self) -> &'static str {
        "cumulate"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        if self.lines.elements() == 0 {
            return;
        }
        crate::with_element!(self.dtype, T => {
            let (x, y) = (io.input::<T>(0), Shared(io.output::<T>(0).as_mut_ptr()));
            // Casts saturate for integers: the infinities give the ends of the range.
            let [one, low, high] = [1.0, f64::NEG_INFINITY, f64::INFINITY].map(<T as Element>::from_f64);
            match self.kind {
                CumulateKind::Sum => {
                    self.walk(x, &y, pool, T::default().to_sum(), |a, x| T::plus(a, x.to_sum()), T::narrow)
                }
                CumulateKind::Product => {
                    self.walk(x, &y, pool, one.to_sum(), |a, x| T::times(a, x.to_sum()), T::narrow)
                }
                CumulateKind::Max => self.walk(x, &y, pool, low, T::larger, |a| a),
                CumulateKind::Min => self.walk(x, &y, pool, high, T::smaller, |a| a),
            }
        })
    }
}
