//! Means of losses as metrics.

use super::MetricRule;
use super::accuracy::{align, mean_metrics};
use super::mean::{StateSpec, mean_result, mean_state, weighted_mean};
use crate::DType;
use crate::config::config;
use crate::losses::{self, LossRule};
use crate::{Result, Tensor};
use kerast_graph::Var;

mean_metrics! {
    /// Mean of the squared errors.
    MeanSquaredError("MeanSquaredError", "mean_squared_error") {} |m, t, p| losses::MeanSquaredError::new().call(&align(t, p), p)?;
    /// Mean of the absolute errors.
    MeanAbsoluteError("MeanAbsoluteError", "mean_absolute_error") {} |m, t, p| losses::MeanAbsoluteError::new().call(&align(t, p), p)?;
    /// Mean of the absolute errors in percent.
    MeanAbsolutePercentageError("MeanAbsolutePercentageError", "mean_absolute_percentage_error") {} |m, t, p| losses::MeanAbsolutePercentageError::new().call(&align(t, p), p)?;
    /// Mean of the squared errors of logarithms.
    MeanSquaredLogarithmicError("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error") {} |m, t, p| losses::MeanSquaredLogarithmicError::new().call(&align(t, p), p)?;
    /// Mean of the log-cosh errors.
    LogCoshError("LogCoshError", "logcosh") {} |m, t, p| losses::LogCosh::new().call(&align(t, p), p)?;
    /// Mean of the hinge losses.
    Hinge("Hinge", "hinge") {} |m, t, p| losses::Hinge::new().call(&align(t, p), p)?;
    /// Mean of the squared hinge losses.
    SquaredHinge("SquaredHinge", "squared_hinge") {} |m, t, p| losses::SquaredHinge::new().call(&align(t, p), p)?;
    /// Mean of the categorical hinge losses.
    CategoricalHinge("CategoricalHinge", "categorical_hinge") {} |m, t, p| losses::CategoricalHinge::new().call(&align(t, p), p)?;
    /// Mean of the Kullback-Leibler divergences.
    KLDivergence("KLDivergence", "kl_divergence") {} |m, t, p| losses::KLDivergence::new().call(&align(t, p), p)?;
    /// Mean of the Poisson losses.
    Poisson("Poisson", "poisson") {} |m, t, p| losses::Poisson::new().call(&align(t, p), p)?;
    /// Mean of the cosine similarities.
    CosineSimilarity("CosineSimilarity", "cosine_similarity") {
        /// The axis of the vectors.
        axis: i64 = -1
    } |m, t, p| losses::CosineSimilarity::new().call(&align(t, p), p)?.neg();
    /// Mean of the binary crossentropies.
    BinaryCrossentropy("BinaryCrossentropy", "binary_crossentropy") {
        /// Predictions are logits.
        from_logits: bool = false,
        /// Moves targets towards ½.
        label_smoothing: f64 = 0.0
    } |m, t, p| losses::BinaryCrossentropy::new().from_logits(m.from_logits).label_smoothing(m.label_smoothing).call(&align(t, p), p)?;
    /// Mean of the categorical crossentropies.
    CategoricalCrossentropy("CategoricalCrossentropy", "categorical_crossentropy") {
        /// Predictions are logits.
        from_logits: bool = false,
        /// Moves targets towards the uniform distribution.
        label_smoothing: f64 = 0.0,
        /// The axis of the classes.
        axis: i64 = -1
    } |m, t, p| losses::CategoricalCrossentropy::new().from_logits(m.from_logits).label_smoothing(m.label_smoothing).axis(m.axis).call(&align(t, p), p)?;
}

config! {
    /// Mean of the sparse categorical crossentropies.
    pub struct SparseCategoricalCrossentropy("SparseCategoricalCrossentropy") {
        ;
        /// The name in a history.
        name: String = "sparse_categorical_crossentropy".into(),
        /// The element type of the state.
        dtype: String = "float32".into(),
        /// Predictions are logits.
        from_logits: bool = false,
        /// A class number that counts nothing.
        ignore_class: Option<i64> = None,
        /// The axis of the classes.
        axis: i64 = -1,
    }
}

impl MetricRule for SparseCategoricalCrossentropy {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn state(&self, _: &[usize]) -> Vec<StateSpec> {
        mean_state()
    }
    fn update(&self, state: &[Var], t: &Var, p: &Var, sample_weight: Option<&Var>) -> Result<Vec<Var>> {
        let loss = losses::SparseCategoricalCrossentropy::new().from_logits(self.from_logits).axis(self.axis);
        let loss = losses::SparseCategoricalCrossentropy { ignore_class: self.ignore_class, ..loss };
        let values = loss.call(t, p)?;
        let Some(ignored) = self.ignore_class else { return Ok(weighted_mean(state, &values, sample_weight)) };
        // An ignored element has the weight 0.
        let t = t.reshape(values.shape());
        let counts = t.not_equal(&t.full_like(ignored as f64)).convert(DType::F32);
        let weight = match sample_weight {
            Some(w) if w.shape().len() <= values.rank() => {
                let mut shape = w.shape().to_vec();
                shape.resize(values.rank(), 1);
                w.convert(DType::F32).reshape(&shape).broadcast_to(values.shape()) * counts
            }
            Some(w) => w.convert(DType::F32).reshape(values.shape()) * counts,
            None => counts,
        };
        Ok(weighted_mean(state, &values, Some(&weight)))
    }
    fn result(&self, state: &[Tensor]) -> Vec<f64> {
        mean_result(state)
    }
}

config! {
    /// The root of the mean of the squared errors.
    pub struct RootMeanSquaredError("RootMeanSquaredError") {
        ;
        /// The name in a history.
        name: String = "root_mean_squared_error".into(),
        /// The element type of the state.
        dtype: String = "float32".into(),
    }
}

impl MetricRule for RootMeanSquaredError {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn state(&self, _: &[usize]) -> Vec<StateSpec> {
        mean_state()
    }
    fn update(&self, state: &[Var], t: &Var, p: &Var, sample_weight: Option<&Var>) -> Result<Vec<Var>> {
        Ok(weighted_mean(state, &(align(t, p) - p).square(), sample_weight))
    }
    fn result(&self, state: &[Tensor]) -> Vec<f64> {
        mean_result(state).into_iter().map(f64::sqrt).collect()
    }
}
