//! Sorting along an axis.

use super::Lines;
use super::keys::{Order, Ranked};
use crate::dtype::DType;
use crate::gather::Shared;
use crate::machine::{Io, Kernel};
use crate::number::Number;
use crate::pool::Pool;

/// Sorts operands of one shape along an axis by the first of them; stable, NaN last.
///
/// Inputs: the operands. Outputs: as many values of the same types and shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    dtypes: Vec<DType>,
    lines: Lines,
    order: Order,
}

impl Sort {
    /// Operands of these types and this shape, of fewer than 2³² elements along the axis.
    pub fn new(dtypes: &[DType], shape: &[usize], axis: usize, descending: bool) -> Sort {
        let order = if descending { Order::Descending } else { Order::Ascending };
        Sort { dtypes: dtypes.to_vec(), lines: Lines::new(shape, axis), order }
    }

    /// Sorts every line and moves the elements of all operands.
    fn sort<T: Number, R: Ranked>(&self, x: &[T], operands: &[Operand], pool: &Pool) {
        let Lines { length, inner, .. } = self.lines;
        self.lines.share(pool, &|range| {
            let mut ranked: Vec<R> = Vec::with_capacity(length);
            for line in range {
                let start = self.lines.start(line);
                ranked.clear();
                let elements = x[start..].iter().step_by(inner).take(length);
                ranked.extend(elements.enumerate().map(|(i, &v)| R::of(v, i, self.order)));
                ranked.sort_unstable();
                for o in operands {
                    // SAFETY: the line lies in the operand and in its result; this task alone writes this line.
                    unsafe { o.permute(start, inner, &ranked) }
                }
            }
        });
    }
}

/// An operand and its result, as elements of a size.
struct Operand {
    size: usize,
    from: Shared<u8>,
    to: Shared<u8>,
}

impl Operand {
    /// # Safety
    /// The line of `order.len()` elements, `inner` apart, lies in both arrays; nobody else uses the result's.
    unsafe fn permute<R: Ranked>(&self, start: usize, inner: usize, order: &[R]) {
        crate::copy::by_size!(self.size, T => {
            let (from, to) = (self.from.0.cast::<T>(), self.to.0.cast::<T>());
            for (i, r) in order.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { *to.add(start + i * inner) = *from.add(start + r.number() * inner) }
            }
        })
    }
}

impl Kernel for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        if self.lines.elements() == 0 {
            return;
        }
        let operands: Vec<Operand> = (0..self.dtypes.len())
            .map(|k| Operand {
                size: self.dtypes[k].size(),
                from: Shared(io.input_ptr(k).cast_mut()),
                to: Shared(io.output_ptr(k)),
            })
            .collect();
        crate::with_element!(self.dtypes[0], T => match size_of::<T>() {
            8 => self.sort::<T, (u64, u32)>(io.input(0), &operands, pool),
            _ => self.sort::<T, u64>(io.input(0), &operands, pool),
        })
    }
}
