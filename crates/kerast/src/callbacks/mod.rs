//! Callbacks: what happens beside training, at the ends of epochs and batches.

mod backup;
mod checkpoint;
mod ctrl_c;
mod early_stopping;
mod lambda;
mod logger;
mod rates;

pub use crate::train::Backup;
pub use backup::BackupAndRestore;
pub use checkpoint::ModelCheckpoint;
pub use ctrl_c::StopOnCtrlC;
pub use early_stopping::EarlyStopping;
pub use lambda::LambdaCallback;
pub use logger::CsvLogger;
pub use rates::{LearningRateScheduler, ReduceLrOnPlateau, TerminateOnNan};

use crate::models::Model;
use crate::train::Logs;
use crate::{Error, ErrorKind, Result, Tensor};

/// What a callback may do to the training.
#[derive(Debug, Default)]
pub struct Control {
    /// Set to end training after this batch or epoch.
    pub stop: bool,
    /// Why it ended, for the last line.
    pub reason: Option<String>,
}

/// What a callback knows, so that a training that was cut goes on as if it had not been.
#[derive(Clone, Debug, Default)]
pub struct CallbackState {
    /// Numbers, kept to the bit.
    pub numbers: Vec<f64>,
    /// Texts.
    pub words: Vec<String>,
    /// Arrays.
    pub tensors: Vec<Tensor>,
}

/// Something that happens beside training. Every method does nothing unless written.
pub trait Callback {
    /// Before the first epoch.
    fn on_train_begin(&mut self, model: &mut Model) -> Result<()> {
        let _ = model;
        Ok(())
    }
    /// Before an epoch (counted from 0).
    fn on_epoch_begin(&mut self, epoch: usize, model: &mut Model) -> Result<()> {
        let _ = (epoch, model);
        Ok(())
    }
    /// After a batch (counted from 0), with the numbers of the epoch so far.
    fn on_train_batch_end(&mut self, batch: usize, logs: &Logs, control: &mut Control) -> Result<()> {
        let _ = (batch, logs, control);
        Ok(())
    }
    /// Whether [`Callback::on_train_batch_end`] wants to be called: the numbers cost a little to read.
    fn watches_batches(&self) -> bool {
        false
    }
    /// After every batch of an epoch (counted from 0): a reason to end training here, without finishing the epoch. Called between steps, so
    /// it should be quick.
    fn stop_now(&mut self, epoch: usize) -> Option<String> {
        let _ = epoch;
        None
    }
    /// What it knows between two steps.
    fn state(&self) -> CallbackState {
        CallbackState::default()
    }
    /// Takes up what it knew; called after [`Callback::on_train_begin`].
    fn restore(&mut self, state: CallbackState) -> Result<()> {
        let _ = state;
        Ok(())
    }
    /// Where the state of the training is to be kept.
    fn backup(&self) -> Option<Backup> {
        None
    }
    /// After an epoch, with its numbers; numbers added here appear in the history.
    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model, control: &mut Control) -> Result<()> {
        let _ = (epoch, logs, model, control);
        Ok(())
    }
    /// After the last epoch.
    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        let _ = model;
        Ok(())
    }
}

impl<C: Callback + ?Sized> Callback for &mut C {
    fn on_train_begin(&mut self, model: &mut Model) -> Result<()> {
        (**self).on_train_begin(model)
    }
    fn on_epoch_begin(&mut self, epoch: usize, model: &mut Model) -> Result<()> {
        (**self).on_epoch_begin(epoch, model)
    }
    fn on_train_batch_end(&mut self, batch: usize, logs: &Logs, control: &mut Control) -> Result<()> {
        (**self).on_train_batch_end(batch, logs, control)
    }
    fn watches_batches(&self) -> bool {
        (**self).watches_batches()
    }
    fn state(&self) -> CallbackState {
        (**self).state()
    }
    fn restore(&mut self, state: CallbackState) -> Result<()> {
        (**self).restore(state)
    }
    fn backup(&self) -> Option<Backup> {
        (**self).backup()
    }
    fn stop_now(&mut self, epoch: usize) -> Option<String> {
        (**self).stop_now(epoch)
    }
    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model, control: &mut Control) -> Result<()> {
        (**self).on_epoch_end(epoch, logs, model, control)
    }
    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        (**self).on_train_end(model)
    }
}

/// The number under a name, or an error that lists the names there are.
pub(crate) fn monitored(logs: &Logs, name: &str, who: &str) -> Result<f64> {
    logs.iter().find(|(n, _)| n == name).map(|(_, v)| *v).ok_or_else(|| {
        let all: Vec<&str> = logs.iter().map(|(n, _)| n.as_str()).collect();
        Error::new(ErrorKind::Argument, format!("{who} watches `{name}`, which this training does not report"))
            .expected(all.join(", "))
    })
}

/// Which direction is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Smaller,
    Larger,
}

impl Better {
    /// Keras' rule for `mode="auto"`: losses and errors shrink, accuracies and areas grow.
    pub(crate) fn of(mode: &str, monitor: &str) -> Result<Better> {
        let grows = ["acc", "auc", "precision", "recall", "f1", "fbeta", "iou", "r2", "cosine"];
        match mode {
            "min" => Ok(Better::Smaller),
            "max" => Ok(Better::Larger),
            "auto" if grows.iter().any(|g| monitor.contains(g)) => Ok(Better::Larger),
            "auto" => Ok(Better::Smaller),
            _ => Err(Error::new(ErrorKind::Argument, "`mode` has an unknown value")
                .expected("auto, min or max")
                .received(mode)),
        }
    }

    pub(crate) fn improves(self, new: f64, best: f64, min_delta: f64) -> bool {
        match self {
            Better::Smaller => new < best - min_delta,
            Better::Larger => new > best + min_delta,
        }
    }

    pub(crate) fn worst(self) -> f64 {
        if self == Better::Smaller { f64::INFINITY } else { f64::NEG_INFINITY }
    }
}
