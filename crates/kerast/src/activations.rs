//! Activations: functions of one value, named as Keras names them.

use crate::config::{Config, Entry, FromConfig, config, family};
use kerast_graph::Var;
use serde_json::Value;
use std::sync::Arc;

/// An activation function.
pub trait ActivationRule: Config {
    /// `y = f(x)`, of the same shape.
    fn call(&self, x: &Var) -> Var;
}

family! {
    /// An activation: `"relu"`, [`Relu`], or a config.
    Activation = ActivationRule, "activation", "keras.activations", &REGISTRY, serialize = serialize
}

/// Keras writes an activation by its name alone.
fn serialize(a: &dyn ActivationRule) -> Value {
    Value::from(a.class_name())
}

fn entry<A: ActivationRule + FromConfig>(
    class: &'static str,
    aliases: &'static [&'static str],
) -> Entry<dyn ActivationRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(A::from_config(c)?)) }
}

static REGISTRY: std::sync::LazyLock<Vec<Entry<dyn ActivationRule>>> =
    std::sync::LazyLock::new(|| vec![entry::<Linear>("linear", &[]), entry::<Relu>("relu", &["ReLU"])]);

config! {
    /// `y = x`.
    pub struct Linear("linear") {}
}

impl ActivationRule for Linear {
    fn call(&self, x: &Var) -> Var {
        x.clone()
    }
}

config! {
    /// `y = max(x, 0)`, with Keras' extras: a slope below the threshold and a ceiling.
    pub struct Relu("relu") {
        ;
        /// Slope below the threshold.
        negative_slope: f64 = 0.0,
        /// The ceiling.
        max_value: Option<f64> = None,
        /// Where the slope of 1 begins.
        threshold: f64 = 0.0,
    }
}

impl ActivationRule for Relu {
    fn call(&self, x: &Var) -> Var {
        if self.threshold == 0.0 && self.negative_slope == 0.0 && self.max_value.is_none() {
            return x.relu();
        }
        let above = x.greater_equal(&x.full_like(self.threshold));
        let low = (x - self.threshold) * self.negative_slope;
        let y = match self.max_value {
            Some(max) => x.min(&x.full_like(max)),
            None => x.clone(),
        };
        above.select(&y, &low)
    }
}
