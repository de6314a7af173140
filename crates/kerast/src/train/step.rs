//! The graph of one step: forward, losses, penalties, backward, optimizer, metrics — all of it one program.

use crate::layers::Variable;
use crate::layers::cell::Step;
use crate::losses::{self, LossRule};
use crate::metrics::{self, Metric, StateSpec};
use crate::models::{Compiled, Network, OutputRules};
use crate::optimizers::{StateVariable, WeightInfo, apply, state_variables};
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::backend::cpu::Donation;
use kerast_graph::{Graph, Trace, Type, Var, autodiff, passes};

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Update the weights.
    Train,
    /// Measure only.
    Test,
    /// Outputs only.
    Predict,
    /// Outputs only, with the present weights as constants.
    Serve,
    /// Outputs as training sees them: dropout drops, statistics move.
    Sample,
}

/// The data of one step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Signature {
    pub(crate) mode: Mode,
    pub(crate) x: Vec<Type>,
    pub(crate) y: Vec<Type>,
    /// The type of each output's sample weights, where there are any.
    pub(crate) weights: Vec<Option<Type>>,
}

/// A number that the step keeps the means of: its name in logs, its state, and how the state becomes a number.
#[derive(Clone)]
pub(crate) struct Tracker {
    pub(crate) name: String,
    pub(crate) states: Vec<StateSpec>,
    /// `None`: a weighted mean (of a loss).
    pub(crate) metric: Option<Metric>,
}

/// The graph of a step, with the places of everything in its parameters and results.
pub(crate) struct StepGraph {
    pub(crate) graph: Graph,
    pub(crate) donations: Vec<Donation>,
    /// Optimizer state, in Keras' order.
    pub(crate) optimizer: Vec<StateVariable>,
    pub(crate) trackers: Vec<Tracker>,
    /// Index of the first parameter of each group.
    pub(crate) at: Layout,
    /// Results that are outputs of the model (predict), in order.
    pub(crate) outputs: Vec<usize>,
}

/// Where the groups of parameters begin: variables at 0, then these.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) optimizer: usize,
    pub(crate) metrics: usize,
    pub(crate) key: usize,
    pub(crate) rate: usize,
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) weights: usize,
}

/// Everything that a step graph is made from.
pub(crate) struct Recipe<'a> {
    pub(crate) network: &'a Network,
    pub(crate) name: &'a str,
    pub(crate) variables: &'a [Variable],
    pub(crate) trainable: &'a [bool],
    pub(crate) compiled: Option<&'a Compiled>,
    pub(crate) signature: &'a Signature,
}

struct Builder<'a> {
    recipe: &'a Recipe<'a>,
    trace: Trace,
    parameters: Vec<Var>,
    /// Pairs of parameter index and the value that replaces it.
    replaced: Vec<(usize, Var)>,
    at: Layout,
    trackers: Vec<Tracker>,
    /// The value that each tracker state becomes.
    tracked: Vec<Var>,
}

/// Builds the graph of a step.
pub(crate) fn build(recipe: &Recipe<'_>) -> Result<StepGraph> {
    let trace = Trace::new();
    let mut b = Builder {
        recipe,
        trace: trace.clone(),
        parameters: vec![],
        replaced: vec![],
        at: Layout::default(),
        trackers: vec![],
        tracked: vec![],
    };
    b.build()
}

impl Builder<'_> {
    fn parameter(&mut self, ty: Type) -> Var {
        let v = self.trace.parameter(ty);
        self.parameters.push(v.clone());
        v
    }

    fn build(&mut self) -> Result<StepGraph> {
        let r = self.recipe;
        let (mode, s) = (r.signature.mode, r.signature);
        let values: Vec<Var> = match mode {
            Mode::Serve => r.variables.iter().map(|v| Ok(self.trace.constant(v.value()?))).collect::<Result<_>>()?,
            _ => r.variables.iter().map(|v| self.parameter(v.ty())).collect(),
        };
        let optimizer = self.optimizer_state();
        let rules = match r.compiled {
            Some(c) if matches!(mode, Mode::Train | Mode::Test) => c.outputs(&r.network.output_names())?,
            _ => vec![],
        };
        self.at.optimizer = self.parameters.len();
        let optimizer_values: Vec<Var> = optimizer.iter().map(|v| self.parameter(v.ty.clone())).collect();
        // Metric states come after the data, since only the traced outputs tell their shapes.
        self.at.key = self.parameters.len();
        let key = self.parameter(Type::new(DType::U32, [3]));
        self.at.rate = self.parameters.len();
        let rate = self.parameter(Type::new(DType::F32, []));
        self.at.x = self.parameters.len();
        let xs: Vec<Var> = s.x.iter().map(|t| self.parameter(t.clone())).collect();
        self.at.y = self.parameters.len();
        let ys: Vec<Var> = s.y.iter().map(|t| self.parameter(t.clone())).collect();
        self.at.weights = self.parameters.len();
        let weights: Vec<Option<Var>> =
            s.weights.iter().map(|t| t.as_ref().map(|t| self.parameter(t.clone()))).collect();

        let trace = self.trace.clone();
        let training = matches!(mode, Mode::Train | Mode::Sample);
        let mut step = Step::new(&trace, training, r.variables, &values, Some(key.clone()));
        let (outputs, masks) = r.network.trace(&mut step, &xs, &vec![None; xs.len()], r.name)?;
        self.carry(&step)?;
        if training {
            let next = trace.constant(crate::Tensor::new(&[3], &[0u32, 0, 1])?);
            self.replaced.push((self.at.key, key + next));
        }
        if matches!(mode, Mode::Predict | Mode::Serve | Mode::Sample) {
            return self.finish(outputs, optimizer);
        }
        let loss = self.losses(&rules, &step, &outputs, &ys, &weights, &masks)?;
        self.at.metrics = self.parameters.len();
        self.metrics(&rules, &loss, &outputs, &ys, &weights, &masks)?;
        if mode == Mode::Train {
            self.update(&loss.total, &optimizer_values, &rate)?;
        }
        passes::dump("trace", || trace.with_graph(|g| g.to_string()));
        self.finish(vec![], optimizer)
    }

    fn optimizer_state(&self) -> Vec<StateVariable> {
        match (self.recipe.signature.mode, self.recipe.compiled) {
            (Mode::Train, Some(c)) => state_variables(&*c.optimizer, &self.weight_infos()),
            _ => vec![],
        }
    }

    fn weight_infos(&self) -> Vec<WeightInfo> {
        let r = self.recipe;
        let trained = r.variables.iter().zip(r.trainable).filter(|(_, t)| **t);
        trained.map(|(v, _)| WeightInfo { path: v.path().to_string(), ty: v.ty() }).collect()
    }

    fn losses(
        &mut self,
        rules: &[OutputRules],
        step: &Step,
        outputs: &[Var],
        ys: &[Var],
        weights: &[Option<Var>],
        masks: &[Option<Var>],
    ) -> Result<Losses> {
        let mut each = vec![];
        let mut total: Option<Var> = None;
        let mut add = |v: Var| {
            total = Some(match total.take() {
                Some(t) => t + v,
                None => v,
            });
        };
        for (i, rule) in rules.iter().enumerate() {
            let Some(loss) = &rule.loss else {
                each.push(None);
                continue;
            };
            let loss = loss.get()?;
            let value = self
                .trace
                .scoped("loss", || losses::apply(loss, &ys[i], &outputs[i], weights[i].as_ref(), masks[i].as_ref()));
            let value = value.map_err(|e| about_output(e, loss, rule, &outputs[i], &ys[i]))?;
            let value = if value.rank() > 0 { value.mean_all() } else { value }.convert(DType::F32);
            add(if rule.weight == 1.0 { value.clone() } else { &value * rule.weight });
            each.push(Some(value));
        }
        for (v, trains) in self.recipe.variables.iter().zip(self.recipe.trainable) {
            if let (Some(r), true) = (v.regularizer(), *trains) {
                add(r.get()?.call(&step.value(v)?)?.convert(DType::F32));
            }
        }
        step.losses.iter().for_each(|l| add(l.clone()));
        let none = || Error::new(ErrorKind::Argument, "the model has no loss: none was given and no layer adds one");
        Ok(Losses { total: total.ok_or_else(none)?, each })
    }

    fn track(&mut self, tracker: Tracker, update: impl FnOnce(&[Var]) -> Result<Vec<Var>>) -> Result<()> {
        let states: Vec<Var> =
            tracker.states.iter().map(|s| self.parameter(Type::new(DType::F32, s.shape.clone()))).collect();
        let new = self.trace.clone().scoped(&tracker.name, || update(&states))?;
        self.tracked.extend(new);
        self.trackers.push(tracker);
        Ok(())
    }

    fn metrics(
        &mut self,
        rules: &[OutputRules],
        loss: &Losses,
        outputs: &[Var],
        ys: &[Var],
        weights: &[Option<Var>],
        masks: &[Option<Var>],
    ) -> Result<()> {
        let batch = self.recipe.signature.x.first().and_then(|t| t.shape.first().copied()).unwrap_or(1) as f64;
        let mean = |name: &str| Tracker { name: name.to_string(), states: metrics::mean_state(), metric: None };
        let add = |value: &Var, state: &[Var]| vec![&state[0] + value * batch, &state[1] + batch];
        self.track(mean("loss"), |state| Ok(add(&loss.total, state)))?;
        if rules.len() > 1 {
            for (rule, value) in rules.iter().zip(&loss.each) {
                if let Some(value) = value {
                    self.track(mean(&format!("{}_loss", rule.name)), |state| Ok(add(value, state)))?;
                }
            }
        }
        for (i, rule) in rules.iter().enumerate() {
            for (argument, weighted) in &rule.metrics {
                let loss = rule.loss.as_ref().map(|l| l.get()).transpose()?;
                let (name, metric) = metrics::resolve(&argument.0, loss, ys[i].shape(), outputs[i].shape())?;
                let name = self.free_name(&name, (rules.len() > 1).then_some(&*rule.name), *weighted);
                let rule_metric = metric.get()?;
                let states = rule_metric.state(outputs[i].shape());
                let tracker = Tracker { name, states, metric: Some(metric.clone()) };
                let weight = if *weighted { weights[i].clone() } else { None };
                let weight = joined(weight, masks[i].as_ref());
                self.track(tracker, |state| rule_metric.update(state, &ys[i], &outputs[i], weight.as_ref()))?;
            }
        }
        for (k, new) in std::mem::take(&mut self.tracked).into_iter().enumerate() {
            self.replaced.push((self.at.metrics + k, new));
        }
        Ok(())
    }

    /// A metric's name in logs as Keras gives it: the second of a name counts up, a weighted one is called so first.
    fn free_name(&self, metric: &str, output: Option<&str>, weighted: bool) -> String {
        let full = |metric: &str| output.map_or_else(|| metric.to_string(), |o| format!("{o}_{metric}"));
        let taken = |name: &str| self.trackers.iter().any(|t| t.name == name);
        let mut first = full(metric);
        if taken(&first) && weighted {
            first = full(&format!("weighted_{metric}"));
        }
        let mut name = first.clone();
        let mut k = 0;
        while taken(&name) {
            k += 1;
            name = format!("{first}_{k}");
        }
        name
    }

    fn update(&mut self, total: &Var, state: &[Var], rate: &Var) -> Result<()> {
        let r = self.recipe;
        let Some(compiled) = r.compiled else { return Ok(()) };
        let trained: Vec<usize> = (0..r.variables.len()).filter(|&i| r.trainable[i]).collect();
        let weights: Vec<Var> = trained.iter().map(|&i| self.parameters[i].clone()).collect();
        let gradients = autodiff::grad(total, &weights);
        passes::dump("grad", || self.trace.with_graph(|g| g.to_string()));
        let constraints: Vec<_> = trained.iter().map(|&i| r.variables[i].constraint().cloned()).collect();
        let (new, new_state) = self
            .trace
            .clone()
            .scoped("optimizer", || apply(&*compiled.optimizer, rate, state, &weights, &gradients, &constraints))?;
        self.replaced.extend(trained.iter().copied().zip(new));
        self.replaced.extend(new_state.into_iter().enumerate().map(|(i, v)| (self.at.optimizer + i, v)));
        Ok(())
    }

    /// The new values of moving averages and of the states of stateful layers, which move on in predictions too.
    fn carry(&mut self, step: &Step) -> Result<()> {
        if let (Mode::Serve, [(variable, _), ..]) = (self.recipe.signature.mode, step.updates()) {
            return Err(Error::new(ErrorKind::Argument, "a predictor keeps no state from call to call")
                .received(format!("`{}`, which moves with every prediction", variable.path()))
                .repair("use `predict`, or make the layer without `stateful`"));
        }
        for (variable, value) in step.updates() {
            if let Some(i) = self.recipe.variables.iter().position(|v| v.id() == variable.id()) {
                self.replaced.push((i, value.clone()));
            }
        }
        Ok(())
    }

    fn finish(&mut self, outputs: Vec<Var>, optimizer: Vec<StateVariable>) -> Result<StepGraph> {
        let mut results = vec![];
        let mut donations = vec![];
        for (parameter, value) in std::mem::take(&mut self.replaced) {
            donations.push(Donation { parameter, result: results.len() });
            results.push(value);
        }
        let first = results.len();
        let range = first..first + outputs.len();
        results.extend(outputs);
        let graph = self.trace.finish(&results)?;
        let trackers = std::mem::take(&mut self.trackers);
        Ok(StepGraph { graph, donations, optimizer, trackers, at: self.at, outputs: range.collect() })
    }
}

struct Losses {
    total: Var,
    each: Vec<Option<Var>>,
}

/// Sample weights and mask as one weight.
fn joined(weight: Option<Var>, mask: Option<&Var>) -> Option<Var> {
    let mask = mask.map(|m| m.convert(DType::F32));
    match (weight, mask) {
        (Some(w), Some(m)) => {
            let mut shape = w.shape().to_vec();
            while shape.len() < m.rank() {
                shape.push(1);
            }
            Some(w.reshape(&shape) * m)
        }
        (w, m) => w.or(m),
    }
}

fn about_output(e: Error, loss: &dyn LossRule, rule: &OutputRules, prediction: &Var, target: &Var) -> Error {
    let got = format!("targets of shape {:?}, predictions of shape {:?}", target.shape(), prediction.shape());
    e.fact("loss", format!("{} of output `{}`", loss.class_name(), rule.name)).received(got)
}

/// The value of a tracker from its state.
pub(crate) fn value_of(tracker: &Tracker, state: &[crate::Tensor]) -> Result<Vec<f64>> {
    match &tracker.metric {
        None => Ok(metrics::mean_result(state)),
        Some(m) => Ok(m.get()?.result(state)),
    }
}
