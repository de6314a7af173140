//! Losses: per-sample values, then weights, masks and a reduction that all losses share.

mod mean_squared_error;
mod reduction;

pub use mean_squared_error::MeanSquaredError;
pub use reduction::{apply, reduce};

use crate::Result;
use crate::config::{Config, Entry, FromConfig, Word, family};
use kerast_graph::Var;
use std::sync::{Arc, LazyLock};

/// A loss.
pub trait LossRule: Config {
    /// The loss of each sample: the last axis of `y_pred` is averaged (or used up) by the formula, the others stay.
    ///
    /// `y_true` has been brought to the rank of `y_pred` where Keras does so; its element type is what the data have, except that
    /// it is converted to `y_pred`'s when both are floats or the loss is not sparse.
    fn call(&self, y_true: &Var, y_pred: &Var) -> Result<Var>;

    /// Keras' `reduction`: `"sum_over_batch_size"`, `"sum"`, `"mean"`, `"mean_with_sample_weight"`, `"none"`.
    fn reduction(&self) -> Word;

    /// Whether `y_true` holds class numbers (one axis less than `y_pred`, or a last axis of 1).
    fn is_sparse(&self) -> bool {
        false
    }
}

family! {
    /// A loss: `"mse"`, [`MeanSquaredError`], or a config.
    Loss = LossRule, "loss", "keras.losses", &REGISTRY
}

fn entry<L: LossRule + FromConfig>(class: &'static str, aliases: &'static [&'static str]) -> Entry<dyn LossRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(L::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn LossRule>>> =
    LazyLock::new(|| vec![entry::<MeanSquaredError>("MeanSquaredError", &["mean_squared_error", "mse", "MSE"])]);
