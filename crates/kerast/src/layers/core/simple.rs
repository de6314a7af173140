//! Layers without weights that only apply a function: activation, mask.

use crate::Result;
use crate::activations::Activation;
use crate::layers::{Call, LayerRule, layer, layer_base};
use kerast_graph::Var;

layer! {
    /// An activation as a layer.
    ///
    /// **Shape** any → the same.
    pub struct ActivationLayer("Activation") {
        /// The function.
        activation: Activation,
    }
}

impl LayerRule for ActivationLayer {
    layer_base!();

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        Ok(self.activation.get()?.call(x))
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

layer! {
    /// Marks time steps whose features all equal a value as not there.
    ///
    /// **Shape** `[batch, time, features]` → the same; masked steps become 0.
    pub struct Masking("Masking") {
        ;
        /// The value.
        mask_value: f64 = 0.0,
    }
}

impl LayerRule for Masking {
    layer_base!();

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let last = x.rank().saturating_sub(1);
        let there = x.ne(self.mask_value).reduce_any(&[last]);
        let y = there.expand_dims(last).select(x, &x.full_like(0.0));
        cx.set_mask(Some(there));
        Ok(y)
    }
}
