//! Mean squared error.

use super::LossRule;
use crate::Result;
use crate::config::{Word, config};
use kerast_graph::Var;

config! {
    /// `mean((y_true - y_pred)²)` over the last axis.
    pub struct MeanSquaredError("MeanSquaredError") {
        ;
        /// The name in a history.
        name: String = "mean_squared_error".into(),
        /// How samples are put together.
        reduction: Word = "sum_over_batch_size".into(),
    }
}

impl LossRule for MeanSquaredError {
    fn call(&self, y_true: &Var, y_pred: &Var) -> Result<Var> {
        let last = y_pred.rank().saturating_sub(1);
        Ok((y_true - y_pred).square().mean(&[last]))
    }

    fn reduction(&self) -> Word {
        self.reduction.clone()
    }
}
