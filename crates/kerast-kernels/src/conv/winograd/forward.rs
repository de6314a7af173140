//! Sums over taps: the forward convolution, and its gradient by the input.

use super::{BLOCK, Cut, Product, SHIFT, Squares, WIDTH};
use crate::conv::finish::Finish;
use crate::conv::problem::{Operands, Problem};
use crate::conv::strip::Source;
use crate::gemm::drive::{Shared, Team};
use crate::gemm::micro::{Kernels, even};
use crate::gemm::pack::{Panel, pack};
use crate::gemm::toom::Sandwich;
use crate::scratch::{LEFT, RIGHT, SHARED, with_scratch};
use std::ops::Range;

/// Mixed weights beyond which threads rather mix all tiles each and read their own part of the weights once, in elements.
const NEAR: usize = 512 * 1024;
/// Mixed inputs and products of all tiles at most, if they do so.
const ALL: usize = 320 * 1024;
/// Input channels whose weights are mixed at a time.
const MIXED: usize = 32;

/// Elements of the mixed weights.
pub(in crate::conv) fn packed_len(kernels: &Kernels, cut: &Cut) -> usize {
    cut.places() * cut.inputs * cut.outputs.next_multiple_of(kernels.form(cut.outputs).columns)
}

/// Mixes the weights: [place][panel][input channel][column].
///
/// # Safety
/// `o.w` is readable as the problem says, `packed` is writable for [`packed_len`].
pub(in crate::conv) unsafe fn prepack(
    kernels: &Kernels,
    p: &Problem,
    cut: &Cut,
    o: Operands,
    packed: *mut f32,
    team: Team<'_>,
) {
    let [_, h, w] = p.axes;
    let wide = kernels.form(p.outputs).columns;
    let panel = p.inputs * wide;
    let place = p.outputs.div_ceil(wide) * panel;
    let chunks = p.inputs.div_ceil(MIXED);
    let pieces = p.outputs.div_ceil(wide) * chunks;
    let team = if pieces < 2 { Team(None) } else { team };
    let packed = Shared(packed);
    let micro = (kernels.sandwich)(cut.taps, cut.products);
    team.run(pieces, &|piece| {
        let (j, channels) = (piece / chunks, even(p.inputs, chunks, piece % chunks));
        let tap = channels.len() * wide;
        with_scratch(&RIGHT, cut.taps * cut.taps * tap, |taps| {
            for t in 0..cut.taps * cut.taps {
                let at = (t / cut.taps) as isize * h.w + (t % cut.taps) as isize * w.w;
                let source = Panel {
                    src: o.weight(at + (channels.start * p.w_input + j * wide * p.w_output) as isize),
                    deep: p.w_input,
                    wide: p.w_output,
                    depth: channels.len(),
                    across: wide.min(p.outputs - j * wide),
                };
                // SAFETY: one tap of these channels; the scratch memory holds all of them.
                unsafe { pack(kernels, source, wide, taps.add(t * tap)) };
            }
            let all = Sandwich {
                x: taps,
                x_steps: [cut.taps * tap, tap],
                y: packed.get().wrapping_add(j * panel + channels.start * wide),
                y_steps: [cut.products * place, place],
                channels: tap,
                count: 1,
                x_next: 0,
                y_next: 0,
            };
            // SAFETY: as above; every piece has its own part of every place.
            unsafe { micro(&all) };
        });
    });
}

/// # Safety
/// As for [`crate::conv::conv_f32`].
pub(in crate::conv) unsafe fn solve(
    kernels: &Kernels,
    p: &Problem,
    cut: &Cut,
    o: Operands,
    team: Team<'_>,
    finish: Finish<'_>,
) {
    with_scratch(&SHARED, if o.packed { 0 } else { packed_len(kernels, cut) }, |memory| {
        let weights = if o.packed { o.w } else { memory.cast_const() };
        let wide = kernels.form(p.outputs).columns;
        let panels = p.outputs.div_ceil(wide);
        let width = panels.min(WIDTH / wide) * wide;
        let lines = p.batch * cut.rows;
        let each = p.inputs.next_multiple_of(kernels.lanes) + width;
        let far = cut.places() * cut.inputs * cut.outputs > NEAR;
        let (blocks, groups) = if far && panels >= team.threads() && lines <= cut.lines(each, ALL) {
            (1, team.threads())
        } else {
            let blocks = lines.div_ceil(cut.lines(each, BLOCK)).next_multiple_of(team.threads()).min(lines);
            (blocks, if blocks < team.threads() { panels.min(team.threads()) } else { 1 })
        };
        let work = Forward { kernels, p, cut, o, weights, width, fetch: far || o.packed };
        // SAFETY: the scratch memory holds the mixed weights; tasks have blocks of y of their own.
        unsafe {
            if !o.packed {
                prepack(kernels, p, cut, o, memory, team);
            }
            team.run(blocks * groups, &|t| {
                let lines = even(lines, blocks, t / groups);
                let panels = even(panels, groups, t % groups);
                let channels = panels.start * wide..(panels.end * wide).min(p.outputs);
                let pixels = work.pixels(lines.start)..work.pixels(lines.end);
                finish.block(o.output(0), p.outputs, pixels, channels, |y| work.block(y, lines, panels));
            });
        }
    });
}

/// A sum over taps under way.
struct Forward<'a> {
    kernels: &'a Kernels,
    p: &'a Problem,
    cut: &'a Cut,
    o: Operands,
    weights: *const f32,
    /// Output channels at a time.
    width: usize,
    /// The weights are not close: they are many, or others were read since they were mixed.
    fetch: bool,
}

// SAFETY: tasks read x and the weights and write disjoint parts of y.
unsafe impl Sync for Forward<'_> {}

impl Forward<'_> {
    /// The first output position of a row of tiles, counted through all examples.
    fn pixels(&self, line: usize) -> usize {
        let [_, h, w] = self.p.axes;
        (line / self.cut.rows * h.output + line % self.cut.rows * self.cut.side) * w.output
    }

    /// Some rows of tiles, in some panels of output channels, of a result that begins at `y`.
    unsafe fn block(&self, y: *mut f32, lines: Range<usize>, panels: Range<usize>) {
        let (p, cut, form) = (self.p, self.cut, self.kernels.form(self.p.outputs));
        let wide = form.columns;
        let [_, h, w] = p.axes;
        let tiles = lines.len() * cut.columns;
        let row = p.inputs.next_multiple_of(self.kernels.lanes);
        let (panel, all) = (p.inputs * wide, p.outputs.div_ceil(wide));
        let (left, right) = (tiles * row + SHIFT, tiles * self.width + SHIFT);
        with_scratch(&LEFT, cut.places() * (left + right), |mixed| {
            let products = mixed.wrapping_add(cut.places() * left);
            let source = Source {
                base: self.o.input(0),
                step: [0, h.x as isize, w.x as isize],
                size: [1, h.input, w.input],
                channel: p.x_channel,
                channels: p.inputs,
            };
            let squares = Squares { source, example: p.x_batch, pad: [h.pad, w.pad], count: cut.products };
            // SAFETY: the scratch memory holds all places of all tiles, before and after the products.
            unsafe {
                cut.mix(self.kernels, &squares, lines.clone(), mixed, left, row);
                for first in panels.clone().step_by(self.width / wide) {
                    let some = first..panels.end.min(first + self.width / wide);
                    let channels = some.start * wide..p.outputs.min(some.end * wide);
                    let weights = |place: usize| self.weights.wrapping_add((place * all + some.start) * panel);
                    for place in 0..cut.places() {
                        let product = Product {
                            form,
                            m: tiles,
                            n: channels.len(),
                            k: p.inputs,
                            a: mixed.wrapping_add(place * left),
                            a_steps: [row, 1],
                            b: weights(place),
                            b_step: wide,
                            b_panel: panel,
                            c: products.wrapping_add(place * right),
                            c_row: self.width,
                            next: self.fetch.then(|| weights(place + 1)),
                            padded: true,
                            accumulate: false,
                        };
                        product.run(self.kernels);
                    }
                    self.unmix(y, products, right, lines.clone(), channels);
                }
            }
        });
    }

    /// Mixes the products of all places back into outputs.
    unsafe fn unmix(
        &self,
        y: *mut f32,
        products: *const f32,
        plane: usize,
        lines: Range<usize>,
        channels: Range<usize>,
    ) {
        let (p, cut) = (self.p, self.cut);
        let [_, h, w] = p.axes;
        let count = channels.len();
        let micro = (self.kernels.sandwich)(cut.products, cut.side);
        let whole = w.output / cut.side;
        let mut squares = Sandwich {
            x: products,
            x_steps: [cut.products * plane, plane],
            y,
            y_steps: [h.y, w.y],
            channels: count,
            count: whole,
            x_next: self.width,
            y_next: cut.side * w.y,
        };
        for line in lines {
            let (example, r) = (line / cut.rows, line % cut.rows * cut.side);
            let y = y.wrapping_add(example * p.y_batch + r * h.y + channels.start);
            // Tiles that reach beyond the output.
            let mut cut_off = 0..cut.columns;
            // SAFETY: whole tiles, or those elements of tiles that exist.
            unsafe {
                if r + cut.side <= h.output {
                    micro(&Sandwich { y, ..squares });
                    cut_off.start = whole;
                }
                with_scratch(&RIGHT, cut.side * cut.side * count, |own| {
                    for t in cut_off {
                        micro(&Sandwich {
                            x: squares.x.wrapping_add(t * self.width),
                            y: own,
                            y_steps: [cut.side * count, count],
                            count: 1,
                            ..squares
                        });
                        let q = t * cut.side;
                        for i in 0..cut.side.min(h.output - r) {
                            for j in 0..cut.side.min(w.output - q) {
                                let from = own.add((i * cut.side + j) * count);
                                std::ptr::copy_nonoverlapping(from, y.wrapping_add(i * h.y + (q + j) * w.y), count);
                            }
                        }
                    }
                });
            }
            squares.x = squares.x.wrapping_add(cut.columns * self.width);
        }
    }
}
