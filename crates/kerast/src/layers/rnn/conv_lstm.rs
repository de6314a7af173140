//! LSTMs whose products are convolutions (Shi et al. 2015).

use super::lstm::ForgetBias;
use super::recurrent::{Walk, apply, drawn, part_along};
use crate::Result;
use crate::activations::Activation;
use crate::config::{Object, Word};
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::convolutional::{Shared, add_bias};
use crate::layers::sizes::{Sizes, channels_last};
use crate::layers::{Call, LayerRule, Shape, Weights, expect_rank, layer, layer_base};
use crate::regularizers::Regularizer;
use kerast_graph::Var;

/// A convolution of what may have been dropped differently for each gate; gates lie along the channel axis.
fn convolved(conv: &Shared<'_>, x: &Var, kernel: &Var, dropped: &[Var]) -> Result<Var> {
    if dropped.is_empty() {
        return conv.call(x, kernel);
    }
    let axis = if conv.last { x.rank() - 1 } else { 1 };
    let quarter = Shared { filters: conv.filters / 4, ..*conv };
    let parts: Result<Vec<Var>> =
        (0..4).map(|i| quarter.call(&(x * &dropped[i]), &part_along(kernel, kernel.rank() - 1, i, 4))).collect();
    let parts = parts?;
    Ok(Var::concatenate(&parts.iter().collect::<Vec<_>>(), axis))
}

macro_rules! conv_lstms {
    ($($(#[$meta:meta])* $name:ident($class:literal, $n:literal);)*) => {$(
        layer! {
            $(#[$meta])*
            ///
            /// `i, f, o = σ(…)`, `c = f·c + i·tanh(…)`, `h = o·tanh(c)`; the state is convolved with `"same"` padding and steps of 1.
            /// With `return_sequences` the time axis stays.
            pub struct $name($class) {
                /// Number of output channels.
                filters: usize,
                /// Extent of the window.
                kernel_size: Sizes<$n>,
                ;
                /// Step of the window over the input.
                strides: Sizes<$n> = Sizes([1; $n]),
                /// Padding of the input: `"valid"` or `"same"`.
                padding: Word = "valid".into(),
                /// `"channels_last"` (default) or `"channels_first"`.
                data_format: Option<Word> = Some("channels_last".into()),
                /// Distance between elements of the window over the input.
                dilation_rate: Sizes<$n> = Sizes([1; $n]),
                /// Applied to the candidates and the cell state.
                activation: Activation = Object::named("tanh"),
                /// Applied to the gates.
                recurrent_activation: Activation = Object::named("sigmoid"),
                /// Whether a bias is added.
                use_bias: bool = true,
                /// First values of the input kernel.
                kernel_initializer: Initializer = Object::named("glorot_uniform"),
                /// First values of the recurrent kernel.
                recurrent_initializer: Initializer = Object::named("orthogonal"),
                /// First values of the bias.
                bias_initializer: Initializer = Object::named("zeros"),
                /// Add 1 to the forget gate's first bias.
                unit_forget_bias: bool = true,
                /// Penalty on the input kernel.
                kernel_regularizer: Option<Regularizer> = None,
                /// Penalty on the recurrent kernel.
                recurrent_regularizer: Option<Regularizer> = None,
                /// Penalty on the bias.
                bias_regularizer: Option<Regularizer> = None,
                /// Penalty on the output.
                activity_regularizer: Option<Regularizer> = None,
                /// Projection of the input kernel.
                kernel_constraint: Option<Constraint> = None,
                /// Projection of the recurrent kernel.
                recurrent_constraint: Option<Constraint> = None,
                /// Projection of the bias.
                bias_constraint: Option<Constraint> = None,
                /// Share of the input dropped in training, for each gate by itself.
                dropout: f64 = 0.0,
                /// Share of the state dropped in training, for each gate by itself.
                recurrent_dropout: f64 = 0.0,
                /// A seed, kept for files; the model's seed decides.
                seed: Option<i64> = None,
                /// Return the output of every step, not only the last.
                return_sequences: bool = false,
                /// Return the last state, too.
                return_state: bool = false,
                /// Walk from the end.
                go_backwards: bool = false,
                /// Begin each batch with the state that the last one ended with.
                stateful: bool = false,
                /// Unroll the loop; makes no difference here.
                unroll: bool = false,
                /// Masked steps give zeros instead of the output before.
                zero_output_for_mask: bool = false,
            }
        }

        impl $name {
            fn convolution(&self) -> Result<Shared<'_>> {
                Ok(Shared {
                    filters: 4 * self.filters,
                    kernel: &self.kernel_size.0,
                    strides: &self.strides.0,
                    padding: self.padding.one_of("padding", &["valid", "same"])?,
                    dilation: &self.dilation_rate.0,
                    groups: 1,
                    last: channels_last(&self.data_format)?,
                })
            }

            /// The walk, whose states have this shape behind the batch axis.
            fn walk(&self, state: Vec<usize>) -> Walk {
                Walk {
                    state,
                    return_sequences: self.return_sequences,
                    return_state: self.return_state,
                    go_backwards: self.go_backwards,
                    stateful: self.stateful,
                    zero_output_for_mask: self.zero_output_for_mask,
                    dropout: self.dropout,
                    recurrent_dropout: self.recurrent_dropout,
                    states: 2,
                }
            }
        }

        impl LayerRule for $name {
            layer_base!();

            fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
                self.activation.get()?;
                self.recurrent_activation.get()?;
                let conv = self.convolution()?;
                expect_rank(&inputs[0], $n + 3, "batch, time, spatial axes and channels")?;
                let step: Shape = inputs[0].iter().enumerate().filter(|(a, _)| *a != 1).map(|(_, d)| *d).collect();
                let channels = conv.check(&step)?;
                let mut state = conv.places(&step)?;
                state.insert(if conv.last { $n } else { 0 }, self.filters);
                self.walk(state).declare(inputs, weights)?;
                let kernel = |from: usize| [&self.kernel_size.0[..], &[from, 4 * self.filters]].concat();
                weights.part("cell", "conv_lstm_cell", |w| {
                    w.add("kernel", &kernel(channels), &self.kernel_initializer)?
                        .regularizer(&self.kernel_regularizer)
                        .constraint(&self.kernel_constraint);
                    w.add("recurrent_kernel", &kernel(self.filters), &self.recurrent_initializer)?
                        .regularizer(&self.recurrent_regularizer)
                        .constraint(&self.recurrent_constraint);
                    if self.use_bias {
                        let initializer = match self.unit_forget_bias {
                            true => ForgetBias::around(&self.bias_initializer),
                            false => self.bias_initializer.clone(),
                        };
                        w.add("bias", &[4 * self.filters], &initializer)?
                            .regularizer(&self.bias_regularizer)
                            .constraint(&self.bias_constraint);
                    }
                    Ok(())
                })
            }

            fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
                let conv = self.convolution()?;
                let inner = Shared { strides: &[1; $n], padding: "same", dilation: &[1; $n], ..self.convolution()? };
                let x = super::recurrent::time_first(&inputs[0], None);
                let (time, batch) = (x.shape()[0], x.shape()[1]);
                let axis = if conv.last { $n + 1 } else { 1 };
                let steps = x.reshape(&[&[time * batch], &x.shape()[2..]].concat());
                let mut masks = |rate: f64, shape: &[usize], times: usize| -> Vec<Var> {
                    let drawn = (0..4).filter_map(|_| drawn(cx, rate, x.dtype(), shape));
                    let again = |m: Var| m.broadcast_in_dim(&[&[times], shape].concat(), &(1..=shape.len()).collect::<Vec<_>>());
                    drawn.map(|m| again(m).reshape(&[&[times * shape[0]], &shape[1..]].concat())).collect()
                };
                let dropped = masks(self.dropout, &x.shape()[1..], time);
                let mut z = convolved(&conv, &steps, &cx.weight("cell/kernel")?, &dropped)?;
                if self.use_bias {
                    z = add_bias(&z, &cx.weight("cell/bias")?, conv.last);
                }
                let mut state = z.shape()[1..].to_vec();
                state[axis - 1] = self.filters;
                let z = z.reshape(&[&[time, batch], &z.shape()[1..]].concat());
                let mut constants = vec![cx.weight("cell/recurrent_kernel")?];
                let mut masks = |rate: f64| (0..4).filter_map(|_| drawn(cx, rate, x.dtype(), &[&[batch], &state[..]].concat())).collect::<Vec<_>>();
                constants.extend(masks(self.recurrent_dropout));
                let mut fault = None;
                let outputs = self.walk(state).run(cx, inputs, z, &constants, |c, k, z| {
                    let turned = convolved(&inner, &k[0], &c[0], &c[1..]).unwrap_or_else(|e| {
                        fault = Some(e);
                        z.clone()
                    });
                    let z = z + turned;
                    let gate = |i: usize| apply(&self.recurrent_activation, &part_along(&z, axis, i, 4));
                    let cell = gate(1) * &k[1] + gate(0) * apply(&self.activation, &part_along(&z, axis, 2, 4));
                    let h = gate(3) * apply(&self.activation, &cell);
                    vec![h, cell]
                })?;
                if let Some(e) = fault {
                    return Err(e);
                }
                cx.penalize(&self.activity_regularizer, &outputs[0])?;
                Ok(outputs)
            }

            fn supports_masking(&self) -> bool {
                true
            }
        }
    )*};
}

conv_lstms! {
    /// A memory of signals: `[batch, time, length, channels]` → `[batch, places, filters]`.
    ConvLstm1D("ConvLSTM1D", 1);
    /// A memory of images: `[batch, time, height, width, channels]` → `[batch, places, places, filters]`.
    ConvLstm2D("ConvLSTM2D", 2);
    /// A memory of volumes: `[batch, time, depth, height, width, channels]` → `[batch, places…, filters]`.
    ConvLstm3D("ConvLSTM3D", 3);
}
