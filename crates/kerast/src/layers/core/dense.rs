//! The densely connected layer.

use crate::Result;
use crate::activations::Activation;
use crate::config::Object;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::{Call, LayerRule, Shape, Weights, last_axis, layer, layer_base};
use crate::regularizers::Regularizer;
use kerast_graph::Var;

layer! {
    /// `y = activation(x · kernel + bias)` over the last axis.
    ///
    /// **Shape** `[batch, …, features]` → `[batch, …, units]`.
    ///
    /// **Keras** `keras.layers.Dense`; quantisation and LoRA are not part of it.
    pub struct Dense("Dense") {
        /// Number of outputs.
        units: usize,
        ;
        /// Applied to the sum.
        activation: Activation = Object::named("linear"),
        /// Whether a bias is added.
        use_bias: bool = true,
        /// First values of the kernel, `[features, units]`.
        kernel_initializer: Initializer = Object::named("glorot_uniform"),
        /// First values of the bias, `[units]`.
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

impl LayerRule for Dense {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        self.activation.get()?;
        let features = last_axis(&inputs[0])?;
        weights
            .add("kernel", &[features, self.units], &self.kernel_initializer)?
            .regularizer(&self.kernel_regularizer)
            .constraint(&self.kernel_constraint);
        if self.use_bias {
            weights
                .add("bias", &[self.units], &self.bias_initializer)?
                .regularizer(&self.bias_regularizer)
                .constraint(&self.bias_constraint);
        }
        Ok(())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let kernel = cx.weight("kernel")?;
        cx.expect_last_axis(x, &kernel)?;
        let mut y = x.dot(&kernel);
        if self.use_bias {
            y = y + cx.weight("bias")?;
        }
        let y = self.activation.get()?.call(&y);
        cx.penalize(&self.activity_regularizer, &y)?;
        Ok(y)
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
