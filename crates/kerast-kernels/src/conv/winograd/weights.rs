//! Sums over positions: the gradient by the weights.

use super::{BLOCK_BY_WEIGHTS, Cut, Product, SHIFT, Squares};
use crate::conv::problem::{Operands, Problem};
use crate::conv::strip::Source;
use crate::gemm::Epilogue;
use crate::gemm::drive::{Shared, Team};
use crate::gemm::micro::{Kernels, even};
use crate::gemm::toom::Sandwich;
use crate::scratch::{LEFT, PARTIAL, with_scratch};
use std::ops::Range;

/// Partial sums of all parts, and parts at most.
const PARTIALS: usize = 1 << 20;
const PARTS: usize = 16;

/// Sums over positions: `p` as in [`crate::conv::weights`], `cut` that of the convolution which is differentiated.
///
/// # Safety
/// As for [`crate::conv::conv_f32`].
pub(in crate::conv) unsafe fn solve_weights(
    kernels: &Kernels,
    p: &Problem,
    cut: &Cut,
    o: Operands,
    team: Team<'_>,
    epilogue: Option<Epilogue<'_>>,
) {
    let row = cut.outputs.next_multiple_of(kernels.lanes);
    let plane = cut.inputs * row + SHIFT;
    let cells = cut.places() * plane;
    let lines = cut.examples * cut.rows;
    let most = cut.lines(cut.inputs.next_multiple_of(kernels.lanes) + row, BLOCK_BY_WEIGHTS);
    let parts = (PARTIALS / cells).clamp(1, PARTS).min(lines.div_ceil(most));
    with_scratch(&PARTIAL, parts * cells, |sums| {
        let sums = Shared(sums);
        let work = ByWeights { kernels, p, cut, o, row, plane };
        team.run(parts, &|part| {
            let mine = even(lines, parts, part);
            let blocks = mine.len().div_ceil(most);
            for b in 0..blocks {
                let lines = even(mine.len(), blocks, b);
                let lines = mine.start + lines.start..mine.start + lines.end;
                // SAFETY: every part has sums of its own.
                unsafe { work.block(lines, sums.get().wrapping_add(part * cells), b > 0) };
            }
        });
        let tasks = cut.inputs.min(4 * team.threads());
        let team = if cells * parts < 64 * 1024 { Team(None) } else { team };
        team.run(tasks, &|t| {
            for channel in even(cut.inputs, tasks, t) {
                // SAFETY: every input channel has sums and results of its own.
                unsafe { work.combine(sums.get(), parts, cells, channel) };
            }
        });
    });
    if let Some(e) = epilogue {
        e(0..p.batch * p.positions(), 0..p.outputs);
    }
}

/// A sum over positions under way.
struct ByWeights<'a> {
    kernels: &'a Kernels,
    p: &'a Problem,
    cut: &'a Cut,
    o: Operands,
    /// Strides of the sums, by input channel and by place.
    row: usize,
    plane: usize,
}

impl ByWeights<'_> {
    /// Adds some rows of tiles to the sums of all places.
    unsafe fn block(&self, lines: Range<usize>, sums: *mut f32, accumulate: bool) {
        let (p, cut, kernels) = (self.p, self.cut, self.kernels);
        let [_, h, w] = p.axes;
        let tiles = lines.len() * cut.columns;
        let form = kernels.form(cut.outputs);
        let (a_row, b_row) = (cut.inputs.next_multiple_of(kernels.lanes), self.row);
        let (left, right) = (tiles * a_row + SHIFT, tiles * b_row + SHIFT);
        let x = Source {
            base: self.o.input(0),
            step: [0, h.x as isize, w.x as isize],
            size: [1, h.input, w.input],
            channel: p.x_batch,
            channels: cut.inputs,
        };
        let dy = Source {
            base: self.o.weight(0),
            step: [0, h.w, w.w],
            size: [1, h.kernel, w.kernel],
            channel: p.w_output,
            channels: cut.outputs,
        };
        let x = Squares { source: x, example: p.x_channel, pad: [h.pad, w.pad], count: cut.products };
        let dy = Squares { source: dy, example: p.w_input, pad: [0; 2], count: cut.side };
        with_scratch(&LEFT, cut.places() * (left + right), |mixed| {
            let other = mixed.wrapping_add(cut.places() * left);
            // SAFETY: the scratch memory holds all places of all tiles of both operands.
            unsafe {
                cut.mix(kernels, &x, lines.clone(), mixed, left, a_row);
                cut.mix(kernels, &dy, lines, other, right, b_row);
            }
            for place in 0..cut.places() {
                let product = Product {
                    form,
                    m: cut.inputs,
                    n: cut.outputs,
                    k: tiles,
                    a: mixed.wrapping_add(place * left),
                    a_steps: [1, a_row],
                    b: other.wrapping_add(place * right),
                    b_step: b_row,
                    b_panel: form.columns,
                    c: sums.wrapping_add(place * self.plane),
                    c_row: self.row,
                    next: None,
                    padded: false,
                    accumulate,
                };
                // SAFETY: the scratch memory and the sums hold all of this place.
                unsafe { product.run(kernels) };
            }
        });
    }

    /// Adds the parts of one input channel up, in order, and mixes its places into the taps of y.
    unsafe fn combine(&self, sums: *mut f32, parts: usize, cells: usize, channel: usize) {
        let (p, cut) = (self.p, self.cut);
        let [_, h, w] = p.axes;
        let first = sums.wrapping_add(channel * self.row);
        // SAFETY: this channel's rows of every place and part.
        unsafe {
            for place in 0..cut.places() {
                let to = first.add(place * self.plane);
                for part in 1..parts {
                    (0..cut.outputs).for_each(|k| *to.add(k) += *to.add(part * cells + k));
                }
            }
            let taps = Sandwich {
                x: first,
                x_steps: [cut.products * self.plane, self.plane],
                y: self.o.output(channel * p.y_batch),
                y_steps: [h.y, w.y],
                channels: cut.outputs,
                count: 1,
                x_next: 0,
                y_next: 0,
            };
            (self.kernels.sandwich)(cut.products, cut.taps)(&taps);
        }
    }
}
