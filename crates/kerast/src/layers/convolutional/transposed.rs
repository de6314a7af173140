//! Transposed convolutions: the gradient of a convolution by its input, as a layer (Zeiler et al. 2010).

use super::conv::add_bias;
use crate::activations::Activation;
use crate::config::{Object, Word};
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::sizes::{Sizes, channels_last};
use crate::layers::{Call, LayerRule, Shape, Weights, expect_rank, known, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;
use kerast_graph::ops::{ConvAxes, ConvDim, Convolution};

/// Padding of the stretched input: for `"same"` so that the output has `n · stride` places, for `"valid"` so that every input place reaches
/// its whole window; `extra` places at the end where it is given.
fn padding(kernel: usize, stride: usize, dilation: usize, same: bool, extra: Option<usize>) -> (i64, i64) {
    let window = ((kernel - 1) * dilation + 1) as i64;
    let (stride, extra) = (stride as i64, extra.map(|e| e as i64));
    match same {
        false => (window - 1, window - 1 + extra.unwrap_or((stride - window).max(0))),
        true => {
            let total = extra.map_or(stride + window - 2, |e| window + window % 2 - 2 + e);
            let left = (total / 2 + total % 2).min(window - 1);
            (left, total - left)
        }
    }
}

macro_rules! transposed {
    ($($(#[$meta:meta])* $name:ident($class:literal, $n:literal);)*) => {$(
        layer! {
            $(#[$meta])*
            ///
            /// **Keras** the layer of the same name; kernels are `[spatial…, filters, channels]`.
            pub struct $name($class) {
                /// Number of output channels.
                filters: usize,
                /// Extent of the window.
                kernel_size: Sizes<$n>,
                ;
                /// Distance of the windows in the output.
                strides: Sizes<$n> = Sizes([1; $n]),
                /// `"valid"`: all of every window; `"same"`: the input's extent times the stride.
                padding: Word = "valid".into(),
                /// Places at the end of the output, where several inputs could have made them.
                output_padding: Option<Sizes<$n>> = None,
                /// `"channels_last"` (default) or `"channels_first"`.
                data_format: Option<Word> = Some("channels_last".into()),
                /// Distance between elements of the window.
                dilation_rate: Sizes<$n> = Sizes([1; $n]),
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

        impl LayerRule for $name {
            layer_base!();

            fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
                self.activation.get()?;
                expect_rank(&inputs[0], $n + 2, "batch, spatial axes and channels")?;
                for (what, sizes) in [("kernel_size", self.kernel_size), ("strides", self.strides), ("dilation_rate", self.dilation_rate)] {
                    if sizes.0.contains(&0) {
                        return Err(Error::new(ErrorKind::Argument, format!("`{what}` must be at least 1")).received(format!("{:?}", sizes.0)));
                    }
                }
                let channels = known(&inputs[0], if channels_last(&self.data_format)? { $n + 1 } else { 1 }, "the channel axis")?;
                let mut shape = self.kernel_size.0.to_vec();
                shape.extend([self.filters, channels]);
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
                let same = self.padding.one_of("padding", &["valid", "same"])? == "same";
                let last = channels_last(&self.data_format)?;
                let axes = if last { ConvAxes::channels_last($n) } else { ConvAxes::channels_first($n) };
                let dims = (0..$n).map(|i| {
                    let extra = self.output_padding.map(|o| o.0[i]);
                    ConvDim {
                        padding: padding(self.kernel_size.0[i], self.strides.0[i], self.dilation_rate.0[i], same, extra),
                        lhs_dilation: self.strides.0[i],
                        rhs_dilation: self.dilation_rate.0[i],
                        ..ConvDim::default()
                    }
                });
                // The kernel turned around, with its channels exchanged.
                let kernel = cx.weight("kernel")?.reverse(&(0..$n).collect::<Vec<_>>());
                let mut rhs = ConvAxes::keras_kernel($n);
                std::mem::swap(&mut rhs.batch, &mut rhs.feature);
                let op = Convolution {
                    lhs: axes.clone(),
                    rhs,
                    out: axes,
                    dims: dims.collect(),
                    feature_groups: 1,
                    batch_groups: 1,
                };
                let mut y = x.convolution(&kernel, op);
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

transposed! {
    /// Every step of time spreads over a window: `[batch, length, channels]` → `[batch, places, filters]`.
    Conv1DTranspose("Conv1DTranspose", 1);
    /// Every pixel spreads over a window: `[batch, height, width, channels]` → `[batch, places, places, filters]`.
    Conv2DTranspose("Conv2DTranspose", 2);
    /// Every voxel spreads over a window: `[batch, depth, height, width, channels]` → `[batch, places…, filters]`.
    Conv3DTranspose("Conv3DTranspose", 3);
}
