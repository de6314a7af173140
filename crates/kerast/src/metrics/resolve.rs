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
    let class = family(word).map_or_else(|| word.clone(), |f| format!("{kind}_{f}"));
    let metric: Metric = Object::<dyn MetricRule>::named(&class);
    metric.get()?;
    Ok((word.clone(), metric))
}

/// What a word means that depends on targets and predictions.
fn family(word: &str) -> Option<&'static str> {
    match word.to_lowercase().as_str() {
        "accuracy" | "acc" => Some("accuracy"),
        "crossentropy" | "ce" => Some("crossentropy"),
        _ => None,
    }
}

/// Refuses a metric that there is not, before anything is known of the data.
pub(crate) fn known(wanted: &Wanted) -> Result<()> {
    match wanted {
        Wanted::Rule(m) => m.get().map(|_| ()),
        Wanted::Word(w) if family(w).is_some() => Ok(()),
        Wanted::Word(w) => Object::<dyn MetricRule>::named(w).get().map(|_| ()),
    }
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
