//! How one product in f32 is cut into blocks and tasks.
//!
//! K is cut by the shape alone; threads share rows, columns and matrices. So every element of C is the same sum in the
//! same order whoever computes it.

mod stripes;

use super::ahead::{Ahead, LINE};
use super::drive::{Operands, Shared, Team};
use super::micro::{Form, Kernels, Tile, WHOLE, even};
use super::pack::{Panel, pack, pack_rows};
use super::slices::depths;
use super::split::Split;
use super::{Epilogue, Gemm};
use crate::scratch::{LEFT, RIGHT, SHARED, with_scratch};
use std::ops::Range;

/// Elements of a panel of B. With tiles as low as 6 rows it comes as quickly from the L2 cache; a smaller one has C read and written more
/// often.
pub(super) const PANEL: usize = 36 * 1024;
/// The same where A is read down its columns: each step of K fetches a line of which the next tile needs the rest.
pub(super) const PANEL_BY_COLUMNS: usize = 20 * 1024;
/// And where in addition A has few rows (at most the second number): packing a panel, and fetching it into the L1 cache, weigh more than
/// reading and writing C more often. It stays there for all tiles.
pub(super) const PANEL_FOR_FEW: (usize, usize) = (8 * 1024, 400);
/// Elements of A that a task keeps in its L2 cache.
const LEFT_BLOCK: usize = 80 * 1024;
/// Elements of B packed at a time.
const RIGHT_BLOCK: usize = 4 << 20;
/// Elements of B that are read in place rather than packed.
const RIGHT_DIRECT: usize = 8 * 1024;
/// From this many operations on tasks are tapered.
const TAPERED: f64 = 8e6;
/// Elements from one column of A to the next, from which on tiles that read them in place wait for each.
const FAR: usize = 440;
/// Columns of B that are not much more than a panel.
const WIDE: usize = 64;
/// Steps of K up to which writing C takes longer than the sums, and elements of C from which on it is not written in the cache: row by row
/// then, because the machine foresees such streams and has few pages at hand.
const SHORT: usize = 64;
const ACROSS: usize = 64 * 1024;
/// Rows of A that are packed side by side, about.
const STACK: usize = 12;
/// Elements of C that an epilogue finds in the L2 cache of the thread that made them.
const RESULT_BLOCK: usize = 96 * 1024;
/// Columns of a block at least when an epilogue works on it row by row.
const RUN: usize = 256;
/// Elements of B up to which it stays in the L2 cache beside other things, and up to which most of it does.
const RIGHT_NEAR: usize = 128 * 1024;
const RIGHT_FAR: usize = 480 * 1024;
/// Whether rows of A are brought side by side.
pub(super) fn packs_left(g: &Gemm) -> bool {
    match (g.a.col, g.a.row) {
        (1, _) => false,
        (_, 1) => g.m > 2 && (g.n > 512 || g.a.col >= FAR && g.n > 96),
        _ => g.m > 1,
    }
}

/// How tasks get at B.
#[derive(Clone, Copy)]
pub(super) enum Right {
    /// Where it is.
    InPlace,
    /// Packed for all tasks.
    Packed(Shared),
    /// Each task packs a panel just before it is used; none is used by two tasks.
    Own,
}

/// How one product is blocked.
pub(super) struct Plan<'a> {
    kernels: &'a Kernels,
    g: &'a Gemm,
    form: Form,
    /// Blocks of K.
    pub(super) depths: usize,
    /// Blocks of rows and groups of panels: one task each.
    blocks: Split,
    groups: Split,
    /// A's rows are contiguous in memory down the columns: kernels that read columns.
    by_column: bool,
    pack_left: bool,
    pack_right: bool,
    /// Tiles go across the panels before they go down the rows.
    across: bool,
    /// Groups of panels are [`stripes`]: B is read once.
    striped: bool,
}

impl<'a> Plan<'a> {
    /// `packed`: B comes packed.
    pub(super) fn new(kernels: &'a Kernels, g: &'a Gemm, threads: usize, epilogue: bool, packed: bool) -> Plan<'a> {
        let form = kernels.form(g.n);
        let panels = g.n.div_ceil(form.columns);
        let depths = depths(kernels, g);
        let depth = g.k.div_ceil(depths).max(1);
        let by_column = g.a.col != 1 && (g.a.row == 1 || g.m == 1);
        let pack_left = packs_left(g);
        // Rows of A up to which reading B in place beats packing it. From memory B comes quickest row by row.
        let few = if g.k * g.n <= RIGHT_NEAR {
            192
        } else if g.k * g.n <= RIGHT_FAR {
            40
        } else {
            7
        };
        let small = g.k * g.n <= RIGHT_DIRECT || g.m <= few || g.b.row <= WIDE;
        let pack_right = packed || g.b.col != 1 || !small || !kernels.masks && !g.n.is_multiple_of(kernels.lanes);
        let across = g.k <= SHORT && panels > 1 && g.k * g.n <= LEFT_BLOCK && g.m * g.n >= ACROSS;
        let mut blocks = (g.m * depth).div_ceil(LEFT_BLOCK);
        let mut groups = 1;
        let striped = !packed && pack_right && !across && stripes::suit(g, pack_left, threads);
        if striped {
            (blocks, groups) = (1, stripes::count(panels, form));
        } else if threads > 1 {
            let alone = !packed
                && pack_right
                && !across
                && blocks <= 1
                && (panels.is_multiple_of(threads) || panels >= 4 * threads);
            groups = if panels.is_multiple_of(threads) { threads } else { panels.min(4 * threads) };
            if epilogue && groups == threads {
                groups *= (g.m * g.n / threads).div_ceil(RESULT_BLOCK);
            }
            let short = epilogue && g.n < groups * RUN;
            // Each thread then reads all of A, and its part of a B that is much larger only once.
            let apart = packed && 8 * g.m <= g.n && panels >= 2 * threads;
            if (short || panels == 1 || !alone && g.m >= 24 * threads) && !apart {
                // More blocks read B more often: only while it stays in the cache itself.
                if epilogue && g.k * g.n <= LEFT_BLOCK {
                    blocks = (g.m * (depth + g.n)).div_ceil(LEFT_BLOCK);
                }
                let most = g.m.div_ceil(6);
                blocks = blocks.next_multiple_of(threads).min(most.max(1));
                groups = 1;
            }
        }
        let (mut blocks, mut groups) = (Split::even(blocks.max(1)), Split::even(groups));
        if threads > 1 && g.flops() >= TAPERED {
            match (blocks.parts, groups.parts) {
                (_, 1) => blocks = blocks.tapered(g.m / form.rows, threads),
                (1, _) => groups = groups.tapered(panels, threads),
                _ => {}
            }
        }
        Plan { kernels, g, form, depths, blocks, groups, by_column, pack_left, pack_right, across, striped }
    }

    pub(super) fn panels(&self) -> usize {
        self.g.n.div_ceil(self.form.columns)
    }

    pub(super) unsafe fn run(&self, o: Operands, team: Team<'_>, epilogue: Option<Epilogue<'_>>) {
        let (g, wide) = (self.g, self.form.columns);
        let panels = self.panels();
        if self.striped {
            // SAFETY: passed on.
            return unsafe { self.stripes(o, team, epilogue) };
        }
        if !self.pack_right || self.blocks.parts == 1 && !self.across {
            let right = if self.pack_right { Right::Own } else { Right::InPlace };
            // SAFETY: passed on.
            return unsafe { self.share(o, right, 0..panels, team, epilogue) };
        }
        let at_once = (RIGHT_BLOCK / (g.k.max(1) * wide)).max(1);
        let chunks = panels.div_ceil(at_once);
        for chunk in 0..chunks {
            let panels = even(panels, chunks, chunk);
            with_scratch(if team.0.is_some() { &SHARED } else { &RIGHT }, panels.len() * wide * g.k, |packed| {
                let packed = Shared(packed);
                // SAFETY: the scratch memory holds all panels of the chunk.
                unsafe {
                    self.pack_right(o, packed, panels.clone(), team);
                    self.share(o, Right::Packed(packed), panels, team, epilogue);
                }
            });
        }
    }

    /// Packs panels of B: first all panels of the first block of K, then of the second, and so on.
    pub(super) unsafe fn pack_right(&self, o: Operands, packed: Shared, panels: Range<usize>, team: Team<'_>) {
        let (g, wide) = (self.g, self.form.columns);
        let by_rows = g.b.col == 1;
        let pieces = if by_rows { g.k } else { self.depths * panels.len() };
        let team = if g.k * panels.len() * wide < 32 * 1024 { Team(None) } else { team };
        let tasks = if team.0.is_some() { pieces.min(4 * team.threads()) } else { 1 };
        let place = |ks: &Range<usize>, p: usize| (ks.start * panels.len() + p * ks.len()) * wide;
        team.run(tasks, &|t| {
            let mine = even(pieces, tasks, t);
            if by_rows {
                for d in 0..self.depths {
                    let ks = even(g.k, self.depths, d);
                    let (start, end) = (ks.start.max(mine.start), ks.end.min(mine.end));
                    if start < end {
                        let dst = packed.get().wrapping_add(place(&ks, 0) + (start - ks.start) * wide);
                        // SAFETY: rows of B to their places in the block of K that they belong to.
                        unsafe {
                            pack_rows(
                                self.kernels,
                                self.right(o, start..end, panels.clone()),
                                wide,
                                dst,
                                ks.len() * wide,
                            )
                        };
                    }
                }
                return;
            }
            for piece in mine {
                let (d, p) = (piece / panels.len(), piece % panels.len());
                let ks = even(g.k, self.depths, d);
                let panel = panels.start + p;
                // SAFETY: the piece lies within B, and behind all pieces before it in the scratch memory.
                unsafe {
                    let dst = packed.get().add(place(&ks, p));
                    pack(self.kernels, self.right(o, ks, panel..panel + 1), wide, dst);
                }
            }
        });
    }

    /// A stretch of K of some panels of B.
    fn right(&self, o: Operands, ks: Range<usize>, panels: Range<usize>) -> Panel {
        let (g, wide) = (self.g, self.form.columns);
        Panel {
            src: o.right(ks.start * g.b.row + panels.start * wide * g.b.col),
            deep: g.b.row,
            wide: g.b.col,
            depth: ks.len(),
            across: (panels.len() * wide).min(g.n - panels.start * wide),
        }
    }

    /// Shares the blocks of C in the given columns out.
    pub(super) unsafe fn share(
        &self,
        o: Operands,
        right: Right,
        panels: Range<usize>,
        team: Team<'_>,
        epilogue: Option<Epilogue<'_>>,
    ) {
        let groups = if self.groups.parts <= panels.len() { self.groups } else { Split::even(panels.len()) };
        team.run(self.blocks.parts * groups.parts, &|t| {
            let rows = self.blocks.part(self.g.m, t / groups.parts);
            let mine = groups.part(panels.len(), t % groups.parts);
            // SAFETY: tasks have disjoint blocks of C.
            unsafe { self.block(o, right, &panels, mine.clone(), rows.clone()) };
            if let Some(e) = epilogue {
                let column = |panel: usize| ((panels.start + panel) * self.form.columns).min(self.g.n);
                e(rows, column(mine.start)..column(mine.end));
            }
        });
    }

    /// Computes rows `rows` of C in panels `mine` (counted from the start of `panels`).
    unsafe fn block(&self, o: Operands, right: Right, panels: &Range<usize>, mine: Range<usize>, rows: Range<usize>) {
        let (stack, wide) = (self.stack(), self.form.columns);
        let depth = self.g.k.div_ceil(self.depths);
        let left_size = if self.pack_left { rows.len().div_ceil(stack) * self.stack_size(depth) } else { 0 };
        let right_size = if matches!(right, Right::Own) { depth * wide } else { 0 };
        with_scratch(&LEFT, left_size, |left| {
            with_scratch(&RIGHT, right_size, |own| {
                for d in 0..self.depths {
                    let ks = even(self.g.k, self.depths, d);
                    if self.pack_left {
                        // SAFETY: rows and stretch lie within A; the scratch memory holds all tiles.
                        unsafe { self.pack_left(o, left, &rows, &ks) };
                    }
                    if self.across {
                        // SAFETY: as demanded of the caller.
                        return unsafe { self.across(o, left, right, panels, mine, &rows) };
                    }
                    for p in mine.clone() {
                        let panel = panels.start + p;
                        let source = self.source(o, right, panels, d, p);
                        let (b, b_step) = match right {
                            Right::InPlace => (source, self.g.b.row),
                            Right::Packed(_) => (source, wide),
                            Right::Own => {
                                // SAFETY: the panel lies within B; the scratch memory holds it.
                                unsafe { pack(self.kernels, self.right(o, ks.clone(), panel..panel + 1), wide, own) };
                                (own.cast_const(), wide)
                            }
                        };
                        let follows = match p + 1 < mine.end {
                            true => Some((d, p + 1)),
                            false => (d + 1 < self.depths).then_some((d + 1, mine.start)),
                        };
                        let next = follows.map_or(Ahead::NONE, |(d, p)| {
                            self.ahead(self.source(o, right, panels, d, p), right, rows.len(), ks.len())
                        });
                        // SAFETY: as demanded of the caller.
                        unsafe { self.panel(o, left, (b, b_step), (panel, next, p == mine.start), &rows, &ks) };
                    }
                }
            });
        });
    }

    /// All tiles of one panel of B, which is (where, elements between its rows), and one block of K.
    unsafe fn panel(
        &self,
        o: Operands,
        left: *const f32,
        (b, b_step): (*const f32, usize),
        (panel, next, first): (usize, Ahead, bool),
        rows: &Range<usize>,
        ks: &Range<usize>,
    ) {
        let (g, wide) = (self.g, self.form.columns);
        let tile = Tile {
            segments: &WHOLE,
            k: ks.len(),
            a: left,
            a_row: 1,
            a_step: self.stack(),
            b,
            b_step,
            c: o.c.wrapping_add(panel * wide),
            c_row: g.c_row,
            columns: wide.min(g.n - panel * wide),
            padded: self.pack_right,
            accumulate: g.accumulate || ks.start > 0,
            ahead: std::ptr::null(),
            ahead_step: 0,
        };
        // SAFETY: as demanded of the caller.
        unsafe { self.column(o, tile, next, first, rows, ks.start) };
    }

    /// All tiles of `mine`, one row of them after the other; K is one block.
    unsafe fn across(
        &self,
        o: Operands,
        left: *const f32,
        right: Right,
        panels: &Range<usize>,
        mine: Range<usize>,
        rows: &Range<usize>,
    ) {
        let (g, wide, stack) = (self.g, self.form.columns, self.stack());
        let stacks = rows.len().div_ceil(stack);
        for s in 0..stacks {
            let own = self.rows_of(rows.len(), s);
            let tiles = own.len().div_ceil(self.form.rows);
            for r in (0..tiles).map(|t| even(own.len(), tiles, t)) {
                let i = rows.start + own.start + r.start;
                let (a, a_row, a_step) = match self.pack_left {
                    true => (left.wrapping_add(s * self.stack_size(g.k) + r.start), 1, stack),
                    false => (o.a.wrapping_add(i * g.a.row), g.a.row, g.a.col),
                };
                for p in mine.clone() {
                    let column = (panels.start + p) * wide;
                    let tile = Tile {
                        segments: &WHOLE,
                        k: g.k,
                        a,
                        a_row,
                        a_step,
                        b: self.source(o, right, panels, 0, p),
                        b_step: if matches!(right, Right::InPlace) { g.b.row } else { wide },
                        c: o.c.wrapping_add(i * g.c_row + column),
                        c_row: g.c_row,
                        columns: wide.min(g.n - column),
                        padded: !matches!(right, Right::InPlace),
                        accumulate: g.accumulate,
                        ahead: std::ptr::null(),
                        ahead_step: 0,
                    };
                    let micro = self.kernels.pick(self.by_column || self.pack_left, r.len(), tile.columns);
                    // SAFETY: the tile lies within the operands.
                    unsafe { micro(&tile) };
                }
            }
        }
    }

    /// Where panel `p` of `panels` lies in block `d` of K before a task packs it.
    fn source(&self, o: Operands, right: Right, panels: &Range<usize>, d: usize, p: usize) -> *const f32 {
        let (g, wide) = (self.g, self.form.columns);
        let ks = even(g.k, self.depths, d);
        match right {
            Right::Packed(all) => all.get().wrapping_add((ks.start * panels.len() + p * ks.len()) * wide),
            _ => o.right(ks.start * g.b.row + (panels.start + p) * wide * g.b.col),
        }
    }

    /// What the tiles of one panel bring closer when the next one is at `start`.
    fn ahead(&self, start: *const f32, right: Right, rows: usize, depth: usize) -> Ahead {
        match right {
            Right::Packed(_) => Ahead::packed(start, self.form, rows, depth),
            _ if self.g.b.col == 1 => Ahead::columns(start, self.form.columns, self.g.b.row),
            _ => Ahead::NONE,
        }
    }

    /// Rows of A that are packed side by side: of one tile, or of two low ones, so that less is copied at a time in vain.
    fn stack(&self) -> usize {
        let high = self.form.rows;
        if self.pack_left { high * (STACK / high).max(1) } else { high }
    }

    /// Elements from one stack to the next: an odd number of cache lines, lest those that are filled side by side share a few sets.
    fn stack_size(&self, depth: usize) -> usize {
        ((self.stack() * depth).div_ceil(LINE) | 1) * LINE
    }

    /// The rows of stack `index` of `count`: whole stacks where they are packed, else stacks as even as can be.
    fn rows_of(&self, count: usize, index: usize) -> Range<usize> {
        let stack = self.stack();
        match self.pack_left {
            true => index * stack..((index + 1) * stack).min(count),
            false => even(count, count.div_ceil(stack), index),
        }
    }

    unsafe fn pack_left(&self, o: Operands, left: *mut f32, rows: &Range<usize>, ks: &Range<usize>) {
        let (g, stack) = (self.g, self.stack());
        let source = |r: Range<usize>| Panel {
            src: o.a.wrapping_add((rows.start + r.start) * g.a.row + ks.start * g.a.col),
            deep: g.a.col,
            wide: g.a.row,
            depth: ks.len(),
            across: r.len(),
        };
        if g.a.row == 1 {
            // SAFETY: the rows exist; every stack has its own place in the scratch memory.
            return unsafe { pack_rows(self.kernels, source(0..rows.len()), stack, left, self.stack_size(ks.len())) };
        }
        for t in 0..rows.len().div_ceil(stack) {
            // SAFETY: as above.
            unsafe {
                pack(self.kernels, source(self.rows_of(rows.len(), t)), stack, left.add(t * self.stack_size(ks.len())))
            };
        }
    }

    /// All tiles of one panel and one block of K. `tile` has A packed; the tiles bring `next` closer, but those of the first panel
    /// what comes after in A, if that lies evenly.
    unsafe fn column(&self, o: Operands, mut tile: Tile<'_>, next: Ahead, first: bool, rows: &Range<usize>, k: usize) {
        let (g, stack) = (self.g, self.stack());
        let stacks = rows.len().div_ceil(stack);
        let (left, c) = (tile.a, tile.c);
        if !self.pack_left {
            (tile.a_row, tile.a_step) = (g.a.row, g.a.col);
        }
        let mut t = 0;
        for s in 0..stacks {
            let mine = self.rows_of(rows.len(), s);
            let tiles = mine.len().div_ceil(self.form.rows);
            for r in (0..tiles).map(|t| even(mine.len(), tiles, t)) {
                let i = rows.start + mine.start + r.start;
                next.give(t, &mut tile);
                tile.c = c.wrapping_add(i * g.c_row);
                if self.pack_left {
                    tile.a = left.wrapping_add(s * self.stack_size(tile.k) + r.start);
                } else {
                    tile.a = o.a.wrapping_add(i * g.a.row + k * g.a.col);
                    if first && self.by_column {
                        // The same columns of the next block of K.
                        Ahead::lines(tile.a.wrapping_add(tile.k * g.a.col), g.a.col).give(0, &mut tile);
                    } else if first && g.a.row == tile.k {
                        // The next tile.
                        Ahead::lines(tile.a.wrapping_add(r.len() * g.a.row), LINE).give(0, &mut tile);
                    }
                }
                let micro = self.kernels.pick(self.by_column || self.pack_left, r.len(), tile.columns);
                // SAFETY: the tile lies within the operands.
                unsafe { micro(&tile) };
                t += 1;
            }
        }
    }
}
