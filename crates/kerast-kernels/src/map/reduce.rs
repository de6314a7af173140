//! Reductions at the end of a chain: geometry, accumulators, fixed order.
//!
//! The order of a sum depends on the shape alone, never on the number of threads: whole units of work are reduced by one thread,
//! and long reductions are cut into chunks whose number the shape decides.

use super::kinds::{Class, ReduceKind};
use crate::dtype::{DType, bf16, f16};
use crate::isa::per_isa;

/// The iteration as `[outer, middle, inner]`, reduced over `middle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) outer: usize,
    pub(crate) middle: usize,
    pub(crate) inner: usize,
}

impl Geometry {
    /// The geometry of a reduction, if its axes lie together (unit axes aside).
    pub(crate) fn of(shape: &[usize], axes: &[usize]) -> Option<Geometry> {
        let real: Vec<usize> = (0..shape.len()).filter(|&i| shape[i] != 1).collect();
        let places: Vec<usize> = real.iter().enumerate().filter(|(_, i)| axes.contains(i)).map(|(p, _)| p).collect();
        if places.windows(2).any(|w| w[0] + 1 != w[1]) {
            return None;
        }
        let len = |r: &[usize]| r.iter().map(|&i| shape[i]).product::<usize>();
        let (first, end) = match (places.first(), places.last()) {
            (Some(&f), Some(&l)) => (f, l + 1),
            _ => (real.len(), real.len()),
        };
        Some(Geometry { outer: len(&real[..first]), middle: len(&real[first..end]), inner: len(&real[end..]) })
    }

    /// Into how many chunks the middle is cut: 1 unless the reduction is long and there are few of them.
    pub(crate) fn chunks(&self) -> usize {
        const LONG: usize = 8 * 1024;
        let work = self.middle * self.inner;
        if self.outer >= 8 || work < 2 * LONG || self.middle < 2 {
            return 1;
        }
        work.div_ceil(LONG).min(self.middle).min(64)
    }
}

/// A number type that can be reduced.
trait Number: Copy {
    fn identity(kind: ReduceKind) -> Self;
    fn combine(kind: ReduceKind, a: Self, b: Self) -> Self;
}

macro_rules! numbers {
    ($($t:ty, $zero:expr, $one:expr, $low:expr, $high:expr, $add:expr, $mul:expr, $max:expr, $min:expr;)*) => {$(
        impl Number for $t {
            #[inline(always)]
            fn identity(kind: ReduceKind) -> $t {
                match kind {
                    ReduceKind::Sum | ReduceKind::Any => $zero,
                    ReduceKind::Product | ReduceKind::All => $one,
                    ReduceKind::Max => $low,
                    ReduceKind::Min => $high,
                }
            }
            #[inline(always)]
            fn combine(kind: ReduceKind, a: $t, b: $t) -> $t {
                match kind {
                    ReduceKind::Sum => $add(a, b),
                    ReduceKind::Product => $mul(a, b),
                    ReduceKind::Max | ReduceKind::Any => $max(a, b),
                    ReduceKind::Min | ReduceKind::All => $min(a, b),
                }
            }
        }
    )*};
}

/// The larger; NaN if either is.
macro_rules! float_max {
    () => {
        |a, b| if a > b || a != a { a } else { b }
    };
}
macro_rules! float_min {
    () => {
        |a, b| if a < b || a != a { a } else { b }
    };
}
numbers! {
    f32, 0.0, 1.0, f32::NEG_INFINITY, f32::INFINITY, |a, b| a + b, |a, b| a * b, float_max!(), float_min!();
    f64, 0.0, 1.0, f64::NEG_INFINITY, f64::INFINITY, |a, b| a + b, |a, b| a * b, float_max!(), float_min!();
    i32, 0, 1, i32::MIN, i32::MAX, i32::wrapping_add, i32::wrapping_mul, i32::max, i32::min;
    u32, 0, 1, u32::MIN, u32::MAX, u32::wrapping_add, u32::wrapping_mul, u32::max, u32::min;
    i64, 0, 1, i64::MIN, i64::MAX, i64::wrapping_add, i64::wrapping_mul, i64::max, i64::min;
    u64, 0, 1, u64::MIN, u64::MAX, u64::wrapping_add, u64::wrapping_mul, u64::max, u64::min;
}

/// The reduction of a stretch: 16 lanes side by side, then the lanes in a fixed tree.
#[inline(always)]
fn stretch<T: Number>(kind: ReduceKind, x: &[T]) -> T {
    let mut lanes = [T::identity(kind); 16];
    let mut blocks = x.chunks_exact(16);
    for b in &mut blocks {
        for k in 0..16 {
            lanes[k] = T::combine(kind, lanes[k], b[k]);
        }
    }
    for (lane, v) in lanes.iter_mut().zip(blocks.remainder()) {
        *lane = T::combine(kind, *lane, *v);
    }
    tree(kind, lanes)
}

/// The same of the first `len` elements, without a loop over so many.
#[inline(always)]
fn short<T: Number>(kind: ReduceKind, x: &[T; 16], len: usize) -> T {
    let mut lanes = [T::identity(kind); 16];
    for k in 0..16 {
        lanes[k] = T::combine(kind, lanes[k], if k < len { x[k] } else { lanes[k] });
    }
    tree(kind, lanes)
}

#[inline(always)]
fn tree<T: Number>(kind: ReduceKind, mut lanes: [T; 16]) -> T {
    let mut width = 8;
    while width > 0 {
        for k in 0..width {
            lanes[k] = T::combine(kind, lanes[k], lanes[k + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn lanewise<T: Number>(kind: ReduceKind, acc: &mut [T], x: &[T]) {
    for (a, v) in acc.iter_mut().zip(x) {
        *a = T::combine(kind, *a, *v);
    }
}

/// Adds the tile values of flat elements `start ..` (relative to the unit's first element) to accumulators of `inner` elements,
/// or, for `inner == 1`, of one element per row of length `row`.
#[inline(always)]
fn accumulate<T: Number>(kind: ReduceKind, acc: &mut [T], x: &[T], start: usize, inner: usize, row: usize) {
    let mut at = 0;
    if inner == 1 && row == 1 {
        return lanewise(kind, &mut acc[start..start + x.len()], x);
    }
    if inner == 1 {
        let (mut r, mut c) = (start / row, start % row);
        while at < x.len() {
            let len = (row - c).min(x.len() - at);
            let sum = match x[at..].first_chunk() {
                Some(x) if len < 16 => short(kind, x, len),
                _ => stretch(kind, &x[at..at + len]),
            };
            acc[r] = T::combine(kind, acc[r], sum);
            (at, r, c) = (at + len, r + 1, 0);
        }
        return;
    }
    while at < x.len() {
        let c = (start + at) % inner;
        if c == 0 && 2 * inner <= WIDE && x.len() - at >= WIDE {
            at += narrow(kind, &mut acc[..inner], &x[at..]);
            continue;
        }
        let len = (inner - c).min(x.len() - at);
        lanewise(kind, &mut acc[c..c + len], &x[at..at + len]);
        at += len;
    }
}

/// Elements of narrow rows that are reduced side by side.
const WIDE: usize = 128;

/// Reduces whole rows from the first element on, several side by side; returns how many elements that were.
#[inline(always)]
fn narrow<T: Number>(kind: ReduceKind, acc: &mut [T], x: &[T]) -> usize {
    let inner = acc.len();
    let mut wide = WIDE / inner * inner;
    let mut sums = [T::identity(kind); WIDE];
    let blocks = x.chunks_exact(wide);
    let taken = x.len() - blocks.remainder().len();
    for b in blocks {
        match <&[T; WIDE]>::try_from(b) {
            Ok(b) => lanewise(kind, &mut sums, b),
            Err(_) => lanewise(kind, &mut sums[..wide], b),
        }
    }
    while (wide / inner).is_multiple_of(2) {
        wide /= 2;
        let (low, high) = sums.split_at_mut(wide);
        lanewise(kind, low, &high[..wide]);
    }
    sums[..wide].chunks_exact(inner).for_each(|row| lanewise(kind, acc, row));
    taken
}

/// One kind at a time, so that the loops are specialised.
#[inline(always)]
fn accumulate_any<T: Number>(kind: ReduceKind, acc: &mut [T], x: &[T], start: usize, inner: usize, row: usize) {
    macro_rules! each {
        ($($k:ident),*) => { match kind { $(ReduceKind::$k => accumulate(ReduceKind::$k, acc, x, start, inner, row),)* } };
    }
    each!(Sum, Product, Max, Min, Any, All)
}

per_isa! {
    fn add_slice<T: Number>(part: &Part, acc: &mut [T], x: &[T]) =>
        accumulate_any(part.kind, acc, x, part.start, part.inner, part.row)
}

/// The part of a reduction that one unit of work sees.
pub(crate) struct Part {
    pub(crate) kind: ReduceKind,
    /// First tile element relative to the unit's first.
    pub(crate) start: usize,
    pub(crate) inner: usize,
    pub(crate) row: usize,
}

macro_rules! by_class {
    ($class:expr, $t:ident => $body:expr) => {
        match $class {
            Class::F32 => {
                type $t = f32;
                $body
            }
            Class::F64 => {
                type $t = f64;
                $body
            }
            Class::I32 => {
                type $t = i32;
                $body
            }
            Class::U32 => {
                type $t = u32;
                $body
            }
            Class::I64 => {
                type $t = i64;
                $body
            }
            Class::U64 => {
                type $t = u64;
                $body
            }
        }
    };
}
pub(crate) use by_class;

/// Fills accumulators with the neutral element.
///
/// # Safety
/// `acc` holds `count` elements of the class.
pub(crate) unsafe fn start(class: Class, kind: ReduceKind, acc: *mut u8, count: usize) {
    by_class!(class, T => {
        // SAFETY: the caller's promise; slots are aligned to 64.
        unsafe { std::slice::from_raw_parts_mut(acc.cast::<T>(), count) }.fill(<T as Number>::identity(kind))
    })
}

/// Adds a stretch of a tile to the accumulators.
///
/// # Safety
/// `acc` holds `count` accumulators and `x` holds `len` elements of the class; they do not overlap.
pub(crate) unsafe fn add(class: Class, part: &Part, acc: *mut u8, count: usize, x: *const u8, len: usize) {
    by_class!(class, T => {
        // SAFETY: the caller's promise.
        let (acc, x) = unsafe { (std::slice::from_raw_parts_mut(acc.cast::<T>(), count), std::slice::from_raw_parts(x.cast::<T>(), len)) };
        add_slice(part, acc, x)
    })
}

/// Combines `chunks` partial results of `count` elements each, in order, and writes them as `dtype`.
///
/// # Safety
/// `partial` holds `chunks * count` elements of the class and `out` holds `count` elements of `dtype`.
pub(crate) unsafe fn finish(
    dtype: DType,
    kind: ReduceKind,
    partial: *mut u8,
    chunks: usize,
    count: usize,
    out: *mut u8,
) {
    by_class!(Class::of(dtype), T => {
        // SAFETY: the caller's promise.
        let all = unsafe { std::slice::from_raw_parts_mut(partial.cast::<T>(), chunks * count) };
        let (first, rest) = all.split_at_mut(count);
        for chunk in rest.chunks_exact(count.max(1)) {
            lanewise::<T>(kind, first, chunk);
        }
        // SAFETY: the caller's promise.
        unsafe { write(dtype, first.as_ptr().cast(), count, out) }
    })
}

/// Writes accumulators of the dtype's class as that dtype.
unsafe fn write(dtype: DType, acc: *const u8, count: usize, out: *mut u8) {
    for i in 0..count {
        // SAFETY: the caller of `finish` promises both lengths; types follow from the class of `dtype`.
        unsafe {
            match dtype {
                DType::F16 => *out.cast::<f16>().add(i) = f16::from_f32(*acc.cast::<f32>().add(i)),
                DType::BF16 => *out.cast::<bf16>().add(i) = bf16::from_f32(*acc.cast::<f32>().add(i)),
                DType::Bool | DType::I8 | DType::U8 => *out.add(i) = *acc.cast::<i32>().add(i) as u8,
                DType::I16 | DType::U16 => *out.cast::<u16>().add(i) = *acc.cast::<i32>().add(i) as u16,
                DType::F32 | DType::I32 | DType::U32 => *out.cast::<u32>().add(i) = *acc.cast::<u32>().add(i),
                DType::F64 | DType::I64 | DType::U64 => *out.cast::<u64>().add(i) = *acc.cast::<u64>().add(i),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometry_joins_neighbouring_axes() {
        assert_eq!(Geometry::of(&[2, 3, 4], &[1, 2]), Some(Geometry { outer: 2, middle: 12, inner: 1 }));
        assert_eq!(Geometry::of(&[2, 3, 4], &[0]), Some(Geometry { outer: 1, middle: 2, inner: 12 }));
        assert_eq!(Geometry::of(&[2, 3, 4], &[0, 2]), None);
        assert_eq!(Geometry::of(&[2, 1, 4], &[0, 2]), Some(Geometry { outer: 1, middle: 8, inner: 1 }));
        assert_eq!(Geometry::of(&[5], &[]), Some(Geometry { outer: 5, middle: 1, inner: 1 }));
    }

    #[test]
    fn nan_wins_max_and_min() {
        assert!(stretch(ReduceKind::Max, &[1.0f32, f32::NAN, 3.0]).is_nan());
        assert!(stretch(ReduceKind::Min, &[f32::NAN, 1.0f32]).is_nan());
    }
}
