//! A metric as the user wrote it becomes a rule: `"accuracy"` depends on the targets and predictions, as in Keras.

use super::{Metric, MetricRule};
use crate::Result;
use crate::config::Object;
use crate::losses::LossRule;
use crate::models::Wanted;

/// The name in logs, and the metric.
pub(crate) fn resolve(
    wanted: &Wanted,
    loss: Option<&dyn LossRule>,
    y_true: &[usize],
    y_pred: &[usize],
) -> Result<(String, Metric)> {
    let word = match wanted {
        Wanted::Rule(m) => return Ok((m.get()?.name(), m.clone())),
        Wanted::Word(w) => w,
    };
    let kind = kind(loss, y_true, y_pred);
    let class = match word.to_lowercase().as_str() {
        "accuracy" | "acc" => format!("{kind}_accuracy"),
        "crossentropy" | "ce" => format!("{kind}_crossentropy"),
        _ => word.clone(),
    };
    let metric: Metric = Object::<dyn MetricRule>::named(&class);
    metric.get()?;
    Ok((word.clone(), metric))
}

/// Which family of classification the shapes (and the loss) speak of.
fn kind(loss: Option<&dyn LossRule>, y_true: &[usize], y_pred: &[usize]) -> &'static str {
    let binary = y_pred.last() == Some(&1);
    let sparse = y_true.len() < y_pred.len() || (y_true.last() == Some(&1) && y_pred.last().is_some_and(|&n| n > 1));
    match (binary, sparse) {
        _ if loss.is_some_and(|l| l.is_sparse()) && !binary => "sparse_categorical",
        (true, _) => "binary",
        (false, true) => "sparse_categorical",
        (false, false) => "categorical",
    }
}
