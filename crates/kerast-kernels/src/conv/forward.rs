//! Pixels by channels: C[pixel, output channel] = Σ over taps and input channels.
//!
//! A tile is a run of pixels of one output row by a panel of output channels. Its left operand is read straight from the
//! input, or from a strip of it copied with padding: pixel i of tap k lies at a fixed distance, so taps are segments of
//! the sum and no matrix of windows is ever formed, except for very narrow outputs.

use super::cut::Cut;
use super::finish::Finish;
use super::problem::{Operands, Problem};
use super::strip::{Source, load};
use crate::gemm::drive::{self, Shared, Team};
use crate::gemm::micro::{Form, Kernels, Segment, Tile, even};
use crate::gemm::pack::{Panel, pack};
use crate::gemm::{Epilogue, Gemm, Strides};
use crate::scratch::{GATHERED, SHARED, with_scratch};
use std::ops::Range;

/// Elements of a panel of weights that are worked through at a time.
const PANEL: usize = 96 * 1024;
/// Elements of gathered windows at a time.
const WINDOWS: usize = 1 << 20;
/// Windows at a time at least: the weights are packed once for each lot.
const LOT: usize = 512;

/// # Safety
/// As for [`super::conv_f32`].
pub(super) unsafe fn solve(kernels: &Kernels, p: &Problem, o: Operands, team: Team<'_>, finish: Finish<'_>) {
    // SAFETY: passed on.
    unsafe {
        match gathers(kernels, p) {
            Some(row) => gathered(kernels, p, row, o, team, finish.epilogue()),
            None => direct(kernels, p, o, team, finish),
        }
    }
}

/// Whether blocks are whole rows of output, a multiple of `rows` of them.
pub(super) fn keeps(kernels: &Kernels, p: &Problem, rows: usize) -> bool {
    gathers(kernels, p).is_none() && Cut::keeps(p, rows)
}

/// Whether windows are gathered, and how far the rows of the result are apart.
fn gathers(kernels: &Kernels, p: &Problem) -> Option<usize> {
    let narrow = p.axes[2].output * 3 < kernels.heights[0] * 2 && p.taps() * p.inputs >= 16;
    // A copy of the inputs that are met at all makes a plain product, whose tiles do not end with a row of pixels.
    let sparse = p.taps() == 1 && p.inputs >= 16 && p.axes[2].output < 2 * kernels.heights[0];
    p.even_output().filter(|_| (narrow || sparse) && p.y_channel == 1)
}

/// Elements of the packed weights, if they are read in that order.
pub(super) fn prepacked_len(kernels: &Kernels, p: &Problem) -> Option<usize> {
    match gathers(kernels, p) {
        None => Some(packed_len(kernels, p)),
        Some(_) => regular(p).then(|| drive::packed_len(kernels, &product(p, p.batch * p.positions(), 0)))?,
    }
}

/// Brings the weights into that order.
///
/// # Safety
/// `o.w` is readable as the problem says, `packed` is writable for [`prepacked_len`].
pub(super) unsafe fn prepack(kernels: &Kernels, p: &Problem, o: Operands, packed: *mut f32, team: Team<'_>) {
    // SAFETY: passed on.
    unsafe {
        match gathers(kernels, p) {
            None => pack_weights(kernels, p, o, Shared(packed), team),
            Some(_) => {
                let g = product(p, p.batch * p.positions(), 0);
                drive::prepack(kernels, &g, o.w, packed, team);
            }
        }
    }
}

/// Whether the weights are the right operand of a product as they lie.
fn regular(p: &Problem) -> bool {
    let [d, h, w] = p.axes;
    let line = (p.inputs * p.w_input) as isize;
    (w.kernel == 1 || w.w == line)
        && (h.kernel == 1 || h.w == line * w.kernel as isize)
        && (d.kernel == 1 || d.w == line * (w.kernel * h.kernel) as isize)
}

/// So many windows times regular weights, to rows of the result `y_row` apart.
fn product(p: &Problem, windows: usize, y_row: usize) -> Gemm {
    let depth = p.taps() * p.inputs;
    Gemm {
        b: Strides { batch: 0, row: p.w_input, col: p.w_output },
        c_row: y_row,
        ..Gemm::plain(windows, p.outputs, depth)
    }
}

fn packed_len(kernels: &Kernels, p: &Problem) -> usize {
    p.outputs.next_multiple_of(kernels.form(p.outputs).columns) * p.taps() * p.inputs
}

struct Plan<'a> {
    kernels: &'a Kernels,
    form: Form,
    p: &'a Problem,
    /// Weights packed as [panel][tap][input channel][column].
    packed: Shared,
    /// Taps as stretches of the sum, `run` long each.
    segments: &'a [Segment],
    run: usize,
    cut: &'a Cut,
}

unsafe fn direct(kernels: &Kernels, p: &Problem, o: Operands, team: Team<'_>, finish: Finish<'_>) {
    with_scratch(&SHARED, if o.packed { 0 } else { packed_len(kernels, p) }, |memory| {
        let packed = Shared(if o.packed { o.w.cast_mut() } else { memory });
        if !o.packed {
            // SAFETY: the scratch memory holds all panels.
            unsafe { pack_weights(kernels, p, o, packed, team) };
        }
        let form = kernels.form(p.outputs);
        let cut = Cut::new(p, team.threads(), form.columns, finish.rows());
        let w = p.axes[2];
        let together = w.dilation == 1 && cut.pitch[2] == p.inputs || w.kernel == 1;
        let run = if together { w.kernel * p.inputs } else { p.inputs };
        let segments = cut.taps(p, together, run * form.columns);
        let plan = Plan { kernels, form, p, packed, segments: &segments, run, cut: &cut };
        let work = |left: *const f32, c: *mut f32, line, row, size, channels| {
            // SAFETY: `Cut` hands out strips and results of this size.
            unsafe { plan.multiply(left, c, [line, row], size, channels) }
        };
        // SAFETY: passed on.
        unsafe { cut.run(kernels, p, o, team, finish, &work) };
    });
}

/// Packs all panels.
///
/// # Safety
/// `o.w` is readable as the problem says, `packed` is writable for [`packed_len`].
unsafe fn pack_weights(kernels: &Kernels, p: &Problem, o: Operands, packed: Shared, team: Team<'_>) {
    let [d, h, w] = p.axes;
    let (wide, taps) = (kernels.form(p.outputs).columns, p.taps());
    let pieces = p.outputs.div_ceil(wide) * taps;
    let team = if pieces * p.inputs * wide < 32 * 1024 { Team(None) } else { team };
    let tasks = if team.threads() > 1 { pieces.min(4 * team.threads()) } else { 1 };
    team.run(tasks, &|t| {
        for piece in even(pieces, tasks, t) {
            let (j, tap) = (piece / taps * wide, piece % taps);
            let (kd, kh, kw) = (tap / (h.kernel * w.kernel), tap / w.kernel % h.kernel, tap % w.kernel);
            let place = kd as isize * d.w + kh as isize * h.w + kw as isize * w.w + (j * p.w_output) as isize;
            let source = Panel {
                src: o.weight(place),
                deep: p.w_input,
                wide: p.w_output,
                depth: p.inputs,
                across: wide.min(p.outputs - j),
            };
            // SAFETY: a tap of a panel; each piece has its own place in the scratch memory.
            unsafe { pack(kernels, source, wide, packed.get().add(piece * p.inputs * wide)) };
        }
    });
}

impl Plan<'_> {
    /// All tiles of a block, to rows `c_line` apart of pixels `c_row` apart.
    unsafe fn multiply(
        &self,
        left: *const f32,
        c: *mut f32,
        [c_line, c_row]: [usize; 2],
        size: [usize; 2],
        channels: Range<usize>,
    ) {
        let (p, high, wide) = (self.p, self.form.rows, self.form.columns);
        let [_, h, w] = p.axes;
        let depth = self.run * self.segments.len();
        let cuts = (depth * wide).div_ceil(PANEL).min(self.segments.len());
        let tiles = size[1].div_ceil(high);
        for cut in 0..cuts {
            let part = even(self.segments.len(), cuts, cut);
            for j in channels.clone().step_by(wide) {
                let mut tile = Tile {
                    segments: &self.segments[part.clone()],
                    k: self.run,
                    a: left,
                    a_row: w.stride * self.cut.pitch[2],
                    a_step: 1,
                    b: self.packed.get().wrapping_add(j * depth),
                    b_step: wide,
                    c,
                    c_row,
                    columns: wide.min(channels.end - j),
                    padded: true,
                    accumulate: cut > 0,
                    ahead: std::ptr::null(),
                    ahead_step: 0,
                };
                for line in 0..size[0] {
                    for t in 0..tiles {
                        let pixels = even(size[1], tiles, t);
                        tile.a = left.wrapping_add(
                            line * h.stride * self.cut.pitch[1] + pixels.start * w.stride * self.cut.pitch[2],
                        );
                        tile.c = c.wrapping_add(line * c_line + pixels.start * c_row + j);
                        let micro = self.kernels.pick(false, pixels.len(), tile.columns);
                        // SAFETY: the tile lies within strip, weights and result.
                        unsafe { micro(&tile) };
                    }
                }
            }
        }
    }
}

/// For outputs too narrow for tiles: windows copied into the rows of a matrix, a few at a time, and multiplied as such.
unsafe fn gathered(
    kernels: &Kernels,
    p: &Problem,
    y_row: usize,
    o: Operands,
    team: Team<'_>,
    epilogue: Option<Epilogue<'_>>,
) {
    let [d, h, w] = p.axes;
    let depth = p.taps() * p.inputs;
    let pixels = p.batch * p.positions();
    let chunks = (pixels * depth).div_ceil(WINDOWS).min(pixels.div_ceil(LOT));
    let most = pixels.div_ceil(chunks);
    let regular = regular(p);
    let copied = if regular { 0 } else { depth * p.outputs };
    with_scratch(&GATHERED, copied + most * depth, |memory| {
        let (weights, windows) = (Shared(memory), Shared(memory.wrapping_add(copied)));
        let mut right = o.weight(0);
        if !regular {
            let taps = p.taps();
            team.run(taps, &|tap| {
                let (kd, kh, kw) = (tap / (h.kernel * w.kernel), tap / w.kernel % h.kernel, tap % w.kernel);
                let place = kd as isize * d.w + kh as isize * h.w + kw as isize * w.w;
                let (deep, wide) = (p.w_input, p.w_output);
                let source = Panel { src: o.weight(place), deep, wide, depth: p.inputs, across: p.outputs };
                // SAFETY: one tap of the weights to its own rows of the copy.
                unsafe { pack(kernels, source, p.outputs, weights.get().add(tap * p.inputs * p.outputs)) };
            });
            right = weights.get();
        }
        for chunk in 0..chunks {
            let rows = even(pixels, chunks, chunk);
            let tasks = if team.threads() > 1 { rows.len().min(4 * team.threads()) } else { 1 };
            team.run(tasks, &|t| {
                for row in even(rows.len(), tasks, t) {
                    // SAFETY: one window to its own row.
                    unsafe { window(kernels, p, o, rows.start + row, windows.get().add(row * depth)) };
                }
            });
            let g = match regular {
                true => product(p, rows.len(), y_row),
                false => Gemm { c_row: y_row, ..Gemm::plain(rows.len(), p.outputs, depth) },
            };
            let operands = drive::Operands { a: windows.get(), b: right, c: o.output(rows.start * y_row) };
            let shifted = |r: Range<usize>, columns: Range<usize>| {
                if let Some(e) = epilogue {
                    e(rows.start + r.start..rows.start + r.end, columns)
                }
            };
            let epilogue: Option<Epilogue<'_>> = if epilogue.is_some() { Some(&shifted) } else { None };
            // SAFETY: windows, weights and the pixels of this chunk.
            unsafe {
                match o.packed {
                    true => drive::prepacked(kernels, &g, operands, team, epilogue),
                    false => drive::product(kernels, &g, operands, team, epilogue),
                }
            }
        }
    });
}

/// Copies all inputs that one output position meets, in the order of the weights.
unsafe fn window(kernels: &Kernels, p: &Problem, o: Operands, pixel: usize, dst: *mut f32) {
    let [d, h, w] = p.axes;
    let (row, q) = (pixel / w.output, pixel % w.output);
    let (plane, r) = (row / h.output, row % h.output);
    let (n, z) = (plane / d.output, plane % d.output);
    let source = Source {
        base: o.input(n * p.x_batch),
        step: [d.x, h.x, w.x].map(|s| s as isize),
        size: [d.input, h.input, w.input],
        channel: p.x_channel,
        channels: p.inputs,
    };
    let corner = [d.span(z, 1).0, h.span(r, 1).0, w.span(q, 1).0];
    let (stretch, steps) = if w.dilation == 1 { (w.kernel, 1) } else { (1, w.kernel) };
    let mut dst = dst;
    for kd in 0..d.kernel {
        for kh in 0..h.kernel {
            for kw in 0..steps {
                let first = [
                    corner[0] + (kd * d.dilation) as isize,
                    corner[1] + (kh * h.dilation) as isize,
                    corner[2] + (kw * w.dilation) as isize,
                ];
                // SAFETY: the caller vouches for a row of all taps.
                unsafe { load(kernels, &source, first, [1, 1, stretch], dst) };
                dst = dst.wrapping_add(stretch * p.inputs);
            }
        }
    }
}
