//! Taking convolutions apart: reversal turns into a negative stride, input dilation into one convolution per output
//! phase, groups into convolutions of their own.

use super::finish::Finish;
use super::{Conv, Dim, depthwise, forward, weights, winograd};
use crate::gemm::drive::Team;
use crate::gemm::micro::{Kernels, even};
use crate::gemm::{Gemm, Strides, drive};
use crate::pool::Pool;

/// Below this many operations one thread is quicker.
const PARALLEL: f64 = 1e6;

/// Input, weights, output.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    pub(super) x: *const f32,
    pub(super) w: *const f32,
    pub(super) y: *mut f32,
    /// `w` are the weights as [`prepack`] made them.
    pub(super) packed: bool,
}

// SAFETY: tasks read x and w and write disjoint parts of y.
unsafe impl Send for Operands {}
// SAFETY: as above.
unsafe impl Sync for Operands {}

impl Operands {
    pub(super) fn at(self, x: usize, w: usize, y: usize) -> Operands {
        let (x, w, y) = (self.x.wrapping_add(x), self.w.wrapping_add(w), self.y.wrapping_add(y));
        Operands { x, w, y, packed: self.packed }
    }

    /// Methods, so that closures borrow the whole.
    pub(super) fn input(&self, offset: usize) -> *const f32 {
        self.x.wrapping_add(offset)
    }

    pub(super) fn weight(&self, offset: isize) -> *const f32 {
        self.w.wrapping_offset(offset)
    }

    pub(super) fn output(&self, offset: usize) -> *mut f32 {
        self.y.wrapping_add(offset)
    }
}

/// One spatial dimension: output s and tap k meet at input s*stride + k*dilation - pad. `x`, `w` and `y` are strides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) input: usize,
    pub(super) kernel: usize,
    pub(super) output: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) pad: isize,
    pub(super) x: usize,
    pub(super) w: isize,
    pub(super) y: usize,
}

impl Axis {
    const NONE: Axis = Axis { input: 1, kernel: 1, output: 1, stride: 1, dilation: 1, pad: 0, x: 0, w: 0, y: 0 };

    /// The first input that the outputs from `s` on meet, and how many inputs `count` outputs span.
    pub(super) fn span(&self, s: usize, count: usize) -> (isize, usize) {
        ((s * self.stride) as isize - self.pad, (count - 1) * self.stride + (self.kernel - 1) * self.dilation + 1)
    }

    /// Every output meets only inputs that exist.
    pub(super) fn inside(&self) -> bool {
        let (first, span) = self.span(0, self.output);
        first >= 0 && first as usize + span <= self.input
    }

    pub(super) fn trivial(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.pad == 0 && self.input == self.output
    }
}

/// A convolution without groups, reversal and input dilation, its spatial dimensions filled up to 3 in front.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// Examples of x and y.
    pub(super) batch: usize,
    /// Channels of x.
    pub(super) inputs: usize,
    /// Channels of y.
    pub(super) outputs: usize,
    pub(super) x_batch: usize,
    pub(super) x_channel: usize,
    pub(super) w_input: usize,
    pub(super) w_output: usize,
    pub(super) y_batch: usize,
    pub(super) y_channel: usize,
    pub(super) axes: [Axis; 3],
}

impl Problem {
    pub(super) fn taps(&self) -> usize {
        self.axes.iter().map(|a| a.kernel).product()
    }

    /// Output positions of one example.
    pub(super) fn positions(&self) -> usize {
        self.axes.iter().map(|a| a.output).product()
    }

    /// Whether the output positions of all examples follow each other at one stride, and which.
    pub(super) fn even_output(&self) -> Option<usize> {
        let [d, h, w] = self.axes;
        let ok = (h.output == 1 || h.y == w.output * w.y)
            && (d.output == 1 || d.y == h.output * w.output * w.y)
            && (self.batch == 1 || self.y_batch == self.positions() * w.y);
        ok.then_some(w.y)
    }

    /// As a product of two matrices, if each output position meets one input position and they follow each other
    /// evenly.
    fn as_product(&self) -> Option<Gemm> {
        let y_row = self.even_output()?;
        let [d, h, w] = self.axes;
        let even_input = (h.input == 1 || h.x == w.input * w.x)
            && (d.input == 1 || d.x == h.input * w.input * w.x)
            && (self.batch == 1 || self.x_batch == self.positions() * w.x);
        if !self.axes.iter().all(Axis::trivial) || !even_input || self.y_channel != 1 {
            return None;
        }
        Some(Gemm {
            a: Strides { batch: 0, row: w.x, col: self.x_channel },
            b: Strides { batch: 0, row: self.w_input, col: self.w_output },
            c_row: y_row,
            ..Gemm::plain(self.batch * self.positions(), self.outputs, self.inputs)
        })
    }
}

/// Any convolution.
///
/// # Safety
/// As for [`super::conv_f32`].
pub(super) unsafe fn solve(kernels: &Kernels, c: &Conv, o: Operands, pool: &Pool, finish: Finish<'_>) {
    let pixels = c.pixels();
    if pixels == 0 || c.out_channels == 0 {
        return;
    }
    let parallel = pool.threads() > 1 && c.flops() >= PARALLEL;
    let team = Team(parallel.then_some(pool));
    let phases = phases(c);
    // The routines report rows themselves when one of them computes all channels of all positions.
    let whole = c.groups * c.batch_groups == 1 && phases.len() == 1;
    for phase in &phases {
        let at = Operands { w: o.weight(if o.packed { 0 } else { phase.w }), ..o.at(0, 0, phase.y) };
        // SAFETY: the phase lies within the operands.
        unsafe {
            if c.in_channels == 0 || phase.axes.iter().any(|a| a.kernel == 0) {
                clear(c, phase, at, team);
                if let (Some(e), true) = (finish.epilogue(), whole) {
                    e(0..pixels, 0..c.out_channels);
                }
            } else {
                grouped(kernels, c, phase, at, team, if whole { finish } else { Finish::Nothing });
            }
        }
    }
    if whole {
        return;
    }
    if let Some(e) = finish.epilogue() {
        let tasks = if parallel { pixels.min(4 * pool.threads()) } else { 1 };
        team.run(tasks, &|t| e(even(pixels, tasks, t), 0..c.out_channels));
    }
}

/// Elements of the weights in the order in which [`solve`] reads them, if it would otherwise have to bring them into that order
/// every time.
pub(super) fn packed_len(kernels: &Kernels, c: &Conv) -> Option<usize> {
    let p = undivided(c)?;
    match Route::of(&p) {
        Route::Product(g) => drive::packed_len(kernels, &g),
        Route::Winograd(cut) => Some(winograd::packed_len(kernels, &cut)),
        Route::Pixels => forward::prepacked_len(kernels, &p),
        Route::WinogradWeights(_) | Route::Weights => None,
    }
}

/// Whether [`solve`] can [`Finish::Forget`] blocks of so many rows.
pub(super) fn keeps(kernels: &Kernels, c: &Conv, rows: usize) -> bool {
    undivided(c).is_some_and(|p| match Route::of(&p) {
        Route::Winograd(cut) => cut.keeps(rows),
        Route::Pixels => forward::keeps(kernels, &p, rows),
        _ => false,
    })
}

/// The only problem that a convolution consists of.
fn undivided(c: &Conv) -> Option<Problem> {
    let phases = phases(c);
    let [phase] = &phases[..] else { return None };
    let nothing = c.pixels() == 0 || c.out_channels == 0 || c.in_channels == 0;
    let divided = c.groups * c.batch_groups != 1 || phase.axes.iter().any(|a| a.kernel == 0);
    (!nothing && !divided).then(|| problem(c, phase))
}

/// Brings the weights into that order.
///
/// # Safety
/// There is a [`packed_len`], for which `packed` is writable; `w` is readable for [`Conv::extents`] elements.
pub(super) unsafe fn prepack(kernels: &Kernels, c: &Conv, w: *const f32, packed: *mut f32, team: Team<'_>) {
    let phase = &phases(c)[0];
    let p = problem(c, phase);
    let w = w.wrapping_offset(phase.w);
    let o = Operands { x: std::ptr::null(), w, y: std::ptr::null_mut(), packed: false };
    // SAFETY: passed on.
    unsafe {
        match Route::of(&p) {
            Route::Product(g) => drive::prepack(kernels, &g, w, packed, team),
            Route::Winograd(cut) => winograd::prepack(kernels, &p, &cut, o, packed, team),
            _ => forward::prepack(kernels, &p, o, packed, team),
        }
    }
}

/// The outputs that meet the same taps, and where they begin.
struct Phase {
    axes: [Axis; 3],
    w: isize,
    y: usize,
}

fn phases(c: &Conv) -> Vec<Phase> {
    let mut all = vec![Phase { axes: [Axis::NONE; 3], w: 0, y: 0 }];
    let first = 3 - c.spatial.len();
    for (i, d) in c.spatial.iter().enumerate() {
        let (x, y) = (c.x.spatial[i], c.y.spatial[i]);
        let mut next = vec![];
        for before in &all {
            for (axis, w, at) in axis_phases(d, x, c.w.spatial[i], y) {
                let mut axes = before.axes;
                axes[first + i] = axis;
                next.push(Phase { axes, w: before.w + w, y: before.y + at });
            }
        }
        all = next;
    }
    all
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The phases of one dimension, each with its offsets in w and y. With an input dilation of D, output s and tap k meet
/// an input only where s*stride + k*dilation - pad is a multiple of D.
fn axis_phases(d: &Dim, x: usize, w: usize, y: usize) -> Vec<(Axis, isize, usize)> {
    let (flip, last) = if d.reversed { (-(w as isize), ((d.kernel.max(1) - 1) * w) as isize) } else { (w as isize, 0) };
    let gap = d.input_dilation;
    let every = gap / gcd(d.stride, gap);
    let step = gap / gcd(d.kernel_dilation, gap);
    let phase = |s: usize| {
        let meets = |k: usize| {
            let at = (s * d.stride + k * d.kernel_dilation) as isize - d.pad_low;
            (at % gap as isize == 0).then_some((k, -(at / gap as isize)))
        };
        let hit = (0..step.min(d.kernel)).find_map(meets);
        let (k, pad) = hit.unwrap_or((d.kernel, 0));
        let axis = Axis {
            input: d.input,
            kernel: (d.kernel - k).div_ceil(step),
            output: (d.output - s).div_ceil(every),
            stride: every * d.stride / gap,
            dilation: step * d.kernel_dilation / gap,
            pad,
            x,
            w: flip * step as isize,
            y: y * every,
        };
        (axis, last + flip * if axis.kernel == 0 { 0 } else { k as isize }, s * y)
    };
    (0..every.min(d.output)).map(phase).collect()
}

/// Zeros for a phase that no tap meets.
unsafe fn clear(c: &Conv, phase: &Phase, o: Operands, team: Team<'_>) {
    let [d, h, w] = phase.axes;
    let lines = c.out_batch() * d.output * h.output;
    let tasks = if team.threads() > 1 { lines.min(4 * team.threads()) } else { 1 };
    team.run(tasks, &|t| {
        for line in even(lines, tasks, t) {
            let (n, z, r) = (line / (d.output * h.output), line / h.output % d.output, line % h.output);
            for q in 0..w.output {
                let y = o.output(n * c.y.batch + z * d.y + r * h.y + q * w.y);
                // SAFETY: all channels of one position of y.
                unsafe {
                    if c.y.channel == 1 {
                        std::ptr::write_bytes(y, 0, c.out_channels);
                        continue;
                    }
                    (0..c.out_channels).for_each(|channel| *y.add(channel * c.y.channel) = 0.0);
                }
            }
        }
    });
}

/// One group of one phase.
fn problem(c: &Conv, phase: &Phase) -> Problem {
    Problem {
        batch: c.batch / c.batch_groups,
        inputs: c.in_channels / c.groups,
        outputs: c.out_channels / (c.groups * c.batch_groups),
        x_batch: c.x.batch,
        x_channel: c.x.channel,
        w_input: c.w.input,
        w_output: c.w.output,
        y_batch: c.y.batch,
        y_channel: c.y.channel,
        axes: phase.axes,
    }
}

unsafe fn grouped(kernels: &Kernels, c: &Conv, phase: &Phase, o: Operands, team: Team<'_>, finish: Finish<'_>) {
    let (groups, batch_groups) = (c.groups, c.batch_groups);
    let parts = groups * batch_groups;
    let problem = problem(c, phase);
    // SAFETY: passed on; groups lie within the operands.
    unsafe {
        if parts > 1 && depthwise::solve(kernels, &problem, groups, batch_groups, o, team) {
            return;
        }
        let one = |g: usize, team: Team<'_>| {
            let (b, f) = (g / groups, g % groups);
            let x = b * problem.batch * c.x.batch + f * problem.inputs * c.x.channel;
            let first = g * problem.outputs;
            single(kernels, &problem, o.at(x, first * c.w.output, first * c.y.channel), team, finish);
        };
        if parts >= 2 * team.threads() && team.threads() > 1 {
            team.run(parts, &|g| one(g, Team(None)));
        } else {
            (0..parts).for_each(|g| one(g, team));
        }
    }
}

/// One group.
unsafe fn single(kernels: &Kernels, p: &Problem, o: Operands, team: Team<'_>, finish: Finish<'_>) {
    // SAFETY: passed on.
    unsafe {
        match Route::of(p) {
            Route::Product(g) => {
                let operands = drive::Operands { a: o.x, b: o.w, c: o.y };
                let product = if o.packed { drive::prepacked } else { drive::product };
                product(kernels, &g, operands, team, finish.epilogue());
            }
            Route::WinogradWeights(cut) => winograd::solve_weights(kernels, p, &cut, o, team, finish.epilogue()),
            Route::Weights => weights::solve(kernels, p, o, team, finish.epilogue(), false),
            Route::Winograd(cut) => winograd::solve(kernels, p, &cut, o, team, finish),
            Route::Pixels => forward::solve(kernels, p, o, team, finish),
        }
    }
}

/// Which routine solves a problem: by its shape alone.
enum Route {
    Product(Gemm),
    WinogradWeights(winograd::Cut),
    Weights,
    Winograd(winograd::Cut),
    Pixels,
}

impl Route {
    fn of(p: &Problem) -> Route {
        if let Some(g) = p.as_product() {
            Route::Product(g)
        } else if p.sums_over_positions() {
            winograd::Cut::by_weights(p).map_or(Route::Weights, Route::WinogradWeights)
        } else {
            winograd::Cut::of(p).map_or(Route::Pixels, Route::Winograd)
        }
    }
}

impl Problem {
    /// Whether this looks like the gradient by the weights: the window is larger than the output, and what counts as
    /// examples lies side by side.
    fn sums_over_positions(&self) -> bool {
        match (self.x_channel, self.x_batch) {
            (1, batch) if batch != 1 => false,
            (channel, 1) if channel != 1 => true,
            _ => self.taps() > self.positions(),
        }
    }
}
