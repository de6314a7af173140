//! An f32 as three bf16, and operands cut up so, in the order in which the matrix unit reads them.

use crate::gemm::avx512::transposed;
use std::arch::x86_64::*;
use std::array;
use std::ops::Range;

/// Rows or columns of a panel: those of a tile.
pub(super) const PANEL: usize = 16;
/// Steps of K of a tile. It holds step i and step 16 + i side by side.
pub(super) const DEPTH: usize = 32;
/// Elements (of 4 bytes) of a tile.
pub(super) const TILE: usize = 16 * 16;
/// Elements of a panel one tile deep: the tile of high parts, that of the middle ones, that of the low ones.
pub(super) const BLOCK: usize = 3 * TILE;

const LANES: usize = 16;
type Vector = __m512;

/// Which way round a tile is: rows of A with steps of K side by side, or steps of K with columns of B side by side.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Left,
    Right,
}

/// One operand: step p of K of row or column i lies at `source + i * across + p * deep`.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub(super) source: *const f32,
    pub(super) across: usize,
    pub(super) deep: usize,
    pub(super) form: Form,
}

// SAFETY: tasks only read it.
unsafe impl Sync for Side {}

/// Cuts `lines`, its rows or columns, into parts: panel by panel, and each tile by tile along K. Whether some element has none: it is
/// infinite, NaN or too large.
///
/// # Safety
/// The elements are readable, `to` is writable for whole panels, and the machine has AVX-512.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
pub(super) unsafe fn pack(side: &Side, lines: Range<usize>, ks: Range<usize>, mut to: *mut f32) -> bool {
    let mut wild = 0;
    for line in lines.clone().step_by(PANEL) {
        for k in ks.clone().step_by(DEPTH) {
            let source = side.source.wrapping_add(line * side.across + k * side.deep);
            let (count, depth) = (PANEL.min(lines.end - line), DEPTH.min(ks.end - k));
            // SAFETY: passed on.
            wild |= unsafe { tile(side, source, count, depth, to) };
            to = to.wrapping_add(BLOCK);
        }
    }
    wild != 0
}

/// One tile of each kind of part.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
unsafe fn tile(side: &Side, source: *const f32, lines: usize, depth: usize, to: *mut f32) -> __mmask16 {
    let steps = |second: usize| depth.saturating_sub(second * LANES).min(LANES);
    let at = |second: usize| source.wrapping_add(second * LANES * side.deep);
    let (along, across) = match side.form {
        Form::Left => (side.deep, side.across),
        Form::Right => (side.across, side.deep),
    };
    let counts = |second: usize| match side.form {
        Form::Left => (steps(second), lines),
        Form::Right => (lines, steps(second)),
    };
    let mut wild = 0;
    // SAFETY: the source has `lines` lines of `depth` steps; a tile has 16 vectors.
    unsafe {
        if along == 1 {
            let [(m, p), (n, q)] = [counts(0), counts(1)];
            for j in 0..LANES {
                let u = if j < p { _mm512_maskz_loadu_ps(mask(m), at(0).wrapping_add(j * across)) } else { zero() };
                let v = if j < q { _mm512_maskz_loadu_ps(mask(n), at(1).wrapping_add(j * across)) } else { zero() };
                wild |= store(u, v, to.add(j * LANES));
            }
        } else {
            let u = turned(at(0), along, across, counts(0));
            let v = turned(at(1), along, across, counts(1));
            for j in 0..LANES {
                wild |= store(u[j], v[j], to.add(j * LANES));
            }
        }
    }
    wild
}

/// Vectors of elements `along` apart, one every `across` elements; both counts at most 16, the rest is zero.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline]
unsafe fn turned(source: *const f32, along: usize, across: usize, (long, wide): (usize, usize)) -> [Vector; LANES] {
    let mut rows = [zero(); LANES];
    for i in 0..long {
        let row = source.wrapping_add(i * along);
        // SAFETY: element i of `wide` vectors.
        rows[i] = unsafe {
            match across {
                1 => _mm512_maskz_loadu_ps(mask(wide), row),
                _ => {
                    let element = |j: usize| if j < wide { *row.wrapping_add(j * across) } else { 0.0 };
                    let gathered: [f32; LANES] = array::from_fn(element);
                    _mm512_loadu_ps(gathered.as_ptr())
                }
            }
        };
    }
    transposed(rows)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn zero() -> Vector {
    _mm512_setzero_ps()
}

fn mask(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

/// An f32 as the sum of three bf16, each with the lower half of its bits zero.
#[target_feature(enable = "avx512f")]
#[inline]
fn parts(x: Vector) -> [Vector; 3] {
    let rounded = |x: Vector| {
        let bits = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
        _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(0xffff_0000_u32 as i32)))
    };
    let high = rounded(x);
    let rest = _mm512_sub_ps(x, high);
    let middle = rounded(rest);
    [high, middle, _mm512_sub_ps(rest, middle)]
}

/// One vector of each tile: parts of `u` in the lower halves, of `v` in the upper ones. Which lanes have none.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn store(u: Vector, v: Vector, to: *mut f32) -> __mmask16 {
    let (u, v) = (parts(u), parts(v));
    for i in 0..3 {
        let both = _mm512_or_si512(_mm512_srli_epi32::<16>(_mm512_castps_si512(u[i])), _mm512_castps_si512(v[i]));
        // SAFETY: the caller vouches for the three tiles.
        unsafe { _mm512_store_si512(to.add(i * TILE).cast(), both) };
    }
    // Where the high part is infinite or NaN, the low one is NaN.
    _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(u[2], v[2])
}

/// Puts columns that were cut into parts, panels `panel` elements apart, together again: `depth` rows of `columns` elements.
///
/// # Safety
/// The parts are readable, `to` is writable.
pub(super) unsafe fn unpack(parts: *const f32, panel: usize, columns: usize, depth: usize, to: *mut f32) {
    for (p, j) in (0..depth).flat_map(|p| (0..columns).map(move |j| (p, j))) {
        let (tile, step, half) = (p / DEPTH * BLOCK, p % LANES, p % DEPTH / LANES);
        let place = j / PANEL * panel + tile + step * LANES + j % PANEL;
        // SAFETY: as demanded of the caller.
        unsafe {
            let part = |i: usize| {
                let both = (*parts.add(place + i * TILE)).to_bits();
                f32::from_bits(if half == 0 { both << 16 } else { both & 0xffff_0000 })
            };
            to.add(p * columns + j).write(part(0) + (part(1) + part(2)));
        }
    }
}
