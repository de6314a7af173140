//! The k largest of every row.

use super::Lines;
use super::keys::{Order, Ranked};
use crate::dtype::DType;
use crate::gather::Shared;
use crate::machine::{Io, Kernel};
use crate::number::Number;
use crate::pool::Pool;

/// The k largest along the last axis, largest first, and their places; of equals the first, NaN before all.
///
/// Input: the operand. Outputs: values and i32 places, both with `k` in place of the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    dtype: DType,
    lines: Lines,
    k: usize,
}

impl TopK {
    /// Of an operand of this shape, which has at least `k` elements along its last axis.
    pub fn new(dtype: DType, shape: &[usize], k: usize) -> TopK {
        TopK { dtype, lines: Lines::new(shape, shape.len() - 1), k }
    }

    fn select<T: Number, R: Ranked>(&self, x: &[T], values: &mut [T], places: &mut [i32], pool: &Pool) {
        let (length, k) = (self.lines.length, self.k);
        let (values, places) = (Shared(values.as_mut_ptr()), Shared(places.as_mut_ptr()));
        self.lines.share(pool, &|range| {
            let mut ranked: Vec<R> = Vec::with_capacity(length);
            for line in range {
                let row = &x[line * length..(line + 1) * length];
                ranked.clear();
                ranked.extend(row.iter().enumerate().map(|(i, &v)| R::of(v, i, Order::NanFirst)));
                if k < length {
                    ranked.select_nth_unstable(k - 1);
                }
                ranked[..k].sort_unstable();
                for (i, r) in ranked[..k].iter().enumerate() {
                    // SAFETY: both results have k elements per row; this task alone writes this row.
                    unsafe {
                        *values.at(line * k + i) = row[r.number()];
                        *places.at(line * k + i) = r.number() as i32;
                    }
                }
            }
        });
    }
}

impl Kernel for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        if self.lines.count() * self.k == 0 {
            return;
        }
        crate::with_element!(self.dtype, T => {
            let (x, values, places) = (io.input::<T>(0), io.output::<T>(0), io.output::<i32>(1));
            match size_of::<T>() {
                8 => self.select::<T, (u64, u32)>(x, values, places, pool),
                _ => self.select::<T, u64>(x, values, places, pool),
            }
        })
    }
}
