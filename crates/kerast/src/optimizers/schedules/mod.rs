//! Learning-rate schedules: functions of the number of updates made so far.

mod cosine;
mod exponential_decay;
mod simple;

pub use cosine::{CosineDecay, CosineDecayRestarts};
pub use exponential_decay::ExponentialDecay;
pub use simple::{InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay};

use crate::config::{Config, Entry, FromConfig, family};
use std::sync::{Arc, LazyLock};

/// A schedule.
pub trait ScheduleRule: Config {
    /// The learning rate of update number `step`, counted from 0.
    fn at(&self, step: u64) -> f64;
}

family! {
    /// A schedule: a typed value or a config.
    Schedule = ScheduleRule, register_schedule, "learning-rate schedule", "keras.optimizers.schedules", &REGISTRY
}

fn entry<S: ScheduleRule + FromConfig>(class: &'static str) -> Entry<dyn ScheduleRule> {
    Entry { class, aliases: &[], make: |c| Ok(Arc::new(S::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn ScheduleRule>>> = LazyLock::new(|| {
    vec![
        entry::<ExponentialDecay>("ExponentialDecay"),
        entry::<PiecewiseConstantDecay>("PiecewiseConstantDecay"),
        entry::<PolynomialDecay>("PolynomialDecay"),
        entry::<InverseTimeDecay>("InverseTimeDecay"),
        entry::<CosineDecay>("CosineDecay"),
        entry::<CosineDecayRestarts>("CosineDecayRestarts"),
    ]
});
