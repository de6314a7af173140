//! A factor for each channel, learned (Touvron et al. 2021).

use crate::Result;
use crate::config::Object;
use crate::initializers::{Constant, Initializer};
use crate::layers::{Call, LayerRule, Shape, Weights, layer, layer_base, layer_json};
use kerast_graph::Var;
use serde_json::Value;
use std::sync::Arc;

layer! {
    /// `y = γ x`, with a γ for each channel.
    ///
    /// **Shape** `[…, projection_dim]` → the same. **Keras** has it inside `keras.applications.convnext`.
    pub struct LayerScale("LayerScale") {
        /// First value of every γ.
        init_values: f64,
        /// Number of channels.
        projection_dim: usize,
        ;
    }
}

impl LayerRule for LayerScale {
    layer_base!();

    fn build(&self, _: &[Shape], weights: &mut Weights) -> Result<()> {
        let first: Initializer = Object::from_arc(Arc::new(Constant::new().value(self.init_values)));
        weights.add("gamma", &[self.projection_dim], &first).map(|_| ())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let gamma = cx.weight("gamma")?;
        cx.expect_last_axis(x, &gamma)?;
        Ok(x * gamma)
    }

    fn written(&self, name: &str) -> Option<Value> {
        let mut json = layer_json(self, name, self.base.trainable);
        json["module"] = "keras.src.applications.convnext".into();
        json["registered_name"] = "LayerScale".into();
        Some(json)
    }
}
