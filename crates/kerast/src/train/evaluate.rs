//! `evaluate`, `predict`, and the single steps `train_on_batch`, `test_on_batch`, `predict_on_batch`.

use super::arrays::{Arrays, IntoArrays};
use super::batches::{self, Samples};
use super::fit::{measure, rules, signature};
use super::history::Logs;
use super::step::Mode;
use crate::models::Model;
use crate::{Error, ErrorKind, Result, Tensor};
use std::fmt;

/// Loss and metrics by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores(Logs);

impl Scores {
    /// The number of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// The loss.
    pub fn loss(&self) -> f64 {
        self.get("loss").unwrap_or(f64::NAN)
    }

    /// The accuracy, NaN when it was not measured.
    pub fn accuracy(&self) -> f64 {
        self.get("accuracy").or_else(|| self.get("acc")).unwrap_or(f64::NAN)
    }

    /// All names and numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(n, v)| (n.as_str(), *v))
    }
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(n, v)| format!("{n}: {v:.4}")).collect();
        f.write_str(&parts.join(" - "))
    }
}

/// The settings of an evaluation, started by [`Evaluate::run`].
#[must_use = "start with `.run()?`"]
pub struct Evaluate<'a> {
    model: &'a mut Model,
    x: Result<Arrays>,
    y: Result<Arrays>,
    batch_size: usize,
    sample_weight: Option<Result<Arrays>>,
}

impl<'a> Evaluate<'a> {
    pub(crate) fn new(model: &'a mut Model, x: Result<Arrays>, y: Result<Arrays>) -> Self {
        Evaluate { model, x, y, batch_size: 32, sample_weight: None }
    }

    /// Samples per batch; the result does not depend on it but for rounding.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = samples;
        self
    }

    /// What each sample counts.
    pub fn sample_weight(mut self, weights: impl IntoArrays) -> Self {
        self.sample_weight = Some(weights.arrays());
        self
    }

    /// Measures.
    pub fn run(self) -> Result<Scores> {
        positive(self.batch_size)?;
        let data = checked(self.model, self.x?, self.y?, self.sample_weight.transpose()?)?;
        measure(self.model, &data, self.batch_size).map(Scores)
    }
}

fn positive(batch: usize) -> Result<()> {
    match batch {
        0 => Err(Error::new(ErrorKind::Argument, "`batch_size` must be at least 1").received(0)),
        _ => Ok(()),
    }
}

fn checked(model: &mut Model, x: Arrays, y: Arrays, weights: Option<Arrays>) -> Result<Samples> {
    model.compiled()?;
    model.build_for(&x)?;
    let rules = rules(model)?;
    let network = model.network()?;
    batches::samples(&network, &rules, &x, &y, weights.as_ref(), &[])
}

/// The settings of a prediction, started by [`Predict::run`].
#[must_use = "start with `.run()?`"]
pub struct Predict<'a> {
    model: &'a mut Model,
    x: Result<Arrays>,
    batch_size: usize,
    training: bool,
}

impl<'a> Predict<'a> {
    pub(crate) fn new(model: &'a mut Model, x: Result<Arrays>) -> Self {
        Predict { model, x, batch_size: 32, training: false }
    }

    /// Samples per batch.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = samples;
        self
    }

    /// Calls the layers as training does: dropout drops (anew for each batch), batch statistics are used and move. Several such
    /// predictions tell how sure a model with dropout is (Gal and Ghahramani 2016).
    pub fn training(mut self, training: bool) -> Self {
        self.training = training;
        self
    }

    /// The output of a model with one output.
    pub fn run(self) -> Result<Tensor> {
        let mut all = self.all()?;
        match all.len() {
            1 => Ok(all.swap_remove(0)),
            n => Err(Error::new(ErrorKind::Argument, format!("the model has {n} outputs"))
                .repair("`.all()?` returns every output")),
        }
    }

    /// Every output.
    pub fn all(self) -> Result<Vec<Tensor>> {
        positive(self.batch_size)?;
        let x = self.x?;
        self.model.build_for(&x)?;
        let network = self.model.network()?;
        let data = Samples { x: batches::inputs(&network.expected(), &x)?, ..Samples::default() };
        let n = data.len();
        let mode = if self.training { Mode::Sample } else { Mode::Predict };
        let mut parts: Vec<Vec<Tensor>> = vec![];
        for from in (0..n).step_by(self.batch_size) {
            let to = (from + self.batch_size).min(n);
            parts.push(forward(self.model, &data.range(from, to)?, mode)?);
        }
        if parts.is_empty() {
            return Err(Error::new(ErrorKind::Data, "there are no samples").received("arrays of length 0"));
        }
        (0..parts[0].len()).map(|o| join(&parts.iter().map(|p| &p[o]).collect::<Vec<_>>())).collect()
    }
}

/// One forward pass.
fn forward(model: &mut Model, data: &Samples, mode: Mode) -> Result<Vec<Tensor>> {
    let program = model.program(signature(data, data.len(), mode))?;
    model.enter(program, true)?;
    let stepped = model.runner(program).step(0.0, &data.x, &[], &[]);
    let outputs = stepped.and_then(|()| model.runner(program).outputs());
    model.leave(program)?;
    outputs
}

/// Tensors one after the other along the first axis.
fn join(parts: &[&Tensor]) -> Result<Tensor> {
    if let [one] = parts {
        return Ok((*one).clone());
    }
    let mut shape = parts[0].shape().to_vec();
    shape[0] = parts.iter().map(|p| p.shape()[0]).sum();
    let mut out = Tensor::zeros(parts[0].dtype(), &shape)?;
    let mut at = 0;
    for p in parts {
        let n = p.bytes().len();
        out.bytes_mut()[at..at + n].copy_from_slice(p.bytes());
        at += n;
    }
    Ok(out)
}

impl Model {
    /// Builds a stack that does not know its input for these arrays.
    pub(crate) fn build_for(&mut self, x: &Arrays) -> Result<()> {
        let tensors: Vec<Tensor> = x.0.iter().map(|(_, t)| t.clone()).collect();
        self.network_for(&tensors).map(|_| ())
    }

    /// One update on one batch; returns its loss and metrics.
    pub fn train_on_batch(&mut self, x: impl IntoArrays, y: impl IntoArrays) -> Result<Scores> {
        let data = checked(self, x.arrays()?, y.arrays()?, None)?;
        let scores = self.one_step(&data, Mode::Train)?;
        if let Some(c) = &mut self.compiled {
            c.updates += 1;
        }
        Ok(scores)
    }

    /// Loss and metrics of one batch.
    pub fn test_on_batch(&mut self, x: impl IntoArrays, y: impl IntoArrays) -> Result<Scores> {
        let data = checked(self, x.arrays()?, y.arrays()?, None)?;
        self.one_step(&data, Mode::Test)
    }

    /// The output for one batch.
    pub fn predict_on_batch(&mut self, x: impl IntoArrays) -> Result<Tensor> {
        let x = x.arrays()?;
        let n = x.0.first().and_then(|(_, t)| t.shape().first().copied()).unwrap_or(1).max(1);
        self.predict(x).batch_size(n).run()
    }

    fn one_step(&mut self, data: &Samples, mode: Mode) -> Result<Scores> {
        let rate = if mode == Mode::Train { self.learning_rate()? as f32 } else { 0.0 };
        let program = self.program(signature(data, data.len(), mode))?;
        self.enter(program, true)?;
        let stepped = self.runner(program).step(rate, &data.x, &data.y, &data.weights);
        let logs = stepped.and_then(|()| self.runner(program).logs());
        self.leave(program)?;
        logs.map(Scores)
    }
}
