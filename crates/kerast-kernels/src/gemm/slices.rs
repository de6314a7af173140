//! Products whose threads share K.

use super::drive::{DEPTH, Operands, Plan, Shared, Team};
use super::micro::{Kernels, even};
use super::{Epilogue, Gemm};
use crate::scratch::{PARTIAL, with_scratch};

/// Whether C is so small beside B that threads better share K: each reads its part of B alone, and finds there what it wrote when it
/// computed the gradient of B. By the shape alone.
pub(super) fn sliced(g: &Gemm) -> bool {
    g.m >= 2 && g.n >= 2 && g.k >= 512 && g.k >= 4 * g.m && g.m * g.n <= 32 * 1024 && g.k * g.n >= 64 * 1024
}

/// Blocks of K, each summed up in registers. By the shape alone.
pub(super) fn depths(g: &Gemm) -> usize {
    let depths = g.k.div_ceil(DEPTH).max(1);
    if sliced(g) { depths.next_multiple_of(4) } else { depths }
}

/// A product whose blocks of K are tasks. The sums are those that one thread gets block by block.
///
/// # Safety
/// As for [`super::gemm_f32`].
pub(super) unsafe fn slices(kernels: &Kernels, g: &Gemm, o: Operands, team: Team<'_>, epilogue: Option<Epilogue<'_>>) {
    let (depths, cells) = (depths(g), g.m * g.n);
    with_scratch(&PARTIAL, depths * cells, |sums| {
        let (sums, c) = (Shared(sums), Shared(o.c));
        team.run(depths, &|d| {
            let ks = even(g.k, depths, d);
            let piece = Gemm { k: ks.len(), c_row: g.n, accumulate: false, ..g.clone() };
            let at = o.at(ks.start * g.a.col, ks.start * g.b.row, 0);
            let mut plan = Plan::new(kernels, &piece, 1, false, false);
            plan.depths = 1;
            // SAFETY: a stretch of K, summed into scratch memory of its own.
            unsafe { plan.run(Operands { c: sums.get().add(d * cells), ..at }, Team(None), None) }
        });
        let blocks = (2 * team.threads()).min(g.m);
        team.run(blocks, &|t| {
            let rows = even(g.m, blocks, t);
            for i in rows.clone() {
                // SAFETY: row i of C, which no other task has, and of every partial sum, which are complete.
                unsafe {
                    let row = std::slice::from_raw_parts_mut(c.get().add(i * g.c_row), g.n);
                    for d in 0..depths {
                        let sum = std::slice::from_raw_parts(sums.get().add(d * cells + i * g.n), g.n);
                        match d == 0 && !g.accumulate {
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
