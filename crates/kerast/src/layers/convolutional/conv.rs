//! Convolutions over one, two and three axes.

use crate::activations::Activation;
use crate::config::{Object, Word};
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::sizes::{Sizes, channels_last, same_padding};
use crate::layers::{Call, LayerRule, Shape, Weights, expect_rank, known, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;
use kerast_graph::ops::{ConvAxes, ConvDim, Convolution};

/// What the convolutions share.
pub(in crate::layers) struct Shared<'a> {
    pub(in crate::layers) filters: usize,
    pub(in crate::layers) kernel: &'a [usize],
    pub(in crate::layers) strides: &'a [usize],
    pub(in crate::layers) padding: &'static str,
    pub(in crate::layers) dilation: &'a [usize],
    pub(in crate::layers) groups: usize,
    pub(in crate::layers) last: bool,
}

impl Shared<'_> {
    fn rank(&self) -> usize {
        self.kernel.len()
    }

    /// Refuses arguments and shapes that cannot be; gives the number of input channels.
    pub(in crate::layers) fn check(&self, input: &Shape) -> Result<usize> {
        let spatial = ["length", "height, width", "depth, height, width"][self.rank() - 1];
        let layout =
            if self.last { format!("batch, {spatial}, channels") } else { format!("batch, channels, {spatial}") };
        expect_rank(input, self.rank() + 2, &layout)?;
        let positive = |what: &str, v: &[usize]| match v.contains(&0) {
            true => {
                Err(Error::new(ErrorKind::Argument, format!("`{what}` must be at least 1")).received(format!("{v:?}")))
            }
            false => Ok(()),
        };
        positive("filters", &[self.filters])?;
        positive("kernel_size", self.kernel)?;
        positive("strides", self.strides)?;
        positive("dilation_rate", self.dilation)?;
        positive("groups", &[self.groups])?;
        let channels = known(input, if self.last { self.rank() + 1 } else { 1 }, "the channel axis")?;
        if channels % self.groups != 0 || !self.filters.is_multiple_of(self.groups) {
            return Err(Error::new(ErrorKind::Argument, "`groups` must divide the input channels and the filters")
                .received(format!("{} groups, {channels} channels, {} filters", self.groups, self.filters)));
        }
        if self.strides.iter().any(|&s| s > 1) && self.dilation.iter().any(|&d| d > 1) {
            return Err(Error::new(
                ErrorKind::Argument,
                "`strides` above 1 and `dilation_rate` above 1 exclude each other",
            ));
        }
        Ok(channels)
    }

    /// The number of places of the window along each spatial axis of an input, whose lengths must be known.
    pub(in crate::layers) fn places(&self, input: &Shape) -> Result<Vec<usize>> {
        let first = if self.last { 1 } else { 2 };
        let along = |i: usize| {
            let n = known(input, first + i, "every spatial axis")?;
            let window = (self.kernel[i] - 1) * self.dilation[i] + 1;
            Ok(match self.padding {
                "valid" => (n + 1).saturating_sub(window).div_ceil(self.strides[i]),
                _ => n.div_ceil(self.strides[i]),
            })
        };
        (0..self.rank()).map(along).collect()
    }

    pub(in crate::layers) fn call(&self, x: &Var, kernel: &Var) -> Result<Var> {
        let n = self.rank();
        let axes = if self.last { ConvAxes::channels_last(n) } else { ConvAxes::channels_first(n) };
        let channels = x.shape()[axes.feature];
        if channels != kernel.shape()[n] * self.groups {
            return Err(Error::new(ErrorKind::Shape, "the input does not fit the weights")
                .expected(format!("{} channels (kernel is {:?})", kernel.shape()[n] * self.groups, kernel.shape()))
                .received(format!("{channels} channels: {:?}", x.shape())));
        }
        let mut dims = vec![];
        for i in 0..n {
            let length = x.shape()[axes.spatial[i]];
            let padding = match self.padding {
                "same" => same_padding(length, self.kernel[i], self.strides[i], self.dilation[i]),
                "causal" => ((self.dilation[i] * (self.kernel[i] - 1)) as i64, 0),
                _ => (0, 0),
            };
            let window = (self.kernel[i] - 1) * self.dilation[i] + 1;
            if self.padding == "valid" && window > length {
                return Err(Error::new(ErrorKind::Shape, "the kernel is larger than the input")
                    .expected(format!("at least {window} along axis {}", axes.spatial[i]))
                    .received(format!("{:?}", x.shape()))
                    .repair("a smaller kernel, or padding \"same\""));
            }
            dims.push(ConvDim {
                stride: self.strides[i],
                padding,
                rhs_dilation: self.dilation[i],
                ..ConvDim::default()
            });
        }
        let op = Convolution {
            lhs: axes.clone(),
            rhs: ConvAxes::keras_kernel(n),
            out: axes,
            dims,
            feature_groups: self.groups,
            batch_groups: 1,
        };
        Ok(x.convolution(kernel, op))
    }
}

/// Adds a bias of one number per channel.
pub(in crate::layers) fn add_bias(y: &Var, bias: &Var, last: bool) -> Var {
    let axis = if last { y.rank() - 1 } else { 1 };
    y + bias.broadcast_in_dim(y.shape(), &[axis])
}

macro_rules! convolutions {
    ($($(#[$meta:meta])* $name:ident($class:literal, $n:literal, [$($padding:literal),*]);)*) => {$(
        layer! {
            $(#[$meta])*
            ///
            /// **Keras** the layer of the same name; kernels are `[spatial…, channels / groups, filters]`.
            pub struct $name($class) {
                /// Number of output channels.
                filters: usize,
                /// Extent of the window.
                kernel_size: Sizes<$n>,
                ;
                /// Step of the window.
                strides: Sizes<$n> = Sizes([1; $n]),
                /// `"valid"`: no padding; `"same"`: as many places as steps fit into the input.
                padding: Word = "valid".into(),
                /// `"channels_last"` (default) or `"channels_first"`.
                data_format: Option<Word> = Some("channels_last".into()),
                /// Distance between elements of the window.
                dilation_rate: Sizes<$n> = Sizes([1; $n]),
                /// Channels fall into so many independent groups.
                groups: usize = 1,
                /// Applied to the sum.
                activation: Activation = Object::named("linear"),
                /// Whether a bias is added.
                use_bias: bool = true,
                /// First values of the kernel.
                kernel_initializer: Initializer = Object::named("glorot_uniform"),
                /// First values of the bias.
                bias_initializer: Initializer = Object::named("zeros"),
                /// Penalty on the kernel.
                kernel_regularizer: Option<Regularizer> = None,
                /// Penalty on the bias.
                bias_regularizer: Option<Regularizer> = None,
                /// Penalty on the output.
                activity_regularizer: Option<Regularizer> = None,
                /// Projection of the kernel after each update.
                kernel_constraint: Option<Constraint> = None,
                /// Projection of the bias after each update.
                bias_constraint: Option<Constraint> = None,
            }
        }

        impl $name {
            fn shared(&self) -> Result<Shared<'_>> {
                Ok(Shared {
                    filters: self.filters,
                    kernel: &self.kernel_size.0,
                    strides: &self.strides.0,
                    padding: self.padding.one_of("padding", &[$($padding),*])?,
                    dilation: &self.dilation_rate.0,
                    groups: self.groups,
                    last: channels_last(&self.data_format)?,
                })
            }
        }

        impl LayerRule for $name {
            layer_base!();

            fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
                self.activation.get()?;
                let channels = self.shared()?.check(&inputs[0])?;
                let mut shape = self.kernel_size.0.to_vec();
                shape.extend([channels / self.groups, self.filters]);
                weights
                    .add("kernel", &shape, &self.kernel_initializer)?
                    .regularizer(&self.kernel_regularizer)
                    .constraint(&self.kernel_constraint);
                if self.use_bias {
                    weights
                        .add("bias", &[self.filters], &self.bias_initializer)?
                        .regularizer(&self.bias_regularizer)
                        .constraint(&self.bias_constraint);
                }
                Ok(())
            }

            fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
                let shared = self.shared()?;
                let mut y = shared.call(x, &cx.weight("kernel")?)?;
                if self.use_bias {
                    y = add_bias(&y, &cx.weight("bias")?, shared.last);
                }
                let y = self.activation.get()?.call(&y);
                cx.penalize(&self.activity_regularizer, &y)?;
                Ok(y)
            }
        }
    )*};
}

convolutions! {
    /// A window slides over time: `[batch, length, channels]` → `[batch, places, filters]`. `"causal"` padding looks back only.
    Conv1D("Conv1D", 1, ["valid", "same", "causal"]);
    /// A window slides over an image: `[batch, height, width, channels]` → `[batch, places, places, filters]`.
    Conv2D("Conv2D", 2, ["valid", "same"]);
    /// A window slides over a volume: `[batch, depth, height, width, channels]` → `[batch, places…, filters]`.
    Conv3D("Conv3D", 3, ["valid", "same"]);
}
