//! Compiled steps and the state that moves between them.
//!
//! A program is compiled once per shape of a batch and kept. While it runs, the state (weights, optimizer, metrics, random key) lies in
//! its memory and is updated in place; [`Runner::leave`] hands it back, by moving buffers.

use super::step::{self, Recipe, Signature, StepGraph};
use crate::layers::Variable;
use crate::models::Model;
use crate::optimizers::StateVariable;
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_graph::backend::cpu::{self, Run};

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
}

impl Model {
    /// The program for data of this signature: found, or compiled now. Returns its number.
    pub(crate) fn program(&mut self, signature: Signature) -> Result<usize> {
        let network = self.network()?;
        let variables: Vec<Variable> = self.variables()?;
        let trainable = match self.programs.trainable.take().filter(|t| t.len() == variables.len()) {
            Some(t) => t,
            None => self.are_trainable(&variables),
        };
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
        let graph = step::build(&recipe)?;
        let executable = cpu::compile(&graph.graph, &graph.donations)?;
        let run = executable.run(cpu::pool(self.threads))?;
        let count = executable.parameter_types().count();
        let donated = (0..count).map(|i| graph.donations.iter().any(|d| d.parameter == i)).collect();
        self.programs.runners.push(Runner { signature, graph, run, variables, donated, inside: false });
        Ok(self.programs.runners.len() - 1)
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

    /// Runs one step on rows gathered into the program's own memory: `fill` gets the buffer of each array.
    pub(crate) fn step_in_place(&mut self, rate: f32, mut fill: impl FnMut(Array, &mut [u8])) -> Result<()> {
        let at = self.graph.at;
        let s = &self.signature;
        let kinds = (0..s.x.len()).map(|i| (Array::X(i), at.x + i));
        let kinds = kinds.chain((0..s.y.len()).map(|i| (Array::Y(i), at.y + i)));
        let weighted = s.weights.iter().enumerate().filter(|(_, w)| w.is_some()).enumerate();
        let kinds = kinds.chain(weighted.map(|(k, (i, _))| (Array::Weight(i), at.weights + k)));
        let kinds: Vec<(Array, usize)> = kinds.collect();
        for (which, parameter) in kinds {
            if self.run.parameter_mut(parameter).is_none() {
                self.run.own(parameter)?;
            }
            if let Some(buffer) = self.run.parameter_mut(parameter) {
                fill(which, buffer.as_mut_bytes());
            }
        }
        if let Some(b) = self.run.parameter_mut(at.rate)
            && let Some(r) = b.as_mut_slice::<f32>().first_mut()
        {
            *r = rate;
        }
        self.run.run();
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

/// One of the arrays of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Array {
    X(usize),
    Y(usize),
    Weight(usize),
}

fn filled(dtype: DType, shape: &[usize], value: f64) -> Result<Tensor> {
    if value == 0.0 {
        return Tensor::zeros(dtype, shape);
    }
    let n: usize = shape.iter().product();
    Ok(Tensor::new(shape, &vec![value; n])?.cast(dtype))
}
