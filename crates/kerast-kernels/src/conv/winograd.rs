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

mod forward;
mod weights;

pub(super) use forward::{packed_len, prepack, solve};
pub(super) use weights::solve_weights;

use super::problem::{Axis, Problem};
use super::strip::{Source, load};
use crate::gemm::ahead::Ahead;
use crate::gemm::micro::{Form, Kernels, Tile, WHOLE, even};
use crate::gemm::toom::Sandwich;
use crate::scratch::{RIGHT, with_scratch};
use std::ops::Range;
use std::sync::OnceLock;

/// Mixed inputs and products of a task at a time, in elements: they stay in its L2 cache.
const BLOCK: usize = 144 * 1024;
/// The same for a gradient by the weights, next to its sums.
const BLOCK_BY_WEIGHTS: usize = 72 * 1024;
/// Mixed weights, or sums of a gradient by the weights, that stay in that cache from block to block; and at most.
const RESIDENT: usize = 160 * 1024;
const MOST: usize = 2400 * 1024;
/// Channels at least, of input and output.
const CHANNELS: usize = 16;
/// Output channels at a time, where there are many.
const WIDTH: usize = 128;
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

    /// Whether rows of tiles are whole multiples of so many rows of output.
    pub(super) fn keeps(&self, rows: usize) -> bool {
        self.side.is_multiple_of(rows)
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

/// One matrix product of a place.
struct Product {
    form: Form,
    m: usize,
    n: usize,
    k: usize,
    a: *const f32,
    /// Strides of A by row and by column; one of them is 1.
    a_steps: [usize; 2],
    b: *const f32,
    b_step: usize,
    /// From one panel of columns of B to the next.
    b_panel: usize,
    c: *mut f32,
    c_row: usize,
    /// What B is followed by, if that is not close yet.
    next: Option<*const f32>,
    /// B may be read beyond its columns, up to whole panels.
    padded: bool,
    accumulate: bool,
}

impl Product {
    /// Panel by panel of B, which stays in the L1 cache meanwhile.
    ///
    /// # Safety
    /// The operands reach as far as the sizes say; nobody else uses C.
    unsafe fn run(&self, kernels: &Kernels) {
        let by_column = self.a_steps[0] == 1 && self.a_steps[1] != 1;
        let form = self.form;
        let heights = self.m.div_ceil(form.rows);
        for panel in 0..self.n.div_ceil(form.columns) {
            let first = panel * form.columns;
            let b = self.b.wrapping_add(panel * self.b_panel);
            let last = first + form.columns >= self.n;
            let ahead = self.next.map_or(Ahead::NONE, |next| {
                let start = if last { next } else { b.wrapping_add(self.b_panel) };
                Ahead::packed(start, form, self.m, self.k)
            });
            for t in 0..heights {
                let rows = even(self.m, heights, t);
                let mut tile = Tile {
                    segments: &WHOLE,
                    k: self.k,
                    a: self.a.wrapping_add(rows.start * self.a_steps[0]),
                    a_row: self.a_steps[0],
                    a_step: self.a_steps[1],
                    b,
                    b_step: self.b_step,
                    c: self.c.wrapping_add(rows.start * self.c_row + first),
                    c_row: self.c_row,
                    columns: form.columns.min(self.n - first),
                    padded: self.padded,
                    accumulate: self.accumulate,
                    ahead: std::ptr::null(),
                    ahead_step: 0,
                };
                ahead.give(t, &mut tile);
                // SAFETY: the tile lies within the product.
                unsafe { kernels.pick(by_column, rows.len(), tile.columns)(&tile) };
            }
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
