//! Between memory of any dtype and tiles of its class, and from class to class.

use super::BLOCK;
use super::builder::Access;
use super::kinds::Class;
use super::reduce::by_class;
use crate::dtype::{DType, Element, bf16, f16};
use crate::isa::per_isa;

/// A number that memory holds, and how it looks in its class.
trait Stored: Copy {
    type Wide: Copy;
    fn to_wide(self) -> Self::Wide;
    fn shrink(wide: Self::Wide) -> Self;
}

macro_rules! stored {
    ($($t:ty => $w:ty),*) => {$(
        impl Stored for $t {
            type Wide = $w;
            #[inline(always)]
            fn to_wide(self) -> $w { self as $w }
            #[inline(always)]
            fn shrink(wide: $w) -> $t { wide as $t }
        }
    )*};
}
stored!(i8 => i32, i16 => i32, i32 => i32, u8 => i32, u16 => i32, u32 => u32, i64 => i64, u64 => u64, f32 => f32, f64 => f64);

impl Stored for f16 {
    type Wide = f32;
    fn to_wide(self) -> f32 {
        self.to_f32()
    }
    fn shrink(wide: f32) -> f16 {
        f16::from_f32(wide)
    }
}

impl Stored for bf16 {
    type Wide = f32;
    fn to_wide(self) -> f32 {
        self.to_f32()
    }
    fn shrink(wide: f32) -> bf16 {
        bf16::from_f32(wide)
    }
}

/// Fills a tile with elements `first .. first + len` of the iteration.
///
/// # Safety
/// `source` holds every element that `access` reaches, `slot` has room for `len` elements of the class of `dtype`.
pub(crate) unsafe fn load(dtype: DType, access: &Access, source: *const u8, slot: *mut u8, first: usize, len: usize) {
    if let (DType::Bool | DType::U8, Access::Direct) = (dtype, access) {
        // SAFETY: the caller's promise.
        let (bytes, wide) = unsafe {
            let bytes = std::slice::from_raw_parts(source.add(first), len);
            (bytes, std::slice::from_raw_parts_mut(slot.cast::<i32>(), len))
        };
        return widen_bytes(bytes, wide);
    }
    crate::with_element!(dtype, T => {
        // SAFETY: the caller's promise.
        unsafe { load_as::<T>(access, source.cast(), slot.cast(), first, len) }
    })
}

#[inline(always)]
unsafe fn load_as<T: Stored>(access: &Access, source: *const T, slot: *mut T::Wide, first: usize, len: usize) {
    // SAFETY: the caller of `load` promises both ranges.
    unsafe {
        match access {
            Access::Direct => (0..len).for_each(|i| *slot.add(i) = (*source.add(first + i)).to_wide()),
            Access::Scalar => {
                let v = (*source).to_wide();
                (0..len).for_each(|i| *slot.add(i) = v);
            }
            Access::Cyclic { repeat: 1, period } => {
                let (mut i, mut at) = (0, first % period);
                while i < len {
                    let run = (period - at).min(len - i);
                    (0..run).for_each(|k| *slot.add(i + k) = (*source.add(at + k)).to_wide());
                    i += run;
                    at = 0;
                }
            }
            Access::Cyclic { repeat, period } => {
                let (mut i, mut within, mut at) = (0, first % repeat, first / repeat % period);
                while i < len {
                    let run = (repeat - within).min(len - i);
                    let v = (*source.add(at)).to_wide();
                    match run <= BLOCK && i + BLOCK <= len {
                        // What is too much belongs to the runs that follow.
                        true => slot.add(i).cast::<[T::Wide; BLOCK]>().write_unaligned([v; BLOCK]),
                        false => (0..run).for_each(|k| *slot.add(i + k) = v),
                    }
                    i += run;
                    within = 0;
                    at = if at + 1 == *period { 0 } else { at + 1 };
                }
            }
            Access::Strided { offset, axes } => {
                let source = source.wrapping_add(*offset);
                let (inner, inner_stride) = axes.last().copied().unwrap_or((1, 0));
                let mut i = 0;
                while i < len {
                    let mut rest = (first + i) / inner;
                    let mut base = 0;
                    for (n, stride) in axes[..axes.len().saturating_sub(1)].iter().rev() {
                        base += rest % n * stride;
                        rest /= n;
                    }
                    let within = (first + i) % inner;
                    let run = (inner - within).min(len - i);
                    if inner_stride == 1 {
                        (0..run).for_each(|k| *slot.add(i + k) = (*source.add(base + within + k)).to_wide());
                    } else {
                        let from = |k: usize| source.add(base + (within + k) * inner_stride);
                        (0..run).for_each(|k| *slot.add(i + k) = (*from(k)).to_wide());
                    }
                    i += run;
                }
            }
            Access::Whole => {}
        }
    }
}

/// Writes the first `len` elements of a tile to elements `first ..` of an output.
///
/// # Safety
/// `slot` holds `len` elements of the class of `dtype`; `target` has room for elements up to `first + len`.
pub(crate) unsafe fn store(dtype: DType, slot: *const u8, target: *mut u8, first: usize, len: usize) {
    if let DType::Bool | DType::U8 | DType::I8 = dtype {
        // SAFETY: the caller's promise.
        let (wide, bytes) = unsafe {
            let wide = std::slice::from_raw_parts(slot.cast::<i32>(), len);
            (wide, std::slice::from_raw_parts_mut(target.add(first), len))
        };
        return shrink_to_bytes(wide, bytes);
    }
    if Class::is_native(dtype) {
        let size = dtype.size();
        // SAFETY: the caller's promise; slots and operands do not overlap.
        return unsafe { std::ptr::copy_nonoverlapping(slot, target.add(first * size), len * size) };
    }
    crate::with_element!(dtype, T => {
        // SAFETY: the caller's promise.
        unsafe { store_as::<T>(slot.cast(), target.cast::<T>().add(first), len) }
    })
}

unsafe fn store_as<T: Stored>(slot: *const T::Wide, target: *mut T, len: usize) {
    // SAFETY: the caller of `store` promises both ranges.
    unsafe { (0..len).for_each(|i| *target.add(i) = T::shrink(*slot.add(i))) }
}

// Masks are bytes in memory and whole words in tiles, and chains have them everywhere.
per_isa! {
    /// Bytes as words.
    fn widen_bytes(bytes: &[u8], wide: &mut [i32]) => wide.iter_mut().zip(bytes).for_each(|(w, b)| *w = i32::from(*b))
}
per_isa! {
    /// The low bytes of words.
    fn shrink_to_bytes(wide: &[i32], bytes: &mut [u8]) => bytes.iter_mut().zip(wide).for_each(|(b, w)| *b = *w as u8)
}

/// Fills a tile with one value.
///
/// # Safety
/// `slot` has room for `len` elements of the class of `dtype`.
pub(crate) unsafe fn fill(dtype: DType, float: f64, int: i64, slot: *mut u8, len: usize) {
    by_class!(Class::of(dtype), T => {
        let v = if dtype.is_float() { <T as Element>::from_f64(float) } else { <T as Element>::from_i64(int) };
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(slot.cast::<T>(), len) }.fill(v)
    })
}

/// Converts a tile of the class of `from` to the class of `to`, with the range and precision of `to`.
///
/// # Safety
/// Both slots have room for `len` elements of their class and do not overlap.
pub(crate) unsafe fn between(from: DType, to: DType, source: *const u8, target: *mut u8, len: usize) {
    by_class!(Class::of(from), S => {
        // SAFETY: the caller's promise.
        let source = unsafe { std::slice::from_raw_parts(source.cast::<S>(), len) };
        if to == DType::Bool {
            // SAFETY: the caller's promise.
            let target = unsafe { std::slice::from_raw_parts_mut(target.cast::<i32>(), len) };
            target.iter_mut().zip(source).for_each(|(d, s)| *d = i32::from(*s != S::default()));
            return;
        }
        let exact = !from.is_float() && !to.is_float();
        crate::with_element!(to, D => {
            // SAFETY: the caller's promise.
            let target = unsafe { std::slice::from_raw_parts_mut(target.cast::<<D as Stored>::Wide>(), len) };
            if exact {
                target.iter_mut().zip(source).for_each(|(d, s)| *d = <D as Element>::from_i64(s.to_i64()).to_wide());
            } else {
                target.iter_mut().zip(source).for_each(|(d, s)| *d = <D as Element>::from_f64(s.to_f64()).to_wide());
            }
        })
    })
}
