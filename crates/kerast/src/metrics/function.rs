//! A metric from a function, as Keras takes `metrics=[my_metric]`.

use super::MetricRule;
use super::mean::{StateSpec, mean_result, mean_state, weighted_mean};
use crate::config::{Config, Json};
use crate::{Result, Tensor};
use kerast_graph::Var;
use std::fmt;
use std::sync::Arc;

type Function = Arc<dyn Fn(&Var, &Var) -> Var + Send + Sync>;

/// The weighted mean of a function of targets and predictions.
///
/// ```
/// # use kerast::prelude::*;
/// let worst = MetricFunction::new("worst", |y, p| (y - p).abs().reduce_max(&[p.rank() - 1]));
/// let mut model = Sequential::new().add(Dense::new(1).input_dim(2));
/// model.compile("sgd", "mse").metrics(worst).build()?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct MetricFunction {
    name: String,
    function: Function,
}

impl MetricFunction {
    /// Under this name in histories and files; `register_metric(name, …)` lets a file name it.
    pub fn new(name: &str, function: impl Fn(&Var, &Var) -> Var + Send + Sync + 'static) -> MetricFunction {
        MetricFunction { name: name.to_string(), function: Arc::new(function) }
    }
}

impl fmt::Debug for MetricFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MetricFunction({})", self.name)
    }
}

impl Config for MetricFunction {
    fn class_name(&self) -> &'static str {
        "function"
    }
    fn config(&self) -> Json {
        Json::from_iter([("name".to_string(), self.name.as_str().into())])
    }
}

impl MetricRule for MetricFunction {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn state(&self, _: &[usize]) -> Vec<StateSpec> {
        mean_state()
    }
    fn update(&self, state: &[Var], y_true: &Var, y_pred: &Var, weight: Option<&Var>) -> Result<Vec<Var>> {
        Ok(weighted_mean(state, &(self.function)(y_true, y_pred), weight))
    }
    fn result(&self, state: &[Tensor]) -> Vec<f64> {
        mean_result(state)
    }
}
