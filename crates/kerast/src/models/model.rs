//! The model: a network with a name, compiled or not, and everything that is done with one.

use super::compile::{Compile, Compiled, IntoLosses};
use super::network::{Network, NetworkLayer};
use super::symbol::{IntoLayer, Symbols, variables_of};
use crate::config::Arg;
use crate::layers::names::auto_name;
use crate::layers::{Base, Input, LayerRef, Shape, Variable};
use crate::optimizers::Optimizer;
use crate::train::{Dataset, Evaluate, Fit, IntoArrays, Predict, Programs};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A stack of layers: `Sequential::new().add(…).add(…)` is a [`Model`].
#[derive(Debug)]
pub struct Sequential;

impl Sequential {
    /// An empty stack.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> Model {
        Model::empty(auto_name("Sequential"), true)
    }
}

/// A network of layers that can be compiled, trained, evaluated, saved.
pub struct Model {
    name: String,
    sequential: bool,
    /// The layers of a stack whose input shape is not known yet.
    stack: Vec<LayerRef>,
    network: Option<Arc<Network>>,
    /// What went wrong while a stack grew; reported by the first call that returns a `Result`.
    fault: Option<Error>,
    pub(crate) compiled: Option<Compiled>,
    pub(crate) programs: Programs,
    pub(crate) threads: usize,
}

impl Model {
    fn empty(name: String, sequential: bool) -> Model {
        Model {
            name,
            sequential,
            stack: vec![],
            network: None,
            fault: None,
            compiled: None,
            programs: Programs::default(),
            threads: kerast_graph::backend::cpu::default_threads(),
        }
    }

    /// A functional model from symbols to symbols.
    pub fn new(inputs: impl Symbols, outputs: impl Symbols) -> Result<Model> {
        let network = Network::between(&inputs.symbols(), &outputs.symbols())?;
        Ok(Model { network: Some(Arc::new(network)), ..Model::empty(auto_name("Functional"), false) })
    }

    /// A model read from elsewhere.
    pub(crate) fn of_network(name: String, sequential: bool, network: Network) -> Model {
        Model { network: Some(Arc::new(network)), ..Model::empty(name, sequential) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Under another name.
    pub fn named(mut self, name: &str) -> Model {
        self.name = name.to_string();
        self
    }

    /// How many threads it computes with; the results are the same for any number.
    pub fn threads(mut self, threads: usize) -> Model {
        self.threads = threads.max(1);
        self
    }

    /// Adds a layer (or a model) to a stack.
    #[track_caller]
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, layer: impl IntoLayer) -> Model {
        if !self.sequential {
            self.fault
                .get_or_insert_with(|| Error::new(ErrorKind::Argument, "layers can be added to a Sequential only"));
            return self;
        }
        let cell = layer.into_layer();
        if self.stack.is_empty()
            && cell.rule().class_name() != "InputLayer"
            && let Some(shape) = input_shape_of(&cell)
        {
            self.stack.push(LayerRef::new(Arc::new(Input::of_batch_shape(shape))));
        }
        self.stack.push(cell);
        self.network = None;
        self
    }

    /// Makes the weights of a stack for inputs of this shape (batch axis included), if it does not know its input yet.
    pub fn build(&mut self, input: &Shape) -> Result<()> {
        if let Some(e) = &self.fault {
            return Err(e.clone());
        }
        if self.network.is_some() {
            return Ok(());
        }
        if self.stack.first().is_none_or(|c| c.rule().class_name() != "InputLayer") {
            if input.is_empty() {
                return Err(Error::new(
                    ErrorKind::Argument,
                    format!("`{}` does not know the shape of its input yet", self.name),
                )
                .repair(
                    "start with `.add(Input::new(…))`, give the first layer `.input_shape(…)`, or call `fit` first",
                ));
            }
            self.stack.insert(0, LayerRef::new(Arc::new(Input::of_batch_shape(input.clone()))));
        }
        self.network = Some(Arc::new(super::chain(&self.stack).map_err(|e| self.inside(e))?));
        Ok(())
    }

    fn inside(&self, e: Error) -> Error {
        match e.get("layer") {
            Some(_) => e,
            None => e.layer(&self.name),
        }
    }

    /// The network; a stack that knows its input is built now.
    pub(crate) fn network(&mut self) -> Result<Arc<Network>> {
        self.build(&vec![])?;
        self.built()
    }

    /// The network of a built model.
    pub(crate) fn built(&self) -> Result<Arc<Network>> {
        if let Some(e) = &self.fault {
            return Err(e.clone());
        }
        match &self.network {
            Some(n) => Ok(n.clone()),
            None => {
                // A stack that knows its input can be looked at before anything was done with it.
                let known = self.stack.first().is_some_and(|c| c.rule().class_name() == "InputLayer");
                if known {
                    return super::chain(&self.stack).map(Arc::new).map_err(|e| self.inside(e));
                }
                Err(Error::new(
                    ErrorKind::Argument,
                    format!("`{}` does not know the shape of its input yet", self.name),
                )
                .repair(
                    "start with `.add(Input::new(…))`, give the first layer `.input_shape(…)`, or call `fit` first",
                ))
            }
        }
    }

    /// The network, built for data of these shapes if need be.
    pub(crate) fn network_for(&mut self, arrays: &[Tensor]) -> Result<Arc<Network>> {
        if let Some(x) = arrays.first().filter(|_| self.network.is_none()) {
            let mut shape: Shape = x.shape().iter().map(|&d| Some(d)).collect();
            if let Some(batch) = shape.first_mut() {
                *batch = None;
            }
            if shape.len() == 1 {
                shape.push(Some(1));
            }
            self.build(&shape)?;
        }
        self.network()
    }

    pub(crate) fn is_sequential(&self) -> bool {
        self.sequential
    }

    /// The layers in order; as in Keras, a `Sequential` does not count its input as one.
    pub fn layers(&self) -> Vec<LayerRef> {
        let mut all = match &self.network {
            Some(n) => n.cells(),
            None => self.stack.clone(),
        };
        if self.sequential {
            all.retain(|c| c.rule().class_name() != "InputLayer");
        }
        all
    }

    /// The layer of this name.
    pub fn get_layer(&self, name: &str) -> Result<LayerRef> {
        let all = self.layers();
        all.iter().find(|l| l.name() == name).cloned().ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|l| l.name()).collect();
            Error::new(ErrorKind::Argument, format!("there is no layer named `{name}`")).expected(names.join(", "))
        })
    }

    /// Freezes all layers or lets them train. Takes effect at the next `compile`.
    pub fn set_trainable(&self, trainable: bool) {
        self.layers().iter().for_each(|l| l.set_trainable(trainable));
    }

    /// All variables, in Keras' order.
    pub fn variables(&self) -> Result<Vec<Variable>> {
        Ok(variables_of(&self.built()?.cells()))
    }

    /// Whether training updates these variables.
    pub fn are_trainable(&self, variables: &[Variable]) -> Vec<bool> {
        fn walk(cells: &[LayerRef], above: bool, found: &mut HashMap<u64, bool>) {
            for c in cells {
                let trains = above && c.trainable();
                for v in c.own_variables() {
                    found.entry(v.id()).or_insert(trains);
                }
                if let Some(m) = c.rule().as_model() {
                    walk(&m.cells(), trains, found);
                }
            }
        }
        let mut found = HashMap::new();
        walk(&self.layers(), true, &mut found);
        variables.iter().map(|v| v.spec().trainable && found.get(&v.id()).copied().unwrap_or(true)).collect()
    }

    /// The values of all weights, in Keras' order.
    pub fn get_weights(&self) -> Result<Vec<Tensor>> {
        crate::layers::cell::ordered(self.variables()?).iter().map(Variable::value).collect()
    }

    /// Sets all weights, in Keras' order.
    pub fn set_weights(&self, values: &[Tensor]) -> Result<()> {
        let variables = crate::layers::cell::ordered(self.variables()?);
        crate::layers::cell::set_all(&variables, values, &format!("the model `{}`", self.name))
    }

    /// Number of elements of all weights.
    pub fn count_params(&self) -> Result<usize> {
        Ok(crate::layers::cell::ordered(self.variables()?).iter().map(|v| v.ty().len()).sum())
    }

    /// This model as a layer of another: the weights are shared.
    pub fn layer(&self) -> Result<LayerRef> {
        let network = self.built()?;
        let base = Base { name: Some(self.name.clone()), ..Base::new() };
        Ok(LayerRef::new(Arc::new(NetworkLayer { base, network, sequential: self.sequential })))
    }

    /// Keras' table of layers, shapes and parameters.
    pub fn summary(&self) -> Result<String> {
        let network = self.built()?;
        super::summary::table(self, &network, self.sequential)
    }

    /// Chooses optimizer and losses; finish with `.build()?`.
    pub fn compile(&mut self, optimizer: impl Arg<Optimizer>, losses: impl IntoLosses) -> Compile<'_> {
        Compile::new(self, optimizer.arg(), losses.losses())
    }

    pub(crate) fn set_compiled(&mut self, compiled: Compiled) -> Result<()> {
        if let Some(e) = &self.fault {
            return Err(e.clone());
        }
        let mut trainable = None;
        let known = self.stack.first().is_some_and(|c| c.rule().class_name() == "InputLayer");
        if self.network.is_some() || known {
            let network = self.network()?;
            compiled.outputs(&network.output_names())?;
            trainable = Some(self.are_trainable(&self.variables()?));
        }
        self.compiled = Some(compiled);
        self.programs.start_anew(trainable);
        Ok(())
    }

    /// What `compile` decided.
    pub(crate) fn compiled(&self) -> Result<&Compiled> {
        self.compiled.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Argument,
                format!("`{}` must be compiled before it can train or be evaluated", self.name),
            )
            .repair("model.compile(\"adam\", \"mse\").build()?")
        })
    }

    /// The inputs: names, shapes (batch axis first) and element types.
    pub fn inputs(&self) -> Result<Vec<(String, Shape, DType)>> {
        let network = self.built()?;
        let typed = network.inputs.iter().map(|p| network.ty(*p).clone());
        Ok(network.input_names().into_iter().zip(typed).map(|(n, (s, d))| (n, s, d)).collect())
    }

    /// The outputs: names, shapes (batch axis first) and element types.
    pub fn outputs(&self) -> Result<Vec<(String, Shape, DType)>> {
        let network = self.built()?;
        let typed = network.outputs.iter().map(|p| network.ty(*p).clone());
        Ok(network.output_names().into_iter().zip(typed).map(|(n, (s, d))| (n, s, d)).collect())
    }

    /// Whether it is compiled.
    pub fn is_compiled(&self) -> bool {
        self.compiled.is_some()
    }

    /// The learning rate of the next update.
    pub fn learning_rate(&self) -> Result<f64> {
        let c = self.compiled()?;
        match c.learning_rate {
            Some(rate) => Ok(rate),
            None => c.optimizer.common().learning_rate.at(c.updates),
        }
    }

    /// Sets the learning rate of all updates to come.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        self.compiled()?;
        if let Some(c) = &mut self.compiled {
            c.learning_rate = Some(rate);
        }
        Ok(())
    }

    /// The learning rate that was set from outside, if one was.
    pub(crate) fn rate_set_outside(&self) -> Option<f64> {
        self.compiled.as_ref().and_then(|c| c.learning_rate)
    }

    /// Sets how many updates the optimizer has made.
    pub(crate) fn set_updates(&mut self, updates: u64) {
        if let Some(c) = &mut self.compiled {
            c.updates = updates;
        }
    }

    /// Updates that the optimizer has made.
    pub fn updates(&self) -> u64 {
        self.compiled.as_ref().map_or(0, |c| c.updates)
    }

    /// Trains on arrays: options by the builder, then `.run()?`.
    pub fn fit(&mut self, x: impl IntoArrays, y: impl IntoArrays) -> Fit<'_> {
        Fit::of_arrays(self, x.arrays(), y.arrays())
    }

    /// Trains on a stream of batches: options by the builder, then `.run()?`.
    pub fn fit_dataset(&mut self, dataset: &Dataset) -> Fit<'_> {
        Fit::of_stream(self, dataset.clone())
    }

    /// Loss and metrics on arrays: options by the builder, then `.run()?`.
    pub fn evaluate(&mut self, x: impl IntoArrays, y: impl IntoArrays) -> Evaluate<'_> {
        Evaluate::new(self, x.arrays(), y.arrays())
    }

    /// Outputs for arrays: options by the builder, then `.run()?`.
    pub fn predict(&mut self, x: impl IntoArrays) -> Predict<'_> {
        Predict::new(self, x.arrays())
    }
}

/// The input shape that a first layer was given, also inside a model.
fn input_shape_of(cell: &LayerRef) -> Option<Shape> {
    cell.rule().base().input_shape.clone()
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}, {} layers)",
            self.name,
            if self.sequential { "Sequential" } else { "Functional" },
            self.layers().len()
        )
    }
}
