//! Micro-kernels in plain Rust, for machines without kernels of their own: tiles of 4 x 8 that compilers vectorise.

use super::micro::{DOTS, Kernels, Micro, Rows, Strand, Tile, micro_kernels, micro_table, step};
use super::toom::{Sandwich, Sandwiched, sandwich_kernels, unrolled};

type Vector = [f32; LANES];
type Mask = usize;
const LANES: usize = 8;

#[inline(always)]
fn zero() -> Vector {
    [0.0; LANES]
}

#[inline(always)]
unsafe fn splat(p: *const f32) -> Vector {
    // SAFETY: the caller vouches for one element.
    [unsafe { *p }; LANES]
}

#[inline(always)]
unsafe fn load(p: *const f32) -> Vector {
    // SAFETY: the caller vouches for 8 elements.
    unsafe { p.cast::<Vector>().read_unaligned() }
}

#[inline(always)]
unsafe fn load_part(p: *const f32, mask: Mask) -> Vector {
    let mut v = zero();
    // SAFETY: the caller vouches for `mask` elements, at most 8.
    unsafe {
        for i in 0..LANES.min(mask) {
            v[i] = *p.add(i);
        }
    };
    v
}

/// Two roundings: a fused one would be a call into the C library on machines that come here.
#[inline(always)]
fn fma(a: Vector, b: Vector, c: Vector) -> Vector {
    std::array::from_fn(|i| a[i] * b[i] + c[i])
}

#[inline(always)]
fn add(a: Vector, b: Vector) -> Vector {
    std::array::from_fn(|i| a[i] + b[i])
}

#[inline(always)]
unsafe fn store(p: *mut f32, v: Vector) {
    // SAFETY: the caller vouches for 8 elements.
    unsafe { p.cast::<Vector>().write_unaligned(v) }
}

#[inline(always)]
unsafe fn store_part(p: *mut f32, mask: Mask, v: Vector) {
    // SAFETY: the caller vouches for `mask` elements, at most 8.
    unsafe { std::ptr::copy_nonoverlapping(v.as_ptr(), p, mask) }
}

#[inline(always)]
fn mask(count: usize) -> Mask {
    count
}

#[inline(always)]
fn sum(v: Vector) -> f32 {
    let [a, b, c, d, e, f, g, h] = v;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

unsafe fn transpose(
    src: *const f32,
    src_row: usize,
    rows: usize,
    depth: usize,
    dst: *mut f32,
    dst_row: usize,
    width: usize,
) {
    for w in 0..width {
        for d in 0..depth {
            // SAFETY: the caller vouches for `rows` rows of `depth` elements and for `depth` rows of `width`.
            unsafe { *dst.add(d * dst_row + w) = if w < rows { *src.add(w * src_row + d) } else { 0.0 } };
        }
    }
}

/// Left to the hardware.
#[inline(always)]
fn prefetch(_: *const f32) {}

sandwich_kernels!(cfg(all()));
micro_kernels!(cfg(all()), tiles: [1: [1 2 3 4]], masks: false);
