//! Convolutions with small square windows in fewer multiplications: Winograd's and Cook's and Toom's algorithms.
//!
//! The output is cut into tiles of m x m positions. The (m + r - 1)² inputs that a tile meets, and the weights, are
//! mixed by the matrices in [`toom`](crate::gemm::toom); then every one of the (m + r - 1)² places is a plain product of
//! tiles by channels, and its results are mixed back. With 3 x 3 weights and tiles of 2 x 2 that takes 16 products where the sum as it
//! stands takes 36, and with fewer additions per output it rounds less too. Tiles of 4 x 4 take 36 in place of 144, tiles of 2 x 2
//! with 5 x 5 weights 36 in place of 100, both at two to four times the rounding errors of the plain sum, about 1e-6 of the results.
//!
//! An output shares the rounding errors of its tile: where inputs of very different size, infinities or NaN lie side by side, they
//! reach outputs up to a tile away. The environment variable `KERAST_WINOGRAD=off` keeps to the plain sums.
//!
//! Tiles are worked on in rows of tiles, as many at a time as fit the cache with all that belongs to them. A tile is
//! computed the same way wherever it falls; gradients by the weights are summed up in parts that depend on the
//! shape alone.

use super::problem::{Axis, Operands, Problem};
use super::strip::{Source, load};
use crate::gemm::Epilogue;
use crate::gemm::drive::{Shared, Team};
use crate::gemm::micro::{Kernels, Sandwich, Tile, WHOLE, even};
use crate::gemm::pack::{Panel, pack};
use crate::scratch::{LEFT, PARTIAL, RIGHT, SHARED, with_scratch};
use std::ops::Range;
use std::sync::OnceLock;

/// Mixed inputs and products of a task at a time, in elements: they stay in its L2 cache.
const BLOCK: usize = 144 * 1024;
/// The same for a gradient by the weights, next to its sums.
const BLOCK_BY_WEIGHTS: usize = 72 * 1024;
/// Mixed weights, or sums of a gradient by the weights, that stay in that cache from block to block; and at most.
const RESIDENT: usize = 160 * 1024;
const MOST: usize = 2400 * 1024;
/// Partial sums of all parts of a gradient by the weights, and parts at most.
const PARTIALS: usize = 1 << 20;
const PARTS: usize = 16;
/// Channels at least, of input and output.
const CHANNELS: usize = 16;
/// Output channels at a time, where there are many.
const WIDTH: usize = 128;
/// Input channels whose weights are mixed at a time.
const MIXED: usize = 32;
/// Keeps the planes of mixed elements off each other's places in the cache.
const SHIFT: usize = 16;

/// How a convolution is cut into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Outputs, taps and products of a tile in one direction.
    side: usize,
    taps: usize,
    products: usize,
    /// Rows of tiles of an example, and tiles of a row.
    rows: usize,
    columns: usize,
    examples: usize,
    inputs: usize,
    outputs: usize,
}

impl Cut {
    /// For sums over taps; none where the sum as it stands is as quick.
    pub(super) fn of(p: &Problem) -> Option<Cut> {
        let [d, h, w] = p.axes;
        let dense = d.trivial() && plain(&h) && plain(&w) && p.y_channel == 1;
        let sizes = [p.batch, p.inputs, p.outputs];
        dense.then(|| Cut::best([h.kernel, w.kernel], [h.output, w.output], sizes, BLOCK, 1.0))?
    }

    /// For sums over positions.
    pub(super) fn by_weights(p: &Problem) -> Option<Cut> {
        let [d, h, w] = p.axes;
        let dense = d.trivial() && plain(&h) && plain(&w) && p.y_channel == 1;
        let sizes = [p.inputs, p.batch, p.outputs];
        // Sums are read and written.
        dense.then(|| Cut::best([h.output, w.output], [h.kernel, w.kernel], sizes, BLOCK_BY_WEIGHTS, 2.0))?
    }

    /// The quickest way for so many taps, positions, and examples, input and output channels; `visit` is how often what is
    /// kept from block to block is moved.
    fn best(taps: [usize; 2], positions: [usize; 2], sizes: [usize; 3], block: usize, visit: f64) -> Option<Cut> {
        let [examples, inputs, outputs] = sizes;
        let sides: &[usize] = match taps {
            [3, 3] => &[4, 2],
            [5, 5] => &[2],
            _ => return None,
        };
        let taps = taps[0];
        let plain = (examples * positions[0] * positions[1] * taps * taps) as f64 * per_place(inputs, outputs) / 0.9;
        let cut = |side: usize| {
            let [rows, columns] = positions.map(|n| n.div_ceil(side));
            let cut = Cut { side, taps, products: side + taps - 1, rows, columns, examples, inputs, outputs };
            (cut.places() * inputs * outputs <= MOST).then(|| (cut, cut.cycles(block, visit)))
        };
        let quickest = sides.iter().filter_map(|&s| cut(s)).min_by(|a, b| a.1.total_cmp(&b.1));
        let worth = inputs.min(outputs) >= CHANNELS && allowed();
        quickest.filter(|(_, cycles)| worth && *cycles < plain).map(|(cut, _)| cut)
    }

    /// About how many cycles a thread needs with vectors of 16 elements, as measured.
    fn cycles(&self, block: usize, visit: f64) -> f64 {
        let tiles = (self.examples * self.rows * self.columns) as f64;
        let vectors = (self.inputs.div_ceil(16) + self.outputs.div_ceil(16)) as f64;
        let kept = self.places() * self.inputs * self.outputs;
        let lines = self.lines(self.inputs + self.outputs.min(WIDTH), block);
        let blocks = (self.examples * self.rows).div_ceil(lines);
        let visits = if kept > RESIDENT { 0.5 * visit * (blocks * kept) as f64 } else { 0.0 };
        let products = self.places() as f64 * per_place(self.inputs, self.outputs) / 0.9;
        // Mixed elements stay in the cache, tiles of input and output come and go.
        let mixing = vectors * (5.5 * self.places() as f64 + 14.0 * (self.side * self.side) as f64);
        tiles * (products + mixing) + visits
    }

    fn places(&self) -> usize {
        self.products * self.products
    }

    /// Rows of tiles at a time, if each tile has so many elements in every place.
    fn lines(&self, width: usize, size: usize) -> usize {
        (size / (self.places() * self.columns * width)).clamp(1, self.examples * self.rows)
    }

    /// Mixes the squares of `count` x `count` elements of some rows of tiles, each with what surrounds it, into one matrix of
    /// tiles by channels per place. The first square begins `pad` elements before the source.
    ///
    /// # Safety
    /// The source has the size it names, examples `example` apart; `to` is writable for [`Cut::places`] matrices `plane` apart.
    unsafe fn mix(
        &self,
        kernels: &Kernels,
        from: &Squares,
        lines: Range<usize>,
        to: *mut f32,
        plane: usize,
        row: usize,
    ) {
        let micro = (kernels.sandwich)(from.count, self.products);
        let channels = from.source.channels;
        let reach = |tiles: usize| (tiles - 1) * self.side + from.count;
        let width = reach(self.columns) * channels;
        let (mut to, mut line) = (to, lines.start);
        while line < lines.end {
            let (example, first) = (line / self.rows, line % self.rows);
            let rows = (lines.end - line).min(self.rows - first);
            let source = Source { base: from.source.base.wrapping_add(example * from.example), ..from.source };
            let corner = [0, (first * self.side) as isize - from.pad[0], -from.pad[1]];
            with_scratch(&RIGHT, reach(rows) * width, |strip| {
                // SAFETY: the scratch memory holds the rows that these tiles meet; a tile has its own row of every matrix.
                unsafe {
                    load(kernels, &source, corner, [1, reach(rows), reach(self.columns)], strip);
                    for r in 0..rows {
                        micro(&Sandwich {
                            x: strip.add(r * self.side * width),
                            x_steps: [width, channels],
                            y: to.wrapping_add(r * self.columns * row),
                            y_steps: [self.products * plane, plane],
                            channels,
                            count: self.columns,
                            x_next: self.side * channels,
                            y_next: row,
                        });
                    }
                }
            });
            to = to.wrapping_add(rows * self.columns * row);
            line += rows;
        }
    }
}

/// Whether the environment allows tiles.
fn allowed() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| std::env::var("KERAST_WINOGRAD").map_or(true, |v| v != "off"))
}

/// Cycles for the channels of one output position and tap.
fn per_place(inputs: usize, outputs: usize) -> f64 {
    (inputs * outputs.next_multiple_of(16)) as f64 / 32.0
}

/// Window steps of one, nothing dilated.
fn plain(a: &Axis) -> bool {
    a.stride == 1 && a.dilation == 1
}

/// Where the squares of an operand lie.
struct Squares {
    source: Source,
    /// From one example to the next.
    example: usize,
    pad: [isize; 2],
    count: usize,
}

/// Elements of the mixed weights.
pub(super) fn packed_len(kernels: &Kernels, cut: &Cut) -> usize {
    cut.places() * cut.inputs * cut.outputs.next_multiple_of(kernels.columns)
}

/// Mixes the weights: [place][panel][input channel][column].
///
/// # Safety
/// `o.w` is readable as the problem says, `packed` is writable for [`packed_len`].
pub(super) unsafe fn prepack(kernels: &Kernels, p: &Problem, cut: &Cut, o: Operands, packed: *mut f32, team: Team<'_>) {
    let [_, h, w] = p.axes;
    let wide = kernels.columns;
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
/// As for [`super::conv_f32`].
pub(super) unsafe fn solve(
    kernels: &Kernels,
    p: &Problem,
    cut: &Cut,
    o: Operands,
    team: Team<'_>,
    epilogue: Option<Epilogue<'_>>,
) {
    with_scratch(&SHARED, if o.packed { 0 } else { packed_len(kernels, cut) }, |memory| {
        let weights = if o.packed { o.w } else { memory.cast_const() };
        let panels = p.outputs.div_ceil(kernels.columns);
        let width = panels.min(WIDTH / kernels.columns) * kernels.columns;
        let lines = p.batch * cut.rows;
        let most = cut.lines(p.inputs.next_multiple_of(kernels.lanes) + width, BLOCK);
        let blocks = lines.div_ceil(most);
        let blocks = blocks.next_multiple_of(team.threads()).min(lines);
        let groups = if blocks < team.threads() { panels.min(team.threads()) } else { 1 };
        let work = Forward { kernels, p, cut, o, weights, width };
        // SAFETY: the scratch memory holds the mixed weights; tasks have blocks of y of their own.
        unsafe {
            if !o.packed {
                prepack(kernels, p, cut, o, memory, team);
            }
            team.run(blocks * groups, &|t| {
                let lines = even(lines, blocks, t / groups);
                let panels = even(panels, groups, t % groups);
                work.block(lines.clone(), panels.clone());
                if let Some(e) = epilogue {
                    let channels = panels.start * kernels.columns..(panels.end * kernels.columns).min(p.outputs);
                    e(work.pixels(lines.start)..work.pixels(lines.end), channels);
                }
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
}

// SAFETY: tasks read x and the weights and write disjoint parts of y.
unsafe impl Sync for Forward<'_> {}

impl Forward<'_> {
    /// The first output position of a row of tiles, counted through all examples.
    fn pixels(&self, line: usize) -> usize {
        let [_, h, w] = self.p.axes;
        (line / self.cut.rows * h.output + line % self.cut.rows * self.cut.side) * w.output
    }

    /// Some rows of tiles, in some panels of output channels.
    unsafe fn block(&self, lines: Range<usize>, panels: Range<usize>) {
        let (p, cut, wide) = (self.p, self.cut, self.kernels.columns);
        let [_, h, w] = p.axes;
        let tiles = lines.len() * cut.columns;
        let row = p.inputs.next_multiple_of(self.kernels.lanes);
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
                    for place in 0..cut.places() {
                        let (a, c) = (mixed.wrapping_add(place * left), products.wrapping_add(place * right));
                        self.multiply(a, c, tiles, place, some.clone());
                    }
                    self.unmix(products, right, lines.clone(), some);
                }
            }
        });
    }

    /// One place of all tiles of a block: a product of matrices.
    unsafe fn multiply(&self, a: *const f32, c: *mut f32, tiles: usize, place: usize, panels: Range<usize>) {
        let (p, high, wide) = (self.p, self.kernels.rows, self.kernels.columns);
        let row = p.inputs.next_multiple_of(self.kernels.lanes);
        let all = p.outputs.div_ceil(wide);
        let heights = tiles.div_ceil(high);
        for panel in panels.clone() {
            let columns = wide.min(p.outputs - panel * wide);
            for t in 0..heights {
                let rows = even(tiles, heights, t);
                let tile = Tile {
                    segments: &WHOLE,
                    k: p.inputs,
                    a: a.wrapping_add(rows.start * row),
                    a_row: row,
                    a_step: 1,
                    b: self.weights.wrapping_add((place * all + panel) * p.inputs * wide),
                    b_step: wide,
                    c: c.wrapping_add(rows.start * self.width + (panel - panels.start) * wide),
                    c_row: self.width,
                    columns,
                    padded: true,
                    accumulate: false,
                    ahead: std::ptr::null(),
                    ahead_step: 0,
                };
                // SAFETY: the rows lie within the block, the panel within the mixed weights.
                unsafe { self.kernels.pick(false, rows.len(), columns)(&tile) };
            }
        }
    }

    /// Mixes the products of all places back into outputs.
    unsafe fn unmix(&self, products: *const f32, plane: usize, lines: Range<usize>, panels: Range<usize>) {
        let (p, cut, wide) = (self.p, self.cut, self.kernels.columns);
        let [_, h, w] = p.axes;
        let channels = panels.start * wide..p.outputs.min(panels.end * wide);
        let count = channels.len();
        let micro = (self.kernels.sandwich)(cut.products, cut.side);
        let whole = w.output / cut.side;
        let mut squares = Sandwich {
            x: products,
            x_steps: [cut.products * plane, plane],
            y: self.o.output(0),
            y_steps: [h.y, w.y],
            channels: count,
            count: whole,
            x_next: self.width,
            y_next: cut.side * w.y,
        };
        for line in lines {
            let (example, r) = (line / cut.rows, line % cut.rows * cut.side);
            let y = self.o.output(example * p.y_batch + r * h.y + channels.start);
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

/// Sums over positions: `p` as in [`super::weights`], `cut` that of the convolution which is differentiated.
///
/// # Safety
/// As for [`super::conv_f32`].
pub(super) unsafe fn solve_weights(
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
            let heights = cut.inputs.div_ceil(kernels.rows);
            for place in 0..cut.places() {
                for t in 0..heights {
                    let rows = even(cut.inputs, heights, t);
                    for j in (0..cut.outputs).step_by(kernels.columns) {
                        let columns = kernels.columns.min(cut.outputs - j);
                        let tile = Tile {
                            segments: &WHOLE,
                            k: tiles,
                            a: mixed.wrapping_add(place * left + rows.start),
                            a_row: 1,
                            a_step: a_row,
                            b: other.wrapping_add(place * right + j),
                            b_step: b_row,
                            c: sums.wrapping_add(place * self.plane + rows.start * self.row + j),
                            c_row: self.row,
                            columns,
                            padded: false,
                            accumulate,
                            ahead: std::ptr::null(),
                            ahead_step: 0,
                        };
                        // SAFETY: the tile lies within the block and its place's sums.
                        unsafe { kernels.pick(true, rows.len(), columns)(&tile) };
                    }
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_tiles_are_taken() {
        let side = |size: usize, taps: usize, sizes: [usize; 3]| {
            Cut::best([taps; 2], [size; 2], sizes, BLOCK, 1.0).map(|cut| cut.side)
        };
        assert_eq!(side(32, 3, [128, 32, 32]), Some(4));
        assert_eq!(side(6, 3, [128, 32, 32]), Some(2), "4 tiles of 6 x 6 cost more than 9 of 4 x 4");
        assert_eq!(side(14, 3, [8, 256, 256]), Some(2), "the mixed weights leave the cache");
        assert_eq!(side(7, 3, [8, 512, 512]), None, "too many weights to be read again and again");
        assert_eq!(side(14, 5, [128, 20, 50]), Some(2));
        assert_eq!(side(32, 3, [128, 3, 32]), None, "too few channels");
        assert_eq!(side(32, 7, [128, 32, 32]), None, "too large a window");
    }
}
