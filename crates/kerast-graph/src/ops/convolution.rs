//! Convolution as StableHLO defines it: any layout, strides, padding, dilation of input and kernel, reversed windows, groups.
//!
//! Both gradients are convolutions again: `dx` slides the reversed kernel over `dy` dilated by the strides, `dw` slides `dy` dilated
//! by the strides over x with batch and features exchanged.

use super::convolution_samples;
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, moderate, shape_error};
use crate::ir::types::{Type, strides};
use crate::ir::var::Var;
use kerast_kernels::conv::{Conv, ConvKernel, Dim, FilterLayout, Layout};
use kerast_kernels::dtype::DType;

/// Which axis of a value is what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvAxes {
    /// Batch; of a kernel: output features.
    pub batch: usize,
    /// Features; of a kernel: input features.
    pub feature: usize,
    /// Spatial axes in order.
    pub spatial: Vec<usize>,
}

impl ConvAxes {
    /// Batch, spatial axes, features: Keras' `channels_last`.
    pub fn channels_last(spatial: usize) -> ConvAxes {
        ConvAxes { batch: 0, feature: spatial + 1, spatial: (1..=spatial).collect() }
    }

    /// Batch, features, spatial axes: Keras' `channels_first`.
    pub fn channels_first(spatial: usize) -> ConvAxes {
        ConvAxes { batch: 0, feature: 1, spatial: (2..spatial + 2).collect() }
    }

    /// Spatial axes, input features, output features: Keras' kernels.
    pub fn keras_kernel(spatial: usize) -> ConvAxes {
        ConvAxes { batch: spatial + 1, feature: spatial, spatial: (0..spatial).collect() }
    }

    /// Batch and features exchanged.
    pub(super) fn swapped(&self) -> ConvAxes {
        ConvAxes { batch: self.feature, feature: self.batch, spatial: self.spatial.clone() }
    }

    fn list(&self) -> Vec<usize> {
        [self.batch, self.feature].into_iter().chain(self.spatial.iter().copied()).collect()
    }

    fn of_list(v: &[usize]) -> Option<ConvAxes> {
        let [batch, feature, spatial @ ..] = v else { return None };
        Some(ConvAxes { batch: *batch, feature: *feature, spatial: spatial.to_vec() })
    }

    fn valid(&self, rank: usize) -> bool {
        let mut all = self.list();
        all.sort_unstable();
        all.into_iter().eq(0..rank)
    }
}

/// One spatial axis of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvDim {
    /// Step of the window.
    pub stride: usize,
    /// Padding before and after; negative cuts.
    pub padding: (i64, i64),
    /// Distance between elements of the input.
    pub lhs_dilation: usize,
    /// Distance between elements of the kernel.
    pub rhs_dilation: usize,
    /// The kernel backwards.
    pub reversed: bool,
}

impl Default for ConvDim {
    fn default() -> Self {
        ConvDim { stride: 1, padding: (0, 0), lhs_dilation: 1, rhs_dilation: 1, reversed: false }
    }
}

/// A convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// Axes of the input.
    pub lhs: ConvAxes,
    /// Axes of the kernel.
    pub rhs: ConvAxes,
    /// Axes of the result.
    pub out: ConvAxes,
    /// The spatial axes.
    pub dims: Vec<ConvDim>,
    /// Features fall into so many groups.
    pub feature_groups: usize,
    /// The batch falls into so many groups (in kernel gradients of grouped convolutions).
    pub batch_groups: usize,
}

/// Padding before and after an axis so that the output has `ceil(input / stride)` places, the odd zero after (Keras' "same").
pub fn same_padding(input: usize, kernel: usize, stride: usize, dilation: usize) -> (i64, i64) {
    let (stride, window) = (stride.max(1), dilated(kernel, dilation));
    let total = (dilated(input.div_ceil(stride), stride) - 1 + window - input as i64).max(0);
    (total / 2, total - total / 2)
}

/// Places from the first to the last of `n` elements that are `d` apart.
pub(super) fn dilated(n: usize, d: usize) -> i64 {
    if n == 0 { 0 } else { (n as i64 - 1) * d as i64 + 1 }
}

impl Convolution {
    /// Input and output `[batch, spatial.., feature]`, kernel `[spatial.., in, out]`; stride 1, nothing padded or dilated.
    pub fn channels_last(spatial: usize) -> Convolution {
        Convolution::keras(ConvAxes::channels_last(spatial))
    }

    /// Input and output `[batch, feature, spatial..]`, kernel `[spatial.., in, out]`; stride 1, nothing padded or dilated.
    pub fn channels_first(spatial: usize) -> Convolution {
        Convolution::keras(ConvAxes::channels_first(spatial))
    }

    fn keras(data: ConvAxes) -> Convolution {
        let n = data.spatial.len();
        Convolution {
            lhs: data.clone(),
            rhs: ConvAxes::keras_kernel(n),
            out: data,
            dims: vec![ConvDim::default(); n],
            feature_groups: 1,
            batch_groups: 1,
        }
    }

    /// The spatial axes as numbers, six each.
    fn numbers(&self) -> Vec<i64> {
        let dim = |d: &ConvDim| {
            let [stride, lhs, rhs] = [d.stride, d.lhs_dilation, d.rhs_dilation].map(|v| v as i64);
            [stride, d.padding.0, d.padding.1, lhs, rhs, i64::from(d.reversed)]
        };
        self.dims.iter().flat_map(dim).collect()
    }

    fn output(&self, i: usize, x: &Type, w: &Type) -> i64 {
        let d = &self.dims[i];
        let room = dilated(x.shape[self.lhs.spatial[i]], d.lhs_dilation) + d.padding.0 + d.padding.1
            - dilated(w.shape[self.rhs.spatial[i]], d.rhs_dilation);
        if room < 0 { 0 } else { room / d.stride as i64 + 1 }
    }
}

impl OpRule for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x, w] = x else { return Err(shape_error("convolution", "takes an input and a kernel")) };
        if x.dtype != w.dtype || x.dtype == DType::Bool {
            return Err(dtype_error("convolution", "input and kernel must have the same numeric type")
                .received(format!("{x}, {w}")));
        }
        let n = self.dims.len();
        if n > 3 {
            return Err(shape_error("convolution", format!("{n} spatial axes; at most 3 can be convolved")));
        }
        let axes = [(&self.lhs, x.rank()), (&self.rhs, w.rank()), (&self.out, x.rank())];
        let sane = axes.iter().all(|(a, r)| *r == n + 2 && a.valid(*r))
            && self.feature_groups > 0
            && self.batch_groups > 0
            && (self.feature_groups == 1 || self.batch_groups == 1)
            && self.dims.iter().all(|d| d.stride > 0 && d.lhs_dilation > 0 && d.rhs_dilation > 0)
            && moderate(self.numbers())
            && moderate([self.feature_groups as i64, self.batch_groups as i64]);
        if !sane {
            return Err(shape_error(
                "convolution",
                format!("{n} spatial axes, input {x}, kernel {w}: axes or groups do not fit"),
            ));
        }
        let (features, inputs, outputs) =
            (x.shape[self.lhs.feature], w.shape[self.rhs.feature], w.shape[self.rhs.batch]);
        let batch = x.shape[self.lhs.batch];
        if inputs * self.feature_groups != features
            || outputs % (self.feature_groups * self.batch_groups) != 0
            || batch % self.batch_groups != 0
        {
            return Err(shape_error("convolution", "the features do not fit the kernel")
                .expected(format!("{} input features", inputs * self.feature_groups))
                .received(format!("{features} (input {x}, kernel {w}, {} groups)", self.feature_groups)));
        }
        let mut shape = vec![0; x.rank()];
        shape[self.out.batch] = batch / self.batch_groups;
        shape[self.out.feature] = outputs;
        for i in 0..n {
            shape[self.out.spatial[i]] = self.output(i, x, w) as usize;
        }
        Ok(vec![Type::new(x.dtype, shape)])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, w, dy) = (cx.x(0), cx.x(1), cx.dy(0));
        vec![cx.want(0, || self.by_input(x, w, &dy)), cx.want(1, || self.by_kernel(x, w, &dy))]
    }

    fn cpu(&self, operands: &[&Type], results: &[&Type]) -> Cpu {
        let (x, w, y) = (operands[0], operands[1], results[0]);
        let (sx, sw, sy) = (strides(&x.shape), strides(&w.shape), strides(&y.shape));
        let layout = |a: &ConvAxes, s: &[usize]| Layout {
            batch: s[a.batch],
            channel: s[a.feature],
            spatial: a.spatial.iter().map(|&i| s[i]).collect(),
        };
        let dims = (0..self.dims.len()).map(|i| {
            let d = &self.dims[i];
            Dim {
                input: x.shape[self.lhs.spatial[i]],
                kernel: w.shape[self.rhs.spatial[i]],
                output: y.shape[self.out.spatial[i]],
                stride: d.stride,
                pad_low: d.padding.0 as isize,
                pad_high: d.padding.1 as isize,
                input_dilation: d.lhs_dilation,
                kernel_dilation: d.rhs_dilation,
                reversed: d.reversed,
            }
        });
        let conv = Conv {
            batch: x.shape[self.lhs.batch],
            groups: self.feature_groups,
            batch_groups: self.batch_groups,
            in_channels: x.shape[self.lhs.feature],
            out_channels: w.shape[self.rhs.batch],
            x: layout(&self.lhs, &sx),
            w: FilterLayout {
                output: sw[self.rhs.batch],
                input: sw[self.rhs.feature],
                spatial: self.rhs.spatial.iter().map(|&i| sw[i]).collect(),
            },
            y: layout(&self.out, &sy),
            spatial: dims.collect(),
        };
        Cpu::Kernel(Box::new(ConvKernel::new(x.dtype, conv)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
            .with("lhs", &self.lhs.list())
            .with("rhs", &self.rhs.list())
            .with("out", &self.out.list())
            .with("dims", &self.numbers())
            .with("feature_groups", self.feature_groups)
            .with("batch_groups", self.batch_groups)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "convolution" {
            return Ok(None);
        }
        let axes = |key: &str| {
            ConvAxes::of_list(&a.sizes(key)?).ok_or_else(|| shape_error(name, format!("`{key}` is too short")))
        };
        let size = |v: i64| usize::try_from(v).map_err(|_| shape_error(name, "a negative size"));
        let flat = a.ints("dims")?;
        if flat.len() % 6 != 0 {
            return Err(shape_error(name, "`dims` needs six numbers for each axis"));
        }
        let dims = flat.chunks_exact(6).map(|c| {
            Ok(ConvDim {
                stride: size(c[0])?,
                padding: (c[1], c[2]),
                lhs_dilation: size(c[3])?,
                rhs_dilation: size(c[4])?,
                reversed: c[5] != 0,
            })
        });
        Ok(Some(Convolution {
            lhs: axes("lhs")?,
            rhs: axes("rhs")?,
            out: axes("out")?,
            dims: dims.collect::<Result<_>>()?,
            feature_groups: a.size("feature_groups")?,
            batch_groups: a.size("batch_groups")?,
        }))
    }

    fn samples() -> Vec<Sample> {
        convolution_samples::all()
    }
}

impl Var {
    /// StableHLO's `convolution` with this value as input.
    #[track_caller]
    pub fn convolution(&self, kernel: &Var, op: Convolution) -> Var {
        self.apply(op, &[kernel])
    }
}
