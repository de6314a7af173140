//! Products whose tasks are stretches of K.

use super::drive::{Operands, Shared, Team};
use super::micro::{Kernels, even};
use super::plan::{PANEL, PANEL_BY_COLUMNS, PANEL_FOR_FEW, packs_left};
use super::{Epilogue, Gemm};
use crate::scratch::{PARTIAL, with_scratch};

/// Partial sums that one thread adds up as quickly.
const FEW: usize = 16 * 1024;

/// Into how many parts K is cut when C is small: by the shape alone.
pub(super) fn parts(kernels: &Kernels, g: &Gemm) -> usize {
    let form = kernels.form(g.n);
    let tiles = g.m.div_ceil(form.rows) * g.n.div_ceil(form.columns);
    if tiles <= 12 && g.m * g.n <= 8192 { (g.k / 1024).clamp(1, 16) } else { 1 }
}

/// Whether C is so small beside B that threads better share the blocks of K: each reads its part of B alone, and finds there what it
/// wrote when it computed the gradient of B. By the shape alone.
pub(super) fn sliced(g: &Gemm) -> bool {
    g.m >= 2 && g.n >= 2 && g.k >= 512 && g.k >= 4 * g.m && g.m * g.n <= 32 * 1024 && g.k * g.n >= 64 * 1024
}

/// Blocks of K, each summed up in registers. By the shape alone.
pub(super) fn depths(kernels: &Kernels, g: &Gemm) -> usize {
    let panel = match g.a.col == 1 || packs_left(g) {
        true => PANEL,
        false if g.m <= PANEL_FOR_FEW.1 => PANEL_FOR_FEW.0,
        false => PANEL_BY_COLUMNS,
    };
    let depths = (g.k * kernels.form(g.n).columns).div_ceil(panel).max(1);
    if sliced(g) { depths.next_multiple_of(4) } else { depths }
}

/// A product in `count` stretches of K, each computed by `product`, which overwrites its C; then their sum, in order.
///
/// # Safety
/// As for [`super::gemm_f32`].
pub(super) unsafe fn shared(
    g: &Gemm,
    o: Operands,
    count: usize,
    team: Team<'_>,
    epilogue: Option<Epilogue<'_>>,
    product: &(dyn Fn(&Gemm, Operands) + Sync),
) {
    let cells = g.m * g.n;
    with_scratch(&PARTIAL, count * cells, |sums| {
        let (sums, c) = (Shared(sums), Shared(o.c));
        team.run(count, &|p| {
            let ks = even(g.k, count, p);
            let piece = Gemm { k: ks.len(), c_row: g.n, accumulate: false, ..g.clone() };
            let at = o.at(ks.start * g.a.col, ks.start * g.b.row, 0);
            product(&piece, Operands { c: sums.get().wrapping_add(p * cells), ..at });
        });
        let team = if count * cells <= FEW { Team(None) } else { team };
        let blocks = (2 * team.threads()).min(g.m);
        team.run(blocks, &|t| {
            let rows = even(g.m, blocks, t);
            for i in rows.clone() {
                // SAFETY: row i of C, which no other task has, and of every partial sum, which are complete.
                unsafe {
                    let row = std::slice::from_raw_parts_mut(c.get().add(i * g.c_row), g.n);
                    for p in 0..count {
                        let sum = std::slice::from_raw_parts(sums.get().add(p * cells + i * g.n), g.n);
                        match p == 0 && !g.accumulate {
                            true => row.copy_from_slice(sum),
                            false => row.iter_mut().zip(sum).for_each(|(r, s)| *r += s),
                        }
                    }
                }
            }
            if let Some(e) = epilogue {
                e(rows, 0..g.n);
            }
        });
    });
}
