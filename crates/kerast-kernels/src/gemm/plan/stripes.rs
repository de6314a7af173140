//! Products whose B is large and read once: it is cut into stripes of columns, each packed and multiplied by all rows of A before the next.

use super::{Form, Gemm, Operands, Plan, RESULT_BLOCK, Right, Shared, Team, even, pack};
use crate::gemm::Epilogue;
use crate::gemm::ahead::Ahead;
use crate::scratch::{LEFT, RIGHT, SHARED, with_scratch};
use std::ops::Range;

/// Columns of a stripe.
const STRIPE: usize = 256;
/// Elements of B from which on bringing all of it into another order first would wait for memory.
const LARGE: usize = 512 * 1024;
/// Elements of A that stay in the cache meanwhile.
const KEPT: usize = 384 * 1024;
/// Stripes at least; fewer are enough where A is packed too, once for all of them.
const MANY: usize = 12;
const SOME: usize = 4;

/// Whether stripes suit a product that packs B, and perhaps A.
pub(super) fn suit(g: &Gemm, pack_left: bool, threads: usize) -> bool {
    let least = if pack_left { SOME } else { MANY };
    g.k * g.n >= LARGE && g.m * g.k <= KEPT && g.n / STRIPE >= least.max(2 * threads)
}

/// How many stripes so many panels are.
pub(super) fn count(panels: usize, form: Form) -> usize {
    panels.div_ceil((STRIPE / form.columns).max(1))
}

impl Plan<'_> {
    /// All stripes, one task each. What is packed of A is packed once for all of them.
    pub(super) unsafe fn stripes(&self, o: Operands, team: Team<'_>, epilogue: Option<Epilogue<'_>>) {
        let (g, stack) = (self.g, self.stack());
        let stacks = g.m.div_ceil(stack);
        let sizes = |d: usize| stacks * self.stack_size(even(g.k, self.depths, d).len());
        let size = if self.pack_left { (0..self.depths).map(sizes).sum() } else { 0 };
        with_scratch(if team.0.is_some() { &SHARED } else { &LEFT }, size, |left| {
            let left = Shared(left);
            if self.pack_left {
                let tasks = team.threads().min(stacks);
                team.run(tasks, &|t| {
                    let mine = even(stacks, tasks, t);
                    let rows = mine.start * stack..(mine.end * stack).min(g.m);
                    for d in 0..self.depths {
                        let ks = even(g.k, self.depths, d);
                        let to = (0..d).map(sizes).sum::<usize>() + mine.start * self.stack_size(ks.len());
                        // SAFETY: rows and stretch lie within A; every stack has its own place in the scratch memory.
                        unsafe { self.pack_left(o, left.get().wrapping_add(to), &rows, &ks) };
                    }
                });
            }
            team.run(self.groups.parts, &|t| {
                let mine = self.groups.part(self.panels(), t);
                // SAFETY: passed on; stripes are disjoint.
                unsafe { self.stripe(o, left, mine, epilogue) };
            });
        });
    }

    /// The panels `mine`, one block of rows after the other, each finished while it is in the cache. B is packed for the first.
    unsafe fn stripe(&self, o: Operands, left: Shared, mine: Range<usize>, epilogue: Option<Epilogue<'_>>) {
        let (g, wide, stack) = (self.g, self.form.columns, self.stack());
        let stacks = g.m.div_ceil(stack);
        let columns = mine.start * wide..(mine.end * wide).min(g.n);
        let blocks = (g.m * columns.len()).div_ceil(RESULT_BLOCK).min(stacks);
        let size = if blocks == 1 { g.k.div_ceil(self.depths) } else { g.k * mine.len() } * wide;
        with_scratch(&RIGHT, size, |own| {
            for block in 0..blocks {
                let part = even(stacks, blocks, block);
                let rows = part.start * stack..(part.end * stack).min(g.m);
                let mut left = left.get();
                for d in 0..self.depths {
                    let ks = even(g.k, self.depths, d);
                    let size = if self.pack_left { self.stack_size(ks.len()) } else { 0 };
                    let place = |p: usize| match blocks {
                        1 => own,
                        _ => own.wrapping_add((ks.start * mine.len() + (p - mine.start) * ks.len()) * wide),
                    };
                    for p in mine.clone() {
                        let (to, follows) = (place(p), p + 1 < mine.end);
                        let next = if block == 0 {
                            // SAFETY: the panel lies within B; the scratch memory holds it.
                            unsafe { pack(self.kernels, self.right(o, ks.clone(), p..p + 1), wide, to) };
                            let start = o.right(ks.start * g.b.row + (p + 1) * wide * g.b.col);
                            if follows { self.ahead(start, Right::Own, rows.len(), ks.len()) } else { Ahead::NONE }
                        } else if follows {
                            Ahead::packed(place(p + 1), self.form, rows.len(), ks.len())
                        } else {
                            Ahead::NONE
                        };
                        let left = left.wrapping_add(part.start * size);
                        // SAFETY: as demanded of the caller.
                        unsafe { self.panel(o, left, (to, wide), (p, next, p == mine.start), &rows, &ks) };
                    }
                    left = left.wrapping_add(stacks * size);
                }
                if let Some(e) = epilogue {
                    e(rows, columns.clone());
                }
            }
        });
    }
}
