//! Products of a matrix with one vector, or with a few, bound by the traffic of the matrix.

use super::drive::{Operands, Shared, Team};
use super::micro::{DOTS, Kernels, Micro, Tile, WHOLE, even};
use super::{Epilogue, Gemm};
use crate::scratch::{VECTOR, with_scratch};
use std::ops::Range;

/// Rows up to which a transposed matrix is read once for dot products with all of them, rather than packed.
const ROWS: usize = 8;

/// out[i*out_row + j*out_step] = Σ_p x[i*x_row + p*x_step] * m[j*across + p*down] for i below `rows` and j below `count`.
struct Vector<'a> {
    kernels: &'a Kernels,
    m: *const f32,
    across: usize,
    down: usize,
    x: *const f32,
    x_row: usize,
    x_step: usize,
    out: *mut f32,
    out_row: usize,
    out_step: usize,
    rows: usize,
    count: usize,
    k: usize,
    accumulate: bool,
}

/// Told of the results that are complete.
type Report<'a> = &'a (dyn Fn(Range<usize>) + Sync);

// SAFETY: tasks read the operands and write disjoint parts of `out`.
unsafe impl Sync for Vector<'_> {}

/// Computes a product of few rows or of one column; `false` when it is neither, or better done by tiles.
///
/// # Safety
/// As for [`super::gemm_f32`].
pub(super) unsafe fn product(
    kernels: &Kernels,
    g: &Gemm,
    o: Operands,
    team: Team<'_>,
    epilogue: Option<Epilogue<'_>>,
) -> bool {
    let common = Vector {
        kernels,
        m: o.b,
        across: g.b.col,
        down: g.b.row,
        x: o.a,
        x_row: g.a.row,
        x_step: g.a.col,
        out: o.c,
        out_row: g.c_row,
        out_step: 1,
        rows: g.m,
        count: g.n,
        k: g.k,
        accumulate: g.accumulate,
    };
    let column = g.m > 1 && g.n == 1;
    let v = if column {
        let (m, across, down) = (o.a, g.a.row, g.a.col);
        Vector { m, across, down, x: o.b, x_step: g.b.row, out_step: g.c_row, rows: 1, count: g.m, ..common }
    } else if g.m == 1 || g.m <= ROWS && g.a.col == 1 && g.b.row == 1 && g.n > 1 {
        common
    } else {
        return false;
    };
    let report = |range: Range<usize>| {
        if let Some(e) = epilogue {
            if column { e(range, 0..1) } else { e(0..g.m, range) }
        }
    };
    if v.down == 1 && v.k >= 2 * kernels.lanes {
        // SAFETY: the operands were checked by the caller.
        unsafe { v.by_dots(team, &report) };
    } else if v.rows == 1 && v.across == 1 && v.out_step == 1 {
        // SAFETY: as above.
        unsafe { v.by_columns(team, &report) };
    } else {
        return false;
    }
    true
}

impl Vector<'_> {
    fn spread(&self, team: Team<'_>, unit: usize, report: Report<'_>, work: &(dyn Fn(Range<usize>) + Sync)) {
        let units = self.count.div_ceil(unit);
        let tasks = units.min(if team.threads() > 1 { 2 * team.threads() } else { 1 });
        team.run(tasks, &|t| {
            let u = even(units, tasks, t);
            let range = u.start * unit..(u.end * unit).min(self.count);
            work(range.clone());
            report(range);
        });
    }

    /// The matrix is contiguous along the sum: one dot product per result. Several rows lie as the matrix does.
    unsafe fn by_dots(&self, team: Team<'_>, report: Report<'_>) {
        with_scratch(&VECTOR, if self.x_step == 1 { 0 } else { self.k }, |copy| {
            let mut x = Shared(self.x.cast_mut());
            if self.x_step != 1 {
                for p in 0..self.k {
                    // SAFETY: element p of the vector and of its copy.
                    unsafe { *copy.add(p) = *self.x.add(p * self.x_step) };
                }
                x = Shared(copy);
            }
            self.spread(team, DOTS, report, &|range| {
                for (j, row) in range.clone().step_by(DOTS).flat_map(|j| (0..self.rows).map(move |row| (j, row))) {
                    let count = DOTS.min(range.end - j);
                    let mut sums = [0.0; DOTS];
                    // SAFETY: `count` rows of the matrix and places of the result exist from j on.
                    unsafe {
                        let (m, x) = (self.m.add(j * self.across), x.get().add(row * self.x_row));
                        (self.kernels.dots)(m, self.across, count, x, self.k, &mut sums);
                        for i in 0..count {
                            let c = self.out.add(row * self.out_row + (j + i) * self.out_step);
                            *c = if self.accumulate { *c + sums[i] } else { sums[i] };
                        }
                    }
                }
            });
        });
    }

    /// The matrix and the result are contiguous across: many results at once.
    unsafe fn by_columns(&self, team: Team<'_>, report: Report<'_>) {
        let wide = 8 * self.kernels.lanes;
        self.spread(team, wide, report, &|range| {
            let mut j = range.start;
            while j < range.end {
                let left = range.end - j;
                let (columns, micro): (usize, Micro) = if left >= wide {
                    (wide, self.kernels.wide)
                } else {
                    let columns = left.min(self.kernels.widest());
                    (columns, self.kernels.pick(true, 1, columns))
                };
                let tile = Tile {
                    segments: &WHOLE,
                    k: self.k,
                    a: self.x,
                    a_row: 1,
                    a_step: self.x_step,
                    b: self.m.wrapping_add(j),
                    b_step: self.down,
                    c: self.out.wrapping_add(j),
                    c_row: 0,
                    columns,
                    padded: false,
                    accumulate: self.accumulate,
                    ahead: std::ptr::null(),
                    ahead_step: 0,
                };
                // SAFETY: the columns exist in the matrix and in the result.
                unsafe { micro(&tile) };
                j += columns;
            }
        });
    }
}
