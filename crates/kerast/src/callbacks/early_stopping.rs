//! Stops when a number no longer improves.

use super::{Better, Callback, CallbackState, Control, monitored};
use crate::models::Model;
use crate::train::Logs;
use crate::{Result, Tensor};

/// Stops training when the monitored number has not improved for `patience` epochs.
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    monitor: String,
    min_delta: f64,
    patience: usize,
    mode: String,
    baseline: Option<f64>,
    restore_best_weights: bool,
    start_from_epoch: usize,
    best: f64,
    best_epoch: usize,
    wait: usize,
    stopped_epoch: Option<usize>,
    best_weights: Option<Vec<Tensor>>,
}

impl EarlyStopping {
    /// Watches this number, e.g. `"val_loss"`.
    pub fn new(monitor: &str) -> EarlyStopping {
        EarlyStopping {
            monitor: monitor.to_string(),
            min_delta: 0.0,
            patience: 0,
            mode: "auto".into(),
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
            best: f64::INFINITY,
            best_epoch: 0,
            wait: 0,
            stopped_epoch: None,
            best_weights: None,
        }
    }

    /// Epochs without improvement that are borne.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// Smaller changes are no improvement.
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta.abs();
        self
    }

    /// `"min"`, `"max"` or `"auto"`.
    pub fn mode(mut self, mode: &str) -> Self {
        self.mode = mode.to_string();
        self
    }

    /// The number must get better than this.
    pub fn baseline(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// Go back to the weights of the best epoch at the end.
    pub fn restore_best_weights(mut self, restore: bool) -> Self {
        self.restore_best_weights = restore;
        self
    }

    /// Epochs before this one are not watched.
    pub fn start_from_epoch(mut self, epoch: usize) -> Self {
        self.start_from_epoch = epoch;
        self
    }

    /// The epoch after which training stopped.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.stopped_epoch
    }

    /// The best epoch and its number.
    pub fn best(&self) -> (usize, f64) {
        (self.best_epoch, self.best)
    }
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        let better = Better::of(&self.mode, &self.monitor)?;
        self.best = better.worst();
        (self.wait, self.best_epoch, self.stopped_epoch, self.best_weights) = (0, 0, None, None);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model, control: &mut Control) -> Result<()> {
        let better = Better::of(&self.mode, &self.monitor)?;
        let now = monitored(logs, &self.monitor, "EarlyStopping")?;
        if epoch < self.start_from_epoch {
            return Ok(());
        }
        if self.restore_best_weights && self.best_weights.is_none() {
            self.best_weights = Some(model.get_weights()?);
            self.best_epoch = epoch;
        }
        self.wait += 1;
        if better.improves(now, self.best, self.min_delta) {
            self.best = now;
            self.best_epoch = epoch;
            if self.restore_best_weights {
                self.best_weights = Some(model.get_weights()?);
            }
            if self.baseline.is_none_or(|b| better.improves(now, b, self.min_delta)) {
                self.wait = 0;
            }
            return Ok(());
        }
        if self.wait >= self.patience && epoch > 0 {
            self.stopped_epoch = Some(epoch);
            control.stop = true;
            control.reason = Some(format!("{} did not improve for {} epochs", self.monitor, self.wait));
        }
        Ok(())
    }

    fn state(&self) -> CallbackState {
        let numbers = vec![self.best, self.best_epoch as f64, self.wait as f64];
        CallbackState { numbers, tensors: self.best_weights.clone().unwrap_or_default(), ..CallbackState::default() }
    }

    fn restore(&mut self, state: CallbackState) -> Result<()> {
        if let [best, epoch, wait] = state.numbers[..] {
            (self.best, self.best_epoch, self.wait) = (best, epoch as usize, wait as usize);
            self.best_weights = (!state.tensors.is_empty()).then_some(state.tensors);
        }
        Ok(())
    }

    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        match self.best_weights.take() {
            Some(best) if self.restore_best_weights => model.set_weights(&best),
            _ => Ok(()),
        }
    }
}
