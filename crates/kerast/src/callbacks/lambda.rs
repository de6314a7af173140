//! A callback from functions.

use super::{Callback, Control};
use crate::Result;
use crate::models::Model;
use crate::train::Logs;

type EpochFn<'a> = Box<dyn FnMut(usize, &Logs) + 'a>;

/// Calls functions at the ends of epochs and batches.
#[derive(Default)]
pub struct LambdaCallback<'a> {
    epoch_end: Option<EpochFn<'a>>,
    batch_end: Option<EpochFn<'a>>,
}

impl<'a> LambdaCallback<'a> {
    /// Does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `f(epoch, numbers)` after every epoch.
    pub fn on_epoch_end(mut self, f: impl FnMut(usize, &Logs) + 'a) -> Self {
        self.epoch_end = Some(Box::new(f));
        self
    }

    /// Calls `f(batch, numbers)` after every batch.
    pub fn on_batch_end(mut self, f: impl FnMut(usize, &Logs) + 'a) -> Self {
        self.batch_end = Some(Box::new(f));
        self
    }
}

impl Callback for LambdaCallback<'_> {
    fn watches_batches(&self) -> bool {
        self.batch_end.is_some()
    }

    fn on_train_batch_end(&mut self, batch: usize, logs: &Logs, _: &mut Control) -> Result<()> {
        if let Some(f) = &mut self.batch_end {
            f(batch, logs);
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, _: &mut Model, _: &mut Control) -> Result<()> {
        if let Some(f) = &mut self.epoch_end {
            f(epoch, logs);
        }
        Ok(())
    }
}
