//! Products by the machine's matrix unit (AMX), as exact as by its vectors.
//!
//! The unit multiplies tiles of 16 x 32 by 32 x 16 bf16 and sums up in f32, which holds products of bf16 exactly. An f32 is the sum of three
//! bf16, a high, a middle and a low part, so a product of two f32 is nine products of parts. The six largest are taken; the other
//! three together are at most 2^-23 of the product, as little as one rounding. The sums make up for it: the unit adds 16 products, and 16
//! others beside, before it rounds to the sum so far, so that K/32 * 6 roundings stand where a loop over K has K. The unit is 16 times as
//! fast as vectors, so this is at most 2.7 times as fast; cutting operands into parts, and a lower clock, take some of it.
//!
//! Operands that hold an infinity, a NaN or a number beyond bf16's go to the vectors. Parts below 2^-126 count as zero: an f32 below
//! 2^-110 loses its last digits.

mod parts;
mod tiles;

use super::drive::{Operands, Shared, Team};
use super::micro::{Kernels, Unit, even};
use super::plan::Plan;
use super::{Epilogue, Gemm};
use crate::scratch::{LEFT, RIGHT, SHARED, with_scratch};
use parts::{BLOCK, Form, PANEL, Side, pack, unpack};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use tiles::{Tiles, block};

/// The micro-kernels of AVX-512, and the matrix unit.
pub(crate) static KERNELS: Kernels = Kernels { unit: Some(&UNIT), ..super::avx512::TABLE };

static UNIT: Unit = Unit { suits, product, packed_len, prepack, prepacked };

/// Multiplications per element of both operands, half of it, from which on they outweigh the cutting. On a quiet machine 32 would do; where
/// another thread has a share of the core, 100.
const WORTH: usize = 128;
/// Steps of K of both operands that are cut into parts at a time.
const CHUNK: usize = 1024;
/// Steps of K that a block of C is summed up over before it is written, and panels of the shared operand that a panel of a task's own is
/// multiplied by in turn: those, and the one, stay in the L1 cache.
const DEPTH: usize = 128;
const NEAR: usize = 2;
/// Rows or columns of C that one task computes, about: its part of an operand stays in its L2 cache.
const TASK: usize = 128;
/// The same where an epilogue works on rows of so many columns.
const RUN: usize = 256;
/// Rows or columns of the other operand before what they give is finished, while it is in the cache.
const GROUP: usize = 256;

fn suits(g: &Gemm) -> bool {
    g.k >= 16 && g.m * g.n >= WORTH * (g.m + g.n)
}

/// Steps of K in whole tiles.
fn tiles_of(k: usize) -> usize {
    k.div_ceil(parts::DEPTH)
}

/// Elements of memory for so many rows or columns, so many tiles deep.
fn size(count: usize, deep: usize) -> usize {
    count.div_ceil(PANEL) * deep * BLOCK
}

fn packed_len(g: &Gemm) -> usize {
    size(g.n, tiles_of(g.k))
}

unsafe fn prepack(g: &Gemm, b: *const f32, packed: *mut f32, team: Team<'_>) -> bool {
    let right = Side { source: b, across: g.b.col, deep: g.b.row, form: Form::Right };
    // SAFETY: passed on; `packed` holds all panels.
    unsafe { !pack_all(&right, g.n, 0..g.k, Shared(packed), team) }
}

unsafe fn prepacked(g: &Gemm, o: Operands, team: Team<'_>, epilogue: Option<Epilogue<'_>>) {
    // SAFETY: passed on.
    unsafe { multiply(g, o, true, team, epilogue) }
}

unsafe fn product(g: &Gemm, o: Operands, team: Team<'_>, epilogue: Option<Epilogue<'_>>) {
    // SAFETY: passed on.
    unsafe { multiply(g, o, false, team, epilogue) }
}

/// Cuts everything of one operand into parts; whether something in it has none.
unsafe fn pack_all(side: &Side, count: usize, ks: Range<usize>, to: Shared, team: Team<'_>) -> bool {
    let (panels, deep) = (count.div_ceil(PANEL), tiles_of(ks.len()));
    let tasks = if team.threads() > 1 { panels.min(4 * team.threads()) } else { 1 };
    let wild = AtomicBool::new(false);
    team.run(tasks, &|t| {
        let mine = even(panels, tasks, t);
        let lines = mine.start * PANEL..count.min(mine.end * PANEL);
        // SAFETY: every panel has its own place.
        if unsafe { pack(side, lines, ks.clone(), to.get().add(mine.start * deep * BLOCK)) } {
            wild.store(true, Ordering::Relaxed);
        }
    });
    wild.into_inner()
}

/// One operand is cut into parts for all tasks, the other by each task for itself. `packed`: B comes cut.
unsafe fn multiply(g: &Gemm, o: Operands, packed: bool, team: Team<'_>, epilogue: Option<Epilogue<'_>>) {
    let left = Side { source: o.a, across: g.a.row, deep: g.a.col, form: Form::Left };
    let right = Side { source: o.b, across: g.b.col, deep: g.b.row, form: Form::Right };
    let by_rows = packed || g.n <= g.m;
    let ((shared, most), (own, count)) =
        if by_rows { ((right, g.n), (left, g.m)) } else { ((left, g.m), (right, g.n)) };
    let panels = count.div_ceil(PANEL);
    let task = if epilogue.is_some() && !by_rows { RUN } else { TASK };
    let tasks = (count.div_ceil(task)).next_multiple_of(team.threads()).min(panels);
    let deep = tiles_of(g.k);
    let chunks = g.k.div_ceil(CHUNK);
    for chunk in 0..chunks {
        let stretch = even(deep, chunks, chunk);
        let ks = stretch.start * parts::DEPTH..g.k.min(stretch.end * parts::DEPTH);
        let memory = if packed { 0 } else { size(most, stretch.len()) };
        with_scratch(if team.0.is_some() { &SHARED } else { &RIGHT }, memory, |memory| {
            let (parts, panel, wild) = match packed {
                true => (Shared(o.b.cast_mut().wrapping_add(stretch.start * BLOCK)), deep * BLOCK, false),
                // SAFETY: passed on; the scratch memory holds all panels.
                false => (Shared(memory), stretch.len() * BLOCK, unsafe {
                    pack_all(&shared, most, ks.clone(), Shared(memory), team)
                }),
            };
            let work = Work { g, o, by_rows, ks, stretch: stretch.len(), parts, panel, most, wild, packed };
            let epilogue = if chunk + 1 == chunks { epilogue } else { None };
            team.run(tasks, &|t| {
                let mine = even(panels, tasks, t);
                let lines = mine.start * PANEL..count.min(mine.end * PANEL);
                // SAFETY: passed on; tasks have disjoint blocks of C.
                unsafe { work.task(&own, lines, epilogue) };
            });
        });
    }
}

/// What the tasks of one chunk of K have in common.
struct Work<'a> {
    g: &'a Gemm,
    o: Operands,
    /// Tasks have rows of C, and share B.
    by_rows: bool,
    /// The chunk, and how many tiles deep it is.
    ks: Range<usize>,
    stretch: usize,
    /// The shared operand's parts, elements from one panel to the next, its rows or columns.
    parts: Shared,
    panel: usize,
    most: usize,
    /// The shared operand has no parts.
    wild: bool,
    /// B is there as parts only.
    packed: bool,
}

impl Work<'_> {
    /// What `lines` of a task's own operand give with all of the shared one.
    unsafe fn task(&self, own: &Side, lines: Range<usize>, epilogue: Option<Epilogue<'_>>) {
        with_scratch(&LEFT, size(lines.len(), self.stretch), |memory| {
            // SAFETY: passed on; the scratch memory holds all panels.
            unsafe {
                let wild = pack(own, lines.clone(), self.ks.clone(), memory);
                let area = |mine: Range<usize>, others: Range<usize>| match self.by_rows {
                    true => (mine, others),
                    false => (others, mine),
                };
                if wild || self.wild {
                    let (rows, columns) = area(lines.clone(), 0..self.most);
                    self.vectors(rows.clone(), columns.clone());
                    if let Some(e) = epilogue {
                        e(rows, columns);
                    }
                    return;
                }
                let groups = self.most.div_ceil(GROUP);
                for group in 0..groups {
                    let others = even(self.most.div_ceil(PANEL), groups, group);
                    {
                        let tiles = Tiles::begin();
                        self.group(&tiles, memory, &lines, others.clone());
                    }
                    if let Some(e) = epilogue {
                        let (rows, columns) =
                            area(lines.clone(), others.start * PANEL..self.most.min(others.end * PANEL));
                        e(rows, columns);
                    }
                }
            }
        });
    }

    /// The same with some panels of the shared operand.
    unsafe fn group(&self, tiles: &Tiles, memory: *const f32, lines: &Range<usize>, others: Range<usize>) {
        let depths = self.stretch.div_ceil(DEPTH / parts::DEPTH);
        for d in 0..depths {
            let depth = even(self.stretch, depths, d);
            let fresh = !self.g.accumulate && self.ks.start == 0 && d == 0;
            for near in others.clone().step_by(NEAR) {
                for p in 0..lines.len().div_ceil(PANEL) {
                    let ours = memory.wrapping_add((p * self.stretch + depth.start) * BLOCK);
                    let (mine, many) = (lines.start + p * PANEL, PANEL.min(lines.len() - p * PANEL));
                    for other in near..others.end.min(near + NEAR) {
                        let theirs =
                            self.parts.get().wrapping_add(other * self.panel + depth.start * BLOCK).cast_const();
                        let (other, few) = (other * PANEL, PANEL.min(self.most - other * PANEL));
                        let (a, b, i, j, rows, columns) = match self.by_rows {
                            true => (ours, theirs, mine, other, many, few),
                            false => (theirs, ours, other, mine, few, many),
                        };
                        let c = self.o.c.wrapping_add(i * self.g.c_row + j);
                        // SAFETY: the block lies within C, and the panels are this deep.
                        unsafe { block(tiles, (a, b, depth.len()), c, self.g.c_row, (rows, columns), fresh) };
                    }
                }
            }
        }
    }

    /// A block of C without the matrix unit.
    unsafe fn vectors(&self, rows: Range<usize>, columns: Range<usize>) {
        let (g, ks) = (self.g, &self.ks);
        let accumulate = g.accumulate || ks.start > 0;
        let mut piece = Gemm { m: rows.len(), n: columns.len(), k: ks.len(), accumulate, ..g.clone() };
        let of_b = ks.start * g.b.row + columns.start * g.b.col;
        let mut o = self.o.at(rows.start * g.a.row + ks.start * g.a.col, of_b, rows.start * g.c_row + columns.start);
        let whole = if self.packed { ks.len() * g.n } else { 0 };
        with_scratch(&RIGHT, whole, |whole| {
            // SAFETY: as demanded of the caller.
            unsafe {
                if self.packed {
                    unpack(self.parts.get(), self.panel, g.n, ks.len(), whole);
                    o.b = whole.wrapping_add(columns.start);
                    (piece.b.row, piece.b.col) = (g.n, 1);
                }
                Plan::new(&super::avx512::KERNELS, &piece, 1, false, false).run(o, Team(None), None);
            }
        });
    }
}
