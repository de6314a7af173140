//! Convolutions of each channel by itself, alone and with a mixing of channels behind (Chollet 2016).

use super::conv::{Shared, add_bias};
use crate::activations::Activation;
use crate::config::{Object, Word};
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::sizes::{Sizes, channels_last};
use crate::layers::{Call, LayerRule, Shape, Weights, expect_rank, known, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

/// Each channel convolved with kernels of its own, `[spatial…, channels, multiplier]`.
fn by_channel(
    x: &Var,
    kernel: &Var,
    strides: &[usize],
    dilation: &[usize],
    padding: &'static str,
    last: bool,
) -> Result<Var> {
    let n = strides.len();
    let [channels, multiplier] = kernel.shape()[n..] else {
        unreachable!("a depthwise kernel has two axes of channels")
    };
    let spatial = &kernel.shape()[..n];
    let filters = channels * multiplier;
    let shared = Shared { filters, kernel: spatial, strides, padding, dilation, groups: channels, last };
    shared.call(x, &kernel.reshape(&[spatial, &[1, filters]].concat()))
}

fn channels_of(inputs: &[Shape], n: usize, last: bool, sizes: &[&[usize]]) -> Result<usize> {
    expect_rank(&inputs[0], n + 2, "batch, spatial axes and channels")?;
    if sizes.iter().any(|s| s.contains(&0)) {
        return Err(Error::new(
            ErrorKind::Argument,
            "`kernel_size`, `strides`, `dilation_rate` and `depth_multiplier` must be at least 1",
        ));
    }
    known(&inputs[0], if last { n + 1 } else { 1 }, "the channel axis")
}

macro_rules! depthwise {
    ($($(#[$meta:meta])* $name:ident($class:literal, $n:literal);)*) => {$(
        layer! {
            $(#[$meta])*
            ///
            /// **Keras** the layer of the same name; kernels are `[spatial…, channels, depth_multiplier]`.
            pub struct $name($class) {
                /// Extent of the window.
                kernel_size: Sizes<$n>,
                ;
                /// Step of the window.
                strides: Sizes<$n> = Sizes([1; $n]),
                /// `"valid"`: no padding; `"same"`: as many places as steps fit into the input.
                padding: Word = "valid".into(),
                /// Outputs of each channel.
                depth_multiplier: usize = 1,
                /// `"channels_last"` (default) or `"channels_first"`.
                data_format: Option<Word> = Some("channels_last".into()),
                /// Distance between elements of the window.
                dilation_rate: Sizes<$n> = Sizes([1; $n]),
                /// Applied to the sum.
                activation: Activation = Object::named("linear"),
                /// Whether a bias is added.
                use_bias: bool = true,
                /// First values of the kernel.
                depthwise_initializer: Initializer = Object::named("glorot_uniform"),
                /// First values of the bias.
                bias_initializer: Initializer = Object::named("zeros"),
                /// Penalty on the kernel.
                depthwise_regularizer: Option<Regularizer> = None,
                /// Penalty on the bias.
                bias_regularizer: Option<Regularizer> = None,
                /// Penalty on the output.
                activity_regularizer: Option<Regularizer> = None,
                /// Projection of the kernel after each update.
                depthwise_constraint: Option<Constraint> = None,
                /// Projection of the bias after each update.
                bias_constraint: Option<Constraint> = None,
            }
        }

        impl LayerRule for $name {
            layer_base!();

            fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
                self.activation.get()?;
                let sizes = [&self.kernel_size.0[..], &self.strides.0, &self.dilation_rate.0, &[self.depth_multiplier]];
                let channels = channels_of(inputs, $n, channels_last(&self.data_format)?, &sizes)?;
                let mut shape = self.kernel_size.0.to_vec();
                shape.extend([channels, self.depth_multiplier]);
                weights
                    .add("kernel", &shape, &self.depthwise_initializer)?
                    .regularizer(&self.depthwise_regularizer)
                    .constraint(&self.depthwise_constraint);
                if self.use_bias {
                    weights
                        .add("bias", &[channels * self.depth_multiplier], &self.bias_initializer)?
                        .regularizer(&self.bias_regularizer)
                        .constraint(&self.bias_constraint);
                }
                Ok(())
            }

            fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
                let padding = self.padding.one_of("padding", &["valid", "same"])?;
                let last = channels_last(&self.data_format)?;
                let mut y = by_channel(x, &cx.weight("kernel")?, &self.strides.0, &self.dilation_rate.0, padding, last)?;
                if self.use_bias {
                    y = add_bias(&y, &cx.weight("bias")?, last);
                }
                let y = self.activation.get()?.call(&y);
                cx.penalize(&self.activity_regularizer, &y)?;
                Ok(y)
            }
        }
    )*};
}

depthwise! {
    /// Each channel over time convolved by itself: `[batch, length, channels]` → `[batch, places, channels · depth_multiplier]`.
    DepthwiseConv1D("DepthwiseConv1D", 1);
    /// Each channel of an image convolved by itself: `[batch, height, width, channels]` → `[batch, places, places, channels · depth_multiplier]`.
    DepthwiseConv2D("DepthwiseConv2D", 2);
}

macro_rules! separable {
    ($($(#[$meta:meta])* $name:ident($class:literal, $n:literal, [$($padding:literal),*]);)*) => {$(
        layer! {
            $(#[$meta])*
            ///
            /// **Keras** the layer of the same name; kernels are `[spatial…, channels, depth_multiplier]` and `[1…, channels · depth_multiplier, filters]`.
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
                /// Outputs of each channel before they are mixed.
                depth_multiplier: usize = 1,
                /// Applied to the sum.
                activation: Activation = Object::named("linear"),
                /// Whether a bias is added.
                use_bias: bool = true,
                /// First values of the kernels of the channels.
                depthwise_initializer: Initializer = Object::named("glorot_uniform"),
                /// First values of the mixing kernel.
                pointwise_initializer: Initializer = Object::named("glorot_uniform"),
                /// First values of the bias.
                bias_initializer: Initializer = Object::named("zeros"),
                /// Penalty on the kernels of the channels.
                depthwise_regularizer: Option<Regularizer> = None,
                /// Penalty on the mixing kernel.
                pointwise_regularizer: Option<Regularizer> = None,
                /// Penalty on the bias.
                bias_regularizer: Option<Regularizer> = None,
                /// Penalty on the output.
                activity_regularizer: Option<Regularizer> = None,
                /// Projection of the kernels of the channels.
                depthwise_constraint: Option<Constraint> = None,
                /// Projection of the mixing kernel.
                pointwise_constraint: Option<Constraint> = None,
                /// Projection of the bias.
                bias_constraint: Option<Constraint> = None,
            }
        }

        impl LayerRule for $name {
            layer_base!();

            fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
                self.activation.get()?;
                let sizes = [&self.kernel_size.0[..], &self.strides.0, &self.dilation_rate.0, &[self.depth_multiplier]];
                let channels = channels_of(inputs, $n, channels_last(&self.data_format)?, &sizes)?;
                let mut shape = self.kernel_size.0.to_vec();
                shape.extend([channels, self.depth_multiplier]);
                weights
                    .add("depthwise_kernel", &shape, &self.depthwise_initializer)?
                    .regularizer(&self.depthwise_regularizer)
                    .constraint(&self.depthwise_constraint);
                let mut shape = vec![1; $n];
                shape.extend([channels * self.depth_multiplier, self.filters]);
                weights
                    .add("pointwise_kernel", &shape, &self.pointwise_initializer)?
                    .regularizer(&self.pointwise_regularizer)
                    .constraint(&self.pointwise_constraint);
                if self.use_bias {
                    weights
                        .add("bias", &[self.filters], &self.bias_initializer)?
                        .regularizer(&self.bias_regularizer)
                        .constraint(&self.bias_constraint);
                }
                Ok(())
            }

            fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
                let padding = self.padding.one_of("padding", &[$($padding),*])?;
                let last = channels_last(&self.data_format)?;
                let kernel = cx.weight("depthwise_kernel")?;
                let y = by_channel(x, &kernel, &self.strides.0, &self.dilation_rate.0, padding, last)?;
                let one = [1; $n];
                let mixing = Shared { filters: self.filters, kernel: &one, strides: &one, padding: "valid", dilation: &one, groups: 1, last };
                let mut y = mixing.call(&y, &cx.weight("pointwise_kernel")?)?;
                if self.use_bias {
                    y = add_bias(&y, &cx.weight("bias")?, last);
                }
                let y = self.activation.get()?.call(&y);
                cx.penalize(&self.activity_regularizer, &y)?;
                Ok(y)
            }
        }
    )*};
}

separable! {
    /// Each channel over time convolved by itself, then all mixed: `[batch, length, channels]` → `[batch, places, filters]`.
    SeparableConv1D("SeparableConv1D", 1, ["valid", "same", "causal"]);
    /// Each channel of an image convolved by itself, then all mixed: `[batch, height, width, channels]` → `[batch, places, places, filters]`.
    SeparableConv2D("SeparableConv2D", 2, ["valid", "same"]);
}
