//! The arithmetic of sums of products for every element type.

use crate::dtype::{Element, bf16, f16};

/// An element type together with the type that its sums are kept in: f32 for the halves, i64 (wrapping) for the integers,
/// its own for f32 and f64.
pub trait Number: Element {
    /// The type of sums.
    type Sum: Copy + Default + Send + Sync;
    /// To the type of sums, exactly.
    fn widen(self) -> Self::Sum;
    /// From the type of sums: floats round, integers wrap.
    fn narrow(sum: Self::Sum) -> Self;
    /// a + b.
    fn plus(a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// a * b + c.
    fn multiply_add(a: Self::Sum, b: Self::Sum, c: Self::Sum) -> Self::Sum;
}

macro_rules! numbers {
    ($sum:ty, $plus:expr, $multiply_add:expr, $widen:expr, $narrow:expr; $($t:ty)*) => {$(
        impl Number for $t {
            type Sum = $sum;
            #[inline(always)]
            fn widen(self) -> $sum { ($widen)(self) }
            #[inline(always)]
            fn narrow(sum: $sum) -> Self { ($narrow)(sum) }
            #[inline(always)]
            fn plus(a: $sum, b: $sum) -> $sum { ($plus)(a, b) }
            #[inline(always)]
            fn multiply_add(a: $sum, b: $sum, c: $sum) -> $sum { ($multiply_add)(a, b, c) }
        }
    )*};
}
numbers!(f32, |a, b| a + b, |a, b, c| a * b + c, |x| x, |x| x; f32);
numbers!(f64, |a, b| a + b, |a, b, c| a * b + c, |x| x, |x| x; f64);
numbers!(f32, |a, b| a + b, |a, b, c| a * b + c, f16::to_f32, f16::from_f32; f16);
numbers!(f32, |a, b| a + b, |a, b, c| a * b + c, bf16::to_f32, bf16::from_f32; bf16);
numbers!(i64, i64::wrapping_add, |a: i64, b: i64, c: i64| a.wrapping_mul(b).wrapping_add(c), Element::to_i64, Element::from_i64;
    i8 i16 i32 i64 u8 u16 u32 u64);
