//! A loss from a function, as Keras takes `loss=my_loss`.

use super::LossRule;
use crate::Result;
use crate::config::{Config, Json, Word};
use kerast_graph::Var;
use std::fmt;
use std::sync::Arc;

type Function = Arc<dyn Fn(&Var, &Var) -> Var + Send + Sync>;

/// A loss from a function of targets and predictions that gives the loss of each sample (the last axis averaged).
///
/// ```
/// # use kerast::prelude::*;
/// let quartic = LossFunction::new("quartic", |y, p| (y - p).square().square().mean(&[p.rank() - 1]));
/// let mut model = Sequential::new().add(Dense::new(1).input_dim(2));
/// model.compile("sgd", quartic).build()?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct LossFunction {
    name: String,
    function: Function,
}

impl LossFunction {
    /// Under this name in files; `register_loss(name, …)` lets a file name it.
    pub fn new(name: &str, function: impl Fn(&Var, &Var) -> Var + Send + Sync + 'static) -> LossFunction {
        LossFunction { name: name.to_string(), function: Arc::new(function) }
    }
}

impl fmt::Debug for LossFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LossFunction({})", self.name)
    }
}

impl Config for LossFunction {
    fn class_name(&self) -> &'static str {
        "function"
    }
    fn config(&self) -> Json {
        Json::from_iter([("name".to_string(), self.name.as_str().into())])
    }
}

impl LossRule for LossFunction {
    fn call(&self, y_true: &Var, y_pred: &Var) -> Result<Var> {
        Ok((self.function)(y_true, y_pred))
    }
    fn reduction(&self) -> Word {
        Word("sum_over_batch_size".into())
    }
}
