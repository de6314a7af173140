//! Micro-kernels for AVX2 with FMA: tiles of 6 x 16.

use super::micro::{DOTS, Kernels, Micro, Rows, Strand, Tile, micro_kernels, micro_table, step};
use super::toom::{Sandwich, Sandwiched, sandwich_kernels, unrolled};
use std::arch::x86_64::*;

type Vector = __m256;
type Mask = __m256i;
const LANES: usize = 8;

#[target_feature(enable = "avx2,fma")]
#[inline]
fn zero() -> Vector {
    _mm256_setzero_ps()
}

#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn splat(p: *const f32) -> Vector {
    // SAFETY: the caller vouches for one element.
    _mm256_set1_ps(unsafe { *p })
}

#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn load(p: *const f32) -> Vector {
    // SAFETY: the caller vouches for 8 elements.
    unsafe { _mm256_loadu_ps(p) }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn load_part(p: *const f32, mask: Mask) -> Vector {
    // SAFETY: only elements in the mask are touched.
    unsafe { _mm256_maskload_ps(p, mask) }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn fma(a: Vector, b: Vector, c: Vector) -> Vector {
    _mm256_fmadd_ps(a, b, c)
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn add(a: Vector, b: Vector) -> Vector {
    _mm256_add_ps(a, b)
}

#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn store(p: *mut f32, v: Vector) {
    // SAFETY: the caller vouches for 8 elements.
    unsafe { _mm256_storeu_ps(p, v) }
}

#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn store_part(p: *mut f32, mask: Mask, v: Vector) {
    // SAFETY: only elements in the mask are touched.
    unsafe { _mm256_maskstore_ps(p, mask, v) }
}

/// The first `count` of 8 lanes.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn mask(count: usize) -> Mask {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

#[target_feature(enable = "avx2,fma")]
#[inline]
fn sum(v: Vector) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
}

/// 8 rows of 8 as 8 columns.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn transposed(r: [Vector; 8]) -> [Vector; 8] {
    let mut t = [zero(); 8];
    for i in 0..4 {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    let mut u = [zero(); 8];
    for i in 0..2 {
        let [a, b, c, d] = [t[4 * i], t[4 * i + 1], t[4 * i + 2], t[4 * i + 3]];
        u[4 * i] = _mm256_shuffle_ps::<0x44>(a, c);
        u[4 * i + 1] = _mm256_shuffle_ps::<0xee>(a, c);
        u[4 * i + 2] = _mm256_shuffle_ps::<0x44>(b, d);
        u[4 * i + 3] = _mm256_shuffle_ps::<0xee>(b, d);
    }
    for i in 0..4 {
        t[i] = _mm256_permute2f128_ps::<0x20>(u[i], u[i + 4]);
        t[i + 4] = _mm256_permute2f128_ps::<0x31>(u[i], u[i + 4]);
    }
    t
}

#[target_feature(enable = "avx2,fma")]
unsafe fn transpose(
    src: *const f32,
    src_row: usize,
    rows: usize,
    depth: usize,
    dst: *mut f32,
    dst_row: usize,
    width: usize,
) {
    for w in (0..width).step_by(LANES) {
        let keep = mask(LANES.min(width - w));
        for d in (0..depth).step_by(LANES) {
            let deep = LANES.min(depth - d);
            let mut r = [zero(); LANES];
            for i in 0..LANES.min(rows.saturating_sub(w)) {
                // SAFETY: row w + i exists and the mask ends at its depth.
                r[i] = unsafe { load_part(src.add((w + i) * src_row + d), mask(deep)) };
            }
            let t = transposed(r);
            for q in 0..deep {
                // SAFETY: the caller vouches for `depth` rows of `width` elements.
                unsafe { store_part(dst.add((d + q) * dst_row + w), keep, t[q]) };
            }
        }
    }
}

/// Fetches a cache line; any address will do.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn prefetch(p: *const f32) {
    _mm_prefetch::<_MM_HINT_T0>(p.cast());
}

sandwich_kernels!(target_feature(enable = "avx2,fma"));
micro_kernels!(target_feature(enable = "avx2,fma"), tiles: [1: [1 2 3 4 5 6], 2: [1 2 3 4 5 6]], masks: true);
