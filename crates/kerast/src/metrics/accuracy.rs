//! Accuracies: how often predictions are right.

use super::MetricRule;
use super::mean::{StateSpec, mean_result, mean_state, weighted_mean};
use crate::config::config;
use crate::losses::class_numbers;
use crate::{Result, Tensor};
use kerast_graph::{DType, Type, Var};

/// The number of the largest value along the last axis; the first of equals.
fn best(y: &Var) -> Var {
    let axis = y.rank().saturating_sub(1);
    y.arg_max(axis)
}

/// Whether the value at `label` is among the k largest of its row: fewer than k values lie above it.
fn in_top_k(labels: &Var, y: &Var, k: usize) -> Var {
    let axis = y.rank().saturating_sub(1);
    let index = y.trace().iota(&Type::new(DType::I32, y.shape()), axis);
    let hit = labels.expand_dims(axis).equal(&index);
    let own = hit.select(y, &y.full_like(0.0)).reduce_sum(&[axis]).expand_dims(axis);
    let above = y.greater(&own).convert(DType::F32).reduce_sum(&[axis]);
    above.lt(k as f64)
}

/// Declares metrics that are means of per-sample values.
macro_rules! mean_metrics {
    ($($(#[$meta:meta])* $name:ident($class:literal, $label:literal) { $($(#[$fmeta:meta])* $field:ident: $ty:ty = $default:expr),* } |$this:ident, $t:ident, $p:ident| $body:expr;)*) => {$(
        config! {
            $(#[$meta])*
            pub struct $name($class) {
                ;
                /// The name in a history.
                name: String = $label.into(),
                /// The element type of the state.
                dtype: String = "float32".into(),
                $($(#[$fmeta])* $field: $ty = $default,)*
            }
        }

        impl MetricRule for $name {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn state(&self, _: &[usize]) -> Vec<StateSpec> {
                mean_state()
            }
            fn update(&self, state: &[Var], $t: &Var, $p: &Var, sample_weight: Option<&Var>) -> Result<Vec<Var>> {
                let $this = self;
                let _ = $this;
                Ok(weighted_mean(state, &$body, sample_weight))
            }
            fn result(&self, state: &[Tensor]) -> Vec<f64> {
                mean_result(state)
            }
        }
    )*};
}
pub(super) use mean_metrics;

/// Targets of the predictions' rank: a last axis of length 1 is added where it is missing.
pub(super) fn align(t: &Var, p: &Var) -> Var {
    let t = t.convert(p.dtype());
    if t.rank() + 1 == p.rank() && p.shape().last() == Some(&1) { t.expand_dims(t.rank()) } else { t }
}

mean_metrics! {
    /// How often predictions equal targets.
    Accuracy("Accuracy", "accuracy") {} |m, t, p| align(t, p).equal(p).convert(DType::F32).mean(&[p.rank().saturating_sub(1)]);

    /// How often predictions lie on the targets' side of the threshold.
    BinaryAccuracy("BinaryAccuracy", "binary_accuracy") {
        /// The threshold.
        threshold: f64 = 0.5
    } |m, t, p| {
        let side = p.gt(m.threshold).convert(p.dtype());
        align(t, p).equal(&side).convert(DType::F32).mean(&[p.rank().saturating_sub(1)])
    };

    /// How often the largest prediction stands where the one-hot target has its 1.
    CategoricalAccuracy("CategoricalAccuracy", "categorical_accuracy") {} |m, t, p| best(t).equal(&best(p)).convert(DType::F32);

    /// How often the largest prediction's place is the target.
    SparseCategoricalAccuracy("SparseCategoricalAccuracy", "sparse_categorical_accuracy") {} |m, t, p| {
        class_numbers(t, p, p.rank().saturating_sub(1))?.convert(DType::I32).equal(&best(p)).convert(DType::F32)
    };

    /// How often the one-hot target is among the k largest predictions.
    TopKCategoricalAccuracy("TopKCategoricalAccuracy", "top_k_categorical_accuracy") {
        /// How many predictions count.
        k: usize = 5
    } |m, t, p| in_top_k(&best(t), p, m.k).convert(DType::F32);

    /// How often the target is among the k largest predictions.
    SparseTopKCategoricalAccuracy("SparseTopKCategoricalAccuracy", "sparse_top_k_categorical_accuracy") {
        /// How many predictions count.
        k: usize = 5,
        /// Labels are class numbers as they come.
        from_sorted_ids: bool = false
    } |m, t, p| in_top_k(&class_numbers(t, p, p.rank().saturating_sub(1))?.convert(DType::I32), p, m.k).convert(DType::F32);
}
