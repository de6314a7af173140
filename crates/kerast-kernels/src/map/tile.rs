//! The loops: one instruction over one tile.
//!
//! Every loop runs over whole blocks of 16 elements (slots have room for them), so that it compiles to straight vector code. The
//! same bodies are instantiated per instruction set.

// A closure is compiled with the target features of the function that holds it, a function passed by name is not.
#![allow(clippy::redundant_closure)]

mod formulas;

use super::BLOCK;
use super::builder::{Code, Instr, Slot};
use super::convert;
use super::join::{Formula, Side};
use super::kinds::{BinaryKind as B, Class, CompareKind as C, UnaryKind as U};
use super::reduce::by_class;
use crate::dtype::{DType, bf16, f16};
use crate::isa::per_isa;
use crate::math;
use crate::random;
use std::ops;

/// Where each slot lies for the tile at hand, and which tile that is.
pub(crate) struct Tile<'a> {
    pub(crate) slots: &'a [*mut u8],
    /// Flat number of the first element.
    pub(crate) first: usize,
    /// Blocks to run over.
    pub(crate) blocks: usize,
    /// Elements that count, in the last block fewer than a block may be.
    pub(crate) len: usize,
}

impl Tile<'_> {
    /// # Safety
    /// The slot holds at least `blocks` blocks of `T`, initialised or about to be overwritten, and is not written to meanwhile.
    #[inline(always)]
    unsafe fn read<T>(&self, slot: Slot) -> &[T] {
        // SAFETY: the caller's promise; the length is a whole number of blocks.
        unsafe { whole_blocks(std::slice::from_raw_parts(self.slots[slot as usize].cast(), self.blocks * BLOCK)) }
    }

    /// # Safety
    /// As for `read`, and no other view of this slot exists.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn write<T>(&self, slot: Slot) -> &mut [T] {
        // SAFETY: the caller's promise; the length is a whole number of blocks.
        unsafe { std::slice::from_raw_parts_mut(self.slots[slot as usize].cast(), self.blocks * BLOCK) }
    }

    /// Where an instruction writes, and its first N operands.
    ///
    /// # Safety
    /// As for `read` and `write`.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn operands<const N: usize>(&self, i: &Instr) -> (&mut [f32], [&[f32]; N]) {
        // SAFETY: the caller's promise.
        unsafe { (self.write(i.dst), std::array::from_fn(|k| self.read(i.args[k]))) }
    }
}

/// Tells the compiler that no vector is left half empty.
///
/// # Safety
/// The length is a multiple of [`BLOCK`].
#[inline(always)]
unsafe fn whole_blocks<T>(x: &[T]) -> &[T] {
    // SAFETY: the caller's promise.
    unsafe { std::hint::assert_unchecked(x.len().is_multiple_of(BLOCK)) };
    x
}

per_isa! {
    /// Runs all instructions over one tile.
    ///
    /// # Safety
    /// The slots hold what the instructions' classes say, at least `blocks` blocks of it, and destinations never share memory with
    /// sources of the same instruction.
    pub(crate) unsafe fn run(instrs: &[Instr], tile: &Tile<'_>) =>
        // SAFETY: the caller's promise.
        unsafe { run_with::<FMA>(instrs, tile) }
}

#[inline(always)]
unsafe fn run_with<const FMA: bool>(instrs: &[Instr], t: &Tile<'_>) {
    for i in instrs {
        // SAFETY: the caller of `run` promises that slots fit their classes and do not overlap.
        unsafe {
            match &i.code {
                Code::Unary(k, Class::F32) => unary_f32::<FMA>(*k, i, t),
                Code::Binary(k, Class::F32) => binary_f32::<FMA>(*k, i, t),
                Code::Pair(first, second, side) => pair(*first, *second, *side, i, t),
                Code::Formula(Formula::Lerp) => map3(i, t, |a, b, c| a + (b - a) * c),
                Code::Formula(Formula::LerpSquare) => map3(i, t, |a, b, c| a + (b * b - a) * c),
                Code::Formula(Formula::Descend) => formulas::descend(i, t),
                Code::Formula(Formula::Gelu) => formulas::gelu::<FMA>(i, t),
                Code::Formula(Formula::GeluSlope) => formulas::gelu_slope::<FMA>(i, t),
                Code::Adam(step) => formulas::adam(step, t),
                Code::Binary(k, Class::U32) => binary_int::<u32>(*k, i, t),
                Code::Compare(k, class) => by_class!(class, T => compare::<T>(*k, i, t)),
                Code::Select(class) if class.size() == 4 => select(i, t, |p| (p as u32).wrapping_neg()),
                Code::Select(_) => select(i, t, |p| (p as u64).wrapping_neg()),
                Code::Clamp(class) => by_class!(class, T => clamp::<T>(i, t)),
                Code::Iota(repeat, length, dtype) => iota(*repeat, *length, *dtype, i, t),
                Code::RandomBits(stream) => random_bits(*stream, i, t),
                Code::Narrow(dtype) => narrow(*dtype, i, t),
                Code::Convert(DType::U32, DType::F32) => map1::<u32, f32>(i, t, |x| x as f32),
                Code::Convert(DType::I32, DType::F32) => map1::<i32, f32>(i, t, |x| x as f32),
                Code::Convert(DType::Bool, DType::F32) => map1::<i32, f32>(i, t, |x| x as f32),
                Code::Unary(..) | Code::Binary(..) | Code::Convert(..) => other(i, t),
            }
        }
    }
}

/// The rarer types: instantiated once, without an instruction set of their own.
#[inline(never)]
unsafe fn other(i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`.
    unsafe {
        match &i.code {
            Code::Unary(k, class) => match class {
                Class::F64 => unary_f64(*k, i, t),
                Class::I32 => unary_int::<i32>(*k, i, t),
                Class::U32 => unary_int::<u32>(*k, i, t),
                Class::I64 => unary_int::<i64>(*k, i, t),
                Class::U64 => unary_int::<u64>(*k, i, t),
                Class::F32 => unreachable!("handled before"),
            },
            Code::Binary(k, class) => match class {
                Class::F64 => binary_f64(*k, i, t),
                Class::I32 => binary_int::<i32>(*k, i, t),
                Class::I64 => binary_int::<i64>(*k, i, t),
                Class::U64 => binary_int::<u64>(*k, i, t),
                Class::F32 | Class::U32 => unreachable!("handled before"),
            },
            Code::Convert(from, to) => {
                convert::between(*from, *to, t.slots[i.args[0] as usize], t.slots[i.dst as usize], t.blocks * BLOCK)
            }
            _ => unreachable!("handled before"),
        }
    }
}

#[inline(always)]
unsafe fn map1<A: Copy, D: Copy>(i: &Instr, t: &Tile<'_>, f: impl Fn(A) -> D) {
    // SAFETY: as in `run_with`.
    let (d, a) = unsafe { (t.write::<D>(i.dst), t.read::<A>(i.args[0])) };
    for (d, a) in d.iter_mut().zip(a) {
        *d = f(*a);
    }
}

#[inline(always)]
unsafe fn map2<A: Copy, D: Copy>(i: &Instr, t: &Tile<'_>, f: impl Fn(A, A) -> D) {
    // SAFETY: as in `run_with`.
    let (d, a, b) = unsafe { (t.write::<D>(i.dst), t.read::<A>(i.args[0]), t.read::<A>(i.args[1])) };
    for ((d, a), b) in d.iter_mut().zip(a).zip(b) {
        *d = f(*a, *b);
    }
}

#[inline(always)]
unsafe fn select<T>(i: &Instr, t: &Tile<'_>, mask: impl Fn(i32) -> T)
where
    T: Copy + ops::BitAnd<Output = T> + ops::BitOr<Output = T> + ops::Not<Output = T>,
{
    // SAFETY: as in `run_with`; a bool slot holds 0 or 1 as i32.
    let (d, p, a, b) =
        unsafe { (t.write::<T>(i.dst), t.read::<i32>(i.args[0]), t.read::<T>(i.args[1]), t.read::<T>(i.args[2])) };
    for (((d, p), a), b) in d.iter_mut().zip(p).zip(a).zip(b) {
        // As bits: a branch on `p` compiles to a choice of pointers, and that to a gather.
        let ones = mask(*p);
        *d = *a & ones | *b & !ones;
    }
}

#[inline(always)]
unsafe fn clamp<T: Copy + PartialOrd>(i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`.
    let (d, low, x, high) =
        unsafe { (t.write::<T>(i.dst), t.read::<T>(i.args[0]), t.read::<T>(i.args[1]), t.read::<T>(i.args[2])) };
    for (((d, low), x), high) in d.iter_mut().zip(low).zip(x).zip(high) {
        let raised = if *x < *low { *low } else { *x };
        *d = if raised > *high { *high } else { raised };
    }
}

#[inline(always)]
unsafe fn compare<T: Copy + PartialOrd>(kind: C, i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`.
    unsafe {
        match kind {
            C::Equal => map2::<T, i32>(i, t, |a, b| i32::from(a == b)),
            C::NotEqual => map2::<T, i32>(i, t, |a, b| i32::from(a != b)),
            C::Less => map2::<T, i32>(i, t, |a, b| i32::from(a < b)),
            C::LessEqual => map2::<T, i32>(i, t, |a, b| i32::from(a <= b)),
            C::Greater => map2::<T, i32>(i, t, |a, b| i32::from(a > b)),
            C::GreaterEqual => map2::<T, i32>(i, t, |a, b| i32::from(a >= b)),
        }
    }
}

#[inline(always)]
unsafe fn iota(repeat: usize, length: usize, dtype: DType, i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`.
    unsafe {
        match Class::of(dtype) {
            Class::F32 => count::<f32>(repeat, length, i, t, |n, k| (n as u32).wrapping_add(k) as i32 as f32),
            Class::F64 => count::<f64>(repeat, length, i, t, |n, k| (n as u64 + u64::from(k)) as f64),
            Class::I32 | Class::U32 => count::<u32>(repeat, length, i, t, |n, k| (n as u32).wrapping_add(k)),
            Class::I64 | Class::U64 => count::<u64>(repeat, length, i, t, |n, k| n as u64 + u64::from(k)),
        }
    }
}

/// Element e is `e / repeat % length`, run by run: no division for each. `cast(n, k)` is n + k.
#[inline(always)]
unsafe fn count<T: Copy>(repeat: usize, length: usize, i: &Instr, t: &Tile<'_>, cast: impl Fn(usize, u32) -> T) {
    // SAFETY: as in `run_with`.
    let out = unsafe { t.write::<T>(i.dst) };
    let (mut within, mut number) = (t.first % repeat, t.first / repeat % length);
    let mut rest = &mut out[..];
    while !rest.is_empty() {
        let run = if repeat == 1 { length - number } else { repeat - within }.min(rest.len());
        let (now, later) = rest.split_at_mut(run);
        if repeat == 1 {
            now.iter_mut().zip(0..).for_each(|(y, k)| *y = cast(number, k));
            number = 0;
        } else {
            now.fill(cast(number, 0));
            number = if number + 1 == length { 0 } else { number + 1 };
            within = 0;
        }
        rest = later;
    }
}

#[inline(always)]
unsafe fn random_bits(stream: u32, i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`; the key operand is a whole `u32[3]`.
    let (out, key) = unsafe {
        let out = std::slice::from_raw_parts_mut(t.slots[i.dst as usize].cast::<u32>(), t.blocks * BLOCK);
        (out, std::slice::from_raw_parts(t.slots[i.args[0] as usize].cast::<u32>(), 3))
    };
    random::fill_bits_inline(out, t.first as u64, [stream, key[2]], [key[0], key[1]]);
}

#[inline(always)]
unsafe fn narrow(dtype: DType, i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`.
    unsafe {
        match dtype {
            DType::I8 => map1::<i32, i32>(i, t, |x| x as i8 as i32),
            DType::I16 => map1::<i32, i32>(i, t, |x| x as i16 as i32),
            DType::U8 => map1::<i32, i32>(i, t, |x| x as u8 as i32),
            DType::U16 => map1::<i32, i32>(i, t, |x| x as u16 as i32),
            DType::F16 => map1::<f32, f32>(i, t, |x| f16::from_f32(x).to_f32()),
            DType::BF16 => map1::<f32, f32>(i, t, |x| bf16::from_f32(x).to_f32()),
            _ => unreachable!("only types narrower than their class are narrowed"),
        }
    }
}

#[inline(always)]
unsafe fn unary_f32<const FMA: bool>(kind: U, i: &Instr, t: &Tile<'_>) {
    macro_rules! each {
        ($($k:ident: $f:expr;)*) => { match kind { $(U::$k => map1::<f32, f32>(i, t, $f),)*
            U::IsFinite => map1::<f32, i32>(i, t, |x| i32::from(x.is_finite())),
            U::Not => unreachable!("not of a float"), } };
    }
    // SAFETY: as in `run_with`.
    unsafe {
        each! {
            Negate: |x| -x;
            Abs: |x| x.abs();
            Sign: |x| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x };
            Exp: |x| math::exp::<FMA>(x);
            Expm1: |x| math::exp_m1::<FMA>(x);
            Log: |x| math::log::<FMA>(x);
            Log1p: |x| math::log1p::<FMA>(x);
            Sqrt: |x| x.sqrt();
            Rsqrt: |x| 1.0 / x.sqrt();
            Cbrt: |x| math::cbrt::<FMA>(x);
            Tanh: |x| math::tanh::<FMA>(x);
            Logistic: |x| math::sigmoid::<FMA>(x);
            Sin: |x| math::sin::<FMA>(x);
            Cos: |x| math::cos::<FMA>(x);
            Tan: |x| math::tan::<FMA>(x);
            Asin: |x| math::asin::<FMA>(x);
            Acos: |x| math::acos::<FMA>(x);
            Atan: |x| math::atan::<FMA>(x);
            Sinh: |x| math::sinh::<FMA>(x);
            Cosh: |x| math::cosh::<FMA>(x);
            Asinh: |x| math::asinh::<FMA>(x);
            Acosh: |x| math::acosh::<FMA>(x);
            Atanh: |x| math::atanh::<FMA>(x);
            Erf: |x| math::erf::<FMA>(x);
            Erfc: |x| math::erfc::<FMA>(x);
            ErfInv: |x| math::erf_inv::<FMA>(x);
            Lgamma: math::lgamma;
            Digamma: math::digamma;
            Floor: |x| x.floor();
            Ceil: |x| x.ceil();
            RoundEven: |x| math::round_half_even(x);
            RoundAway: |x| x.round();
        }
    }
}

#[inline(always)]
unsafe fn binary_f32<const FMA: bool>(kind: B, i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`.
    unsafe {
        match kind {
            B::Add => map2::<f32, f32>(i, t, |a, b| a + b),
            B::Subtract => map2::<f32, f32>(i, t, |a, b| a - b),
            B::Multiply => map2::<f32, f32>(i, t, |a, b| a * b),
            B::Divide => map2::<f32, f32>(i, t, |a, b| a / b),
            B::Remainder => map2::<f32, f32>(i, t, |a, b| a % b),
            // Element by element, and dear: none in vain.
            B::Power => {
                let (a, b, y) = (t.read::<f32>(i.args[0]), t.read::<f32>(i.args[1]), t.write::<f32>(i.dst));
                (0..t.len).for_each(|k| y[k] = math::pow::<FMA>(a[k], b[k]));
            }
            // NaN wins.
            B::Max => map2::<f32, f32>(i, t, |a, b| if a > b || a.is_nan() { a } else { b }),
            B::Min => map2::<f32, f32>(i, t, |a, b| if a < b || a.is_nan() { a } else { b }),
            B::Atan2 => map2::<f32, f32>(i, t, |a, b| math::atan2::<FMA>(a, b)),
            _ => unreachable!("a bit function of floats"),
        }
    }
}

#[inline(always)]
unsafe fn map3(i: &Instr, t: &Tile<'_>, f: impl Fn(f32, f32, f32) -> f32) {
    // SAFETY: as in `run_with`.
    let (d, [a, b, c]) = unsafe { t.operands(i) };
    for (((d, a), b), c) in d.iter_mut().zip(a).zip(b).zip(c) {
        *d = f(*a, *b, *c);
    }
}

#[inline(always)]
unsafe fn pair(first: B, second: B, side: Side, i: &Instr, t: &Tile<'_>) {
    macro_rules! each {
        ($($first:ident($f:tt): $($second:ident($s:tt))*;)*) => {
            match (first, second, side) {
                $($(
                    // SAFETY: as in `run_with`.
                    (B::$first, B::$second, Side::Left) => unsafe { map3(i, t, |a, b, c| (a $f b) $s c) },
                    // SAFETY: as in `run_with`.
                    (B::$first, B::$second, Side::Right) => unsafe { map3(i, t, |a, b, c| c $s (a $f b)) },
                )*)*
                _ => unreachable!("pairs are of plain arithmetic"),
            }
        };
    }
    each! {
        Add(+): Add(+) Subtract(-) Multiply(*) Divide(/);
        Subtract(-): Add(+) Subtract(-) Multiply(*) Divide(/);
        Multiply(*): Add(+) Subtract(-) Multiply(*) Divide(/);
        Divide(/): Add(+) Subtract(-) Multiply(*) Divide(/);
    }
}

unsafe fn unary_f64(kind: U, i: &Instr, t: &Tile<'_>) {
    let f: fn(f64) -> f64 = match kind {
        // SAFETY: as in `run_with`.
        U::IsFinite => return unsafe { map1::<f64, i32>(i, t, |x| i32::from(x.is_finite())) },
        U::Negate => |x| -x,
        U::Abs => f64::abs,
        U::Sign => |x| {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x
            }
        },
        U::Exp => f64::exp,
        U::Expm1 => f64::exp_m1,
        U::Log => f64::ln,
        U::Log1p => f64::ln_1p,
        U::Sqrt => f64::sqrt,
        U::Rsqrt => |x| 1.0 / x.sqrt(),
        U::Cbrt => f64::cbrt,
        U::Tanh => f64::tanh,
        U::Logistic => |x| 1.0 / (1.0 + (-x).exp()),
        U::Sin => f64::sin,
        U::Cos => f64::cos,
        U::Tan => f64::tan,
        U::Asin => f64::asin,
        U::Acos => f64::acos,
        U::Atan => f64::atan,
        U::Sinh => f64::sinh,
        U::Cosh => f64::cosh,
        U::Asinh => f64::asinh,
        U::Acosh => f64::acosh,
        U::Atanh => f64::atanh,
        U::Erf => math::erf_f64,
        U::Erfc => math::erfc_f64,
        U::ErfInv => math::erf_inv_f64,
        U::Lgamma => math::lgamma_f64,
        U::Digamma => math::digamma_f64,
        U::Floor => f64::floor,
        U::Ceil => f64::ceil,
        U::RoundEven => f64::round_ties_even,
        U::RoundAway => f64::round,
        U::Not => unreachable!("not of a float"),
    };
    // SAFETY: as in `run_with`.
    unsafe { map1::<f64, f64>(i, t, f) }
}

unsafe fn binary_f64(kind: B, i: &Instr, t: &Tile<'_>) {
    let f: fn(f64, f64) -> f64 = match kind {
        B::Add => |a, b| a + b,
        B::Subtract => |a, b| a - b,
        B::Multiply => |a, b| a * b,
        B::Divide => |a, b| a / b,
        B::Remainder => |a, b| a % b,
        B::Power => f64::powf,
        B::Max => |a, b| if a > b || a.is_nan() { a } else { b },
        B::Min => |a, b| if a < b || a.is_nan() { a } else { b },
        B::Atan2 => f64::atan2,
        _ => unreachable!("a bit function of floats"),
    };
    // SAFETY: as in `run_with`.
    unsafe { map2::<f64, f64>(i, t, f) }
}

/// Integer arithmetic that never traps: it wraps, and dividing by zero gives -1 (all ones) with the dividend as remainder.
trait Int: Copy + Ord + std::ops::Not<Output = Self> {
    fn negate(self) -> Self;
    fn magnitude(self) -> Self;
    fn signum(self) -> Self;
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn div(self, b: Self) -> Self;
    fn rem(self, b: Self) -> Self;
    fn power(self, b: Self) -> Self;
    fn and(self, b: Self) -> Self;
    fn or(self, b: Self) -> Self;
    fn xor(self, b: Self) -> Self;
    fn left(self, b: Self) -> Self;
    fn right_logical(self, b: Self) -> Self;
    fn right_arithmetic(self, b: Self) -> Self;
}

macro_rules! ints {
    ($($t:ty, $unsigned:ty, $signed:ty, $signed_type:expr;)*) => {$(
        impl Int for $t {
            fn negate(self) -> $t { self.wrapping_neg() }
            fn magnitude(self) -> $t { if $signed_type && self < (0 as $t) { self.wrapping_neg() } else { self } }
            fn signum(self) -> $t { if self > 0 { 1 } else if self == 0 { 0 } else { (0 as $t).wrapping_sub(1) } }
            fn add(self, b: $t) -> $t { self.wrapping_add(b) }
            fn sub(self, b: $t) -> $t { self.wrapping_sub(b) }
            fn mul(self, b: $t) -> $t { self.wrapping_mul(b) }
            fn div(self, b: $t) -> $t { if b == 0 { (0 as $t).wrapping_sub(1) } else { self.wrapping_div(b) } }
            fn rem(self, b: $t) -> $t { if b == 0 { self } else { self.wrapping_rem(b) } }
            fn power(self, b: $t) -> $t {
                if $signed_type && b < (0 as $t) {
                    return match self { 1 => 1, v if v.wrapping_add(1) == 0 => if b & 1 == 0 { 1 } else { v }, _ => 0 };
                }
                self.wrapping_pow(b as u32)
            }
            fn and(self, b: $t) -> $t { self & b }
            fn or(self, b: $t) -> $t { self | b }
            fn xor(self, b: $t) -> $t { self ^ b }
            fn left(self, b: $t) -> $t { if (b as $unsigned) < <$t>::BITS as $unsigned { self << b } else { 0 } }
            fn right_logical(self, b: $t) -> $t {
                if (b as $unsigned) < <$t>::BITS as $unsigned { ((self as $unsigned) >> b) as $t } else { 0 }
            }
            fn right_arithmetic(self, b: $t) -> $t {
                let by = if (b as $unsigned) < <$t>::BITS as $unsigned { b as u32 } else { <$t>::BITS - 1 };
                ((self as $signed) >> by) as $t
            }
        }
    )*};
}
ints! {
    i32, u32, i32, true;
    u32, u32, i32, false;
    i64, u64, i64, true;
    u64, u64, i64, false;
}

unsafe fn unary_int<T: Int>(kind: U, i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`.
    unsafe {
        match kind {
            U::Negate => map1::<T, T>(i, t, T::negate),
            U::Abs => map1::<T, T>(i, t, T::magnitude),
            U::Sign => map1::<T, T>(i, t, T::signum),
            U::Not => map1::<T, T>(i, t, |x| !x),
            _ => unreachable!("a float function of integers"),
        }
    }
}

#[inline(always)]
unsafe fn binary_int<T: Int>(kind: B, i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`.
    unsafe {
        match kind {
            B::Add => map2::<T, T>(i, t, T::add),
            B::Subtract => map2::<T, T>(i, t, T::sub),
            B::Multiply => map2::<T, T>(i, t, T::mul),
            B::Divide => map2::<T, T>(i, t, T::div),
            B::Remainder => map2::<T, T>(i, t, T::rem),
            B::Power => map2::<T, T>(i, t, T::power),
            B::Max => map2::<T, T>(i, t, T::max),
            B::Min => map2::<T, T>(i, t, T::min),
            B::And => map2::<T, T>(i, t, T::and),
            B::Or => map2::<T, T>(i, t, T::or),
            B::Xor => map2::<T, T>(i, t, T::xor),
            B::ShiftLeft => map2::<T, T>(i, t, T::left),
            B::ShiftRightLogical => map2::<T, T>(i, t, T::right_logical),
            B::ShiftRightArithmetic => map2::<T, T>(i, t, T::right_arithmetic),
            B::Atan2 => unreachable!("an angle of integers"),
        }
    }
}
