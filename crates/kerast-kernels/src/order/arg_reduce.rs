//! The place of the largest or smallest along an axis.

use super::{LANES, Lines};
use crate::dtype::DType;
use crate::gather::Shared;
use crate::isa::per_isa;
use crate::machine::{Io, Kernel};
use crate::number::Number;
use crate::pool::Pool;
use std::hint::select_unpredictable;

/// Running extremes of one row kept side by side.
const WIDTH: usize = 16;

/// The place of the largest or smallest along an axis; of equals the first; NaN wins over numbers.
///
/// Input: the operand. Output: i32 places, without the axis; 0 where the axis has no elements.
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

    fn search<T: Number, const LARGEST: bool>(&self, x: &[T], y: &Shared<i32>, pool: &Pool) {
        let Lines { length, inner, .. } = self.lines;
        if inner == 1 {
            return self.lines.share(pool, &|range| {
                if length < 2 * WIDTH {
                    // SAFETY: the result has one element per line; this task alone writes these.
                    let places = unsafe { std::slice::from_raw_parts_mut(y.at(range.start), range.len()) };
                    return short_rows::<T>(&x[range.start * length..range.end * length], length, LARGEST, places);
                }
                for line in range {
                    let place = in_row::<T, LARGEST>(&x[line * length..(line + 1) * length]);
                    // SAFETY: the result has one element per line; this task alone writes this one.
                    unsafe { *y.at(line) = place as i32 }
                }
            });
        }
        self.lines.share_lanes(pool, &|start, width| {
            let to = start / (length * inner) * inner + start % (length * inner);
            // SAFETY: the result has these lanes; this task alone writes them.
            let places = unsafe { std::slice::from_raw_parts_mut(y.at(to), width) };
            let mut best = [T::default(); LANES];
            let best = &mut best[..width];
            best.copy_from_slice(&x[start..start + width]);
            places.fill(0);
            for i in 1..length {
                let row = &x[start + i * inner..][..width];
                for ((b, p), &v) in best.iter_mut().zip(places.iter_mut()).zip(row) {
                    let take = better::<T, LARGEST>(v, *b);
                    *b = select_unpredictable(take, v, *b);
                    *p = select_unpredictable(take, i as i32, *p);
                }
            }
        });
    }
}

#[inline(always)]
fn better<T: Number, const LARGEST: bool>(v: T, best: T) -> bool {
    (if LARGEST { v > best } else { v < best } | v.is_nan()) & !best.is_nan()
}

/// The extreme first, in lanes; then its place.
fn in_row<T: Number, const LARGEST: bool>(row: &[T]) -> usize {
    let join = |a: T, b: T| if LARGEST { a.larger(b) } else { a.smaller(b) };
    let mut best = [row[0]; WIDTH];
    let chunks = row.chunks_exact(WIDTH);
    let rest = chunks.remainder();
    chunks.for_each(|c| (0..WIDTH).for_each(|l| best[l] = join(best[l], c[l])));
    let best = rest.iter().chain(&best).fold(row[0], |a, &b| join(a, b));
    let found = row.iter().position(|v| *v == best || v.is_nan());
    found.expect("the extreme is one of the elements")
}

per_isa! {
    fn short_rows<T: Number>(x: &[T], length: usize, largest: bool, places: &mut [i32]) => match largest {
        true => side_by_side::<T, true>(x, length, places),
        false => side_by_side::<T, false>(x, length, places),
    }
}

/// Many rows at a time; the place of the extreme so far goes along.
#[inline(always)]
fn side_by_side<T: Number, const LARGEST: bool>(x: &[T], length: usize, places: &mut [i32]) {
    for (rows, places) in x.chunks(WIDTH * length).zip(places.chunks_mut(WIDTH)) {
        // Beyond the last row the last one again.
        let starts: [usize; WIDTH] = std::array::from_fn(|l| l.min(places.len() - 1) * length);
        let mut best = starts.map(|s| rows[s]);
        let mut place = [0; WIDTH];
        for i in 1..length {
            let column = starts.map(|s| rows[s + i]);
            for l in 0..WIDTH {
                let take = better::<T, LARGEST>(column[l], best[l]);
                best[l] = select_unpredictable(take, column[l], best[l]);
                place[l] = select_unpredictable(take, i as i32, place[l]);
            }
        }
        places.copy_from_slice(&place[..places.len()]);
    }
}

impl Kernel for ArgReduce {
    fn name(&self) -> &'static str {
        "arg_reduce"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let out = io.output::<i32>(0);
        if self.lines.elements() == 0 {
            return out.fill(0);
        }
        let y = Shared(out.as_mut_ptr());
        crate::with_element!(self.dtype, T => match self.largest {
            true => self.search::<T, true>(io.input(0), &y, pool),
            false => self.search::<T, false>(io.input(0), &y, pool),
        })
    }
}
