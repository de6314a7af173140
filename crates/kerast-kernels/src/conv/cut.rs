//! How output positions are shared out: blocks of rows, each with the strip of input that it meets.

use super::finish::Finish;
use super::problem::{Operands, Problem};
use super::strip::{Source, load};
use crate::gemm::drive::Team;
use crate::gemm::micro::{Kernels, Segment, even};
use crate::scratch::{LEFT, PARTIAL, with_scratch};
use std::ops::Range;

/// Elements of input that one task reads: they stay in its L2 cache next to the weights.
const STRIP: usize = 40 * 1024;

/// Channels of a group at least.
const CHANNELS: usize = 128;

/// Computes one block from the input at its first tap: (input, result at channel 0, stride of result rows, stride of
/// result pixels, rows and columns, channels). Channels of the result are side by side.
pub(super) type Work<'a> = &'a (dyn Fn(*const f32, *mut f32, usize, usize, [usize; 2], Range<usize>) + Sync);

/// The same for every task.
pub(super) struct Cut {
    /// The input is read in place, not from a copied strip.
    in_place: bool,
    /// Strides of the strip, or of the input.
    pub(super) pitch: [usize; 3],
    /// Rows and columns of output per task.
    block: [usize; 2],
    /// How many there are of such blocks.
    blocks: [usize; 2],
    /// Into how many groups the output channels are shared out, when there are too few rows for the threads.
    groups: usize,
}

/// The output of one task.
struct Block {
    example: usize,
    plane: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    channels: Range<usize>,
}

impl Cut {
    /// Whether every block can be whole rows of output, a multiple of `together` of them.
    pub(super) fn keeps(p: &Problem, together: usize) -> bool {
        let [_, h, w] = p.axes;
        strip(p, together.min(h.output), w.output) <= STRIP
    }

    /// `panel`: how many output channels stay together; 0 if all of them. `together`: how many rows of output, if [`Cut::keeps`] allows
    /// more than one.
    pub(super) fn new(p: &Problem, threads: usize, panel: usize, together: usize) -> Cut {
        let [d, h, w] = p.axes;
        let in_place = p.x_channel == 1 && p.axes.iter().all(|a| a.inside());
        let (rows, columns, groups) = block(p, threads, panel, together);
        let pitch = if in_place {
            [d.x, h.x, w.x]
        } else {
            let row = w.span(0, columns).1 * p.inputs;
            [h.span(0, rows).1 * row, row, p.inputs]
        };
        let blocks = [h.output.div_ceil(rows), w.output.div_ceil(columns)];
        Cut { in_place, pitch, block: [rows, columns], blocks, groups }
    }

    /// Where each tap lies in the input, `size` elements of weights apart; taps of a row together if wished.
    pub(super) fn taps(&self, p: &Problem, together: bool, size: usize) -> Vec<Segment> {
        let [d, h, w] = p.axes;
        let across = if together { 1 } else { w.kernel };
        let place = |tap: usize| {
            let (row, kw) = (tap / across, tap % across);
            let (kd, kh) = (row / h.kernel, row % h.kernel);
            kd * d.dilation * self.pitch[0] + kh * h.dilation * self.pitch[1] + kw * w.dilation * self.pitch[2]
        };
        (0..d.kernel * h.kernel * across).map(|tap| Segment { a: place(tap), b: tap * size }).collect()
    }

    /// Does the work block by block.
    ///
    /// # Safety
    /// The operands are those of the problem; `work` writes just the block that it is given.
    pub(super) unsafe fn run(
        &self,
        kernels: &Kernels,
        p: &Problem,
        o: Operands,
        team: Team<'_>,
        finish: Finish<'_>,
        work: Work<'_>,
    ) {
        team.run(p.batch * p.axes[0].output * self.blocks[0] * self.blocks[1] * self.groups, &|t| {
            let block = self.at(p, t);
            finish.block(o.output(0), p.outputs, block.pixels(p), block.channels.clone(), |y| {
                // SAFETY: tasks have disjoint blocks of y.
                unsafe { self.task(kernels, p, Operands { y, ..o }, &block, work) }
            });
        });
    }

    fn at(&self, p: &Problem, t: usize) -> Block {
        let [d, h, w] = p.axes;
        let (t, group) = (t / self.groups, t % self.groups);
        let (t, bw) = (t / self.blocks[1], t % self.blocks[1]);
        let (t, bh) = (t / self.blocks[0], t % self.blocks[0]);
        let range = |size: usize, i: usize, end: usize| i * size..end.min((i + 1) * size);
        Block {
            example: t / d.output,
            plane: t % d.output,
            rows: range(self.block[0], bh, h.output),
            columns: range(self.block[1], bw, w.output),
            channels: even(p.outputs, self.groups, group),
        }
    }

    unsafe fn task(&self, kernels: &Kernels, p: &Problem, o: Operands, b: &Block, work: Work<'_>) {
        let [d, h, w] = p.axes;
        let size = [b.rows.len(), b.columns.len()];
        let planes = d.span(b.plane, 1);
        let first = [planes.0, h.span(b.rows.start, 1).0, w.span(b.columns.start, 1).0];
        let x = o.input(b.example * p.x_batch);
        let y = o.output(b.example * p.y_batch + b.plane * d.y + b.rows.start * h.y + b.columns.start * w.y);
        let steps = [d.x, h.x, w.x];
        with_scratch(&LEFT, if self.in_place { 0 } else { planes.1 * self.pitch[0] }, |strip| {
            let left = if self.in_place {
                (0..3).fold(x, |x, i| x.wrapping_add(first[i] as usize * steps[i]))
            } else {
                let source = Source {
                    base: x,
                    step: steps.map(|s| s as isize),
                    size: [d.input, h.input, w.input],
                    channel: p.x_channel,
                    channels: p.inputs,
                };
                // The strides are those of a full block, also where this one is smaller.
                let count = [planes.1, self.pitch[0] / self.pitch[1], self.pitch[1] / self.pitch[2]];
                // SAFETY: the scratch memory holds the box.
                unsafe { load(kernels, &source, first, count, strip) };
                strip.cast_const()
            };
            if p.y_channel == 1 {
                return work(left, y, h.y, w.y, size, b.channels.clone());
            }
            with_scratch(&PARTIAL, size[0] * size[1] * p.outputs, |own| {
                work(left, own, size[1] * p.outputs, p.outputs, size, b.channels.clone());
                // SAFETY: the block lies within y; `own` holds all its results.
                unsafe { spread(kernels, p, own, y, size) };
            });
        });
    }
}

impl Block {
    /// Counted through all examples.
    fn pixels(&self, p: &Problem) -> Range<usize> {
        let [d, h, w] = p.axes;
        let row = (self.example * d.output + self.plane) * h.output;
        if self.columns.len() == w.output {
            return (row + self.rows.start) * w.output..(row + self.rows.end) * w.output;
        }
        // Blocks narrower than the output are one row high.
        let start = (row + self.rows.start) * w.output;
        start + self.columns.start..start + self.columns.end
    }
}

/// Elements of input under a block.
fn strip(p: &Problem, rows: usize, columns: usize) -> usize {
    let [d, h, w] = p.axes;
    d.span(0, 1).1 * h.span(0, rows).1 * w.span(0, columns).1 * p.inputs
}

/// Rows and columns of output per task, and groups of channels: by the size of the cache, and so that no thread is left
/// with more than the others. `panel` channels stay together.
fn block(p: &Problem, threads: usize, panel: usize, together: usize) -> (usize, usize, usize) {
    let [d, h, w] = p.axes;
    let mut columns = w.output;
    while columns > 24 && strip(p, 1, columns) > STRIP {
        columns = columns.div_ceil(2);
    }
    let lines = p.batch * d.output;
    if columns < w.output {
        while threads > 1 && columns > 48 && lines * h.output * w.output.div_ceil(columns) < threads {
            columns = columns.div_ceil(2);
        }
        return (1, w.output.div_ceil(w.output.div_ceil(columns)), 1);
    }
    let rows = |blocks: usize| h.output.div_ceil(blocks).next_multiple_of(together).min(h.output);
    let least = (1..=h.output).find(|&n| strip(p, rows(n), columns) <= STRIP).unwrap_or(h.output);
    // Rows of the thread that has most.
    let most = |blocks: usize| (lines * blocks).div_ceil(threads) * rows(blocks);
    let blocks = (least..=h.output.min(least + 4 * threads)).min_by_key(|&n| most(n)).unwrap_or(least);
    let shared = lines * least * rows(least);
    let divides = panel > 0 && p.outputs.is_multiple_of(threads * panel) && p.outputs >= threads * CHANNELS;
    match divides && p.y_channel == 1 && threads * most(blocks) * 15 > shared * 16 {
        true => (rows(least), columns, threads),
        false => (rows(blocks), columns, 1),
    }
}

/// Moves results from [row][pixel][channel] to where y has them.
unsafe fn spread(kernels: &Kernels, p: &Problem, own: *const f32, y: *mut f32, size: [usize; 2]) {
    let [_, h, w] = p.axes;
    for line in 0..size[0] {
        let src = own.wrapping_add(line * size[1] * p.outputs);
        let dst = y.wrapping_add(line * h.y);
        // SAFETY: a row of the block.
        unsafe {
            if w.y == 1 {
                (kernels.transpose)(src, p.outputs, size[1], p.outputs, dst, p.y_channel, size[1]);
                continue;
            }
            for i in 0..size[1] {
                for c in 0..p.outputs {
                    *dst.add(i * w.y + c * p.y_channel) = *src.add(i * p.outputs + c);
                }
            }
        }
    }
}
