//! Cosine decay (Loshchilov and Hutter 2016), once or with restarts.

use super::ScheduleRule;
use crate::config::config;
use std::f64::consts::PI;

config! {
    /// A linear warm-up to `warmup_target`, then half a cosine down to `alpha` times the top.
    pub struct CosineDecay("CosineDecay") {
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// Steps of the decay.
        decay_steps: f64,
        ;
        /// The end, as a share of the top.
        alpha: f64 = 0.0,
        /// A name.
        name: String = "CosineDecay".into(),
        /// The top, if there is a warm-up.
        warmup_target: Option<f64> = None,
        /// Steps of the warm-up.
        warmup_steps: f64 = 0.0,
    }
}

impl ScheduleRule for CosineDecay {
    fn at(&self, step: u64) -> f64 {
        let step = step as f64;
        let top = self.warmup_target.unwrap_or(self.initial_learning_rate);
        let mut decayed = step;
        if self.warmup_target.is_some() {
            if step < self.warmup_steps {
                return self.initial_learning_rate + (top - self.initial_learning_rate) * step / self.warmup_steps;
            }
            decayed = step - self.warmup_steps;
        }
        let part = (decayed / self.decay_steps).min(1.0);
        top * ((1.0 - self.alpha) * 0.5 * (1.0 + (PI * part).cos()) + self.alpha)
    }
}

config! {
    /// Cosine decay that starts anew, each time `t_mul` times as long and `m_mul` times as high.
    pub struct CosineDecayRestarts("CosineDecayRestarts") {
        /// The rate at step 0.
        initial_learning_rate: f64,
        /// Steps of the first decay.
        first_decay_steps: f64,
        ;
        /// How much longer each decay is.
        t_mul: f64 = 2.0,
        /// How much lower each start is.
        m_mul: f64 = 1.0,
        /// The end, as a share of the start.
        alpha: f64 = 0.0,
        /// A name.
        name: String = "SGDRDecay".into(),
    }
}

impl ScheduleRule for CosineDecayRestarts {
    fn at(&self, step: u64) -> f64 {
        let (mut rest, mut length, mut height) = (step as f64, self.first_decay_steps, 1.0);
        while rest >= length {
            rest -= length;
            length *= self.t_mul;
            height *= self.m_mul;
        }
        let cosine = 0.5 * height * (1.0 + (PI * rest / length).cos());
        self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)
    }
}
