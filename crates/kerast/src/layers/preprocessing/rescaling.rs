//! Another range for the input.

use super::Numbers;
use crate::Result;
use crate::config::Arg;
use crate::layers::{Call, LayerRule, layer, layer_base};
use kerast_graph::Var;

layer! {
    /// `y = x · scale + offset`: `Rescaling::new(1.0 / 255.0)` brings pixels into [0, 1].
    ///
    /// **Shape** any → the same; several numbers stand for the last axis.
    pub struct Rescaling("Rescaling") {
        /// The factor.
        scale: Numbers,
        ;
        /// What is added.
        offset: Numbers = 0.0.arg(),
    }
}

impl LayerRule for Rescaling {
    layer_base!();

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let x = x.convert(cx.dtype()?);
        let spread = |n: &Numbers| cx.trace().constant(n.0.clone()).convert(x.dtype()).broadcast_to(x.shape());
        Ok(&x * spread(&self.scale) + spread(&self.offset))
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
