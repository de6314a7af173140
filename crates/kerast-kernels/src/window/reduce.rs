//! StableHLO's `reduce_window`: rows first, as vectors, then along the row.

use super::{Block, LANES, Plan, Tap, WindowAxis, number_type};
use crate::dtype::DType;
use crate::gather::Shared;
use crate::isa::per_isa;
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
    Sum: T::Sum, T::Sum::default(), T::to_sum, T::plus, T::narrow;
    Product: T::Sum, T::from_f64(1.0).to_sum(), T::to_sum, T::times, T::narrow;
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
    /// The type of the numbers, if they are a second output.
    numbers: Option<DType>,
}

/// The operands of one run: the operand and the results, from their first elements on.
pub(super) struct Operands<T> {
    pub(super) x: *const T,
    pub(super) y: *mut T,
    numbers: Numbers,
}

/// Where the numbers of the chosen elements go.
#[derive(Clone, Copy)]
enum Numbers {
    None,
    Bytes(*mut u8),
    Words(*mut u32),
}

// SAFETY: tasks write different places.
unsafe impl<T> Sync for Operands<T> {}

impl<T> Operands<T> {
    /// # Safety
    /// The results from place `at` on are the caller's.
    #[inline(always)]
    pub(super) unsafe fn put(&self, at: usize, chosen: &[u32]) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.numbers {
                Numbers::None => {}
                Numbers::Bytes(to) => chosen.iter().enumerate().for_each(|(i, &c)| *to.add(at + i) = c as u8),
                Numbers::Words(to) => chosen.iter().enumerate().for_each(|(i, &c)| *to.add(at + i) = c),
            }
        }
    }
}

/// Some lanes of some blocks of rows, and memory for the partial results of one of them: of its columns, and of its places.
struct Part<'a, P> {
    units: Range<usize>,
    lanes: Range<usize>,
    columns: &'a mut [P],
    sums: &'a mut [P],
}

/// A stretch of a row of places.
pub(super) struct Row<'a> {
    /// The rows of the operand under it.
    pub(super) taps: &'a [Tap],
    pub(super) block: &'a Block,
    /// Where its first place lies in the result.
    pub(super) to: usize,
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
        Window { dtype, kind, blocks: plan.blocks(MOST), plan, numbers: None }
    }

    /// The largest (or smallest) of every window, the first of equals, with its number in the window as a second output of type
    /// [`number_type`](super::number_type).
    pub fn choosing(dtype: DType, largest: bool, axes: &[WindowAxis]) -> Window {
        let kind = if largest { ReduceKind::Max } else { ReduceKind::Min };
        Window { numbers: Some(number_type(axes)), ..Window::new(dtype, kind, axes) }
    }

    /// Where the results of a step are to go.
    pub(crate) fn outputs(&self, io: &mut Io<'_>) -> [Shared<u8>; 2] {
        let numbers = if self.numbers.is_some() { io.output_ptr(1) } else { std::ptr::null_mut() };
        [Shared(io.output_ptr(0)), Shared(numbers)]
    }

    /// How many rows of an f32 operand of so many rows, columns and channels must be there together for rows of results to be made from
    /// them alone, if [`Window::rows_of`] can do that: where no element lies in two rows of windows.
    pub(crate) fn apart(&self, operand: [usize; 3]) -> Option<usize> {
        let p = &self.plan;
        let high = p.outer.first().map_or(1, |a| a.window.input);
        let same = operand == [p.images * high, p.last.window.input, p.lanes] && p.outputs() > 0;
        let rows = match &p.outer[..] {
            [] => Some(1),
            [a] => {
                let w = &a.window;
                let own = w.base_dilation == 1 && w.dilation == 1 && w.size <= w.stride && w.low == 0;
                (own && a.taps.iter().all(|t| t.count > 0)).then_some(w.stride)
            }
            _ => None,
        };
        rows.filter(|_| self.dtype == DType::F32 && same)
    }

    /// Some lanes of the results that lie under rows `rows` of the operand, counted through all images, which are whole windows.
    ///
    /// # Safety
    /// [`Window::apart`] allows it; the rows of `x`, counted from the beginning of the operand, are readable; `outputs` are the whole
    /// results, of which nobody else uses these rows and lanes.
    pub(crate) unsafe fn rows_of(
        &self,
        x: *const f32,
        outputs: &[Shared<u8>; 2],
        rows: Range<usize>,
        lanes: Range<usize>,
    ) {
        let p = &self.plan;
        let (high, stride) = p.outer.first().map_or((1, 1), |a| (a.window.input, a.window.stride));
        let above = |row: usize| row / high * p.rows + (row % high).div_ceil(stride).min(p.rows);
        let units = above(rows.start) * self.blocks.len()..above(rows.end) * self.blocks.len();
        debug_assert!(lanes.len() == p.lanes || !p.is_narrow(), "few lanes are worked on together");
        // SAFETY: the caller's promise.
        unsafe { self.some(&self.operands(x, outputs), units, lanes) }
    }

    fn operands<T>(&self, x: *const T, [y, numbers]: &[Shared<u8>; 2]) -> Operands<T> {
        let numbers = match self.numbers {
            None => Numbers::None,
            Some(DType::U8) => Numbers::Bytes(numbers.at(0)),
            Some(_) => Numbers::Words(numbers.at(0).cast()),
        };
        Operands { x, y: y.at(0).cast(), numbers }
    }

    /// # Safety
    /// As for `units`.
    unsafe fn some<T: Number>(&self, o: &Operands<T>, units: Range<usize>, lanes: Range<usize>) {
        // SAFETY: passed on.
        unsafe {
            match self.kind {
                ReduceKind::Sum => self.dispatch::<T, Sum>(o, units, lanes),
                ReduceKind::Product => self.dispatch::<T, Product>(o, units, lanes),
                ReduceKind::Max | ReduceKind::Any => self.dispatch::<T, Max>(o, units, lanes),
                ReduceKind::Min | ReduceKind::All => self.dispatch::<T, Min>(o, units, lanes),
            }
        }
    }

    /// # Safety
    /// As for `units`.
    unsafe fn dispatch<T: Number, F: Fold<T>>(&self, o: &Operands<T>, units: Range<usize>, lanes: Range<usize>) {
        let widest = |f: fn(&Block) -> usize| self.blocks.iter().map(f).max().unwrap_or(0) * self.plan.lanes;
        // Where numbers are wanted, partial results stay in registers.
        let (elements, places) = match self.numbers {
            None => (widest(|b| b.elements.len()), widest(|b| b.places.len())),
            Some(_) => (0, 0),
        };
        let bytes = (elements + places) * size_of::<F::Partial>();
        with_scratch(&ROW, bytes.div_ceil(4), |room| {
            // SAFETY: the scratch memory is initialised, aligned and long enough; partial results are numbers.
            let room = unsafe { std::slice::from_raw_parts_mut(room.cast::<F::Partial>(), elements + places) };
            let (columns, sums) = room.split_at_mut(elements);
            let part = Part { units, lanes, columns, sums };
            // SAFETY: passed on.
            unsafe { vectors::<T, F>(self, o, part) }
        });
    }

    /// # Safety
    /// The operand is readable under these blocks, the results are writable there, and nobody else uses them.
    #[inline(always)]
    unsafe fn units<T: Number, F: Fold<T>>(&self, o: &Operands<T>, part: Part<'_, F::Partial>) {
        let p = &self.plan;
        let (mut rows, mut taps) = (vec![], vec![]);
        for unit in part.units {
            let (row, block) = (unit / self.blocks.len(), &self.blocks[unit % self.blocks.len()]);
            let to = p.row(row / p.rows, row % p.rows, &mut rows) + block.places.start * p.lanes;
            let row = Row { taps: &rows, block, to };
            // SAFETY: the caller's promise.
            unsafe {
                match (self.numbers, self.kind) {
                    (None, _) => self.reduce::<T, F>(o, &row, &part.lanes, part.columns, part.sums),
                    (_, ReduceKind::Max) => p.choose::<T, true>(o, &row, &part.lanes, &mut taps),
                    _ => p.choose::<T, false>(o, &row, &part.lanes, &mut taps),
                }
            }
        }
    }

    /// # Safety
    /// As for `units`.
    #[inline(always)]
    unsafe fn reduce<T: Number, F: Fold<T>>(
        &self,
        o: &Operands<T>,
        row: &Row<'_>,
        lanes: &Range<usize>,
        columns: &mut [F::Partial],
        sums: &mut [F::Partial],
    ) {
        let (p, b) = (&self.plan, row.block);
        let first = b.elements.start * p.lanes;
        let width = b.elements.len() * p.lanes;
        let columns = &mut columns[..width];
        // SAFETY: the rows that the caller vouches for.
        let x = |tap: &Tap| unsafe { std::slice::from_raw_parts(o.x.wrapping_add(tap.at + first), width) };
        reduce_rows::<T, F>(row.taps.iter().map(x), columns);
        // SAFETY: passed on.
        unsafe {
            if p.is_narrow() && !row.taps.is_empty() {
                let y = std::slice::from_raw_parts_mut(o.y.add(row.to), b.places.len() * p.lanes);
                return self.narrow_lanes::<T, F>(b, columns, &mut sums[..y.len()], y);
            }
            for (place, to) in b.places.clone().zip((row.to..).step_by(p.lanes.max(1))) {
                let count = if row.taps.is_empty() { 0 } else { p.last.taps[place].count };
                let first = p.last.taps[place].first.saturating_sub(b.elements.start) * p.lanes;
                let y = std::slice::from_raw_parts_mut(o.y.add(to + lanes.start), lanes.len());
                self.wide_lanes::<T, F>(&columns[first.min(width)..], count, lanes.start, y);
            }
        }
    }

    /// Some lanes of one place, from lane `start` on, many at a time.
    #[inline(always)]
    fn wide_lanes<T: Number, F: Fold<T>>(&self, columns: &[F::Partial], count: usize, start: usize, y: &mut [T]) {
        let step = self.plan.last.step * self.plan.lanes;
        let mut chunks = y.chunks_exact_mut(LANES);
        let mut at = start;
        for y in &mut chunks {
            let mut sum = [F::start(); LANES];
            for j in 0..count {
                let x = &columns[j * step + at..][..LANES];
                (0..LANES).for_each(|l| sum[l] = F::join(sum[l], x[l]));
            }
            (0..LANES).for_each(|l| y[l] = F::narrow(sum[l]));
            at += LANES;
        }
        for (l, y) in (at..).zip(chunks.into_remainder()) {
            let mut sum = F::start();
            (0..count).for_each(|j| sum = F::join(sum, columns[j * step + l]));
            *y = F::narrow(sum);
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

/// Joins rows element by element.
#[inline(always)]
fn reduce_rows<'a, T: Number, F: Fold<T>>(mut rows: impl Iterator<Item = &'a [T]>, sums: &mut [F::Partial]) {
    match (rows.next(), rows.next()) {
        (Some(a), Some(b)) => {
            let pairs = a.iter().zip(b);
            sums.iter_mut().zip(pairs).for_each(|(s, (&a, &b))| *s = F::join(F::widen(a), F::widen(b)));
        }
        (Some(a), None) => sums.iter_mut().zip(a).for_each(|(s, &a)| *s = F::widen(a)),
        _ => return,
    }
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(s, &x)| *s = F::join(*s, F::widen(x)));
    }
}

per_isa! {
    /// # Safety
    /// As for `Window::units`.
    unsafe fn vectors<T: Number, F: Fold<T>>(window: &Window, o: &Operands<T>, part: Part<'_, F::Partial>) =>
        // SAFETY: passed on.
        unsafe { window.units::<T, F>(o, part) }
}

impl Kernel for Window {
    fn name(&self) -> &'static str {
        if self.numbers.is_some() { "arg_window" } else { "reduce_window" }
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        if self.plan.outputs() == 0 {
            return;
        }
        crate::with_element!(self.dtype, T => {
            let x = io.input::<T>(0);
            let o = &self.operands(x.as_ptr(), &self.outputs(io));
            let units = self.plan.images * self.plan.rows * self.blocks.len();
            let tasks = if x.len() < LARGE { 1 } else { (4 * pool.threads()).min(units) };
            pool.run(tasks, &|t| {
                let range = units * t / tasks..units * (t + 1) / tasks;
                // SAFETY: tasks have different blocks.
                unsafe { self.some::<T>(o, range, 0..self.plan.lanes) }
            });
        })
    }

    fn as_window(&self) -> Option<&Window> {
        Some(self)
    }
}
