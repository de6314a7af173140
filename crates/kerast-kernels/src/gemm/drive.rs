//! Which way a product in f32 goes: a batch of them, one with a packed B, one too small to plan, one cut along K.

use super::ahead::LINE;
use super::micro::{Form, Kernels, Tile, Unit, WHOLE, even};
use super::plan::{PANEL, Plan, Right};
use super::slices::{depths, parts, shared, sliced};
use super::{Epilogue, Gemm, vector};
use crate::pool::Pool;
use std::ops::Range;

/// Up to so many multiplications a product is done without a plan.
const TINY: usize = 16 * 1024;
/// Below this many operations one thread is quicker.
const PARALLEL: f64 = 1.5e6;

/// The three matrices.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    pub(crate) a: *const f32,
    pub(crate) b: *const f32,
    pub(crate) c: *mut f32,
}

// SAFETY: tasks read A and B and write disjoint parts of C.
unsafe impl Send for Operands {}
// SAFETY: as above.
unsafe impl Sync for Operands {}

impl Operands {
    pub(super) fn at(self, a: usize, b: usize, c: usize) -> Operands {
        Operands { a: self.a.wrapping_add(a), b: self.b.wrapping_add(b), c: self.c.wrapping_add(c) }
    }

    /// Element `offset` of B; a method, so that closures borrow the whole.
    pub(super) fn right(&self, offset: usize) -> *const f32 {
        self.b.wrapping_add(offset)
    }
}

/// A pointer that tasks share.
#[derive(Clone, Copy)]
pub(crate) struct Shared(pub(crate) *mut f32);
// SAFETY: tasks write disjoint parts, or read what was written before they began.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// The pointer; a method, so that closures borrow the whole.
    #[inline]
    pub(crate) fn get(&self) -> *mut f32 {
        self.0
    }
}

/// Who works on one product: the whole pool, or the thread that calls.
#[derive(Clone, Copy)]
pub(crate) struct Team<'a>(pub(crate) Option<&'a Pool>);

impl Team<'_> {
    pub(crate) fn threads(self) -> usize {
        self.0.map_or(1, Pool::threads)
    }

    pub(crate) fn run(self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        match self.0 {
            Some(pool) => pool.run(tasks, task),
            None => (0..tasks).for_each(task),
        }
    }
}

/// All products of a batch.
///
/// # Safety
/// As for [`super::gemm_f32`].
pub(crate) unsafe fn batched(kernels: &Kernels, g: &Gemm, o: Operands, pool: &Pool, epilogue: Option<Epilogue<'_>>) {
    let g = merged(g);
    if g.batch == 0 || g.m == 0 || g.n == 0 {
        return;
    }
    let parallel = parallel(&g, pool);
    let item = |b: usize, team: Team<'_>| {
        let [of_a, of_b, of_c] = g.starts(b);
        let at = o.at(of_a, of_b, of_c);
        let shifted = |rows: Range<usize>, columns: Range<usize>| {
            if let Some(e) = epilogue {
                e(b * g.m + rows.start..b * g.m + rows.end, columns)
            }
        };
        let epilogue: Option<Epilogue<'_>> = if epilogue.is_some() { Some(&shifted) } else { None };
        // SAFETY: matrix b of each operand.
        unsafe { product(kernels, &g, at, team, epilogue) }
    };
    let team = Team(parallel.then_some(pool));
    if parallel && g.batch >= 2 * pool.threads() {
        let tasks = g.batch.min(8 * pool.threads());
        team.run(tasks, &|t| even(g.batch, tasks, t).for_each(|b| item(b, Team(None))));
    } else {
        (0..g.batch).for_each(|b| item(b, team));
    }
}

/// Products with the same B as one, where the rows follow each other.
fn merged(g: &Gemm) -> Gemm {
    let mut g = g.clone();
    let rows_follow = g.group >= g.batch && (g.a.batch == g.m * g.a.row || g.m == 1);
    if g.batch > 1 && g.b.batch == 0 && rows_follow && (g.c_batch == g.m * g.c_row || g.m == 1) {
        if g.m == 1 {
            (g.a.row, g.c_row) = (g.a.batch, g.c_batch);
        }
        g.m *= g.batch;
        g.batch = 1;
    }
    g
}

/// Elements of B in the order in which products read it, if they would otherwise have to bring it into that order every time. What
/// comes before says whether it is that of the matrix unit.
pub(crate) fn packed_len(kernels: &Kernels, g: &Gemm) -> Option<usize> {
    let g = merged(g);
    let packs = g.batch == 1 && g.m >= 2 && g.n >= 2 && g.k > 0 && parts(kernels, &g) < 2;
    let order = g.n.next_multiple_of(kernels.form(g.n).columns) * g.k;
    let other = unit(kernels, &g).map_or(0, |unit| (unit.packed_len)(&g));
    packs.then(|| LINE + order.max(other))
}

/// The matrix unit, where it is quicker.
fn unit(kernels: &Kernels, g: &Gemm) -> Option<&'static Unit> {
    kernels.unit.filter(|unit| (unit.suits)(g))
}

/// Brings B into that order.
///
/// # Safety
/// `b` is readable for [`Gemm::extents`] elements, `packed` is writable for [`packed_len`].
pub(crate) unsafe fn prepack(kernels: &Kernels, g: &Gemm, b: *const f32, packed: *mut f32, team: Team<'_>) {
    let g = merged(g);
    let o = Operands { a: std::ptr::null(), b, c: std::ptr::null_mut() };
    // SAFETY: passed on.
    unsafe {
        let to = packed.add(LINE);
        let units = unit(kernels, &g).is_some_and(|unit| (unit.prepack)(&g, b, to, team));
        packed.write(f32::from(u8::from(units)));
        if !units {
            let plan = Plan::new(kernels, &g, 1, false, true);
            plan.pack_right(o, Shared(to), 0..plan.panels(), team);
        }
    }
}

/// The product with what [`prepack`] made in place of B.
///
/// # Safety
/// As for [`super::gemm_f32`], but for B.
pub(crate) unsafe fn prepacked(
    kernels: &Kernels,
    g: &Gemm,
    o: Operands,
    team: Team<'_>,
    epilogue: Option<Epilogue<'_>>,
) {
    let g = merged(g);
    // SAFETY: passed on; `prepack` wrote what comes before the operand.
    unsafe {
        let packed = Operands { b: o.b.add(LINE), ..o };
        if let Some(unit) = kernels.unit.filter(|_| *o.b != 0.0) {
            return (unit.prepacked)(&g, packed, team, epilogue);
        }
        let plan = Plan::new(kernels, &g, team.threads(), epilogue.is_some(), true);
        plan.share(packed, Right::Packed(Shared(packed.b.cast_mut())), 0..plan.panels(), team, epilogue);
    }
}

/// Whether this many operations keep more than one thread busy.
pub(crate) fn parallel(g: &Gemm, pool: &Pool) -> bool {
    pool.threads() > 1 && g.flops() >= if g.m == 1 || g.n == 1 { PARALLEL / 8.0 } else { PARALLEL }
}

/// One product; the batch strides do not matter.
///
/// # Safety
/// As for [`super::gemm_f32`].
pub(crate) unsafe fn product(kernels: &Kernels, g: &Gemm, o: Operands, team: Team<'_>, epilogue: Option<Epilogue<'_>>) {
    // SAFETY: passed on; stretches of K are summed into memory of their own.
    unsafe {
        if let Some(unit) = unit(kernels, g) {
            return (unit.product)(g, o, team, epilogue);
        }
        match parts(kernels, g) {
            1 => part(kernels, g, o, team, epilogue),
            parts => shared(g, o, parts, team, epilogue, &|piece, o| part(kernels, piece, o, Team(None), None)),
        }
    }
}

/// One product whose K is not cut into parts.
unsafe fn part(kernels: &Kernels, g: &Gemm, o: Operands, team: Team<'_>, epilogue: Option<Epilogue<'_>>) {
    // SAFETY: passed on.
    unsafe {
        if vector::product(kernels, g, o, team, epilogue) || tiny(kernels, g, o, epilogue) {
            return;
        }
        if team.threads() > 1 && sliced(g) {
            return shared(g, o, depths(kernels, g), team, epilogue, &|piece, o| {
                let mut plan = Plan::new(kernels, piece, 1, false, false);
                plan.depths = 1;
                plan.run(o, Team(None), None)
            });
        }
        let plan = Plan::new(kernels, g, team.threads(), epilogue.is_some(), false);
        plan.run(o, team, epilogue);
    }
}

/// A product so small that planning it would take longer than computing it; false if it is none.
///
/// # Safety
/// As for [`super::gemm_f32`].
unsafe fn tiny(kernels: &Kernels, g: &Gemm, o: Operands, epilogue: Option<Epilogue<'_>>) -> bool {
    let Form { rows, columns } = kernels.form(g.n);
    let small = g.m * g.n <= 1024 && g.m * g.n * g.k <= TINY && g.k * columns <= PANEL;
    if !small || g.b.col != 1 || !kernels.masks || g.a.col != 1 && g.a.row != 1 {
        return false;
    }
    let by_column = g.a.col != 1;
    for j in (0..g.n).step_by(columns) {
        for i in (0..g.m).step_by(rows) {
            let tile = Tile {
                segments: &WHOLE,
                k: g.k,
                a: o.a.wrapping_add(i * g.a.row),
                a_row: g.a.row,
                a_step: g.a.col,
                b: o.right(j),
                b_step: g.b.row,
                c: o.c.wrapping_add(i * g.c_row + j),
                c_row: g.c_row,
                columns: columns.min(g.n - j),
                padded: false,
                accumulate: g.accumulate,
                ahead: std::ptr::null(),
                ahead_step: 0,
            };
            // SAFETY: the tile lies within the operands.
            unsafe { kernels.pick(by_column, rows.min(g.m - i), tile.columns)(&tile) };
        }
    }
    if let Some(e) = epilogue {
        e(0..g.m, 0..g.n);
    }
    true
}
