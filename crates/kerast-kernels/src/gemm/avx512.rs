//! Micro-kernels for AVX-512: tiles of 12 x 16 to 6 x 64.

use super::micro::{DOTS, Kernels, Micro, Rows, Strand, Tile, micro_kernels, micro_table, step};
use super::toom::{Sandwich, Sandwiched, sandwich_kernels, unrolled};
use std::arch::x86_64::*;

type Vector = __m512;
type Mask = __mmask16;
const LANES: usize = 16;

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
fn zero() -> Vector {
    _mm512_setzero_ps()
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
unsafe fn splat(p: *const f32) -> Vector {
    // SAFETY: the caller vouches for one element.
    _mm512_set1_ps(unsafe { *p })
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
unsafe fn load(p: *const f32) -> Vector {
    // SAFETY: the caller vouches for 16 elements.
    unsafe { _mm512_loadu_ps(p) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
unsafe fn load_part(p: *const f32, mask: Mask) -> Vector {
    // SAFETY: only elements in the mask are touched.
    unsafe { _mm512_maskz_loadu_ps(mask, p) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
fn fma(a: Vector, b: Vector, c: Vector) -> Vector {
    _mm512_fmadd_ps(a, b, c)
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
fn add(a: Vector, b: Vector) -> Vector {
    _mm512_add_ps(a, b)
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
unsafe fn store(p: *mut f32, v: Vector) {
    // SAFETY: the caller vouches for 16 elements.
    unsafe { _mm512_storeu_ps(p, v) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
unsafe fn store_part(p: *mut f32, mask: Mask, v: Vector) {
    // SAFETY: only elements in the mask are touched.
    unsafe { _mm512_mask_storeu_ps(p, mask, v) }
}

/// The first `count` of 16 lanes.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
fn mask(count: usize) -> Mask {
    ((1u32 << count) - 1) as Mask
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
fn sum(v: Vector) -> f32 {
    _mm512_reduce_add_ps(v)
}

/// 16 rows of 16 as 16 columns.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
pub(super) fn transposed(mut r: [Vector; 16]) -> [Vector; 16] {
    let mut t = [zero(); 16];
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for i in 0..4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|j| _mm512_castps_pd(t[4 * i + j]));
        r[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        r[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        r[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        r[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    for i in 0..4 {
        t[i] = _mm512_shuffle_f32x4::<0x88>(r[i], r[i + 4]);
        t[i + 4] = _mm512_shuffle_f32x4::<0xdd>(r[i], r[i + 4]);
        t[i + 8] = _mm512_shuffle_f32x4::<0x88>(r[i + 8], r[i + 12]);
        t[i + 12] = _mm512_shuffle_f32x4::<0xdd>(r[i + 8], r[i + 12]);
    }
    for i in 0..8 {
        r[i] = _mm512_shuffle_f32x4::<0x88>(t[i], t[i + 8]);
        r[i + 8] = _mm512_shuffle_f32x4::<0xdd>(t[i], t[i + 8]);
    }
    r
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
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
            if deep == LANES && w + LANES <= rows.min(width) {
                for i in 0..LANES {
                    // SAFETY: 16 rows and 16 columns are left.
                    r[i] = unsafe { load(src.add((w + i) * src_row + d)) };
                }
                let t = transposed(r);
                for q in 0..LANES {
                    // SAFETY: as above.
                    unsafe { store(dst.add((d + q) * dst_row + w), t[q]) };
                }
                continue;
            }
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
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
fn prefetch(p: *const f32) {
    _mm_prefetch::<_MM_HINT_T1>(p.cast());
}

sandwich_kernels!(target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"));
micro_kernels!(target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"),
    tiles: [1: [1 2 3 4 5 6 7 8 9 10 11 12], 2: [1 2 3 4 5 6 7 8 9 10 11 12], 3: [1 2 3 4 5 6 7 8 9], 4: [1 2 3 4 5 6]],
    masks: true);
