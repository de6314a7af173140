//! Callbacks that change the learning rate, and the one that ends a hopeless run.

use super::{Better, Callback, CallbackState, Control, monitored};
use crate::Result;
use crate::models::Model;
use crate::train::Logs;

/// Sets the learning rate before every epoch: `rate = f(epoch, rate so far)`.
pub struct LearningRateScheduler<F>(
    /// The function.
    pub F,
);

impl<F: FnMut(usize, f64) -> f64> LearningRateScheduler<F> {
    /// With this function of epoch (counted from 0) and present rate.
    pub fn new(schedule: F) -> Self {
        LearningRateScheduler(schedule)
    }
}

impl<F: FnMut(usize, f64) -> f64> Callback for LearningRateScheduler<F> {
    fn on_epoch_begin(&mut self, epoch: usize, model: &mut Model) -> Result<()> {
        let rate = (self.0)(epoch, model.learning_rate()?);
        model.set_learning_rate(rate)
    }

    fn on_epoch_end(&mut self, _: usize, logs: &mut Logs, model: &mut Model, _: &mut Control) -> Result<()> {
        logs.push(("learning_rate".into(), model.learning_rate()?));
        Ok(())
    }
}

/// Makes the learning rate smaller when a number no longer improves.
#[derive(Clone, Debug)]
pub struct ReduceLrOnPlateau {
    monitor: String,
    factor: f64,
    patience: usize,
    mode: String,
    min_delta: f64,
    cooldown: usize,
    min_lr: f64,
    best: f64,
    wait: usize,
    cooling: usize,
}

impl ReduceLrOnPlateau {
    /// Watches this number, e.g. `"val_loss"`; factor 0.1, patience 10, min_delta 1e-4.
    pub fn new(monitor: &str) -> Self {
        ReduceLrOnPlateau {
            monitor: monitor.to_string(),
            factor: 0.1,
            patience: 10,
            mode: "auto".into(),
            min_delta: 1e-4,
            cooldown: 0,
            min_lr: 0.0,
            best: f64::INFINITY,
            wait: 0,
            cooling: 0,
        }
    }

    /// The new rate is the old one times this.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Epochs without improvement that are borne.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// `"min"`, `"max"` or `"auto"`.
    pub fn mode(mut self, mode: &str) -> Self {
        self.mode = mode.to_string();
        self
    }

    /// Smaller changes are no improvement.
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta.abs();
        self
    }

    /// Epochs after a change in which nothing is watched.
    pub fn cooldown(mut self, epochs: usize) -> Self {
        self.cooldown = epochs;
        self
    }

    /// The rate never goes below this.
    pub fn min_lr(mut self, rate: f64) -> Self {
        self.min_lr = rate;
        self
    }
}

impl Callback for ReduceLrOnPlateau {
    fn state(&self) -> CallbackState {
        CallbackState { numbers: vec![self.best, self.wait as f64, self.cooling as f64], ..CallbackState::default() }
    }

    fn restore(&mut self, state: CallbackState) -> Result<()> {
        if let [best, wait, cooling] = state.numbers[..] {
            (self.best, self.wait, self.cooling) = (best, wait as usize, cooling as usize);
        }
        Ok(())
    }

    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        self.best = Better::of(&self.mode, &self.monitor)?.worst();
        (self.wait, self.cooling) = (0, 0);
        Ok(())
    }

    fn on_epoch_end(&mut self, _: usize, logs: &mut Logs, model: &mut Model, _: &mut Control) -> Result<()> {
        let better = Better::of(&self.mode, &self.monitor)?;
        let now = monitored(logs, &self.monitor, "ReduceLrOnPlateau")?;
        let rate = model.learning_rate()?;
        logs.push(("learning_rate".into(), rate));
        if self.cooling > 0 {
            self.cooling -= 1;
            self.wait = 0;
        }
        if better.improves(now, self.best, self.min_delta) {
            self.best = now;
            self.wait = 0;
        } else if self.cooling == 0 {
            self.wait += 1;
            if self.wait >= self.patience && rate > self.min_lr {
                model.set_learning_rate((rate * self.factor).max(self.min_lr))?;
                self.cooling = self.cooldown;
                self.wait = 0;
            }
        }
        Ok(())
    }
}

/// Ends training when the loss is no longer a finite number.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminateOnNan;

impl Callback for TerminateOnNan {
    fn watches_batches(&self) -> bool {
        true
    }

    fn on_train_batch_end(&mut self, batch: usize, logs: &Logs, control: &mut Control) -> Result<()> {
        if let Some((_, loss)) = logs.iter().find(|(n, v)| n == "loss" && !v.is_finite()) {
            control.stop = true;
            control.reason = Some(format!("batch {batch}: the loss became {loss}"));
        }
        Ok(())
    }
}
