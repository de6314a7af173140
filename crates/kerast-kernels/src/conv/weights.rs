//! Sums over positions: the gradient of a convolution by its weights, written as a convolution whose window is a whole
//! image.
//!
//! What [`Problem`] calls examples are the input channels of the convolution that is differentiated, its taps are that
//! one's output positions, and its positions that one's taps. A tile is a few (position, example) pairs, side by
//! side in the input, by a panel of output channels; the sum runs over the window and the channels of x, stretch by
//! stretch. These are cut into chunks that fit the cache and into parts with partial sums of their own, both by the
//! shape alone.

use super::problem::{Operands, Problem};
use super::strip::{Source, load};
use crate::gemm::Epilogue;
use crate::gemm::drive::{Shared, Team};
use crate::gemm::micro::{Form, Kernels, STRANDS, Segment, Strand, Tile, even};
use crate::scratch::{LEFT, PARTIAL, RIGHT, with_scratch};
use std::ops::Range;

/// Elements of input and weights that a task works on at a time: they stay in its L2 cache.
const CHUNK: usize = 112 * 1024;
/// Elements of partial sums.
const PARTIALS: usize = 1 << 20;
/// Parts at most.
const PARTS: usize = 16;
/// The least stretch of the sum between two visits to the partial sums.
const DEPTH: usize = 256;

/// The place of partial sums or of results: strides of positions and examples; columns are side by side.
#[derive(Clone, Copy)]
struct Place {
    axes: [usize; 3],
    row: usize,
}

struct Plan<'a> {
    kernels: &'a Kernels,
    form: Form,
    p: &'a Problem,
    o: Operands,
    /// The input is read in place.
    in_place: bool,
    /// Strides of the strip, or of the input: channels of x, then space.
    pitch: [usize; 4],
    /// The weights are read in place; strides in their strip or in place: channels of x, then space (modulo 2^64:
    /// reversed weights have negative ones).
    right_in_place: bool,
    right: [usize; 4],
    /// Channels of x, planes and rows of the window per chunk.
    chunk: [usize; 3],
    /// How many there are of such chunks.
    chunks: [usize; 3],
    /// Tiles cover neighbouring positions of a row together.
    together: bool,
    /// Output channel c meets example c only, instead of every example every channel.
    channelwise: bool,
}

/// `channelwise`: output channel c is summed over example c alone, and y has one example.
///
/// # Safety
/// As for [`super::conv_f32`].
pub(super) unsafe fn solve(
    kernels: &Kernels,
    p: &Problem,
    o: Operands,
    team: Team<'_>,
    epilogue: Option<Epilogue<'_>>,
    channelwise: bool,
) {
    let plan = Plan::new(kernels, p, o, channelwise);
    let examples = if channelwise { 1 } else { p.batch };
    let chunks: usize = plan.chunks.iter().product();
    let cells = p.positions() * examples * p.outputs;
    let depth = p.inputs * p.taps();
    let parts = chunks.min(PARTS).min(PARTIALS / cells).min(depth / DEPTH).max(1);
    let [d, h, w] = p.axes;
    let direct = Place { axes: [d.y, h.y, w.y], row: p.y_batch };
    let straight = parts == 1 && p.y_channel == 1 && (!plan.together || w.y == examples * p.y_batch);
    let lines = plan.lines();
    let groups = if parts >= 2 * team.threads() { 1 } else { lines.min((4 * team.threads()).div_ceil(parts)) };
    let groups = if team.threads() == 1 { 1 } else { groups };
    let row = p.outputs;
    let own = Place { axes: [h.output * w.output * examples * row, w.output * examples * row, examples * row], row };
    with_scratch(&PARTIAL, if straight { 0 } else { parts * cells }, |sums| {
        let sums = Shared(sums);
        team.run(parts * groups, &|t| {
            let (part, group) = (t / groups, t % groups);
            let (c, place) =
                if straight { (o.output(0), direct) } else { (sums.get().wrapping_add(part * cells), own) };
            let (mine, lines) = (even(chunks, parts, part), even(lines, groups, group));
            // SAFETY: tasks have disjoint lines of their part's sums.
            unsafe { plan.part(mine, lines, c, place) };
        });
        if !straight {
            let tasks = if cells * parts < 64 * 1024 { 1 } else { p.positions().min(4 * team.threads()) };
            team.run(tasks, &|t| {
                for position in even(p.positions(), tasks, t) {
                    // SAFETY: tasks have disjoint positions of y.
                    unsafe { combine(p, examples, o, sums.get(), parts, cells, position) };
                }
            });
        }
    });
    if let Some(e) = epilogue {
        e(0..examples * p.positions(), 0..p.outputs);
    }
}

/// Adds the parts of one position up, in order, into y.
unsafe fn combine(
    p: &Problem,
    examples: usize,
    o: Operands,
    sums: *const f32,
    parts: usize,
    cells: usize,
    position: usize,
) {
    let [d, h, w] = p.axes;
    let (z, r, q) = (position / (h.output * w.output), position / w.output % h.output, position % w.output);
    for n in 0..examples {
        let first = sums.wrapping_add((position * examples + n) * p.outputs);
        let y = o.output(z * d.y + r * h.y + q * w.y + n * p.y_batch);
        // SAFETY: a row of each part, and the elements of y that it belongs to.
        unsafe {
            if p.y_channel == 1 {
                let y = std::slice::from_raw_parts_mut(y, p.outputs);
                y.copy_from_slice(std::slice::from_raw_parts(first, p.outputs));
                for part in 1..parts {
                    let sum = std::slice::from_raw_parts(first.add(part * cells), p.outputs);
                    y.iter_mut().zip(sum).for_each(|(y, s)| *y += s);
                }
                continue;
            }
            for c in 0..p.outputs {
                *y.add(c * p.y_channel) = (1..parts).fold(*first.add(c), |sum, i| sum + *first.add(i * cells + c));
            }
        }
    }
}

impl<'a> Plan<'a> {
    fn new(kernels: &'a Kernels, p: &'a Problem, o: Operands, channelwise: bool) -> Plan<'a> {
        let [d, h, w] = p.axes;
        let in_place = p.x_batch == 1 && p.axes.iter().all(|a| a.inside());
        let right_in_place = p.w_output == 1;
        let line = |rows: usize| w_span(p, 2) * h_span(p, rows) * p.batch + rows * w.kernel * p.outputs;
        // One channel of x and one plane at a time, unless whole windows are small.
        let mut chunk = [1, 1, h.kernel];
        while chunk[2] > 1 && line(chunk[2]) * d_span(p) > CHUNK {
            chunk[2] -= 1;
        }
        let chunks_of_rows = h.kernel.div_ceil(chunk[2]);
        chunk[2] = h.kernel.div_ceil(chunks_of_rows);
        if chunks_of_rows == 1 && d.kernel == 1 {
            let fit = (CHUNK / (line(h.kernel) * d_span(p))).max(1);
            let least = DEPTH.div_ceil(h.kernel * w.kernel);
            chunk[0] = fit.min(p.inputs.div_ceil(PARTS)).max(least).min(p.inputs);
            chunk[0] = p.inputs.div_ceil(p.inputs.div_ceil(chunk[0]));
        }
        let pitch = if in_place {
            [p.x_channel, d.x, h.x, w.x]
        } else {
            let row = w_span(p, 2) * p.batch;
            let plane = h_span(p, chunk[2]) * row;
            [d_span(p) * plane, plane, row, p.batch]
        };
        let right = if right_in_place {
            [p.w_input, d.w as usize, h.w as usize, w.w as usize]
        } else {
            let row = w.kernel * p.outputs;
            [chunk[2] * row, chunk[2] * row, row, p.outputs]
        };
        let chunks = [p.inputs.div_ceil(chunk[0]), d.kernel, chunks_of_rows];
        let together = !channelwise && w.stride == 1 && pitch[3] == p.batch && w.output > 1;
        Plan {
            kernels,
            form: kernels.form(p.outputs),
            p,
            o,
            in_place,
            pitch,
            right_in_place,
            right,
            chunk,
            chunks,
            together,
            channelwise,
        }
    }

    /// How many lines of tiles there are, and the height of one: runs of neighbours in the input.
    fn lines(&self) -> usize {
        let p = self.p;
        if self.channelwise {
            return p.axes[0].output * p.axes[1].output * p.axes[2].output.div_ceil(STRANDS);
        }
        let run = if self.together { p.axes[2].output * p.batch } else { p.batch };
        p.positions() * p.batch / run * run.div_ceil(self.form.rows)
    }

    /// Sums the chunks up for some lines of tiles.
    unsafe fn part(&self, chunks: Range<usize>, lines: Range<usize>, c: *mut f32, place: Place) {
        let p = self.p;
        let [_, h, w] = p.axes;
        let left_size = if self.in_place { 0 } else { self.chunk[0] * self.pitch[0] };
        let right_size = if self.right_in_place { 0 } else { self.chunk[0] * self.right[0] };
        let mut segments = Vec::with_capacity(self.chunk[0] * self.chunk[2]);
        with_scratch(&LEFT, left_size, |strip| {
            with_scratch(&RIGHT, right_size, |right_strip| {
                for chunk in chunks.clone() {
                    let (rest, block) = (chunk / self.chunks[2], chunk % self.chunks[2]);
                    let (channels, plane) = (rest / self.chunks[1], rest % self.chunks[1]);
                    let rows = even(h.kernel, self.chunks[2], block);
                    let channels = even(p.inputs, self.chunks[0], channels);
                    // SAFETY: the chunk lies within the operands, its copies within the scratch memory.
                    let (left, right) = unsafe {
                        (
                            self.left(channels.clone(), plane, rows.clone(), strip),
                            self.right(channels.clone(), plane, rows.clone(), right_strip),
                        )
                    };
                    segments.clear();
                    for i in 0..channels.len() {
                        for r in 0..rows.len() {
                            segments.push(Segment {
                                a: i * self.pitch[0] + r * h.dilation * self.pitch[2],
                                b: (i.wrapping_mul(self.right[0])).wrapping_add(r.wrapping_mul(self.right[2])),
                            });
                        }
                    }
                    let tile = Tile {
                        segments: &segments,
                        k: w.kernel,
                        a: left,
                        a_row: 1,
                        a_step: w.dilation * self.pitch[3],
                        b: right,
                        b_step: self.right[3],
                        c,
                        c_row: place.row,
                        columns: p.outputs,
                        padded: false,
                        accumulate: chunk != chunks.start,
                        ahead: std::ptr::null(),
                        ahead_step: 0,
                    };
                    // SAFETY: the lines exist.
                    unsafe {
                        if self.channelwise {
                            self.strands(lines.clone(), &tile, place);
                        } else {
                            self.sweep(lines.clone(), tile, place);
                        }
                    }
                }
            });
        });
    }

    /// Where the input of a chunk begins, copied if need be.
    unsafe fn left(&self, channels: Range<usize>, plane: usize, rows: Range<usize>, strip: *mut f32) -> *const f32 {
        let p = self.p;
        let [d, h, w] = p.axes;
        let start = |a: &super::problem::Axis, k: usize| (k * a.dilation) as isize - a.pad;
        let first = [start(&d, plane), start(&h, rows.start), start(&w, 0)];
        let steps = [d.x, h.x, w.x];
        if self.in_place {
            let x = self.o.input(channels.start * p.x_channel);
            return (0..3).fold(x, |x, i| x.wrapping_add(first[i] as usize * steps[i]));
        }
        let count = [d_span(p), h_span(p, rows.len()), w_span(p, 2)];
        for (i, channel) in channels.enumerate() {
            let source = Source {
                base: self.o.input(channel * p.x_channel),
                step: steps.map(|s| s as isize),
                size: [d.input, h.input, w.input],
                channel: p.x_batch,
                channels: p.batch,
            };
            if count[1] * self.pitch[2] == self.pitch[1] {
                // SAFETY: the scratch memory holds the box of every channel.
                unsafe { load(self.kernels, &source, first, count, strip.add(i * self.pitch[0])) };
                continue;
            }
            for z in 0..count[0] {
                let first = [first[0] + z as isize, first[1], first[2]];
                let dst = strip.wrapping_add(i * self.pitch[0] + z * self.pitch[1]);
                // SAFETY: as above, plane by plane because this chunk has fewer rows than the others.
                unsafe { load(self.kernels, &source, first, [1, count[1], count[2]], dst) };
            }
        }
        strip
    }

    /// Where the weights of a chunk begin, copied if need be.
    unsafe fn right(&self, channels: Range<usize>, plane: usize, rows: Range<usize>, strip: *mut f32) -> *const f32 {
        let p = self.p;
        let [d, h, w] = p.axes;
        let corner = (channels.start * p.w_input) as isize + plane as isize * d.w + rows.start as isize * h.w;
        if self.right_in_place {
            return self.o.weight(corner);
        }
        for i in 0..channels.len() {
            let source = Source {
                base: self.o.weight(corner + (i * p.w_input) as isize),
                step: [d.w, h.w, w.w],
                size: [1, rows.len(), w.kernel],
                channel: p.w_output,
                channels: p.outputs,
            };
            // SAFETY: the scratch memory holds the box of every channel.
            unsafe { load(self.kernels, &source, [0; 3], source.size, strip.add(i * self.right[0])) };
        }
        strip
    }

    /// Runs lines of tiles over one chunk.
    unsafe fn sweep(&self, lines: Range<usize>, mut tile: Tile<'_>, place: Place) {
        let p = self.p;
        let [d, h, w] = p.axes;
        let (left, right, c) = (tile.a, tile.b, tile.c);
        let run = if self.together { w.output * p.batch } else { p.batch };
        let tiles = run.div_ceil(self.form.rows);
        for line in lines {
            let (position, t) = (line / tiles, line % tiles);
            let rows = even(run, tiles, t);
            let (position, q) = if self.together { (position, 0) } else { (position / w.output, position % w.output) };
            let (z, r) = (position / h.output, position % h.output);
            tile.a = left.wrapping_add(
                z * d.stride * self.pitch[1] + r * h.stride * self.pitch[2] + q * w.stride * self.pitch[3] + rows.start,
            );
            let base = z * place.axes[0] + r * place.axes[1] + q * place.axes[2] + rows.start * place.row;
            for j in (0..p.outputs).step_by(self.form.columns) {
                tile.columns = self.form.columns.min(p.outputs - j);
                tile.b = right.wrapping_add(j);
                tile.c = c.wrapping_add(base + j);
                // SAFETY: the tile lies within the chunk and the sums.
                unsafe { self.kernels.pick(true, rows.len(), tile.columns)(&tile) };
            }
        }
    }
}

impl Plan<'_> {
    /// Runs lines of taps over one chunk, channel by channel.
    unsafe fn strands(&self, lines: Range<usize>, tile: &Tile<'_>, place: Place) {
        let [_, h, w] = self.p.axes;
        let groups = w.output.div_ceil(STRANDS);
        for line in lines {
            let (row, taps) = (line / groups, even(w.output, groups, line % groups));
            let (z, r) = (row / h.output, row % h.output);
            let place_of = |strides: [usize; 3]| z * strides[0] + r * strides[1] + taps.start * strides[2];
            let [_, plane, line, pixel] = self.pitch;
            let steps = [self.p.axes[0].stride * plane, h.stride * line, w.stride * pixel];
            let strand = Strand {
                segments: tile.segments,
                k: tile.k,
                x: tile.a.wrapping_add(place_of(steps)),
                x_step: tile.a_step,
                x_tap: steps[2],
                w: tile.b,
                w_step: tile.b_step,
                y: tile.c.wrapping_add(place_of(place.axes)),
                y_step: place.axes[2],
                channels: self.p.outputs,
                accumulate: tile.accumulate,
            };
            // SAFETY: the taps lie within the chunk and the sums.
            unsafe { (self.kernels.along[taps.len() - 1])(&strand) };
        }
    }
}

/// Planes of input that one plane of the window meets over all positions.
fn d_span(p: &Problem) -> usize {
    (p.axes[0].output - 1) * p.axes[0].stride + 1
}

/// Rows of input that `rows` rows of the window meet over all positions.
fn h_span(p: &Problem, rows: usize) -> usize {
    let h = p.axes[1];
    (h.output - 1) * h.stride + (rows - 1) * h.dilation + 1
}

/// Inputs that a row of the window meets over all positions.
fn w_span(p: &Problem, axis: usize) -> usize {
    p.axes[axis].span(0, p.axes[axis].output).1
}
