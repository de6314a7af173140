//! `fit`: epochs over the data, validation, callbacks, progress.

use super::arrays::{Arrays, IntoArrays};
use super::backup::{Backup, Identity, Place};
use super::batches::{self, Samples};
use super::dataset::Dataset;
use super::history::{History, Logs};
use super::step::{Mode, Signature};
use crate::callbacks::{Callback, Control};
use crate::models::{Model, OutputRules};
use crate::progress::Progress;
use crate::{Error, ErrorKind, Result, Tensor};
use kerast_graph::Type;

/// The training data as given.
enum Given {
    Arrays(Result<Arrays>, Result<Arrays>),
    Stream(Dataset),
}

/// The training data as checked.
enum Source {
    Arrays(Samples),
    Stream(Dataset),
}

/// The settings of a training run, started by [`Fit::run`]. Defaults are Keras'.
#[must_use = "start training with `.run()?`"]
pub struct Fit<'a> {
    model: &'a mut Model,
    data: Given,
    batch_size: usize,
    epochs: usize,
    initial_epoch: usize,
    verbose: u8,
    validation_split: f64,
    validation_data: Option<(Result<Arrays>, Result<Arrays>)>,
    validation_weight: Option<Result<Arrays>>,
    validation_batch_size: Option<usize>,
    validation_freq: usize,
    shuffle: bool,
    class_weight: Vec<(i64, f64)>,
    sample_weight: Option<Result<Arrays>>,
    steps_per_epoch: Option<usize>,
    callbacks: Vec<Box<dyn Callback + 'a>>,
}

impl<'a> Fit<'a> {
    pub(crate) fn of_arrays(model: &'a mut Model, x: Result<Arrays>, y: Result<Arrays>) -> Fit<'a> {
        Fit::new(model, Given::Arrays(x, y))
    }

    pub(crate) fn of_stream(model: &'a mut Model, dataset: Dataset) -> Fit<'a> {
        Fit::new(model, Given::Stream(dataset))
    }

    fn new(model: &'a mut Model, data: Given) -> Fit<'a> {
        Fit {
            model,
            data,
            batch_size: 32,
            epochs: 1,
            initial_epoch: 0,
            verbose: 1,
            validation_split: 0.0,
            validation_data: None,
            validation_weight: None,
            validation_batch_size: None,
            validation_freq: 1,
            shuffle: true,
            class_weight: vec![],
            sample_weight: None,
            steps_per_epoch: None,
            callbacks: vec![],
        }
    }

    /// Samples per update.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = samples;
        self
    }

    /// Passes over the data; the number of the last epoch, if it starts later.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The number of the first epoch, for runs that go on.
    pub fn initial_epoch(mut self, epoch: usize) -> Self {
        self.initial_epoch = epoch;
        self
    }

    /// 0: silent, 1: a progress bar, 2: a line per epoch.
    pub fn verbose(mut self, verbose: u8) -> Self {
        self.verbose = verbose;
        self
    }

    /// The last part of the data is kept for validation: 0.2 keeps a fifth.
    pub fn validation_split(mut self, part: f64) -> Self {
        self.validation_split = part;
        self
    }

    /// Data for validation.
    pub fn validation_data(mut self, x: impl IntoArrays, y: impl IntoArrays) -> Self {
        self.validation_data = Some((x.arrays(), y.arrays()));
        self
    }

    /// Weights of the validation samples.
    pub fn validation_sample_weight(mut self, weights: impl IntoArrays) -> Self {
        self.validation_weight = Some(weights.arrays());
        self
    }

    /// Samples per batch of validation; the training batch size unless given.
    pub fn validation_batch_size(mut self, samples: usize) -> Self {
        self.validation_batch_size = Some(samples);
        self
    }

    /// Validate after every so many epochs.
    pub fn validation_freq(mut self, epochs: usize) -> Self {
        self.validation_freq = epochs;
        self
    }

    /// Another order of samples in every epoch.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// What samples of a class count.
    pub fn class_weight(mut self, weights: impl IntoIterator<Item = (i64, f64)>) -> Self {
        self.class_weight = weights.into_iter().collect();
        self
    }

    /// What each sample counts.
    pub fn sample_weight(mut self, weights: impl IntoArrays) -> Self {
        self.sample_weight = Some(weights.arrays());
        self
    }

    /// An epoch ends after so many batches.
    pub fn steps_per_epoch(mut self, steps: usize) -> Self {
        self.steps_per_epoch = Some(steps);
        self
    }

    /// Adds a callback; `&mut callback` keeps it usable afterwards.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Trains.
    pub fn run(mut self) -> Result<History> {
        self.check()?;
        let (train, validation) = self.data()?;
        let samples = match &train {
            Source::Arrays(s) => s.len(),
            Source::Stream(_) => 0,
        };
        let identity = Identity { seed: crate::seed(), batch_size: self.batch_size, samples };
        let mut session = Session {
            backup: self.callbacks.iter().find_map(|c| c.backup()),
            identity,
            history: History::default(),
            next: Place { epoch: self.initial_epoch, step: 0 },
            batch: self.batch_size,
            validation_batch: self.validation_batch_size.unwrap_or(self.batch_size),
            model: self.model,
            train,
            validation,
            callbacks: self.callbacks,
            shuffle: self.shuffle,
            steps: self.steps_per_epoch,
            control: Control::default(),
            cut: false,
        };
        let mut progress = Progress::stdout(self.verbose, self.epochs);
        session.run(self.epochs, self.validation_freq, &mut progress)
    }

    fn check(&self) -> Result<()> {
        let at_least_one = |what: &str, n: usize| match n {
            0 => Err(Error::new(ErrorKind::Argument, format!("`{what}` must be at least 1")).received(0)),
            _ => Ok(()),
        };
        at_least_one("batch_size", self.batch_size)?;
        at_least_one("validation_freq", self.validation_freq)?;
        if let Some(n) = self.validation_batch_size {
            at_least_one("validation_batch_size", n)?;
        }
        if let Some(n) = self.steps_per_epoch {
            at_least_one("steps_per_epoch", n)?;
        }
        if self.verbose > 2 {
            return Err(Error::new(ErrorKind::Argument, "`verbose` must be 0, 1 or 2").received(self.verbose));
        }
        if !(0.0..1.0).contains(&self.validation_split) {
            return Err(Error::new(ErrorKind::Argument, "`validation_split` must lie between 0 and 1")
                .received(self.validation_split));
        }
        self.model.compiled().map(|_| ())
    }

    fn data(&mut self) -> Result<(Source, Option<Samples>)> {
        let (x, y) = match &self.data {
            Given::Arrays(x, y) => (x.clone()?, y.clone()?),
            Given::Stream(d) => {
                let first = d.iter(self.initial_epoch).next();
                first.ok_or_else(|| Error::new(ErrorKind::Data, "the data set is empty"))??.into()
            }
        };
        self.model.build_for(&x)?;
        let rules = rules(self.model)?;
        let network = self.model.network()?;
        let validation = match &self.validation_data {
            None => None,
            Some((vx, vy)) => {
                let weights = self.validation_weight.clone().transpose()?;
                Some(batches::samples(&network, &rules, &vx.clone()?, &vy.clone()?, weights.as_ref(), &[])?)
            }
        };
        if let Given::Stream(d) = &self.data {
            if self.validation_split > 0.0 || self.sample_weight.is_some() || !self.class_weight.is_empty() {
                return Err(Error::new(
                    ErrorKind::Argument,
                    "`validation_split`, `sample_weight` and `class_weight` need arrays, not a stream",
                )
                .repair("give `.validation_data(…)`, or weigh the samples in the stream"));
            }
            return Ok((Source::Stream(d.clone()), validation));
        }
        let weights = self.sample_weight.clone().transpose()?;
        let all = batches::samples(&network, &rules, &x, &y, weights.as_ref(), &self.class_weight)?;
        if validation.is_some() || self.validation_split == 0.0 {
            return Ok((Source::Arrays(all), validation));
        }
        let n = all.len();
        let cut = (n as f64 * (1.0 - self.validation_split)).floor() as usize;
        if cut == 0 || cut == n {
            return Err(Error::new(ErrorKind::Argument, "`validation_split` leaves no sample on one side")
                .received(format!("{} of {n} samples", self.validation_split))
                .repair("a larger data set, another split, or `.validation_data(…)`"));
        }
        Ok((Source::Arrays(all.range(0, cut)?), Some(all.range(cut, n)?)))
    }
}

/// A running training.
struct Session<'a> {
    model: &'a mut Model,
    train: Source,
    validation: Option<Samples>,
    batch: usize,
    validation_batch: usize,
    callbacks: Vec<Box<dyn Callback + 'a>>,
    shuffle: bool,
    steps: Option<usize>,
    control: Control,
    /// Whether a callback ended training within an epoch.
    cut: bool,
    backup: Option<Backup>,
    identity: Identity,
    history: History,
    /// The step to be done next.
    next: Place,
}

impl Session<'_> {
    fn run(&mut self, epochs: usize, validate_every: usize, progress: &mut Progress) -> Result<History> {
        self.callbacks.iter_mut().try_for_each(|c| c.on_train_begin(self.model))?;
        if let Some(backup) = &self.backup
            && let Some((place, history)) = backup.restore(self.model, self.identity, &mut self.callbacks)?
        {
            (self.next, self.history) = (place, history);
            progress.note(&format!(
                "going on from {} in epoch {}, step {}",
                backup.file.display(),
                place.epoch + 1,
                place.step
            ));
        }
        for epoch in self.next.epoch..epochs {
            self.callbacks.iter_mut().try_for_each(|c| c.on_epoch_begin(epoch, self.model))?;
            let mut logs = self.epoch(epoch, progress)?;
            if self.cut {
                self.keep()?;
                progress.epoch_end(&logs);
                break;
            }
            if let (Some(v), true) = (&self.validation, (epoch + 1) % validate_every == 0) {
                let scores = measure(self.model, v, self.validation_batch)?;
                logs.extend(scores.into_iter().map(|(n, x)| (format!("val_{n}"), x)));
            }
            for c in &mut self.callbacks {
                c.on_epoch_end(epoch, &mut logs, self.model, &mut self.control)?;
            }
            self.history.push(epoch, &logs);
            progress.epoch_end(&logs);
            self.next = Place { epoch: epoch + 1, step: 0 };
            if self.control.stop {
                if let Some(reason) = &mut self.control.reason {
                    *reason = format!("stopped after epoch {}: {reason}", epoch + 1);
                }
                break;
            }
            if epoch + 1 < epochs {
                self.keep()?;
            }
        }
        self.callbacks.iter_mut().try_for_each(|c| c.on_train_end(self.model))?;
        if let (Some(backup), false) = (&self.backup, self.cut) {
            backup.forget();
        }
        let mut history = std::mem::take(&mut self.history);
        history.stopped = self.control.reason.take();
        if let Some(reason) = history.stopped() {
            progress.note(reason);
        }
        Ok(history)
    }

    /// Writes the state of the training, if somebody wants it kept.
    fn keep(&self) -> Result<()> {
        match &self.backup {
            Some(b) => b.store(self.model, self.identity, self.next, &self.history, &self.callbacks),
            None => Ok(()),
        }
    }

    /// One pass over the data. The weights come back to the model however it ends.
    fn epoch(&mut self, epoch: usize, progress: &mut Progress) -> Result<Logs> {
        let mut current = None;
        let outcome = self.steps(epoch, progress, &mut current);
        let Some(program) = current else {
            return outcome
                .and_then(|()| Err(Error::new(ErrorKind::Data, "the data set is empty").fact("epoch", epoch + 1)));
        };
        let logs = self.model.runner(program).logs();
        self.model.leave(program)?;
        outcome.and(logs)
    }

    fn steps(&mut self, epoch: usize, progress: &mut Progress, current: &mut Option<usize>) -> Result<()> {
        let (n, mut stream) = match &self.train {
            Source::Arrays(s) => (s.len(), None),
            Source::Stream(d) => (0, Some(d.iter(epoch))),
        };
        let steps = match &self.train {
            Source::Arrays(_) => Some(self.steps.unwrap_or(usize::MAX).min(n.div_ceil(self.batch))),
            Source::Stream(_) => self.steps,
        };
        let order = batches::order(n, self.shuffle, crate::seed(), epoch);
        progress.epoch_begin(epoch, steps);
        let watched = self.callbacks.iter().any(|c| c.watches_batches());
        let (rules, network) = (rules(self.model)?, self.model.network()?);
        let rows = |step: usize| &order[(step * self.batch).min(n)..((step + 1) * self.batch).min(n)];
        // Rows of the batch that the present program is for.
        let mut count = 0;
        // Where a run that was cut goes on; batches of a stream before it are passed over.
        let first = std::mem::take(&mut self.next.step);
        if let Some(stream) = &mut stream {
            stream.by_ref().take(first).try_for_each(|batch| batch.map(|_| ()))?;
        }
        for step in first..steps.unwrap_or(usize::MAX) {
            let made = match stream.as_mut().map(Iterator::next) {
                None => None,
                Some(None) => break,
                Some(Some(batch)) => {
                    let (x, y) = batch?.into();
                    Some(batches::samples(&network, &rules, &x, &y, None, &[]).map_err(|e| e.fact("batch", step))?)
                }
            };
            let data = match (&made, &self.train) {
                (Some(batch), _) | (None, Source::Arrays(batch)) => batch,
                (None, Source::Stream(_)) => break,
            };
            let wanted = if made.is_some() { data.len() } else { rows(step).len() };
            let program = match *current {
                Some(same) if count == wanted && made.is_none() => same,
                _ => {
                    let program = self.model.program(signature(data, wanted, Mode::Train))?;
                    if *current != Some(program) {
                        let fresh = current.is_none() && step == 0;
                        if let Some(before) = current.take() {
                            self.model.leave(before)?;
                        }
                        self.model.enter(program, fresh)?;
                        *current = Some(program);
                    }
                    count = wanted;
                    program
                }
            };
            let rate = self.model.learning_rate()? as f32;
            let runner = self.model.runner(program);
            match made.is_some() {
                true => runner.step(rate, &data.x, &data.y, &data.weights)?,
                false => {
                    let next = if steps == Some(step + 1) { &[][..] } else { rows(step + 1) };
                    runner.step_rows(rate, data, rows(step), next)?
                }
            }
            if let Some(c) = &mut self.model.compiled {
                c.updates += 1;
            }
            if watched {
                let now = self.model.runner(program).logs()?;
                for c in self.callbacks.iter_mut().filter(|c| c.watches_batches()) {
                    c.on_train_batch_end(step, &now, &mut self.control)?;
                }
            }
            if progress.due(step + 1) {
                let now = self.model.runner(program).logs()?;
                progress.step(step + 1, &now);
            }
            if let Some(reason) = self.callbacks.iter_mut().find_map(|c| c.stop_now(epoch)) {
                // After an epoch's last step the epoch is finished first.
                match steps == Some(step + 1) {
                    true => (self.control.stop, self.control.reason) = (true, Some(reason)),
                    false => {
                        let place = format!("stopped in epoch {} after step {}", epoch + 1, step + 1);
                        (self.cut, self.control.reason) = (true, Some(format!("{place}: {reason}")));
                    }
                }
            }
            self.next = Place { epoch, step: step + 1 };
            if self.control.stop || self.cut {
                break;
            }
            if self.backup.as_ref().is_some_and(|b| b.due(step)) && steps != Some(step + 1) {
                self.model.leave(program)?;
                self.keep()?;
                self.model.enter(program, false)?;
            }
        }
        Ok(())
    }
}

/// The types of a batch of `rows` samples.
pub(crate) fn signature(data: &Samples, rows: usize, mode: Mode) -> Signature {
    let ty = |t: &Tensor| {
        let mut shape = t.shape().to_vec();
        shape[0] = rows;
        Type::new(t.dtype(), shape)
    };
    Signature {
        mode,
        x: data.x.iter().map(ty).collect(),
        y: data.y.iter().map(ty).collect(),
        weights: data.weights.iter().map(|w| w.as_ref().map(ty)).collect(),
    }
}

/// Loss and metrics over all samples.
pub(crate) fn measure(model: &mut Model, data: &Samples, batch: usize) -> Result<Logs> {
    let n = data.len();
    let all: Vec<usize> = (0..n).collect();
    let mut current: Option<usize> = None;
    for from in (0..n).step_by(batch) {
        let to = (from + batch).min(n);
        let program = model.program(signature(data, to - from, Mode::Test))?;
        if current != Some(program) {
            if let Some(before) = current {
                model.leave(before)?;
            }
            model.enter(program, current.is_none())?;
            current = Some(program);
        }
        model.runner(program).step_rows(0.0, data, &all[from..to], &all[to..(to + batch).min(n)])?;
    }
    match current {
        Some(program) => {
            let logs = model.runner(program).logs()?;
            model.leave(program)?;
            Ok(logs)
        }
        None => Ok(vec![]),
    }
}

/// The rules of a compiled model's outputs.
pub(crate) fn rules(model: &mut Model) -> Result<Vec<OutputRules>> {
    let names = model.network()?.output_names();
    model.compiled()?.outputs(&names)
}
