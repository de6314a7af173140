//! Exponential decay.

use super::ScheduleRule;
use crate::config::config;

config! {
    /// `initial · rate^(step / decay_steps)`; with `staircase` the exponent is rounded down.
    pub struct ExponentialDecay("ExponentialDecay") {
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// Steps for one factor of `decay_rate`.
        decay_steps: f64,
        /// The factor.
        decay_rate: f64,
        ;
        /// In steps rather than smoothly.
        staircase: bool = false,
        /// A name.
        name: String = "ExponentialDecay".into(),
    }
}

impl ScheduleRule for ExponentialDecay {
    fn at(&self, step: u64) -> f64 {
        let p = step as f64 / self.decay_steps;
        let p = if self.staircase { p.floor() } else { p };
        self.initial_learning_rate * self.decay_rate.powf(p)
    }
}
