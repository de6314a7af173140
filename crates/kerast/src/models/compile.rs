//! `compile`: which optimizer, which losses, which metrics.

use super::Model;
use crate::config::{Arg, Object};
use crate::losses::{Loss, LossRule};
use crate::metrics::{Metric, MetricRule};
use crate::optimizers::{Optimizer, OptimizerRule};
use crate::{Error, ErrorKind, Result, Tensor};
use std::sync::Arc;

/// The losses of a model: one for all outputs, a list in the order of the outputs, or pairs of output name and loss.
#[derive(Clone, Debug)]
pub enum Losses {
    /// The same for every output.
    One(Loss),
    /// In the order of the outputs.
    List(Vec<Loss>),
    /// By output name.
    Named(Vec<(String, Loss)>),
}

/// Anything that says which losses a model has.
pub trait IntoLosses {
    /// The losses.
    fn losses(self) -> Losses;
}

impl IntoLosses for &str {
    fn losses(self) -> Losses {
        Losses::One(Object::named(self))
    }
}
impl IntoLosses for Loss {
    fn losses(self) -> Losses {
        Losses::One(self)
    }
}
impl<L: LossRule + 'static> IntoLosses for L {
    fn losses(self) -> Losses {
        Losses::One(self.arg())
    }
}
impl<const N: usize> IntoLosses for [&str; N] {
    fn losses(self) -> Losses {
        Losses::List(self.iter().map(|n| Object::named(n)).collect())
    }
}
impl<const N: usize> IntoLosses for [Loss; N] {
    fn losses(self) -> Losses {
        Losses::List(self.into())
    }
}
impl<const N: usize> IntoLosses for [(&str, &str); N] {
    fn losses(self) -> Losses {
        Losses::Named(self.iter().map(|(o, n)| (o.to_string(), Object::named(n))).collect())
    }
}
impl<const N: usize> IntoLosses for [(&str, Loss); N] {
    fn losses(self) -> Losses {
        Losses::Named(self.into_iter().map(|(o, l)| (o.to_string(), l)).collect())
    }
}

/// A metric as the user gave it: `"accuracy"` is resolved when the loss is known.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Word(String),
    Rule(Metric),
}

/// Anything that says which metrics an output has.
pub trait IntoMetrics {
    /// The metrics.
    fn metrics(self) -> Vec<MetricArgument>;
}

/// One metric as given.
#[derive(Clone, Debug)]
pub struct MetricArgument(pub(crate) Wanted);

impl<const N: usize> IntoMetrics for [&str; N] {
    fn metrics(self) -> Vec<MetricArgument> {
        self.iter().map(|w| MetricArgument(Wanted::Word(w.to_string()))).collect()
    }
}
impl IntoMetrics for &str {
    fn metrics(self) -> Vec<MetricArgument> {
        [self].metrics()
    }
}
impl<const N: usize> IntoMetrics for [Metric; N] {
    fn metrics(self) -> Vec<MetricArgument> {
        self.into_iter().map(|m| MetricArgument(Wanted::Rule(m))).collect()
    }
}
impl<M: MetricRule + 'static> IntoMetrics for M {
    fn metrics(self) -> Vec<MetricArgument> {
        vec![MetricArgument(Wanted::Rule(self.arg()))]
    }
}
impl IntoMetrics for Vec<MetricArgument> {
    fn metrics(self) -> Vec<MetricArgument> {
        self
    }
}

impl MetricArgument {
    pub(crate) fn word(name: &str) -> MetricArgument {
        MetricArgument(Wanted::Word(name.to_string()))
    }

    pub(crate) fn rule(metric: Metric) -> MetricArgument {
        MetricArgument(Wanted::Rule(metric))
    }
}

/// A compile read from a file: pairs of output name (if given) and rule.
pub(crate) struct CompileRecipe {
    pub(crate) optimizer: Optimizer,
    pub(crate) losses: Vec<(Option<String>, Loss)>,
    pub(crate) loss_weights: Vec<(Option<String>, f64)>,
    pub(crate) metrics: Vec<(Option<String>, MetricArgument)>,
    pub(crate) weighted_metrics: Vec<(Option<String>, MetricArgument)>,
}

impl Model {
    /// Compiles as a file says.
    pub(crate) fn compile_with(&mut self, r: CompileRecipe) -> Result<()> {
        let named = r.losses.iter().any(|(n, _)| n.is_some());
        let losses = match (named, r.losses.len()) {
            (true, _) => Losses::Named(r.losses.into_iter().filter_map(|(n, l)| Some((n?, l))).collect()),
            (false, 1) => Losses::One(r.losses[0].1.clone()),
            (false, _) => Losses::List(r.losses.into_iter().map(|(_, l)| l).collect()),
        };
        let lists = |m: Vec<(Option<String>, MetricArgument)>| m.into_iter().map(|(n, m)| (n, vec![m])).collect();
        let compile = Compile {
            loss_weights: r.loss_weights,
            metrics: lists(r.metrics),
            weighted: lists(r.weighted_metrics),
            ..Compile::new(self, r.optimizer, losses)
        };
        compile.build()
    }
}

/// The settings of a compile, finished by [`Compile::build`].
#[must_use = "finish with `.build()?`"]
pub struct Compile<'a> {
    model: &'a mut Model,
    optimizer: Optimizer,
    losses: Losses,
    loss_weights: Vec<(Option<String>, f64)>,
    metrics: Vec<(Option<String>, Vec<MetricArgument>)>,
    weighted: Vec<(Option<String>, Vec<MetricArgument>)>,
}

impl<'a> Compile<'a> {
    pub(crate) fn new(model: &'a mut Model, optimizer: Optimizer, losses: Losses) -> Compile<'a> {
        Compile { model, optimizer, losses, loss_weights: vec![], metrics: vec![], weighted: vec![] }
    }

    /// Metrics of every output.
    pub fn metrics(mut self, metrics: impl IntoMetrics) -> Self {
        self.metrics.push((None, metrics.metrics()));
        self
    }

    /// Metrics of the output with this name.
    pub fn metrics_of(mut self, output: &str, metrics: impl IntoMetrics) -> Self {
        self.metrics.push((Some(output.to_string()), metrics.metrics()));
        self
    }

    /// Metrics that are weighted by sample and class weights.
    pub fn weighted_metrics(mut self, metrics: impl IntoMetrics) -> Self {
        self.weighted.push((None, metrics.metrics()));
        self
    }

    /// What each output's loss counts in the total, in the order of the outputs.
    pub fn loss_weights<const N: usize>(mut self, weights: [f64; N]) -> Self {
        self.loss_weights = weights.iter().map(|w| (None, *w)).collect();
        self
    }

    /// What this output's loss counts in the total.
    pub fn loss_weight_of(mut self, output: &str, weight: f64) -> Self {
        self.loss_weights.push((Some(output.to_string()), weight));
        self
    }

    /// Checks everything and makes the model ready to train. The optimizer starts anew.
    pub fn build(self) -> Result<()> {
        let optimizer = self.optimizer.arc()?;
        let compiled = Compiled {
            optimizer,
            losses: self.losses,
            loss_weights: self.loss_weights,
            metrics: self.metrics,
            weighted: self.weighted,
            state: None,
            learning_rate: None,
            updates: 0,
        };
        self.model.set_compiled(compiled)
    }
}

/// What a compiled model knows.
pub(crate) struct Compiled {
    pub(crate) optimizer: Arc<dyn OptimizerRule>,
    pub(crate) losses: Losses,
    pub(crate) loss_weights: Vec<(Option<String>, f64)>,
    pub(crate) metrics: Vec<(Option<String>, Vec<MetricArgument>)>,
    pub(crate) weighted: Vec<(Option<String>, Vec<MetricArgument>)>,
    /// The optimizer's variables, once it has trained.
    pub(crate) state: Option<Vec<Tensor>>,
    /// A rate set from outside (a callback), which overrides the optimizer's own.
    pub(crate) learning_rate: Option<f64>,
    /// Updates made so far.
    pub(crate) updates: u64,
}

/// The rules of one output.
#[derive(Clone)]
pub(crate) struct OutputRules {
    pub(crate) name: String,
    pub(crate) loss: Option<Loss>,
    pub(crate) weight: f64,
    /// Metrics as given, and whether they are weighted.
    pub(crate) metrics: Vec<(MetricArgument, bool)>,
}

impl Compiled {
    /// What each output is trained and measured with.
    pub(crate) fn outputs(&self, names: &[String]) -> Result<Vec<OutputRules>> {
        let by_index = |i: usize, name: &String| -> Result<Option<Loss>> {
            Ok(match &self.losses {
                Losses::One(l) => Some(l.clone()),
                Losses::List(all) => all.get(i).cloned(),
                Losses::Named(pairs) => pairs.iter().find(|(n, _)| n == name).map(|(_, l)| l.clone()),
            })
        };
        if let Losses::List(all) = &self.losses
            && all.len() != names.len()
        {
            return Err(Error::new(ErrorKind::Argument, "the list of losses does not fit the model's outputs")
                .expected(format!("{} losses, for {}", names.len(), names.join(", ")))
                .received(all.len()));
        }
        if let Losses::Named(pairs) = &self.losses
            && let Some((n, _)) = pairs.iter().find(|(n, _)| !names.contains(n))
        {
            return Err(unknown_output(n, names));
        }
        let chosen = |list: &[(Option<String>, Vec<MetricArgument>)],
                      name: &String,
                      weighted: bool|
         -> Vec<(MetricArgument, bool)> {
            let fits = list.iter().filter(|(n, _)| n.as_ref().is_none_or(|n| n == name));
            fits.flat_map(|(_, m)| m.iter().cloned().map(move |m| (m, weighted))).collect()
        };
        for (n, _) in self.metrics.iter().chain(&self.weighted) {
            if let Some(n) = n.as_ref().filter(|n| !names.contains(n)) {
                return Err(unknown_output(n, names));
            }
        }
        names
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let loss = by_index(i, name)?;
                if let Some(l) = &loss {
                    l.get()?;
                }
                let weight = self.loss_weights.iter().enumerate();
                let weight =
                    weight.filter(|(k, (n, _))| n.as_ref().map_or(*k == i, |n| n == name)).map(|(_, (_, w))| *w).next();
                let mut metrics = chosen(&self.metrics, name, false);
                metrics.extend(chosen(&self.weighted, name, true));
                metrics.iter().try_for_each(|(m, _)| crate::metrics::known(&m.0))?;
                Ok(OutputRules { name: name.clone(), loss, weight: weight.unwrap_or(1.0), metrics })
            })
            .collect()
    }
}

fn unknown_output(name: &str, names: &[String]) -> Error {
    Error::new(ErrorKind::Argument, format!("the model has no output named `{name}`")).expected(names.join(", "))
}
