//! Long short-term memory (Hochreiter and Schmidhuber 1997).

use super::recurrent::{Walk, apply, dropped, part, time_first};
use crate::Result;
use crate::activations::Activation;
use crate::config::Object;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::initializers::InitializerRule;
use crate::layers::{Call, LayerRule, Shape, Weights, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{DType, Tensor};
use kerast_graph::Var;
use kerast_kernels::random::Stream;
use std::sync::Arc;

layer! {
    /// `i, f, o = σ(…)`, `c = f·c + i·tanh(…)`, `h = o·tanh(c)`; gates stand in the order i, f, c, o.
    ///
    /// **Shape** `[batch, time, features]` → `[batch, units]`, with `return_sequences` `[batch, time, units]`.
    pub struct Lstm("LSTM") {
        /// Number of units.
        units: usize,
        ;
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
        /// Share of the input features dropped in training, the same at every step.
        dropout: f64 = 0.0,
        /// Share of the state dropped in training, the same at every step.
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

impl Lstm {
    fn walk(&self) -> Walk {
        Walk {
            state: vec![self.units],
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

impl LayerRule for Lstm {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        self.activation.get()?;
        self.recurrent_activation.get()?;
        let features = self.walk().build(inputs, weights)?;
        weights.part("cell", "lstm_cell", |w| {
            w.add("kernel", &[features, 4 * self.units], &self.kernel_initializer)?
                .regularizer(&self.kernel_regularizer)
                .constraint(&self.kernel_constraint);
            w.add("recurrent_kernel", &[self.units, 4 * self.units], &self.recurrent_initializer)?
                .regularizer(&self.recurrent_regularizer)
                .constraint(&self.recurrent_constraint);
            if self.use_bias {
                let initializer = if self.unit_forget_bias {
                    ForgetBias::around(&self.bias_initializer)
                } else {
                    self.bias_initializer.clone()
                };
                w.add("bias", &[4 * self.units], &initializer)?
                    .regularizer(&self.bias_regularizer)
                    .constraint(&self.bias_constraint);
            }
            if self.dropout > 0.0 || self.recurrent_dropout > 0.0 { w.add_seed("seed_generator") } else { Ok(()) }
        })
    }

    fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
        let walk = self.walk();
        let (input_mask, state_mask) = walk.masks(cx, &inputs[0]);
        let kernel = cx.weight("cell/kernel")?;
        cx.expect_last_axis(&inputs[0], &kernel)?;
        let mut z = time_first(&inputs[0], input_mask.as_ref()).dot(&kernel);
        if self.use_bias {
            z = z + cx.weight("cell/bias")?;
        }
        let mut constants = vec![cx.weight("cell/recurrent_kernel")?];
        constants.extend(state_mask);
        let outputs = walk.run(cx, inputs, z, &constants, |c, k, z| {
            let z = z + dropped(&k[0], c.get(1)).dot(&c[0]);
            let gate = |i: usize| apply(&self.recurrent_activation, &part(&z, i, 4));
            let cell = gate(1) * &k[1] + gate(0) * apply(&self.activation, &part(&z, 2, 4));
            let h = gate(3) * apply(&self.activation, &cell);
            vec![h, cell]
        })?;
        cx.penalize(&self.activity_regularizer, &outputs[0])?;
        Ok(outputs)
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

/// The bias of an LSTM: any initializer, with ones for the forget gate.
#[derive(Clone, Debug)]
pub(super) struct ForgetBias(Initializer);

impl ForgetBias {
    pub(super) fn around(inner: &Initializer) -> Initializer {
        Object::from_arc(Arc::new(ForgetBias(inner.clone())))
    }
}

impl crate::config::Config for ForgetBias {
    fn class_name(&self) -> &'static str {
        "ForgetBias"
    }
    fn config(&self) -> crate::config::Json {
        crate::config::Json::new()
    }
}

impl InitializerRule for ForgetBias {
    fn init(&self, shape: &[usize], dtype: DType, random: &mut Stream) -> Result<Tensor> {
        let mut t = self.0.get()?.init(shape, DType::F32, random)?;
        let units = shape[0] / 4;
        if let Some(v) = t.as_mut_slice::<f32>() {
            v[units..2 * units].fill(1.0);
        }
        Ok(t.cast(dtype))
    }
}
