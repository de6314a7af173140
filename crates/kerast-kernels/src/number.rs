//! The arithmetic of sums of products for every element type.

use crate::dtype::{Element, bf16, f16};
use crate::pool::Pool;
use std::ops::Range;

/// An element type together with the type that its sums are kept in: f32 for the halves, i64 (wrapping) for the
/// integers, its own for f32 and f64.
pub trait Number: Element {
    /// The type of sums.
    type Sum: Copy + Default + Send + Sync;
    /// Two bytes of floating point: products are computed in f32 and rounded once.
    const HALF: bool;
    /// To the nearest f32.
    fn to_single(self) -> f32;
    /// From f32, rounding or truncating like `as`.
    fn from_single(x: f32) -> Self;
    /// To the type of sums, exactly.
    fn to_sum(self) -> Self::Sum;
    /// From the type of sums: floats round, integers wrap.
    fn narrow(sum: Self::Sum) -> Self;
    /// a + b.
    fn plus(a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// a * b + c.
    fn multiply_add(a: Self::Sum, b: Self::Sum, c: Self::Sum) -> Self::Sum;
    /// a * b.
    fn times(a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// Not a number.
    #[inline(always)]
    #[allow(clippy::eq_op)]
    fn is_nan(self) -> bool {
        self != self
    }
    /// The larger; NaN if one is.
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other || self.is_nan() { self } else { other }
    }
    /// The smaller; NaN if one is.
    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        if self < other || self.is_nan() { self } else { other }
    }
}

macro_rules! numbers {
    ($sum:ty, $plus:expr, $multiply_add:expr, $times:expr, $widen:expr, $narrow:expr; $half:literal, $to:expr, $from:expr; $($t:ty)*) => {$(
        impl Number for $t {
            type Sum = $sum;
            const HALF: bool = $half;
            #[inline(always)]
            fn to_single(self) -> f32 { ($to)(self) }
            #[inline(always)]
            fn from_single(x: f32) -> Self { ($from)(x) }
            #[inline(always)]
            fn to_sum(self) -> $sum { ($widen)(self) }
            #[inline(always)]
            fn narrow(sum: $sum) -> Self { ($narrow)(sum) }
            #[inline(always)]
            fn plus(a: $sum, b: $sum) -> $sum { ($plus)(a, b) }
            #[inline(always)]
            fn multiply_add(a: $sum, b: $sum, c: $sum) -> $sum { ($multiply_add)(a, b, c) }
            #[inline(always)]
            fn times(a: $sum, b: $sum) -> $sum { ($times)(a, b) }
        }
    )*};
}
numbers!(f32, |a, b| a + b, |a, b, c| a * b + c, |a, b| a * b, |x| x, |x| x; false, |x| x, |x| x; f32);
numbers!(f64, |a, b| a + b, |a, b, c| a * b + c, |a, b| a * b, |x| x, |x| x; false, |x| x as f32, |x| x as f64; f64);
numbers!(f32, |a, b| a + b, |a, b, c| a * b + c, |a, b| a * b, f16::to_f32, f16::from_f32; true, f16::to_f32, f16::from_f32; f16);
numbers!(f32, |a, b| a + b, |a, b, c| a * b + c, |a, b| a * b, bf16::to_f32, bf16::from_f32; true, bf16::to_f32, bf16::from_f32; bf16);
numbers!(i64, i64::wrapping_add, |a: i64, b: i64, c: i64| a.wrapping_mul(b).wrapping_add(c), i64::wrapping_mul, Element::to_i64, Element::from_i64;
    false, |x| x as f32, |x| x as _;
    i8 i16 i32 i64 u8 u16 u32 u64);

/// Copies `count` elements as f32, shared out over the pool.
///
/// # Safety
/// `src` is readable and `dst` writable for `count` elements that do not overlap.
pub(crate) unsafe fn widen_all<T: Number>(src: *const T, dst: *mut f32, count: usize, pool: &Pool) {
    let (src, dst) = (Ends(src), Ends(dst.cast_const()));
    in_pieces(count, pool, &|range| {
        // SAFETY: pieces are disjoint and lie within both.
        let (src, dst) = unsafe {
            let dst = dst.at(range.start).cast_mut();
            (
                std::slice::from_raw_parts(src.at(range.start), range.len()),
                std::slice::from_raw_parts_mut(dst, range.len()),
            )
        };
        dst.iter_mut().zip(src).for_each(|(d, s)| *d = s.to_single());
    });
}

/// Copies `count` elements from f32, shared out over the pool.
///
/// # Safety
/// As for [`widen_all`].
pub(crate) unsafe fn narrow_all<T: Number>(src: *const f32, dst: *mut T, count: usize, pool: &Pool) {
    let (src, dst) = (Ends(src), Ends(dst.cast_const()));
    in_pieces(count, pool, &|range| {
        // SAFETY: pieces are disjoint and lie within both.
        let (src, dst) = unsafe {
            let dst = dst.at(range.start).cast_mut();
            (
                std::slice::from_raw_parts(src.at(range.start), range.len()),
                std::slice::from_raw_parts_mut(dst, range.len()),
            )
        };
        dst.iter_mut().zip(src).for_each(|(d, s)| *d = T::from_single(*s));
    });
}

struct Ends<T>(*const T);
// SAFETY: pieces read or write disjoint parts.
unsafe impl<T> Sync for Ends<T> {}

impl<T> Ends<T> {
    fn at(&self, offset: usize) -> *const T {
        self.0.wrapping_add(offset)
    }
}

fn in_pieces(count: usize, pool: &Pool, work: &(dyn Fn(Range<usize>) + Sync)) {
    let pieces = (count / 8192).clamp(1, 8 * pool.threads());
    pool.run(pieces, &|t| work(count * t / pieces..count * (t + 1) / pieces));
}
