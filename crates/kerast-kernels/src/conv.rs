//! Convolutions as StableHLO defines them: forward, by input and by weights, strided, dilated, grouped, in 0 to 3
//! spatial dimensions, with operands laid out in any order.
//!
//! f32 is taken apart in [`problem`] into convolutions without groups, reversal and input dilation, each solved by the
//! routine that fits: [`forward`] (pixels by channels), [`weights`] (the sum runs over pixels), [`depthwise`], or a
//! plain matrix product. Other element types take the loops in [`element`]. Every sum is taken in an order that depends
//! on the shape alone.

mod cut;
mod depthwise;
mod element;
mod finish;
mod forward;
mod problem;
mod strip;
mod weights;
mod winograd;

pub use element::conv_element;

use crate::chain::Chain;
use crate::dtype::DType;
use crate::gemm::Epilogue;
use crate::gemm::drive::Team;
use crate::gemm::micro::Kernels;
use crate::isa::{Isa, isa};
use crate::machine::{Io, Kernel, Packing};
use crate::pool::Pool;
use crate::window::Window;
use crate::with_element;
use finish::Finish;
use std::ops::Range;

/// Strides in elements of a data operand: input or output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// From one example to the next.
    pub batch: usize,
    /// From one channel to the next.
    pub channel: usize,
    /// From one position to the next, per spatial dimension.
    pub spatial: Vec<usize>,
}

/// Strides in elements of the weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterLayout {
    /// From one output channel to the next.
    pub output: usize,
    /// From one input channel of a group to the next.
    pub input: usize,
    /// From one position to the next, per spatial dimension.
    pub spatial: Vec<usize>,
}

/// One spatial dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dim {
    /// Positions of the input.
    pub input: usize,
    /// Positions of the weights.
    pub kernel: usize,
    /// Positions of the output.
    pub output: usize,
    /// Step of the window.
    pub stride: usize,
    /// Zeros before the (dilated) input; negative: positions cut off.
    pub pad_low: isize,
    /// Zeros after the (dilated) input; negative: positions cut off.
    pub pad_high: isize,
    /// Distance of neighbouring input positions; the gaps are zeros.
    pub input_dilation: usize,
    /// Distance of neighbouring weights in the input.
    pub kernel_dilation: usize,
    /// The weights are read from the end.
    pub reversed: bool,
}

impl Dim {
    /// A dimension with the stride and padding given, nothing dilated or reversed, and as many outputs as fit.
    pub fn new(input: usize, kernel: usize, stride: usize, pad_low: isize, pad_high: isize) -> Dim {
        let dim = Dim {
            input,
            kernel,
            output: 0,
            stride,
            pad_low,
            pad_high,
            input_dilation: 1,
            kernel_dilation: 1,
            reversed: false,
        };
        Dim { output: dim.fitting(), ..dim }
    }

    /// How many outputs input, kernel, padding, stride and dilations give.
    pub fn fitting(&self) -> usize {
        let spread = |count: usize, dilation: usize| if count == 0 { 0 } else { (count - 1) * dilation + 1 };
        let room = spread(self.input, self.input_dilation) as isize + self.pad_low + self.pad_high;
        let window = spread(self.kernel, self.kernel_dilation) as isize;
        if room < window { 0 } else { (room - window) as usize / self.stride + 1 }
    }
}

/// y[n, o, s..] = Σ over c and k.. of x[n', g*C/G + c, s*stride + k*kernel_dilation - pad_low] * w[o, c, k..],
/// positions counted in the input dilated by `input_dilation`, zero where there is no input.
///
/// C are the input channels, G the groups, g the group of output channel o. With batch groups n' = n +
/// b*batch/batch_groups, where b is the batch group of output channel o; y then has batch/batch_groups examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Examples of x.
    pub batch: usize,
    /// `feature_group_count`.
    pub groups: usize,
    /// `batch_group_count`.
    pub batch_groups: usize,
    /// Channels of x.
    pub in_channels: usize,
    /// Channels of y.
    pub out_channels: usize,
    /// Where x lies.
    pub x: Layout,
    /// Where the weights lie.
    pub w: FilterLayout,
    /// Where y lies.
    pub y: Layout,
    /// The spatial dimensions, at most 3.
    pub spatial: Vec<Dim>,
}

impl Conv {
    /// A convolution of channels-last operands without gaps: x [batch, spatial.., in], w [kernel.., in / groups, out],
    /// y [batch, spatial.., out].
    pub fn channels_last(
        batch: usize,
        in_channels: usize,
        out_channels: usize,
        groups: usize,
        spatial: Vec<Dim>,
    ) -> Conv {
        let layout = |channels: usize, sizes: Vec<usize>| {
            let strides = row_major(channels, &sizes);
            Layout { batch: channels * sizes.iter().product::<usize>(), channel: 1, spatial: strides }
        };
        let x = layout(in_channels, spatial.iter().map(|d| d.input).collect());
        let y = layout(out_channels, spatial.iter().map(|d| d.output).collect());
        let kernel: Vec<usize> = spatial.iter().map(|d| d.kernel).collect();
        let w = FilterLayout {
            output: 1,
            input: out_channels,
            spatial: row_major(out_channels * in_channels / groups, &kernel),
        };
        Conv { batch, groups, batch_groups: 1, in_channels, out_channels, x, w, y, spatial }
    }

    /// Examples of y.
    pub fn out_batch(&self) -> usize {
        self.batch / self.batch_groups.max(1)
    }

    /// Multiplications and additions, those with padding and gaps included.
    pub fn flops(&self) -> f64 {
        let taps: f64 = self.spatial.iter().map(|d| d.kernel as f64).product();
        let gaps: f64 = self.spatial.iter().map(|d| d.input_dilation as f64).product();
        2.0 * self.pixels() as f64 * self.out_channels as f64 * (self.in_channels / self.groups.max(1)) as f64 * taps
            / gaps
    }

    /// Output positions of all examples.
    pub fn pixels(&self) -> usize {
        self.out_batch() * self.spatial.iter().map(|d| d.output).product::<usize>()
    }

    /// How many elements x, w and y must have: one past the last that is touched.
    pub fn extents(&self) -> [usize; 3] {
        let reach = |counts: &[(usize, usize)]| {
            if counts.iter().any(|c| c.0 == 0) {
                0
            } else {
                1 + counts.iter().map(|&(n, s)| (n - 1) * s).sum::<usize>()
            }
        };
        let data = |batch, channels, l: &Layout, size: fn(&Dim) -> usize| {
            let mut counts = vec![(batch, l.batch), (channels, l.channel)];
            counts.extend(self.spatial.iter().map(size).zip(l.spatial.iter().copied()));
            reach(&counts)
        };
        let mut filter =
            vec![(self.out_channels, self.w.output), (self.in_channels / self.groups.max(1), self.w.input)];
        filter.extend(self.spatial.iter().map(|d| d.kernel).zip(self.w.spatial.iter().copied()));
        [
            data(self.batch, self.in_channels, &self.x, |d| d.input),
            reach(&filter),
            data(self.out_batch(), self.out_channels, &self.y, |d| d.output),
        ]
    }
}

/// Strides of the leading dimensions of a row-major array whose last dimension has `last` elements.
fn row_major(last: usize, sizes: &[usize]) -> Vec<usize> {
    let mut strides = vec![last; sizes.len()];
    for i in (1..sizes.len()).rev() {
        strides[i - 1] = strides[i] * sizes[i];
    }
    strides
}

/// The convolution in f32.
///
/// The epilogue gets ranges of output positions, counted through examples and spatial dimensions in order, and of
/// channels that are complete there.
///
/// # Safety
/// `x` and `w` are readable and `y` is writable for [`Conv::extents`] elements, y overlaps neither of them and no two
/// of its elements share a place; nobody else uses y until the call returns. The groups divide batch and channels;
/// there are at most 3 spatial dimensions with as many strides in every layout; strides and dilations are at least 1.
pub unsafe fn conv_f32(
    c: &Conv,
    x: *const f32,
    w: *const f32,
    y: *mut f32,
    pool: &Pool,
    epilogue: Option<Epilogue<'_>>,
) {
    // SAFETY: passed on; `isa` returns what the machine has.
    unsafe { conv_f32_on(isa(), c, x, w, y, pool, epilogue) }
}

/// [`conv_f32`] on a given instruction set, for tests and benches.
///
/// # Safety
/// As for [`conv_f32`], and the machine has the instruction set.
pub unsafe fn conv_f32_on(
    isa: Isa,
    c: &Conv,
    x: *const f32,
    w: *const f32,
    y: *mut f32,
    pool: &Pool,
    epilogue: Option<Epilogue<'_>>,
) {
    let finish = epilogue.map_or(Finish::Nothing, Finish::Report);
    // SAFETY: passed on.
    unsafe { problem::solve(Kernels::of(isa), c, problem::Operands { x, w, y, packed: false }, pool, finish) }
}

/// The machine's convolution: inputs x and weights, output y, with an element-wise chain behind it if wished (f32, y
/// channels-last without gaps), and behind that a reduction of windows, of which alone the result is then the output.
#[derive(Debug)]
pub struct ConvKernel {
    dtype: DType,
    conv: Conv,
    chain: Option<Chain>,
    window: Option<Window>,
    /// The weights come as [`Kernel::prepack`] made them, this many elements long.
    packed: Option<usize>,
}

impl ConvKernel {
    /// The convolution of operands of one element type.
    pub fn new(dtype: DType, conv: Conv) -> ConvKernel {
        ConvKernel { dtype, conv, chain: None, window: None, packed: None }
    }

    /// The f32 convolution with the chain applied to every run of output positions that is complete.
    fn run_chained(&self, chain: &Chain, io: &mut Io<'_>, pool: &Pool) {
        let (x, w) = (io.input::<f32>(0), io.input::<f32>(1));
        self.check(x.len(), w.len(), usize::MAX);
        let bound = chain.bind(io);
        let channels = self.conv.out_channels;
        // SAFETY: this block is complete and reported once.
        let epilogue = |rows: Range<usize>, columns: Range<usize>| unsafe { bound.apply(channels, rows, columns) };
        // SAFETY: the lengths were checked; the chain's memory for the raw result is as long as y and overlaps no
        // input.
        unsafe { self.solve(x.as_ptr(), w.as_ptr(), bound.raw, pool, Finish::Report(&epilogue)) }
    }

    /// The f32 convolution, the chain and the reduction, block by block of what is never there as a whole.
    fn run_reduced(&self, window: &Window, io: &mut Io<'_>, pool: &Pool) {
        let (x, w) = (io.input::<f32>(0), io.input::<f32>(1));
        self.check(x.len(), w.len(), usize::MAX);
        let bound = self.chain.as_ref().map(|chain| chain.bind(io));
        let outputs = window.outputs(io);
        let (channels, row) = (self.conv.out_channels, self.row());
        let done = |y: *mut f32, pixels: Range<usize>, part: Range<usize>| {
            // SAFETY: this block of whole rows is complete and reported once; the window was asked.
            unsafe {
                if let Some(bound) = &bound {
                    bound.at(y).apply(channels, pixels.clone(), part.clone());
                }
                window.rows_of(y, &outputs, pixels.start / row..pixels.end / row, part);
            }
        };
        let rows = self.apart(window).expect("asked before");
        // SAFETY: the lengths were checked; blocks are written nowhere else.
        unsafe { self.solve(x.as_ptr(), w.as_ptr(), std::ptr::null_mut(), pool, Finish::Forget { rows, done: &done }) }
    }

    /// Output positions of a row.
    fn row(&self) -> usize {
        self.conv.spatial.last().map_or(1, |d| d.output)
    }

    /// Rows of output that must be there together for the windows.
    fn apart(&self, window: &Window) -> Option<usize> {
        window.apart([self.conv.pixels() / self.row().max(1), self.row(), self.conv.out_channels])
    }

    /// # Safety
    /// As for [`conv_f32`].
    unsafe fn solve(&self, x: *const f32, w: *const f32, y: *mut f32, pool: &Pool, finish: Finish<'_>) {
        let operands = problem::Operands { x, w, y, packed: self.packed.is_some() };
        // SAFETY: passed on.
        unsafe { problem::solve(Kernels::of(isa()), &self.conv, operands, pool, finish) }
    }

    fn check(&self, x: usize, w: usize, y: usize) {
        let [nx, nw, ny] = self.conv.extents();
        assert!(
            nx <= x && self.packed.unwrap_or(nw) <= w && ny <= y,
            "operands are shorter than {:?} needs",
            self.conv
        );
    }
}

impl Kernel for ConvKernel {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn fuses(&self) -> bool {
        let c = &self.conv;
        self.dtype == DType::F32 && {
            let dense = Conv::channels_last(c.batch, c.in_channels, c.out_channels, 1, c.spatial.clone()).y;
            dense == c.y
        }
    }

    fn fuse(mut self: Box<Self>, chain: Chain) -> Box<dyn Kernel> {
        self.chain = Some(chain);
        self
    }

    fn takes(&self, window: &Window) -> bool {
        let rows = self.apart(window).filter(|_| self.fuses());
        rows.is_some_and(|rows| problem::keeps(Kernels::of(isa()), &self.conv, rows))
    }

    fn reduce(mut self: Box<Self>, window: Window) -> Box<dyn Kernel> {
        self.chain = self.chain.map(Chain::within);
        self.window = Some(window);
        self
    }

    fn prepack(&mut self, input: usize) -> Option<Packing> {
        if input != 1 || self.dtype != DType::F32 || self.packed.is_some() {
            return None;
        }
        let kernels = Kernels::of(isa());
        let length = problem::packed_len(kernels, &self.conv)?;
        self.packed = Some(length);
        let conv = self.conv.clone();
        // SAFETY: a packing is given as much memory as it asks for.
        let pack = move |w: *const u8, to: *mut u8, pool: Option<&Pool>| unsafe {
            problem::prepack(kernels, &conv, w.cast(), to.cast(), Team(pool))
        };
        let [_, from, _] = self.conv.extents();
        Some(Packing::new(from * size_of::<f32>(), length * size_of::<f32>(), Box::new(pack)))
    }

    fn scratch(&self) -> usize {
        self.chain.as_ref().map_or(0, Chain::scratch)
    }

    fn in_place(&self, input: usize, output: usize) -> bool {
        self.chain.as_ref().is_some_and(|c| c.in_place(input, output))
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        match (&self.window, &self.chain) {
            (Some(window), _) => return self.run_reduced(window, io, pool),
            (None, Some(chain)) => return self.run_chained(chain, io, pool),
            (None, None) => {}
        }
        with_element!(self.dtype, T => {
            let (x, w, y) = (io.input::<T>(0), io.input::<T>(1), io.output::<T>(0));
            self.check(x.len(), w.len(), y.len());
            if self.dtype == DType::F32 {
                // SAFETY: the lengths were checked; `Io` hands out operands that do not overlap.
                unsafe { self.solve(x.as_ptr().cast(), w.as_ptr().cast(), y.as_mut_ptr().cast(), pool, Finish::Nothing) }
            } else {
                // SAFETY: as above.
                unsafe { conv_element(&self.conv, x.as_ptr(), w.as_ptr(), y.as_mut_ptr(), pool) }
            }
        });
    }

    fn flops(&self) -> f64 {
        self.conv.flops() + self.chain.as_ref().map_or(0.0, Chain::flops)
    }
}
