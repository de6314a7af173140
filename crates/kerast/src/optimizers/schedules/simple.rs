//! Schedules of one formula each: steps, polynomials, inverse time.

use super::ScheduleRule;
use crate::config::config;

config! {
    /// `values[i]` up to and including step `boundaries[i]`, the last value after all of them.
    pub struct PiecewiseConstantDecay("PiecewiseConstantDecay") {
        /// The last step of each value but the last.
        boundaries: Vec<f64>,
        /// The values, one more than boundaries.
        values: Vec<f64>,
        ;
        /// A name.
        name: String = "PiecewiseConstant".into(),
    }
}

impl ScheduleRule for PiecewiseConstantDecay {
    fn at(&self, step: u64) -> f64 {
        let i = self.boundaries.iter().take_while(|b| step as f64 > **b).count();
        self.values.get(i).or(self.values.last()).copied().unwrap_or(0.0)
    }
}

config! {
    /// `(initial - end) (1 - step / decay_steps)^power + end`; with `cycle` it starts anew, longer each time.
    pub struct PolynomialDecay("PolynomialDecay") {
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// Steps of the decay.
        decay_steps: f64,
        ;
        /// The rate at the end.
        end_learning_rate: f64 = 0.0001,
        /// The power.
        power: f64 = 1.0,
        /// Start anew at the end.
        cycle: bool = false,
        /// A name.
        name: String = "PolynomialDecay".into(),
    }
}

impl ScheduleRule for PolynomialDecay {
    fn at(&self, step: u64) -> f64 {
        let step = step as f64;
        let (step, length) = match self.cycle {
            true => (step, self.decay_steps * (step / self.decay_steps).ceil().max(1.0)),
            false => (step.min(self.decay_steps), self.decay_steps),
        };
        (self.initial_learning_rate - self.end_learning_rate) * (1.0 - step / length).powf(self.power)
            + self.end_learning_rate
    }
}

config! {
    /// `initial / (1 + rate · step / decay_steps)`; with `staircase` the quotient is rounded down.
    pub struct InverseTimeDecay("InverseTimeDecay") {
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// Steps of one unit of time.
        decay_steps: f64,
        /// How fast it decays.
        decay_rate: f64,
        ;
        /// In steps rather than smoothly.
        staircase: bool = false,
        /// A name.
        name: String = "InverseTimeDecay".into(),
    }
}

impl ScheduleRule for InverseTimeDecay {
    fn at(&self, step: u64) -> f64 {
        let p = step as f64 / self.decay_steps;
        let p = if self.staircase { p.floor() } else { p };
        self.initial_learning_rate / (1.0 + self.decay_rate * p)
    }
}
