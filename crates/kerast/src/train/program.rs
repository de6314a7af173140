//! Compiled steps and the state that moves between them.
//!
//! A program is compiled once per shape of a batch and kept. While it runs, the state (weights, optimizer, metrics, random key) lies in
//! its memory and is updated in place; [`Runner::leave`] hands it back, by moving buffers.

use super::batches::Samples;
use super::step::{self, Recipe, Signature, StepGraph};
use crate::layers::Variable;
use crate::models::Model;
use crate::optimizers::StateVariable;
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_graph::backend::cpu::{self, Run};
use kerast_kernels::buffer::Buffer;
use kerast_kernels::rows::{Take, take_rows, take_rows_beside};

/// The programs of a model, by signature.
#[derive(Default)]
pub(crate) struct Programs {
    runners: Vec<Runner>,
    /// Which variables train: settled by `compile`, or by the first step of a model that had no shapes yet.
    trainable: Option<Vec<bool>>,
    /// The random key of the next step: seed (low, high) and step number.
    key: Option<Tensor>,
    metrics: Vec<Tensor>,
}

impl Programs {
    /// Forgets all programs, after a compile that settled which variables train.
    pub(crate) fn start_anew(&mut self, trainable: Option<Vec<bool>>) {
        self.runners.clear();
        self.trainable = trainable;
    }
}

/// A compiled step.
pub(crate) struct Runner {
    signature: Signature,
    graph: StepGraph,
    run: Run,
    variables: Vec<Variable>,
    donated: Vec<bool>,
    inside: bool,
    /// Memory for the arrays of the next step, and whether they are in it.
    spare: Vec<Buffer>,
    ready: bool,
}

/// Bytes of a batch from which on it is copied while the step before it runs.
const LARGE: usize = 64 * 1024;

impl Model {
    /// The program for data of this signature: found, or compiled now. Returns its number.
    pub(crate) fn program(&mut self, signature: Signature) -> Result<usize> {
        let network = self.network()?;
        let variables: Vec<Variable> = self.variables()?;
        let trainable = self.trained(&variables);
        self.programs.trainable = Some(trainable.clone());
        if let Some(i) = self.programs.runners.iter().position(|r| r.signature == signature) {
            return Ok(i);
        }
        let recipe = Recipe {
            network: &network,
            name: self.name(),
            variables: &variables,
            trainable: &trainable,
            compiled: self.compiled.as_ref(),
            signature: &signature,
        };
        let mut graph = step::build(&recipe)?;
        let executable = cpu::compile(std::mem::take(&mut graph.graph), &graph.donations)?;
        let run = executable.run(cpu::pool(self.threads))?;
        let count = executable.parameter_types().count();
        let donated = (0..count).map(|i| graph.donations.iter().any(|d| d.parameter == i)).collect();
        self.programs.runners.push(Runner {
            signature,
            graph,
            run,
            variables,
            donated,
            inside: false,
            spare: vec![],
            ready: false,
        });
        Ok(self.programs.runners.len() - 1)
    }

    /// Which of these variables train: as `compile` settled it.
    pub(super) fn trained(&self, variables: &[Variable]) -> Vec<bool> {
        match &self.programs.trainable {
            Some(t) if t.len() == variables.len() => t.clone(),
            _ => self.are_trainable(variables),
        }
    }

    /// The value of the trained weight number `w`.
    pub(super) fn trained_weight(&self, w: usize) -> Result<Tensor> {
        let variables = self.variables()?;
        let trains = self.trained(&variables);
        let missing = || Error::new(ErrorKind::Internal, format!("there is no trained weight {w}"));
        variables.iter().zip(trains).filter(|(_, t)| *t).nth(w).ok_or_else(missing)?.0.value()
    }

    /// The metrics of the epoch under way.
    pub(super) fn running_metrics(&self) -> &[Tensor] {
        &self.programs.metrics
    }

    /// Sets the metrics of the epoch under way.
    pub(super) fn set_running_metrics(&mut self, metrics: Vec<Tensor>) {
        self.programs.metrics = metrics;
    }

    /// State that files do not hold: of stateful layers.
    pub(super) fn unsaved_state(&self) -> Result<Vec<(Variable, Tensor)>> {
        let all = self.variables()?.into_iter().filter(|v| v.spec().seed && v.spec().dtype.is_float());
        all.map(|v| Ok((v.clone(), v.value()?))).collect()
    }

    /// The random key of the next step, once there was one.
    pub(crate) fn random_key(&self) -> Option<&Tensor> {
        self.programs.key.as_ref()
    }

    /// Sets the random key of the next step.
    pub(crate) fn set_random_key(&mut self, key: Tensor) {
        self.programs.key = Some(key);
    }

    pub(crate) fn runner(&mut self, i: usize) -> &mut Runner {
        &mut self.programs.runners[i]
    }

    /// Brings the state into program `i`; metrics start at zero if `fresh`.
    pub(crate) fn enter(&mut self, i: usize, fresh: bool) -> Result<()> {
        let (low, high) = (crate::seed() as u32, (crate::seed() >> 32) as u32);
        let key = match self.programs.key.take() {
            Some(k) => k,
            None => Tensor::new(&[3], &[low, high, 0u32])?,
        };
        let metrics = std::mem::take(&mut self.programs.metrics);
        let r = &mut self.programs.runners[i];
        // A program that only measures leaves the optimizer's state where it is.
        let optimizer = match &mut self.compiled {
            Some(c) if !r.graph.optimizer.is_empty() => Some(r.optimizer_state(c.state.take())?),
            _ => None,
        };
        r.enter(key, if fresh { vec![] } else { metrics }, optimizer)
    }

    /// Takes the state out of program `i`.
    pub(crate) fn leave(&mut self, i: usize) -> Result<()> {
        let r = &mut self.programs.runners[i];
        let (key, metrics, optimizer) = r.leave()?;
        self.programs.key = Some(key);
        self.programs.metrics = metrics;
        if let Some(c) = &mut self.compiled
            && optimizer.is_some()
        {
            c.state = optimizer;
        }
        Ok(())
    }
}

type Parked = (Tensor, Vec<Tensor>, Option<Vec<Tensor>>);

impl Runner {
    /// The optimizer's state for this step: what it was, or new.
    fn optimizer_state(&self, state: Option<Vec<Tensor>>) -> Result<Vec<Tensor>> {
        let specs = &self.graph.optimizer;
        match state {
            Some(s) if s.len() == specs.len() => Ok(s),
            _ => specs.iter().map(|s| self.first_state(s)).collect(),
        }
    }

    fn first_state(&self, s: &StateVariable) -> Result<Tensor> {
        match (s.initial, s.weight) {
            (None, Some(w)) => {
                let trained = self.variables.iter().enumerate().filter(|(i, v)| v.spec().trainable && self.donated[*i]);
                let missing = || Error::new(ErrorKind::Internal, format!("{}: no such weight", s.name));
                trained.map(|(_, v)| v).nth(w).ok_or_else(missing)?.value()
            }
            (value, _) => filled(s.ty.dtype, &s.ty.shape, value.unwrap_or(0.0)),
        }
    }

    fn enter(&mut self, key: Tensor, metrics: Vec<Tensor>, optimizer: Option<Vec<Tensor>>) -> Result<()> {
        let at = self.graph.at;
        self.ready = false;
        for (i, v) in self.variables.iter().enumerate() {
            match self.donated[i] {
                true => self.run.put(i, v.take()?)?,
                false => self.run.set(i, &v.value()?)?,
            }
        }
        if !self.graph.optimizer.is_empty() {
            for (i, t) in optimizer.into_iter().flatten().enumerate() {
                self.run.put(at.optimizer + i, t)?;
            }
        }
        match self.donated[at.key] {
            true => self.run.put(at.key, key)?,
            false => self.run.set(at.key, &key)?,
        }
        let shapes: Vec<&Vec<usize>> =
            self.graph.trackers.iter().flat_map(|t| t.states.iter().map(|s| &s.shape)).collect();
        let reuse =
            metrics.len() == shapes.len() && metrics.iter().zip(&shapes).all(|(m, s)| m.shape() == s.as_slice());
        for (i, shape) in shapes.iter().enumerate() {
            let t = if reuse { metrics[i].clone() } else { Tensor::zeros(DType::F32, shape)? };
            self.run.put(at.metrics + i, t)?;
        }
        self.inside = true;
        Ok(())
    }

    fn leave(&mut self) -> Result<Parked> {
        let at = self.graph.at;
        self.inside = false;
        for (i, v) in self.variables.iter().enumerate().filter(|(i, _)| self.donated[*i]) {
            v.set(self.run.take(i)?)?;
        }
        let optimizer = match self.graph.optimizer.len() {
            0 => None,
            n => Some((0..n).map(|i| self.run.take(at.optimizer + i)).collect::<Result<Vec<_>>>()?),
        };
        let count: usize = self.graph.trackers.iter().map(|t| t.states.len()).sum();
        let metrics = (0..count).map(|i| self.run.take(at.metrics + i)).collect::<Result<Vec<_>>>()?;
        let key = match self.donated[at.key] {
            true => self.run.take(at.key)?,
            false => {
                let shared = self
                    .run
                    .parameter(at.key)
                    .ok_or_else(|| Error::new(ErrorKind::Internal, "the random key is lost"))?;
                Tensor::from_buffer(DType::U32, &[3], shared.clone())?
            }
        };
        Ok((key, metrics, optimizer))
    }

    /// Runs one step on these arrays (x, y, sample weights).
    pub(crate) fn step(&mut self, rate: f32, x: &[Tensor], y: &[Tensor], weights: &[Option<Tensor>]) -> Result<()> {
        let at = self.graph.at;
        self.run.set(at.rate, &Tensor::scalar(rate))?;
        x.iter().enumerate().try_for_each(|(i, t)| self.run.set(at.x + i, t))?;
        y.iter().enumerate().try_for_each(|(i, t)| self.run.set(at.y + i, t))?;
        weights.iter().flatten().enumerate().try_for_each(|(i, t)| self.run.set(at.weights + i, t))?;
        self.run.run();
        Ok(())
    }

    /// Runs one step on rows `rows` of the data, copied into the program's own memory. Rows `next`, those of the following step, are
    /// copied meanwhile by threads that the step leaves idle, where that pays.
    pub(crate) fn step_rows(&mut self, rate: f32, data: &Samples, rows: &[usize], next: &[usize]) -> Result<()> {
        let at = self.graph.at;
        let pool = self.run.pool().clone();
        for (k, t) in data.arrays().enumerate() {
            if self.ready {
                self.run.exchange(at.x + k, &mut self.spare[k])?;
                continue;
            }
            if self.run.parameter_mut(at.x + k).is_none() {
                self.run.own(at.x + k)?;
            }
            if let Some(buffer) = self.run.parameter_mut(at.x + k) {
                take_rows(t.bytes(), row_bytes(t), rows, buffer.as_mut_bytes(), &pool);
            }
        }
        if let Some(b) = self.run.parameter_mut(at.rate)
            && let Some(r) = b.as_mut_slice::<f32>().first_mut()
        {
            *r = rate;
        }
        let bytes: usize = data.arrays().map(|t| row_bytes(t) * next.len()).sum();
        self.ready = next.len() == rows.len() && bytes >= LARGE && pool.threads() > 1;
        if !self.ready {
            self.run.run();
            return Ok(());
        }
        if self.spare.is_empty() {
            self.spare = data.arrays().map(|t| Buffer::zeroed(row_bytes(t) * next.len())).collect();
        }
        let run = &mut self.run;
        let takes = data.arrays().zip(&mut self.spare);
        let takes = takes.map(|(t, b)| Take { source: t.bytes(), row: row_bytes(t), out: b.as_mut_bytes() });
        take_rows_beside(&mut takes.collect::<Vec<_>>(), next, &pool, || run.run());
        Ok(())
    }

    /// The numbers measured so far, sorted by name as Keras shows them.
    pub(crate) fn logs(&mut self) -> Result<Vec<(String, f64)>> {
        let mut out = vec![];
        let mut at = self.graph.at.metrics;
        for t in &self.graph.trackers {
            let mut state = vec![];
            for s in &t.states {
                let buffer = self
                    .run
                    .parameter(at)
                    .ok_or_else(|| Error::new(ErrorKind::Internal, "a metric's state is lost"))?;
                state.push(Tensor::new(&s.shape, &buffer.as_slice::<f32>()[..s.shape.iter().product()])?);
                at += 1;
            }
            let values = step::value_of(t, &state)?;
            match values[..] {
                [v] => out.push((t.name.clone(), v)),
                _ => out.extend(values.iter().enumerate().map(|(i, v)| (format!("{}_{i}", t.name), *v))),
            }
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(out)
    }

    /// The outputs of a prediction.
    pub(crate) fn outputs(&self) -> Result<Vec<Tensor>> {
        self.graph.outputs.iter().map(|&i| self.run.result(i)).collect()
    }

    /// The program, for profiles.
    pub(crate) fn run_mut(&mut self) -> &mut Run {
        &mut self.run
    }
}

/// Bytes of one sample.
fn row_bytes(t: &Tensor) -> usize {
    t.bytes().len() / t.shape().first().copied().unwrap_or(1).max(1)
}

/// A tensor of one value.
pub(super) fn filled(dtype: DType, shape: &[usize], value: f64) -> Result<Tensor> {
    if value == 0.0 {
        return Tensor::zeros(dtype, shape);
    }
    let n: usize = shape.iter().product();
    Ok(Tensor::new(shape, &vec![value; n])?.cast(dtype))
}
