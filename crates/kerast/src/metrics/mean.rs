//! The mean of values, and metrics that are means: of a loss, of a hit-or-miss function.

use super::MetricRule;
use crate::config::config;
use crate::{Result, Tensor};
use kerast_graph::{DType, Var};

/// One state variable of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSpec {
    /// Keras' name of it.
    pub name: &'static str,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl StateSpec {
    /// A state variable.
    pub fn new(name: &'static str, shape: &[usize]) -> StateSpec {
        StateSpec { name, shape: shape.to_vec() }
    }
}

/// The state of every mean: the weighted total and the count of weights.
pub(crate) fn mean_state() -> Vec<StateSpec> {
    vec![StateSpec::new("total", &[]), StateSpec::new("count", &[])]
}

/// Adds values to `[total, count]`; `sample_weight` has the shape of the values or leading axes of it.
pub fn weighted_mean(state: &[Var], values: &Var, sample_weight: Option<&Var>) -> Vec<Var> {
    let values = values.convert(DType::F32);
    let (sum, count) = match sample_weight {
        Some(w) => {
            let mut shape = w.shape().to_vec();
            while shape.len() > values.rank() && shape.last() == Some(&1) {
                shape.pop();
            }
            // Values with fewer axes than weights are averaged weights' partners: Keras averages them over the extra axes.
            let values = match values.rank() > shape.len() {
                true => values.mean(&(shape.len()..values.rank()).collect::<Vec<_>>()),
                false => values.clone(),
            };
            let w = w.convert(DType::F32).reshape(&shape).broadcast_to(values.shape());
            ((&values * &w).sum_all(), w.sum_all())
        }
        None => {
            let n: usize = values.shape().iter().product();
            let sum = values.sum_all();
            let count = sum.full_like(n as f64);
            (sum, count)
        }
    };
    vec![&state[0] + sum, &state[1] + count]
}

/// `total / count`, 0 when nothing was counted.
pub(crate) fn mean_result(state: &[Tensor]) -> Vec<f64> {
    match (state[0].item(), state[1].item()) {
        (Some(total), Some(count)) if count != 0.0 => vec![total / count],
        _ => vec![0.0],
    }
}

config! {
    /// The weighted mean of the predictions themselves (Keras' `Mean`, fed with values).
    pub struct Mean("Mean") {
        ;
        /// The name in a history.
        name: String = "mean".into(),
        /// The element type of the state.
        dtype: String = "float32".into(),
    }
}

impl MetricRule for Mean {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn state(&self, _: &[usize]) -> Vec<StateSpec> {
        mean_state()
    }
    fn update(&self, state: &[Var], _: &Var, y_pred: &Var, sample_weight: Option<&Var>) -> Result<Vec<Var>> {
        Ok(weighted_mean(state, y_pred, sample_weight))
    }
    fn result(&self, state: &[Tensor]) -> Vec<f64> {
        mean_result(state)
    }
}
