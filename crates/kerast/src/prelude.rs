//! What most programs need, for `use kerast::prelude::*`.

pub use crate::activations::{Relu, Sigmoid, Softmax, Tanh};
pub use crate::callbacks::{
    BackupAndRestore, Callback, CallbackState, Control, CsvLogger, EarlyStopping, LambdaCallback,
    LearningRateScheduler, ModelCheckpoint, ReduceLrOnPlateau, StopOnCtrlC, TerminateOnNan,
};
pub use crate::config::{Config, FromConfig};
pub use crate::constraints::{ConstraintRule, NonNeg};
pub use crate::datasets;
pub use crate::initializers::{Constant, Initializer, Ones, Zeros};
pub use crate::layers::*;
pub use crate::losses::{LossFunction, LossRule, register_loss};
pub use crate::metrics::{MetricFunction, MetricRule, StateSpec, register_metric};
pub use crate::models::{Apply, Model, Sequential, Symbol};
pub use crate::optimizers::schedules::{
    CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay,
};
pub use crate::optimizers::{Adadelta, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, Nadam, RmsProp, Sgd};
#[cfg(not(target_family = "wasm"))]
pub use crate::plot;
pub use crate::regularizers::{L1, L1L2, L2};
pub use crate::saving::load_model;
pub use crate::train::{Dataset, History, Predictor, Sample, Scores};
pub use crate::{DType, Error, Result, Tensor, set_random_seed};
