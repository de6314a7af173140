//! Losses: per-sample values, then weights, masks and a reduction that all losses share.

mod crossentropy;
mod focal;
mod function;
mod hinge;
mod overlap;
mod reduction;
mod regression;

pub use crossentropy::{BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy};
pub(crate) use crossentropy::{EPSILON, class_numbers};
pub use focal::{BinaryFocalCrossentropy, CategoricalFocalCrossentropy};
pub use function::LossFunction;
pub use hinge::{CategoricalHinge, Hinge, SquaredHinge};
pub use overlap::{Dice, Tversky};
pub use reduction::{apply, reduce};
pub use regression::{
    CosineSimilarity, Huber, KLDivergence, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
    MeanSquaredLogarithmicError, Poisson,
};

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

    /// Which per-sample values count at all (bool, of their shape); `None`: all.
    fn validity(&self, y_true: &Var, y_pred: &Var) -> Result<Option<Var>> {
        let _ = (y_true, y_pred);
        Ok(None)
    }

    /// A class number that counts nothing, for sparse losses.
    fn ignored_class(&self) -> Option<i64> {
        None
    }
}

family! {
    /// A loss: `"mse"`, [`MeanSquaredError`], or a config.
    Loss = LossRule, register_loss, "loss", "keras.losses", &REGISTRY
}

fn entry<L: LossRule + FromConfig>(class: &'static str, aliases: &'static [&'static str]) -> Entry<dyn LossRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(L::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn LossRule>>> = LazyLock::new(|| {
    vec![
        entry::<MeanSquaredError>("MeanSquaredError", &["mean_squared_error", "mse", "MSE"]),
        entry::<MeanAbsoluteError>("MeanAbsoluteError", &["mean_absolute_error", "mae", "MAE"]),
        entry::<MeanAbsolutePercentageError>(
            "MeanAbsolutePercentageError",
            &["mean_absolute_percentage_error", "mape", "MAPE"],
        ),
        entry::<MeanSquaredLogarithmicError>(
            "MeanSquaredLogarithmicError",
            &["mean_squared_logarithmic_error", "msle", "MSLE"],
        ),
        entry::<BinaryCrossentropy>("BinaryCrossentropy", &["binary_crossentropy", "bce", "BCE"]),
        entry::<CategoricalCrossentropy>("CategoricalCrossentropy", &["categorical_crossentropy"]),
        entry::<SparseCategoricalCrossentropy>("SparseCategoricalCrossentropy", &["sparse_categorical_crossentropy"]),
        entry::<BinaryFocalCrossentropy>("BinaryFocalCrossentropy", &["binary_focal_crossentropy"]),
        entry::<CategoricalFocalCrossentropy>("CategoricalFocalCrossentropy", &["categorical_focal_crossentropy"]),
        entry::<Dice>("Dice", &["dice"]),
        entry::<Tversky>("Tversky", &["tversky"]),
        entry::<Hinge>("Hinge", &["hinge"]),
        entry::<SquaredHinge>("SquaredHinge", &["squared_hinge"]),
        entry::<CategoricalHinge>("CategoricalHinge", &["categorical_hinge"]),
        entry::<KLDivergence>("KLDivergence", &["kl_divergence", "kld", "KLD"]),
        entry::<Poisson>("Poisson", &["poisson"]),
        entry::<CosineSimilarity>("CosineSimilarity", &["cosine_similarity"]),
        entry::<Huber>("Huber", &["huber"]),
        entry::<LogCosh>("LogCosh", &["log_cosh", "logcosh"]),
    ]
});
