//! Convolution as StableHLO defines it: any layout, strides, padding, dilation of input and kernel, reversed windows, groups.
//!
//! Both gradients are convolutions again: `dx` slides the reversed kernel over `dy` dilated by the strides, `dw` slides `dy` dilated
//! by the strides over x with batch and features exchanged.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::{Type, strides};
use crate::ir::var::Var;
use crate::tensor::Tensor;
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

fn dilated(n: usize, d: usize) -> i64 {
    if n == 0 { 0 } else { (n as i64 - 1) * d as i64 + 1 }
}

impl Convolution {
    fn output(&self, i: usize, x: &Type, w: &Type) -> i64 {
        let d = &self.dims[i];
        let room = dilated(x.shape[self.lhs.spatial[i]], d.lhs_dilation) + d.padding.0 + d.padding.1
            - dilated(w.shape[self.rhs.spatial[i]], d.rhs_dilation);
        if room < 0 { 0 } else { room / d.stride as i64 + 1 }
    }

    fn cotangent_of_input(&self, x: &Var, w: &Var, dy: &Var) -> Var {
        let g = self.feature_groups;
        // The kernel with input and output features exchanged, group by group.
        let (w, rhs) = match g {
            1 => (
                w.clone(),
                ConvAxes { batch: self.rhs.feature, feature: self.rhs.batch, spatial: self.rhs.spatial.clone() },
            ),
            _ => (exchange_groups(w, &self.rhs, g), self.rhs.clone()),
        };
        let dims = (0..self.dims.len()).map(|i| {
            let d = self.dims[i];
            let n = x.shape()[self.lhs.spatial[i]];
            let k = w.shape()[rhs.spatial[i]];
            let low = dilated(k, d.rhs_dilation) - 1 - d.padding.0;
            let full = dilated(n, d.lhs_dilation);
            let high = full + dilated(k, d.rhs_dilation) - 1 - dilated(dy.shape()[self.out.spatial[i]], d.stride) - low;
            ConvDim {
                stride: d.lhs_dilation,
                padding: (low, high),
                lhs_dilation: d.stride,
                rhs_dilation: d.rhs_dilation,
                reversed: !d.reversed,
            }
        });
        let dims = dims.collect();
        let op =
            Convolution { lhs: self.out.clone(), rhs, out: self.lhs.clone(), dims, feature_groups: g, batch_groups: 1 };
        dy.apply(op, &[&w])
    }

    fn cotangent_of_kernel(&self, x: &Var, w: &Var, dy: &Var) -> Var {
        let swap = |a: &ConvAxes| ConvAxes { batch: a.feature, feature: a.batch, spatial: a.spatial.clone() };
        let dims = (0..self.dims.len()).map(|i| {
            let d = self.dims[i];
            let (n, k) = (x.shape()[self.lhs.spatial[i]], w.shape()[self.rhs.spatial[i]]);
            let low = d.padding.0;
            let window = dilated(dy.shape()[self.out.spatial[i]], d.stride);
            let high = (k as i64 - 1) * d.rhs_dilation as i64 + window - dilated(n, d.lhs_dilation) - low;
            ConvDim {
                stride: d.rhs_dilation,
                padding: (low, high),
                lhs_dilation: d.lhs_dilation,
                rhs_dilation: d.stride,
                reversed: false,
            }
        });
        let op = Convolution {
            lhs: swap(&self.lhs),
            rhs: swap(&self.out),
            out: swap(&self.rhs),
            dims: dims.collect(),
            feature_groups: if self.batch_groups > 1 { self.batch_groups } else { 1 },
            batch_groups: self.feature_groups,
        };
        let dw = x.apply(op, &[dy]);
        let backwards: Vec<usize> =
            (0..self.dims.len()).filter(|&i| self.dims[i].reversed).map(|i| self.rhs.spatial[i]).collect();
        if backwards.is_empty() { dw } else { dw.reverse(&backwards) }
    }
}

/// A grouped kernel `[…, in/g, out]` as `[…, out/g, in]`, by axes.
fn exchange_groups(w: &Var, axes: &ConvAxes, g: usize) -> Var {
    let rank = w.rank();
    let (i, o) = (w.shape()[axes.feature], w.shape()[axes.batch]);
    // Features in front: [out = g·o', in'] → [g, o', in', spatial] → [g, in', o', spatial] → [g·in', o', spatial].
    let order: Vec<usize> = axes.list();
    let moved = w.transpose(&order);
    let spatial: Vec<usize> = moved.shape()[2..].to_vec();
    let with = |head: &[usize]| head.iter().chain(&spatial).copied().collect::<Vec<_>>();
    let split = moved.reshape(&with(&[g, o / g, i]));
    let mut swap: Vec<usize> = (0..split.rank()).collect();
    swap.swap(1, 2);
    let joined = split.transpose(&swap).reshape(&with(&[g * i, o / g]));
    let mut back = vec![0; rank];
    order.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
    joined.transpose(&back)
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
        let axes = [(&self.lhs, x.rank()), (&self.rhs, w.rank()), (&self.out, x.rank())];
        let sane = axes.iter().all(|(a, r)| *r == n + 2 && a.valid(*r))
            && self.feature_groups > 0
            && self.batch_groups > 0
            && (self.feature_groups == 1 || self.batch_groups == 1)
            && self.dims.iter().all(|d| d.stride > 0 && d.lhs_dilation > 0 && d.rhs_dilation > 0);
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
        if self.batch_groups > 1 {
            // y[b, g·o + j] = conv(x[g·b.., :], w[g·o + j]): the groups of the batch are independent convolutions.
            return self.grouped_batch_vjp(cx);
        }
        vec![cx.want(0, || self.cotangent_of_input(x, w, &dy)), cx.want(1, || self.cotangent_of_kernel(x, w, &dy))]
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
        let flat: Vec<i64> = self
            .dims
            .iter()
            .flat_map(|d| {
                [
                    d.stride as i64,
                    d.padding.0,
                    d.padding.1,
                    d.lhs_dilation as i64,
                    d.rhs_dilation as i64,
                    i64::from(d.reversed),
                ]
            })
            .collect();
        Attributes::none()
            .with("lhs", &self.lhs.list())
            .with("rhs", &self.rhs.list())
            .with("out", &self.out.list())
            .with("dims", &flat)
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
        let t = |shape: &[usize], seed: usize| {
            let n: usize = shape.iter().product();
            Tensor::new(shape, &(0..n).map(|i| ((i * 29 + seed * 7) % 19) as f32 / 9.0 - 1.0).collect::<Vec<_>>())
                .expect("n values")
        };
        let two = |dims: [ConvDim; 2], groups: usize| Convolution {
            lhs: ConvAxes::channels_last(2),
            rhs: ConvAxes::keras_kernel(2),
            out: ConvAxes::channels_last(2),
            dims: dims.into(),
            feature_groups: groups,
            batch_groups: 1,
        };
        let d = ConvDim::default();
        let same = ConvDim { padding: (1, 1), ..d };
        let strided = ConvDim { stride: 2, padding: (0, 1), ..d };
        let first =
            Convolution { lhs: ConvAxes::channels_first(2), out: ConvAxes::channels_first(2), ..two([same, d], 1) };
        let one = Convolution {
            lhs: ConvAxes::channels_last(1),
            rhs: ConvAxes::keras_kernel(1),
            out: ConvAxes::channels_last(1),
            dims: vec![ConvDim { padding: (2, 0), rhs_dilation: 2, ..d }],
            feature_groups: 1,
            batch_groups: 1,
        };
        vec![
            Sample::new(two([d, d], 1), vec![t(&[2, 4, 5, 2], 1), t(&[3, 2, 2, 3], 2)]),
            Sample::new(two([same, same], 1), vec![t(&[1, 4, 4, 1], 1), t(&[3, 3, 1, 2], 2)]),
            Sample::new(two([strided, strided], 1), vec![t(&[1, 5, 6, 2], 1), t(&[3, 2, 2, 2], 2)]),
            Sample::new(
                two([ConvDim { rhs_dilation: 2, ..same }, d], 1),
                vec![t(&[1, 5, 3, 1], 1), t(&[2, 2, 1, 2], 2)],
            ),
            Sample::new(
                two([ConvDim { lhs_dilation: 2, ..same }, d], 1),
                vec![t(&[1, 3, 3, 1], 1), t(&[2, 2, 1, 2], 2)],
            ),
            Sample::new(two([same, d], 2), vec![t(&[1, 3, 3, 4], 1), t(&[3, 2, 2, 6], 2)]),
            Sample::new(two([same, d], 3), vec![t(&[2, 3, 3, 3], 1), t(&[2, 2, 1, 6], 2)]),
            Sample::new(
                two([ConvDim { reversed: true, ..same }, d], 1),
                vec![t(&[1, 3, 3, 2], 1), t(&[3, 2, 2, 2], 2)],
            ),
            Sample::new(first, vec![t(&[2, 2, 4, 3], 1), t(&[3, 2, 2, 3], 2)]),
            Sample::new(one, vec![t(&[2, 5, 2], 1), t(&[2, 2, 3], 2)]),
            Sample::new(
                two([d, d], 1),
                vec![t(&[1, 3, 3, 1], 1).cast(DType::F64), t(&[2, 2, 1, 2], 2).cast(DType::F64)],
            ),
            Sample::flat(
                two([d, d], 1),
                vec![t(&[1, 3, 3, 1], 1).cast(DType::I32), t(&[2, 2, 1, 2], 2).cast(DType::I32)],
            ),
        ]
    }
}

impl Convolution {
    /// The cotangents of a convolution whose batch falls into groups, through the groups one by one.
    fn grouped_batch_vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, w, dy) = (cx.x(0), cx.x(1), cx.dy(0));
        let g = self.batch_groups;
        let single = Convolution { batch_groups: 1, ..self.clone() };
        let (b, o) = (x.shape()[self.lhs.batch] / g, w.shape()[self.rhs.batch] / g);
        let (mut dx, mut dw) = (vec![], vec![]);
        for k in 0..g {
            let xk = x.slice_axis(self.lhs.batch, k * b, (k + 1) * b);
            let wk = w.slice_axis(self.rhs.batch, k * o, (k + 1) * o);
            let dyk = dy.slice_axis(self.out.feature, k * o, (k + 1) * o);
            dx.push(single.cotangent_of_input(&xk, &wk, &dyk));
            dw.push(single.cotangent_of_kernel(&xk, &wk, &dyk));
        }
        let join = |v: &[Var], axis: usize| Var::concatenate(&v.iter().collect::<Vec<_>>(), axis);
        vec![cx.want(0, || join(&dx, self.lhs.batch)), cx.want(1, || join(&dw, self.rhs.batch))]
    }
}

impl Var {
    /// StableHLO's `convolution` with this value as input.
    #[track_caller]
    pub fn convolution(&self, kernel: &Var, op: Convolution) -> Var {
        self.apply(op, &[kernel])
    }
}
