//! Metrics: state that a step updates in the graph, and a result computed from it on the host.

mod mean;

pub use mean::{Mean, StateSpec, weighted_mean};

use crate::config::{Config, Entry, FromConfig, family};
use crate::{Result, Tensor};
use kerast_graph::Var;
use std::sync::{Arc, LazyLock};

/// A metric.
pub trait MetricRule: Config {
    /// The name in a history.
    fn name(&self) -> String;

    /// The state: names, shapes; all f32 and zero at the start of an epoch. `y_pred` is the shape of a batch of predictions.
    fn state(&self, y_pred: &[usize]) -> Vec<StateSpec>;

    /// The state after one more batch. `sample_weight` and masks are joined before (masked samples weigh 0).
    fn update(&self, state: &[Var], y_true: &Var, y_pred: &Var, sample_weight: Option<&Var>) -> Result<Vec<Var>>;

    /// The value: one number, or one for each class.
    fn result(&self, state: &[Tensor]) -> Vec<f64>;
}

family! {
    /// A metric: `"accuracy"`, [`Mean`], or a config.
    Metric = MetricRule, "metric", "keras.metrics", &REGISTRY
}

fn entry<M: MetricRule + FromConfig>(class: &'static str, aliases: &'static [&'static str]) -> Entry<dyn MetricRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(M::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn MetricRule>>> = LazyLock::new(|| vec![entry::<Mean>("Mean", &[])]);
