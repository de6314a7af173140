//! StableHLO's `reduce_window`: rows first, as vectors, then along the row.

use super::{Block, Plan, WindowAxis};
use crate::dtype::DType;
use crate::gather::Shared;
use crate::isa::{Isa, isa};
use crate::machine::{Io, Kernel};
use crate::map::ReduceKind;
use crate::number::Number;
use crate::pool::Pool;
use crate::scratch::{ROW, with_scratch};
use std::ops::Range;

/// Operand elements from which on the pool shares the work.
const LARGE: usize = 16 * 1024;
/// Elements of a row that are reduced at a time: the partial results stay in the first-level cache.
const MOST: usize = 2048;
/// Lanes kept in registers.
const LANES: usize = 16;

/// How elements become one.
trait Fold<T> {
    /// What partial results are kept in.
    type Partial: Copy;
    fn start() -> Self::Partial;
    fn widen(x: T) -> Self::Partial;
    fn join(a: Self::Partial, b: Self::Partial) -> Self::Partial;
    fn narrow(a: Self::Partial) -> T;
}

struct Sum;
struct Product;
struct Max;
struct Min;

macro_rules! folds {
    ($($name:ident: $partial:ty, $start:expr, $widen:expr, $join:expr, $narrow:expr;)*) => {$(
        impl<T: Number> Fold<T> for $name {
            type Partial = $partial;
            #[inline(always)]
            fn start() -> $partial { $start }
            #[inline(always)]
            fn widen(x: T) -> $partial { $widen(x) }
            #[inline(always)]
            fn join(a: $partial, b: $partial) -> $partial { $join(a, b) }
            #[inline(always)]
            fn narrow(a: $partial) -> T { $narrow(a) }
        }
    )*};
}
// Casts saturate for integers: the infinities give the ends of the range.
folds! {
    Sum: T::Sum, T::Sum::default(), T::widen, T::plus, T::narrow;
    Product: T::Sum, T::from_f64(1.0).widen(), T::widen, T::times, T::narrow;
    Max: T, T::from_f64(f64::NEG_INFINITY), std::convert::identity, T::larger, std::convert::identity;
    Min: T, T::from_f64(f64::INFINITY), std::convert::identity, T::smaller, std::convert::identity;
}

/// The reduction of every window, padding left out: the sum of nothing is 0, the largest of nothing the smallest value.
///
/// Input: the operand. Output: one element per place. Sums are kept in f32 or i64 at least, NaN wins over numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    dtype: DType,
    kind: ReduceKind,
    plan: Plan,
    blocks: Vec<Block>,
}

impl Window {
    /// One description per axis of the operand.
    pub fn new(dtype: DType, kind: ReduceKind, axes: &[WindowAxis]) -> Window {
        let plan = Plan::new(axes);
        let kind = match (dtype, kind) {
            (DType::Bool, ReduceKind::Sum) | (_, ReduceKind::Any) => ReduceKind::Max,
            // Of no bools at all the product is 1, as it must be; the largest u8 is no bool.
            (DType::Bool, ReduceKind::Min | ReduceKind::All) => ReduceKind::Product,
            (_, ReduceKind::All) => ReduceKind::Min,
            _ => kind,
        };
        Window { dtype, kind, blocks: plan.blocks(MOST), plan }
    }

    /// Shares the blocks of all rows of all images.
    fn share<T: Number, F: Fold<T>>(&self, x: &[T], y: &Shared<T>, pool: &Pool) {
        let units = self.plan.images * self.plan.rows * self.blocks.len();
        let small = self.plan.images * self.plan.image_in < LARGE;
        let tasks = if small { 1 } else { (4 * pool.threads()).min(units) };
        pool.run(tasks, &|t| {
            let range = units * t / tasks..units * (t + 1) / tasks;
            match isa() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the machine has these instructions; the rest as in `units`.
                Isa::Avx2 | Isa::Avx512 => unsafe { self.units_avx2::<T, F>(x, y, range) },
                // SAFETY: tasks have different blocks.
                _ => unsafe { self.units::<T, F>(x, y, range) },
            }
        });
    }

    /// # Safety
    /// As for `units`, and the machine has AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn units_avx2<T: Number, F: Fold<T>>(&self, x: &[T], y: &Shared<T>, units: Range<usize>) {
        // SAFETY: passed on.
        unsafe { self.units::<T, F>(x, y, units) }
    }

    /// # Safety
    /// `y` is writable for the whole result; nobody else uses the blocks that `units` names.
    #[inline(always)]
    unsafe fn units<T: Number, F: Fold<T>>(&self, x: &[T], y: &Shared<T>, units: Range<usize>) {
        let p = &self.plan;
        let widest = |f: fn(&Block) -> usize| self.blocks.iter().map(f).max().unwrap_or(0) * p.lanes;
        let (elements, places) = (widest(|b| b.elements.len()), widest(|b| b.places.len()));
        let bytes = (elements + places) * size_of::<F::Partial>();
        with_scratch(&ROW, bytes.div_ceil(4), |room| {
            // SAFETY: the scratch memory is initialised, aligned and long enough; partial results are numbers.
            let room = unsafe { std::slice::from_raw_parts_mut(room.cast::<F::Partial>(), elements + places) };
            let (columns, sums) = room.split_at_mut(elements);
            let mut rows = vec![];
            for unit in units {
                let (row, b) = (unit / self.blocks.len(), &self.blocks[unit % self.blocks.len()]);
                let (image, row) = (row / p.rows, row % p.rows);
                let to = p.row(row, &mut rows) + image * p.image_out + b.places.start * p.lanes;
                // SAFETY: these places lie in the result and are this task's alone.
                let y = unsafe { std::slice::from_raw_parts_mut(y.at(to), b.places.len() * p.lanes) };
                if rows.is_empty() {
                    y.fill(F::narrow(F::start()));
                    continue;
                }
                let first = image * p.image_in + b.elements.start * p.lanes;
                let columns = &mut columns[..b.elements.len() * p.lanes];
                reduce_rows::<T, F>(&x[first..], &rows, columns);
                if p.lanes < LANES && p.last.window.base_dilation == 1 {
                    self.narrow_lanes::<T, F>(b, columns, &mut sums[..b.places.len() * p.lanes], y);
                } else {
                    self.wide_lanes::<T, F>(b, columns, y);
                }
            }
        });
    }

    /// Place by place, many lanes at a time.
    #[inline(always)]
    fn wide_lanes<T: Number, F: Fold<T>>(&self, b: &Block, columns: &[F::Partial], y: &mut [T]) {
        let (lanes, step) = (self.plan.lanes, self.plan.last.step * self.plan.lanes);
        for (t, y) in self.plan.last.taps[b.places.clone()].iter().zip(y.chunks_exact_mut(lanes)) {
            let first = t.first.saturating_sub(b.elements.start) * lanes;
            let mut at = 0;
            while at + LANES <= lanes {
                let mut sum = [F::start(); LANES];
                for j in 0..t.count {
                    let x = &columns[first + j * step + at..][..LANES];
                    (0..LANES).for_each(|l| sum[l] = F::join(sum[l], x[l]));
                }
                (0..LANES).for_each(|l| y[at + l] = F::narrow(sum[l]));
                at += LANES;
            }
            for l in at..lanes {
                let mut sum = F::start();
                (0..t.count).for_each(|j| sum = F::join(sum, columns[first + j * step + l]));
                y[l] = F::narrow(sum);
            }
        }
    }

    /// Window element by window element, many places at a time.
    #[inline(always)]
    fn narrow_lanes<T: Number, F: Fold<T>>(
        &self,
        b: &Block,
        columns: &[F::Partial],
        sums: &mut [F::Partial],
        y: &mut [T],
    ) {
        let (lanes, w) = (self.plan.lanes, &self.plan.last.window);
        sums.fill(F::start());
        for k in 0..w.size {
            let places = w.places(k, &b.places);
            if places.is_empty() {
                continue;
            }
            let element = (places.start * w.stride + k * w.dilation) as i64 - w.low;
            let x = &columns[(element as usize - b.elements.start) * lanes..];
            let sums = &mut sums[(places.start - b.places.start) * lanes..][..places.len() * lanes];
            match (lanes, w.stride) {
                (_, 1) => sums.iter_mut().zip(x).for_each(|(s, &x)| *s = F::join(*s, x)),
                (1, 2) => strided::<T, F>(sums, x, 2),
                (1, stride) => strided::<T, F>(sums, x, stride),
                _ => {
                    for (s, x) in sums.chunks_exact_mut(lanes).zip(x.chunks(w.stride * lanes)) {
                        s.iter_mut().zip(x).for_each(|(s, &x)| *s = F::join(*s, x));
                    }
                }
            }
        }
        y.iter_mut().zip(sums).for_each(|(y, s)| *y = F::narrow(*s));
    }
}

/// Inlined with a constant stride, this becomes shuffled vectors.
#[inline(always)]
fn strided<T, F: Fold<T>>(sums: &mut [F::Partial], x: &[F::Partial], stride: usize) {
    let x = &x[..(sums.len() - 1) * stride + 1];
    for i in 0..sums.len() {
        sums[i] = F::join(sums[i], x[i * stride]);
    }
}

/// Joins rows that begin at these offsets element by element.
#[inline(always)]
fn reduce_rows<T: Number, F: Fold<T>>(x: &[T], rows: &[usize], sums: &mut [F::Partial]) {
    let n = sums.len();
    let row = |r: usize| &x[r..r + n];
    let rest = match *rows {
        [] => return,
        [a] => {
            sums.iter_mut().zip(row(a)).for_each(|(s, &a)| *s = F::widen(a));
            return;
        }
        [a, b, ..] => {
            let pairs = row(a).iter().zip(row(b));
            sums.iter_mut().zip(pairs).for_each(|(s, (&a, &b))| *s = F::join(F::widen(a), F::widen(b)));
            &rows[2..]
        }
    };
    for &r in rest {
        sums.iter_mut().zip(row(r)).for_each(|(s, &x)| *s = F::join(*s, F::widen(x)));
    }
}

impl Kernel for Window {
    fn name(&self) -> &'static str {
        "reduce_window"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        if self.plan.outputs() == 0 {
            return;
        }
        crate::with_element!(self.dtype, T => {
            let (x, y) = (io.input::<T>(0), Shared(io.output::<T>(0).as_mut_ptr()));
            match self.kind {
                ReduceKind::Sum => self.share::<T, Sum>(x, &y, pool),
                ReduceKind::Product => self.share::<T, Product>(x, &y, pool),
                ReduceKind::Max | ReduceKind::Any => self.share::<T, Max>(x, &y, pool),
                ReduceKind::Min | ReduceKind::All => self.share::<T, Min>(x, &y, pool),
            }
        })
    }
}
