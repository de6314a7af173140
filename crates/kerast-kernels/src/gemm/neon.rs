//! Micro-kernels for aarch64's Advanced SIMD: tiles of 8 x 12.

use super::micro::{DOTS, Kernels, Micro, Rows, Strand, Tile, micro_kernels, micro_table, step};
use super::toom::{Sandwich, Sandwiched, sandwich_kernels, unrolled};
use std::arch::aarch64::*;

type Vector = float32x4_t;
type Mask = usize;
const LANES: usize = 4;

#[target_feature(enable = "neon")]
#[inline]
fn zero() -> Vector {
    vdupq_n_f32(0.0)
}

#[target_feature(enable = "neon")]
#[inline]
unsafe fn splat(p: *const f32) -> Vector {
    // SAFETY: the caller vouches for one element.
    vdupq_n_f32(unsafe { *p })
}

#[target_feature(enable = "neon")]
#[inline]
unsafe fn load(p: *const f32) -> Vector {
    // SAFETY: the caller vouches for 4 elements.
    unsafe { vld1q_f32(p) }
}

#[target_feature(enable = "neon")]
#[inline]
unsafe fn load_part(p: *const f32, mask: Mask) -> Vector {
    let mut v = [0.0f32; LANES];
    // SAFETY: the caller vouches for `mask` elements, at most 4.
    unsafe {
        for i in 0..LANES.min(mask) {
            v[i] = *p.add(i);
        }
        vld1q_f32(v.as_ptr())
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn fma(a: Vector, b: Vector, c: Vector) -> Vector {
    vfmaq_f32(c, a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn add(a: Vector, b: Vector) -> Vector {
    vaddq_f32(a, b)
}

#[target_feature(enable = "neon")]
#[inline]
unsafe fn store(p: *mut f32, v: Vector) {
    // SAFETY: the caller vouches for 4 elements.
    unsafe { vst1q_f32(p, v) }
}

#[target_feature(enable = "neon")]
#[inline]
unsafe fn store_part(p: *mut f32, mask: Mask, v: Vector) {
    let mut all = [0.0f32; LANES];
    // SAFETY: the caller vouches for `mask` elements, at most 4.
    unsafe {
        vst1q_f32(all.as_mut_ptr(), v);
        std::ptr::copy_nonoverlapping(all.as_ptr(), p, mask);
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn mask(count: usize) -> Mask {
    count
}

#[target_feature(enable = "neon")]
#[inline]
fn sum(v: Vector) -> f32 {
    vaddvq_f32(v)
}

#[target_feature(enable = "neon")]
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

/// Stable Rust has no prefetch for this architecture; its hardware does well without.
#[inline(always)]
fn prefetch(_: *const f32) {}

sandwich_kernels!(target_feature(enable = "neon"));
micro_kernels!(target_feature(enable = "neon"), tiles: [1: [1 2 3 4 5 6 7 8], 2: [1 2 3 4 5 6 7 8], 3: [1 2 3 4 5 6 7 8]], masks: false);
