//! The gated recurrent unit (Cho et al. 2014).

use super::recurrent::{Walk, apply, dropped, part, time_first};
use crate::Result;
use crate::activations::Activation;
use crate::config::Object;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::{Call, LayerRule, Shape, Weights, layer, layer_base};
use crate::regularizers::Regularizer;
use kerast_graph::Var;

layer! {
    /// `z, r = σ(…)`, `h' = tanh(x·W + r·(h·U))`, `h = z·h + (1 - z)·h'`; gates stand in the order z, r, h.
    ///
    /// **Shape** `[batch, time, features]` → `[batch, units]`, with `return_sequences` `[batch, time, units]`.
    pub struct Gru("GRU") {
        /// Number of units.
        units: usize,
        ;
        /// Applied to the candidates.
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
        /// The reset gate is applied after the product with the state (cuDNN's form) rather than before.
        reset_after: bool = true,
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

impl Gru {
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
            states: 1,
        }
    }
}

impl LayerRule for Gru {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        self.activation.get()?;
        self.recurrent_activation.get()?;
        let features = self.walk().build(inputs, weights)?;
        weights.part("cell", "gru_cell", |w| {
            w.add("kernel", &[features, 3 * self.units], &self.kernel_initializer)?
                .regularizer(&self.kernel_regularizer)
                .constraint(&self.kernel_constraint);
            w.add("recurrent_kernel", &[self.units, 3 * self.units], &self.recurrent_initializer)?
                .regularizer(&self.recurrent_regularizer)
                .constraint(&self.recurrent_constraint);
            if self.use_bias {
                let shape = if self.reset_after { vec![2, 3 * self.units] } else { vec![3 * self.units] };
                w.add("bias", &shape, &self.bias_initializer)?
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
        let recurrent = cx.weight("cell/recurrent_kernel")?;
        let mut constants = vec![recurrent];
        if self.use_bias {
            let bias = cx.weight("cell/bias")?;
            if self.reset_after {
                let row = |i: usize| bias.slice_axis(0, i, i + 1).reshape(&[3 * self.units]);
                z = z + row(0);
                constants.push(row(1));
            } else {
                z = z + bias;
            }
        }
        let masked = state_mask.is_some();
        constants.extend(state_mask);
        let outputs = walk.run(cx, inputs, z, &constants, |c, k, z| {
            let h = &k[0];
            let inner = dropped(h, masked.then(|| &c[c.len() - 1]));
            let gate = |x: Var| apply(&self.recurrent_activation, &x);
            let (update, candidate) = if self.reset_after {
                let mut r = inner.dot(&c[0]);
                if self.use_bias {
                    r = &r + c[1].broadcast_to(r.shape());
                }
                let reset = gate(part(z, 1, 3) + part(&r, 1, 3));
                (gate(part(z, 0, 3) + part(&r, 0, 3)), part(z, 2, 3) + reset * part(&r, 2, 3))
            } else {
                let u = self.units;
                let r = inner.dot(&c[0].slice_axis(1, 0, 2 * u));
                let reset = gate(part(z, 1, 3) + part(&r, 1, 2));
                let last = (reset * &inner).dot(&c[0].slice_axis(1, 2 * u, 3 * u));
                (gate(part(z, 0, 3) + part(&r, 0, 2)), part(z, 2, 3) + last)
            };
            let candidate = apply(&self.activation, &candidate);
            vec![&update * h + (1.0 - &update) * candidate]
        })?;
        cx.penalize(&self.activity_regularizer, &outputs[0])?;
        Ok(outputs)
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
