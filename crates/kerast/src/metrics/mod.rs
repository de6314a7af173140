//! Metrics: state that a step updates in the graph, and a result computed from it on the host.

mod accuracy;
mod confusion;
mod function;
mod losses;
mod mean;
mod resolve;
mod scores;

pub use accuracy::{
    Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
};
pub use confusion::{Auc, FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives};
pub use function::MetricFunction;
pub use losses::{
    BinaryCrossentropy, CategoricalCrossentropy, CategoricalHinge, CosineSimilarity, Hinge, KLDivergence, LogCoshError,
    MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError, Poisson,
    RootMeanSquaredError, SparseCategoricalCrossentropy, SquaredHinge,
};
pub use mean::{Mean, StateSpec, weighted_mean};
pub(crate) use mean::{mean_result, mean_state};
pub(crate) use resolve::{known, resolve};
pub use scores::{F1Score, FBetaScore, R2Score};

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
    Metric = MetricRule, register_metric, "metric", "keras.metrics", &REGISTRY
}

fn entry<M: MetricRule + FromConfig>(class: &'static str, aliases: &'static [&'static str]) -> Entry<dyn MetricRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(M::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn MetricRule>>> = LazyLock::new(|| {
    vec![
        entry::<Mean>("Mean", &[]),
        entry::<Accuracy>("Accuracy", &[]),
        entry::<BinaryAccuracy>("BinaryAccuracy", &["binary_accuracy"]),
        entry::<CategoricalAccuracy>("CategoricalAccuracy", &["categorical_accuracy"]),
        entry::<SparseCategoricalAccuracy>("SparseCategoricalAccuracy", &["sparse_categorical_accuracy"]),
        entry::<TopKCategoricalAccuracy>("TopKCategoricalAccuracy", &["top_k_categorical_accuracy"]),
        entry::<SparseTopKCategoricalAccuracy>("SparseTopKCategoricalAccuracy", &["sparse_top_k_categorical_accuracy"]),
        entry::<MeanSquaredError>("MeanSquaredError", &["mean_squared_error", "mse", "MSE"]),
        entry::<RootMeanSquaredError>("RootMeanSquaredError", &["rmse", "RMSE"]),
        entry::<MeanAbsoluteError>("MeanAbsoluteError", &["mean_absolute_error", "mae", "MAE"]),
        entry::<MeanAbsolutePercentageError>(
            "MeanAbsolutePercentageError",
            &["mean_absolute_percentage_error", "mape", "MAPE"],
        ),
        entry::<MeanSquaredLogarithmicError>(
            "MeanSquaredLogarithmicError",
            &["mean_squared_logarithmic_error", "msle", "MSLE"],
        ),
        entry::<LogCoshError>("LogCoshError", &["log_cosh", "logcosh"]),
        entry::<Hinge>("Hinge", &["hinge"]),
        entry::<SquaredHinge>("SquaredHinge", &["squared_hinge"]),
        entry::<CategoricalHinge>("CategoricalHinge", &["categorical_hinge"]),
        entry::<KLDivergence>("KLDivergence", &["kl_divergence", "kld", "KLD"]),
        entry::<Poisson>("Poisson", &["poisson"]),
        entry::<CosineSimilarity>("CosineSimilarity", &["cosine_similarity"]),
        entry::<BinaryCrossentropy>("BinaryCrossentropy", &["binary_crossentropy", "bce", "BCE"]),
        entry::<CategoricalCrossentropy>("CategoricalCrossentropy", &["categorical_crossentropy"]),
        entry::<SparseCategoricalCrossentropy>("SparseCategoricalCrossentropy", &["sparse_categorical_crossentropy"]),
        entry::<TruePositives>("TruePositives", &[]),
        entry::<FalsePositives>("FalsePositives", &[]),
        entry::<TrueNegatives>("TrueNegatives", &[]),
        entry::<FalseNegatives>("FalseNegatives", &[]),
        entry::<Precision>("Precision", &["precision"]),
        entry::<Recall>("Recall", &["recall"]),
        entry::<Auc>("AUC", &["auc"]),
        entry::<FBetaScore>("FBetaScore", &[]),
        entry::<F1Score>("F1Score", &[]),
        entry::<R2Score>("R2Score", &[]),
    ]
});
