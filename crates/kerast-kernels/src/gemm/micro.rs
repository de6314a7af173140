//! The inner loop of every dense product and convolution: a tile of C held in registers while K runs.
//!
//! One macro writes the loop for each instruction set out of a handful of vector operations, so that all of them agree
//! on what a tile is. A tile has up to as many rows and columns as [`Kernels::form`] says; K comes in
//! segments that lie anywhere in A and B (a plain product has one, a convolution one per kernel row or kernel
//! position).

use super::drive::{Operands, Team};
use super::pack::Panel;
use super::toom::Sandwiched;
use super::{Epilogue, Gemm};
use crate::isa::Isa;
use std::ptr::without_provenance;

/// Where one stretch of K begins: offsets in elements from the tile's `a` and `b`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) a: usize,
    pub(crate) b: usize,
}

/// The only segment of a plain product.
pub(crate) const WHOLE: [Segment; 1] = [Segment { a: 0, b: 0 }];

/// What one call of a micro-kernel does: C[i,j] (+)= Σ over segments s and 0 <= p < k of
/// a[s.a + i*a_row + p*a_step] * b[s.b + p*b_step + j], summed in this order.
pub(crate) struct Tile<'a> {
    pub(crate) segments: &'a [Segment],
    pub(crate) k: usize,
    pub(crate) a: *const f32,
    /// Stride of A between rows; kernels for columns take it to be 1.
    pub(crate) a_row: usize,
    /// Stride of A along K; kernels for rows take it to be 1.
    pub(crate) a_step: usize,
    pub(crate) b: *const f32,
    pub(crate) b_step: usize,
    pub(crate) c: *mut f32,
    pub(crate) c_row: usize,
    /// Columns of C that exist.
    pub(crate) columns: usize,
    /// Whether B may be read beyond `columns`, up to the width of the kernel.
    pub(crate) padded: bool,
    /// Add to C instead of overwriting it.
    pub(crate) accumulate: bool,
    /// What to bring closer meanwhile: one cache line per step of K, `ahead_step` elements apart. Never dereferenced.
    pub(crate) ahead: *const f32,
    pub(crate) ahead_step: usize,
}

/// A micro-kernel for a fixed number of rows and of column vectors.
pub(crate) type Micro = unsafe fn(&Tile<'_>);

/// What a kernel for channel-by-channel products does, for `channels` channels side by side.
///
/// Across: y[i*y_step + c] = Σ over segments s of x[s.a + i*x_step + c] * w[s.b + c], for a fixed number of pixels i.
/// Along: y[i*y_step + c] (+)= Σ over segments s and 0 <= p < k of x[s.a + p*x_step + i*x_tap + c] * w[s.b + p*w_step +
/// c], for a fixed number of taps i.
pub(crate) struct Strand<'a> {
    pub(crate) segments: &'a [Segment],
    pub(crate) k: usize,
    pub(crate) x: *const f32,
    pub(crate) x_step: usize,
    pub(crate) x_tap: usize,
    pub(crate) w: *const f32,
    pub(crate) w_step: usize,
    pub(crate) y: *mut f32,
    pub(crate) y_step: usize,
    pub(crate) channels: usize,
    pub(crate) accumulate: bool,
}

/// A kernel for a fixed number of pixels or taps.
pub(crate) type Channelwise = unsafe fn(&Strand<'_>);

/// Pixels or taps of a [`Strand`] at most.
pub(crate) const STRANDS: usize = 8;

/// How many rows of a matrix [`Kernels::dots`] multiplies at once at most.
pub(crate) const DOTS: usize = 8;

/// Writes `depth` x `width` transposed: dst[d*dst_row + w] = src[w*src_row + d], zero for `rows` <= w < `width`.
pub(crate) type Transpose =
    unsafe fn(src: *const f32, src_row: usize, rows: usize, depth: usize, dst: *mut f32, dst_row: usize, width: usize);

/// Copies panels of a fixed number of vectors: (source, width, dst, panel) as in [`pack_rows`](super::pack::pack_rows).
pub(crate) type Panels = unsafe fn(&Panel, usize, *mut f32, usize);

/// Vectors of a panel that is copied row by row at most.
pub(crate) const PANELS: usize = 4;

/// A matrix unit.
pub(crate) struct Unit {
    /// Whether it is quicker than vectors. By the shape alone.
    pub(crate) suits: fn(&Gemm) -> bool,
    /// One product, as [`product`](super::drive::product).
    pub(crate) product: unsafe fn(&Gemm, Operands, Team<'_>, Option<Epilogue<'_>>),
    /// Elements of B in the order in which the unit reads it.
    pub(crate) packed_len: fn(&Gemm) -> usize,
    /// Brings B into that order, from where it is to where there is room; whether it could.
    pub(crate) prepack: unsafe fn(&Gemm, *const f32, *mut f32, Team<'_>) -> bool,
    /// The product with such a B.
    pub(crate) prepacked: unsafe fn(&Gemm, Operands, Team<'_>, Option<Epilogue<'_>>),
}

/// The micro-kernels of one instruction set.
pub(crate) struct Kernels {
    /// f32 per vector.
    pub(crate) lanes: usize,
    /// Most rows of a tile, by its number of vectors - 1: all that the registers hold.
    pub(crate) heights: &'static [usize],
    /// What multiplies large matrices quicker.
    pub(crate) unit: Option<&'static Unit>,
    /// Parts of vectors are read as quickly as whole ones.
    pub(crate) masks: bool,
    /// [vectors - 1][rows - 1], A with unit stride along K.
    pub(crate) by_row: &'static [&'static [Micro]],
    /// The same for A with unit stride between rows, or one row.
    pub(crate) by_column: &'static [&'static [Micro]],
    /// One row by eight vectors.
    pub(crate) wide: Micro,
    /// out[i] = Σ_p m[i*row + p] * x[p] for i below `count` <= [`DOTS`]: (m, row, count, x, k, out).
    pub(crate) dots: unsafe fn(*const f32, usize, usize, *const f32, usize, &mut [f32; DOTS]),
    pub(crate) transpose: Transpose,
    /// [vectors - 1].
    pub(crate) panels: [Panels; PANELS],
    /// [pixels - 1]: see [`Strand`].
    pub(crate) across: [Channelwise; STRANDS],
    /// [taps - 1]: see [`Strand`].
    pub(crate) along: [Channelwise; STRANDS],
    /// The kernel for [`toom::matrix`](super::toom::matrix) of these sizes.
    pub(crate) sandwich: fn(usize, usize) -> Sandwiched,
}

impl Kernels {
    /// The kernels for an instruction set that this machine has; for any other, the portable ones.
    pub(crate) fn of(isa: Isa) -> &'static Kernels {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => &super::amx::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &super::avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &super::avx2::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &super::neon::KERNELS,
            _ => &super::portable::KERNELS,
        }
    }

    /// The kernel for `rows` rows and `columns` columns.
    #[inline]
    pub(crate) fn pick(&self, by_column: bool, rows: usize, columns: usize) -> Micro {
        let table = if by_column { self.by_column } else { self.by_row };
        table[columns.div_ceil(self.lanes) - 1][rows - 1]
    }

    /// The largest tile for products with `columns` columns: the one that loads least.
    ///
    /// A tile of r rows by v vectors loads r + v times per step of K. Two multiplications a cycle leave room for that, but not where
    /// another thread of the core takes half of it: 6 x 64 is then 8 to 20 % quicker than 12 x 32, and otherwise no slower.
    pub(crate) fn form(&self, columns: usize) -> Form {
        let vectors = columns.div_ceil(self.lanes).max(1);
        let loads = |v: usize| vectors as f32 / self.heights[v - 1] as f32 + vectors.div_ceil(v) as f32;
        let most = self.heights.len();
        let best = match vectors <= most {
            true => vectors,
            false => (1..=most).min_by(|a, b| loads(*a).total_cmp(&loads(*b))).unwrap_or(most),
        };
        Form { rows: self.heights[best - 1], columns: best * self.lanes }
    }

    /// Columns of the widest tile.
    pub(crate) fn widest(&self) -> usize {
        self.heights.len() * self.lanes
    }
}

/// Rows and columns of the largest tile of a product; the columns are the width of its packed panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// Where M rows of A begin: `each` of them seen from one pointer, the next from a second, the last from a third.
///
/// Distances are hidden from the compiler, so that it takes them for index registers beside a pointer. A pointer per row, which it
/// would choose, costs an addition per row and step, and the front end has no room for them when another thread shares it.
pub(crate) struct Rows<const M: usize> {
    /// In bytes.
    offsets: [usize; M],
    each: usize,
    /// Elements between the rows.
    row: usize,
}

impl<const M: usize> Rows<M> {
    /// Rows that one pointer serves before index registers run out, and how many are served by each pointer then.
    pub(crate) const MOST: usize = 9;
    const FEWER: usize = 4;

    /// Rows of one element each, side by side.
    #[inline(always)]
    pub(crate) fn side_by_side() -> Rows<M> {
        Rows { offsets: std::array::from_fn(|i| i * size_of::<f32>()), each: M, row: 1 }
    }

    /// Rows `row` elements apart.
    #[inline(always)]
    pub(crate) fn apart(row: usize) -> Rows<M> {
        let each = if M <= Self::MOST { M } else { Self::FEWER };
        let bytes = |i: usize| {
            if i == 0 || i >= each { 0 } else { hidden(without_provenance(i * row * size_of::<f32>())).addr() }
        };
        Rows { offsets: std::array::from_fn(bytes), each, row }
    }

    /// The pointers for an A that begins at `a`.
    #[inline(always)]
    pub(crate) fn pointers(&self, a: *const f32) -> [*const f32; 3] {
        let more = |n: usize| if n * self.each < M { hidden(a.wrapping_add(n * self.each * self.row)) } else { a };
        [a, more(1), more(2)]
    }

    /// Row `i`.
    #[inline(always)]
    pub(crate) fn of(&self, a: [*const f32; 3], i: usize) -> *const f32 {
        a[i / self.each].wrapping_byte_add(self.offsets[i % self.each])
    }
}

/// A pointer of which the compiler knows nothing any more, in the register where it is.
#[inline(always)]
fn hidden(value: *const f32) -> *const f32 {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    let value = {
        let mut value = value;
        // SAFETY: no instruction at all.
        unsafe { std::arch::asm!("/* {0} */", inout(reg) value, options(pure, readonly, nostack, preserves_flags)) };
        value
    };
    value
}

/// Cuts `count` things into groups as even as can be: the bounds of group `index`.
#[inline]
pub(crate) fn even(count: usize, groups: usize, index: usize) -> std::ops::Range<usize> {
    // In 64 bits, because the product can exceed the address range of a 32-bit machine.
    let bound = |i: usize| (count as u64 * i as u64 / groups as u64) as usize;
    bound(index)..bound(index + 1)
}

/// The kernels for one number of vectors.
macro_rules! micro_table {
    ($vectors:literal, $by_column:literal, [$($rows:literal)*]) => {
        &[$(tile::<$rows, $vectors, $by_column> as Micro),*] as &[Micro]
    };
}
pub(crate) use micro_table;

/// One step of K: adds a row of B times M elements of A to the sums. No function, lest the sums be kept in memory.
macro_rules! step {
    ($sums:ident, $a:expr, $rows:ident, $b:expr, $masks:ident, [$m:ident, $v:ident, $part:ident]) => {
        let (a, b) = ($a, $b);
        let mut right = [zero(); $v];
        for j in 0..$v {
            let p = b.wrapping_add(j * LANES);
            right[j] = if $part { load_part(p, $masks[j]) } else { load(p) };
        }
        for i in 0..$m {
            let left = splat($rows.of(a, i));
            for j in 0..$v {
                $sums[i][j] = fma(left, right[j], $sums[i][j]);
            }
        }
    };
}
pub(crate) use step;

/// Defines `KERNELS` from the operations in scope: `Vector`, `Mask`, `LANES`, `zero`, `splat`, `load`, `load_part`,
/// `fma`, `add`, `store`, `store_part`, `mask`, `sum`, `prefetch`, `transpose`, `sandwich`.
macro_rules! micro_kernels {
    ($feature:meta, tiles: [$($v:literal: [$($rows:literal)*]),*], masks: $masks:literal) => {
        /// Sums a tile up in registers, two steps of K at a time where there are registers for their places.
        #[$feature]
        #[inline]
        unsafe fn sweep<const M: usize, const V: usize, const COLUMNS: bool, const PART: bool, const AHEAD: bool>(
            t: &Tile<'_>,
            masks: &[Mask; V],
        ) -> [[Vector; V]; M] {
            let mut acc = [[zero(); V]; M];
            let (a_step, mut ahead) = (if COLUMNS { t.a_step } else { 1 }, t.ahead);
            let turn = if COLUMNS || M <= Rows::<M>::MOST || !AHEAD { 2 } else { 1 };
            let rows = if COLUMNS { Rows::<M>::side_by_side() } else { Rows::<M>::apart(t.a_row) };
            let next = |a: [*const f32; 3], steps: usize| a.map(|a| a.wrapping_add(steps * a_step));
            for s in t.segments {
                let (mut a, mut b) = (rows.pointers(t.a.wrapping_add(s.a)), t.b.wrapping_add(s.b));
                // SAFETY: passed on; what is fetched ahead is not touched.
                unsafe {
                    if t.k % turn == 1 {
                        step!(acc, a, rows, b, masks, [M, V, PART]);
                        if AHEAD {
                            prefetch(ahead);
                            ahead = ahead.wrapping_add(t.ahead_step);
                        }
                        (a, b) = (next(a, 1), b.wrapping_add(t.b_step));
                    }
                    for _ in 0..t.k / turn {
                        for u in 0..turn {
                            step!(acc, next(a, u), rows, b.wrapping_add(u * t.b_step), masks, [M, V, PART]);
                            if AHEAD {
                                prefetch(ahead.wrapping_add(u * t.ahead_step));
                            }
                        }
                        ahead = ahead.wrapping_add(turn * t.ahead_step);
                        (a, b) = (next(a, turn), b.wrapping_add(turn * t.b_step));
                    }
                }
            }
            acc
        }

        /// One tile of M rows and V vectors.
        #[$feature]
        unsafe fn tile<const M: usize, const V: usize, const COLUMNS: bool>(t: &Tile<'_>) {
            let mut masks = [mask(LANES); V];
            for j in 0..V {
                masks[j] = mask(t.columns.saturating_sub(j * LANES).min(LANES));
            }
            let full = t.columns >= V * LANES;
            if t.k * t.segments.len() >= 64 {
                for i in 0..M {
                    for j in 0..V {
                        prefetch(t.c.wrapping_add(i * t.c_row + j * LANES));
                    }
                }
            }
            // SAFETY: B is read in whole vectors only where the caller allows it.
            let acc = unsafe {
                // Tiles with parts of vectors are rare: one loop, which may fetch from nowhere.
                match (full || t.padded, t.ahead.is_null()) {
                    (true, true) => sweep::<M, V, COLUMNS, false, false>(t, &masks),
                    (true, false) => sweep::<M, V, COLUMNS, false, true>(t, &masks),
                    (false, _) => sweep::<M, V, COLUMNS, true, true>(t, &masks),
                }
            };
            for i in 0..M {
                for j in 0..V {
                    // SAFETY: row i and the columns within the mask exist.
                    unsafe {
                        let p = t.c.wrapping_add(i * t.c_row + j * LANES);
                        if full {
                            store(p, if t.accumulate { add(load(p), acc[i][j]) } else { acc[i][j] });
                        } else {
                            let v = if t.accumulate { add(load_part(p, masks[j]), acc[i][j]) } else { acc[i][j] };
                            store_part(p, masks[j], v);
                        }
                    }
                }
            }
        }

        /// Panels of V vectors. (The compiler would call `memmove` for each row.)
        #[$feature]
        unsafe fn panels<const V: usize>(p: &super::pack::Panel, width: usize, dst: *mut f32, panel: usize) {
            let (whole, rest) = (p.across / width, p.across % width);
            let (mut all, mut some) = ([mask(0); V], [mask(0); V]);
            for j in 0..V {
                all[j] = mask(width.saturating_sub(j * LANES).min(LANES));
                some[j] = mask(rest.saturating_sub(j * LANES).min(LANES));
            }
            for d in 0..p.depth {
                let (src, dst) = (p.src.wrapping_add(d * p.deep), dst.wrapping_add(d * width));
                // SAFETY: the caller vouches for source and target.
                unsafe {
                    for q in 0..whole {
                        for j in 0..V {
                            let (from, to) = (src.add(q * width + j * LANES), dst.add(q * panel + j * LANES));
                            match width == V * LANES {
                                true => store(to, load(from)),
                                false => store_part(to, all[j], load_part(from, all[j])),
                            }
                        }
                    }
                    if rest > 0 {
                        for j in 0..V {
                            let (from, to) = (whole * width + j * LANES, whole * panel + j * LANES);
                            store_part(dst.wrapping_add(to), all[j], load_part(src.wrapping_add(from), some[j]));
                        }
                    }
                }
            }
        }

        /// R dot products with the same vector.
        #[$feature]
        unsafe fn dot<const R: usize>(m: *const f32, row: usize, x: *const f32, k: usize, out: &mut [f32; DOTS]) {
            let mut acc = [zero(); R];
            let whole = k / LANES * LANES;
            let tail = mask(k - whole);
            // SAFETY: the caller vouches for R rows of k elements and for x.
            unsafe {
                for p in (0..whole).step_by(LANES) {
                    let v = load(x.add(p));
                    for i in 0..R {
                        acc[i] = fma(load(m.add(i * row + p)), v, acc[i]);
                    }
                }
                if whole < k {
                    let v = load_part(x.add(whole), tail);
                    for i in 0..R {
                        acc[i] = fma(load_part(m.add(i * row + whole), tail), v, acc[i]);
                    }
                }
            }
            for i in 0..R {
                out[i] = sum(acc[i]);
            }
        }

        unsafe fn dots(m: *const f32, row: usize, count: usize, x: *const f32, k: usize, out: &mut [f32; DOTS]) {
            // SAFETY: passed on; the feature was detected before this table was chosen.
            unsafe {
                if count == DOTS {
                    return dot::<DOTS>(m, row, x, k, out);
                }
                let mut one = [0.0; DOTS];
                for i in 0..count {
                    dot::<1>(m.add(i * row), row, x, k, &mut one);
                    out[i] = one[0];
                }
            }
        }

        /// One vector of channels of N pixels.
        #[$feature]
        #[inline]
        unsafe fn pixels<const N: usize, const PART: bool>(s: &Strand<'_>, c: usize, part: Mask) {
            let mut acc = [zero(); N];
            // SAFETY: the caller vouches for everything that the strand names.
            unsafe {
                for g in s.segments {
                    let x = s.x.wrapping_add(g.a + c);
                    let w = s.w.wrapping_add(g.b + c);
                    let weight = if PART { load_part(w, part) } else { load(w) };
                    for i in 0..N {
                        let p = x.wrapping_add(i * s.x_step);
                        acc[i] = fma(if PART { load_part(p, part) } else { load(p) }, weight, acc[i]);
                    }
                }
                for i in 0..N {
                    let y = s.y.wrapping_add(i * s.y_step + c);
                    if PART { store_part(y, part, acc[i]) } else { store(y, acc[i]) }
                }
            }
        }

        #[$feature]
        unsafe fn across<const N: usize>(s: &Strand<'_>) {
            let whole = s.channels / LANES * LANES;
            let part = mask(s.channels - whole);
            // SAFETY: passed on.
            unsafe {
                (0..whole).step_by(LANES).for_each(|c| pixels::<N, false>(s, c, part));
                if whole < s.channels {
                    pixels::<N, true>(s, whole, part);
                }
            }
        }

        /// V vectors of channels of N taps.
        #[$feature]
        #[inline]
        unsafe fn taps<const N: usize, const V: usize, const PART: bool>(s: &Strand<'_>, c: usize, part: Mask) {
            let mut acc = [[zero(); V]; N];
            // SAFETY: the caller vouches for everything that the strand names.
            unsafe {
                for g in s.segments {
                    let mut x = s.x.wrapping_add(g.a.wrapping_add(c));
                    let mut w = s.w.wrapping_add(g.b.wrapping_add(c));
                    for _ in 0..s.k {
                        for v in 0..V {
                            let p = w.wrapping_add(v * LANES);
                            let right = if PART { load_part(p, part) } else { load(p) };
                            for i in 0..N {
                                let p = x.wrapping_add(i * s.x_tap + v * LANES);
                                acc[i][v] = fma(if PART { load_part(p, part) } else { load(p) }, right, acc[i][v]);
                            }
                        }
                        x = x.wrapping_add(s.x_step);
                        w = w.wrapping_add(s.w_step);
                    }
                }
                for i in 0..N {
                    for v in 0..V {
                        let y = s.y.wrapping_add(i * s.y_step + c + v * LANES);
                        if PART {
                            let old = if s.accumulate { load_part(y, part) } else { zero() };
                            store_part(y, part, add(old, acc[i][v]));
                        } else {
                            let old = if s.accumulate { load(y) } else { zero() };
                            store(y, add(old, acc[i][v]));
                        }
                    }
                }
            }
        }

        #[$feature]
        unsafe fn along<const N: usize>(s: &Strand<'_>) {
            let mut c = 0;
            // SAFETY: passed on.
            unsafe {
                while c + 2 * LANES <= s.channels {
                    taps::<N, 2, false>(s, c, mask(0));
                    c += 2 * LANES;
                }
                while c + LANES <= s.channels {
                    taps::<N, 1, false>(s, c, mask(0));
                    c += LANES;
                }
                if c < s.channels {
                    taps::<N, 1, true>(s, c, mask(s.channels - c));
                }
            }
        }

        pub(crate) static KERNELS: Kernels = TABLE;
        pub(crate) const TABLE: Kernels = Kernels {
            lanes: LANES,
            heights: &[$([$($rows),*].len()),*],
            unit: None,
            masks: $masks,
            by_row: &[$(micro_table!($v, false, [$($rows)*])),*],
            by_column: &[$(micro_table!($v, true, [$($rows)*])),*],
            wide: tile::<1, 8, true>,
            dots,
            transpose,
            panels: [panels::<1>, panels::<2>, panels::<3>, panels::<4>],
            across: [across::<1>, across::<2>, across::<3>, across::<4>, across::<5>, across::<6>, across::<7>, across::<8>],
            along: [along::<1>, along::<2>, along::<3>, along::<4>, along::<5>, along::<6>, along::<7>, along::<8>],
            sandwich,
        };
    };
}
pub(crate) use micro_kernels;

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_as_wide_as_the_columns_allow() {
        let form = |columns: usize| {
            let Form { rows, columns } = super::super::avx512::KERNELS.form(columns);
            (rows, columns)
        };
        assert_eq!([1, 10, 16, 20, 32].map(form), [(12, 16), (12, 16), (12, 16), (12, 32), (12, 32)]);
        assert_eq!([48, 64, 128, 500, 10_000].map(form), [(9, 48), (6, 64), (6, 64), (6, 64), (6, 64)]);
        assert_eq!(form(96), (9, 48), "two panels of 48 load less than one of 64 and one of 32");
    }
}
