//! Rows summed by number, as the gradient of an embedding is: the table is made piece by piece, each finished while it is in the cache.

use crate::chain::Chain;
use crate::gather::Shared;
use crate::machine::{Io, Kernel};
use crate::pool::Pool;
use crate::scratch::{PARTIAL, with_scratch};
use std::ops::Range;

/// Elements of a piece of the table, about.
const PIECE: usize = 8192;
/// Elements of the table from which on the pool shares the work.
const LARGE: usize = 16 * 1024;

/// `y[s] = Σ of the rows x[i] with ids[i] = s`, in the order of the rows; rows whose number does not exist are left out.
///
/// Inputs: x of `[rows, width]` in f32, ids of `[rows]` in i32. Output: y of `[segments, width]`. It is the same for any number of threads.
#[derive(Debug)]
pub struct SegmentSum {
    segments: usize,
    rows: usize,
    width: usize,
    /// Segments of a piece, a power of two.
    piece: usize,
    chain: Option<Chain>,
}

impl SegmentSum {
    /// So many rows of `width` elements into so many segments.
    pub fn new(segments: usize, rows: usize, width: usize) -> SegmentSum {
        let piece = (PIECE / width.max(1)).max(1);
        SegmentSum { segments, rows, width, piece: 1 << piece.ilog2(), chain: None }
    }

    fn pieces(&self) -> usize {
        self.segments.div_ceil(self.piece)
    }

    /// The segments of a piece.
    fn segments_of(&self, piece: usize) -> Range<usize> {
        piece * self.piece..self.segments.min((piece + 1) * self.piece)
    }

    /// Sorts the rows by the piece that they belong to: for each piece where its rows end in `order`.
    fn sort(&self, ids: &[i32], ends: &mut [u32], order: &mut [u32]) {
        let piece = |id: i32| usize::try_from(id).ok().filter(|s| *s < self.segments).map(|s| s >> self.piece.ilog2());
        ends.fill(0);
        ids.iter().filter_map(|id| piece(*id)).for_each(|p| ends[p] += 1);
        let mut before = 0;
        for end in ends.iter_mut() {
            (*end, before) = (before, before + *end);
        }
        for (i, id) in ids.iter().enumerate() {
            if let Some(p) = piece(*id) {
                order[ends[p] as usize] = i as u32;
                ends[p] += 1;
            }
        }
    }

    /// Adds rows to those of the segments `of`, in `y`.
    fn add(&self, x: &[f32], ids: &[i32], rows: &[u32], of: &Range<usize>, y: &mut [f32]) {
        let width = self.width;
        for &i in rows {
            let (i, s) = (i as usize, ids[i as usize] as usize - of.start);
            let target = &mut y[s * width..(s + 1) * width];
            target.iter_mut().zip(&x[i * width..(i + 1) * width]).for_each(|(y, x)| *y += x);
        }
    }
}

/// A set of segments of a piece.
struct Segments([u64; PIECE / 64]);

impl Segments {
    fn insert(&mut self, s: usize) {
        self.0[s / 64] |= 1 << (s % 64);
    }

    fn contains(&self, s: usize) -> bool {
        self.0[s / 64] >> (s % 64) & 1 > 0
    }
}

impl Kernel for SegmentSum {
    fn name(&self) -> &'static str {
        "segment_sum"
    }

    fn scratch(&self) -> usize {
        (self.pieces() + self.rows) * 4
    }

    fn fuses(&self) -> bool {
        true
    }

    fn fuse(mut self: Box<Self>, chain: Chain) -> Box<dyn Kernel> {
        self.chain = Some(chain);
        self
    }

    fn in_place(&self, input: usize, output: usize) -> bool {
        self.chain.as_ref().is_some_and(|c| c.in_place(input, output))
    }

    fn flops(&self) -> f64 {
        (self.rows * self.width) as f64 + self.chain.as_ref().map_or(0.0, Chain::flops)
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let (width, pieces) = (self.width, self.pieces());
        let (x, ids) = (io.input::<f32>(0), &io.input::<i32>(1)[..self.rows]);
        assert!(x.len() >= self.rows * width, "the rows are shorter than the shapes");
        let bound = self.chain.as_ref().map(|c| c.bind(io));
        // Where the sums go: to an output, or to memory of the thread's own for what follows.
        let target = match &bound {
            None => Some(Shared(io.output::<f32>(0).as_mut_ptr())),
            Some(b) => b.hosted().map(Shared),
        };
        let (ends, order) = io.scratch::<u32>().split_at_mut(pieces);
        self.sort(ids, ends, order);
        let (ends, order) = (&*ends, &*order);
        let one = |p: usize, own: &mut [f32]| {
            let of = self.segments_of(p);
            let (from, to) = (of.start * width, of.end * width);
            let first = if p == 0 { 0 } else { ends[p - 1] };
            let rows = &order[first as usize..ends[p] as usize];
            let y = match &target {
                // SAFETY: this piece of the table, which nobody else has.
                Some(y) => unsafe { std::slice::from_raw_parts_mut(y.at(from), to - from) },
                None => &mut own[..to - from],
            };
            if target.is_some() {
                y.fill(0.0);
            }
            self.add(x, ids, rows, &of, y);
            let Some(b) = &bound else { return };
            let mut touched = Segments([0; PIECE / 64]);
            rows.iter().for_each(|i| touched.insert(ids[*i as usize] as usize - of.start));
            let raw = y.as_mut_ptr().wrapping_sub(from);
            let range = |s: usize| from + s * width..from + (s + 1) * width;
            let segments = || (0..of.len()).filter(|s| touched.contains(*s));
            // SAFETY: these elements are complete, and nobody else has them.
            unsafe {
                match b.keeps {
                    // Segments that no row falls into are complete.
                    true => b.apply_to(raw, segments().map(range)),
                    false => b.apply_to(raw, std::iter::once(from..to)),
                }
            }
            if target.is_none() {
                segments().for_each(|s| y[s * width..(s + 1) * width].fill(0.0));
            }
        };
        let tasks = if self.segments * width < LARGE { 1 } else { (8 * pool.threads()).min(pieces) };
        pool.run(tasks, &|t| {
            let own = if target.is_some() { 0 } else { self.piece * width };
            with_scratch(&PARTIAL, own, |memory| {
                // SAFETY: the memory is this thread's own, and as long as a piece.
                let own = unsafe { std::slice::from_raw_parts_mut(memory, own) };
                // So it is between two pieces.
                own.fill(0.0);
                (pieces * t / tasks..pieces * (t + 1) / tasks).for_each(|p| one(p, own));
            });
        });
    }
}
