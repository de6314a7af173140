//! A layer in use: its name, its variables, and how it is called while a step is traced.
//!
//! Cells and variables are shared: the same layer in two models has the same weights.

use super::arguments::Arguments;
use super::call::Call;
use super::layer::{LayerRule, Shape};
use super::names::auto_name;
use super::weights::{WeightSpec, Weights};
use crate::constraints::Constraint;
use crate::regularizers::Regularizer;
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_graph::{Trace, Type, Var};
use kerast_kernels::random::Stream;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A variable: a weight, a moving statistic, a state. Cheap to clone; all clones are the same variable.
#[derive(Clone)]
pub struct Variable(Arc<VariableInner>);

struct VariableInner {
    id: u64,
    path: String,
    spec: WeightSpec,
    value: Mutex<Slot>,
}

/// Where the value of a variable is.
enum Slot {
    /// Not drawn yet: the seed to draw it from. A model that is read from a file never draws, so that a file cannot make one
    /// large by its configuration alone.
    Waiting(u64),
    Held(Tensor),
    /// A step works on it in place.
    Taken,
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(|e| e.into_inner())
}

impl Variable {
    /// A number of its own within the process.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Keras' path: `dense/kernel`.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Its last name: `kernel`.
    pub fn name(&self) -> &str {
        self.0.path.rsplit('/').next().unwrap_or(&self.0.path)
    }

    /// What `build` declared.
    pub fn spec(&self) -> &WeightSpec {
        &self.0.spec
    }

    /// Its type.
    pub fn ty(&self) -> Type {
        Type::new(self.0.spec.dtype, self.0.spec.shape.clone())
    }

    /// The penalty on it.
    pub fn regularizer(&self) -> Option<&Regularizer> {
        self.0.spec.regularizer.as_ref()
    }

    /// The projection after each update.
    pub fn constraint(&self) -> Option<&Constraint> {
        self.0.spec.constraint.as_ref()
    }

    /// Its value. The first one is drawn when it is first asked for.
    pub fn value(&self) -> Result<Tensor> {
        let mut slot = lock(&self.0.value);
        let value = self.held(&slot)?;
        *slot = Slot::Held(value.clone());
        Ok(value)
    }

    fn held(&self, slot: &Slot) -> Result<Tensor> {
        match slot {
            Slot::Held(value) => Ok(value.clone()),
            Slot::Waiting(seed) => {
                let spec = self.spec();
                let mut random = Stream::new(*seed, stream_of(self.path()));
                let drawn = spec.initializer.get().and_then(|i| i.init(&spec.shape, spec.dtype, &mut random));
                drawn.map_err(|e| e.fact("weight", self.path()))
            }
            Slot::Taken => {
                Err(Error::new(ErrorKind::Argument, format!("{} is in use by a training step", self.path())))
            }
        }
    }

    /// Sets its value.
    pub fn set(&self, value: Tensor) -> Result<()> {
        let ty = self.ty();
        if value.shape() != ty.shape {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("the shape of the value does not fit the weight `{}`", self.path()),
            )
            .expected(format!("{:?}", ty.shape))
            .received(format!("{:?}", value.shape())));
        }
        *lock(&self.0.value) = Slot::Held(value.cast(ty.dtype));
        Ok(())
    }

    /// Takes the value out, for a step that works on it in place; [`Variable::set`] brings it back.
    pub(crate) fn take(&self) -> Result<Tensor> {
        let mut slot = lock(&self.0.value);
        match std::mem::replace(&mut *slot, Slot::Taken) {
            // Not cloned: the step needs it unshared.
            Slot::Held(value) => Ok(value),
            other => self.held(&other).inspect_err(|_| *slot = other),
        }
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path(), self.ty())
    }
}

/// A layer that is a model: it calls its own cells.
pub trait SubModel {
    /// The cells in Keras' order.
    fn cells(&self) -> Vec<LayerRef>;
}

/// A layer in use.
pub struct LayerCell {
    id: u64,
    name: String,
    rule: Arc<dyn LayerRule>,
    trainable: AtomicBool,
    built: Mutex<Option<Built>>,
    written: &'static Location<'static>,
}

struct Built {
    inputs: Vec<Shape>,
    variables: Vec<Variable>,
}

/// A shared layer in use.
#[derive(Clone)]
pub struct LayerRef(Arc<LayerCell>);

impl std::ops::Deref for LayerRef {
    type Target = LayerCell;
    fn deref(&self) -> &LayerCell {
        &self.0
    }
}

impl LayerRef {
    /// Puts a layer into use, under its own name or the next automatic one.
    #[track_caller]
    pub fn new(rule: Arc<dyn LayerRule>) -> LayerRef {
        let base = rule.base();
        let name = base.name.clone().unwrap_or_else(|| auto_name(rule.class_name()));
        let trainable = AtomicBool::new(base.trainable);
        LayerRef(Arc::new(LayerCell {
            id: next_id(),
            name,
            trainable,
            built: Mutex::new(None),
            written: Location::caller(),
            rule,
        }))
    }
}

impl LayerCell {
    /// A number of its own within the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The layer's data.
    pub fn rule(&self) -> &dyn LayerRule {
        &*self.rule
    }

    /// `dense_1 (Dense)`.
    pub fn title(&self) -> String {
        format!("{} ({})", self.name, self.rule.class_name())
    }

    /// Where the user wrote it: `src/main.rs:14`.
    pub fn written(&self) -> String {
        format!("{}:{}", self.written.file(), self.written.line())
    }

    /// Whether training updates its weights.
    pub fn trainable(&self) -> bool {
        self.trainable.load(Ordering::Relaxed)
    }

    /// Freezes it or lets it train; for a model, all of its layers. Takes effect at the next `compile`.
    pub fn set_trainable(&self, trainable: bool) {
        self.trainable.store(trainable, Ordering::Relaxed);
        if let Some(model) = self.rule.as_model() {
            model.cells().iter().for_each(|c| c.set_trainable(trainable));
        }
    }

    /// Its own variables, in Keras' order; empty before it is built. The variables of a model's layers belong to those.
    pub fn own_variables(&self) -> Vec<Variable> {
        lock(&self.built).as_ref().map_or_else(Vec::new, |b| b.variables.clone())
    }

    /// All variables below it.
    pub fn variables(&self) -> Vec<Variable> {
        let mut all = self.own_variables();
        if let Some(model) = self.rule.as_model() {
            all.extend(model.cells().iter().flat_map(|c| c.variables()));
        }
        all
    }

    /// The values of its weights, in Keras' order (trainable ones first).
    pub fn get_weights(&self) -> Result<Vec<Tensor>> {
        ordered(self.variables()).iter().map(Variable::value).collect()
    }

    /// Sets its weights, in Keras' order.
    pub fn set_weights(&self, values: &[Tensor]) -> Result<()> {
        set_all(&ordered(self.variables()), values, &format!("the layer {}", self.title()))
    }

    pub(crate) fn variable(&self, key: &str) -> Option<Variable> {
        let built = lock(&self.built);
        built.as_ref().and_then(|b| b.variables.iter().find(|v| v.spec().key == key).cloned())
    }

    /// Whether it has its weights.
    pub fn is_built(&self) -> bool {
        lock(&self.built).is_some()
    }

    /// The input shapes it was built for.
    pub fn built_for(&self) -> Vec<Shape> {
        lock(&self.built).as_ref().map_or_else(Vec::new, |b| b.inputs.clone())
    }

    /// Adds this layer's name, class and source line to an error.
    pub fn locate(&self, e: Error, inside: &str) -> Error {
        let place = if inside.is_empty() { self.title() } else { format!("{} in {inside}", self.title()) };
        // A line inside Kerast tells a user nothing; a line inside their own layer does.
        let ours = file!().trim_end_matches("layers/cell.rs");
        let e = if e.get("at").is_some_and(|at| at.starts_with(ours)) { e.without("at") } else { e };
        match self.written.file().starts_with(ours) {
            true => e.layer(place),
            false => e.layer(place).written(self.written()),
        }
    }

    /// Makes the weights, once, for the first input shapes seen. Values are drawn from `seed`, one stream per weight path.
    pub fn build(&self, inputs: &[Shape], seed: u64) -> Result<()> {
        if self.is_built() {
            return Ok(());
        }
        let mut weights = Weights::new(self.rule.base().dtype.variable()?);
        self.rule.build(inputs, &mut weights)?;
        let variables = weights.into_specs().into_iter().map(|spec| {
            let path = format!("{}/{}", self.name, spec.path);
            Variable(Arc::new(VariableInner { id: next_id(), path, spec, value: Mutex::new(Slot::Waiting(seed)) }))
        });
        let variables = variables.collect();
        *lock(&self.built) = Some(Built { inputs: inputs.to_vec(), variables });
        Ok(())
    }

    /// Calls the layer in a step: outputs and their masks.
    pub fn invoke(
        &self,
        step: &mut Step,
        inputs: &[Var],
        masks: &[Option<Var>],
        arguments: Arguments<Var>,
    ) -> Result<(Vec<Var>, Vec<Option<Var>>)> {
        let trace = step.trace.clone();
        let compute = self.rule.base().dtype.compute()?;
        trace.scoped(&self.name, || {
            // Floats come in the layer's compute type, as Keras' autocast does.
            let cast: Vec<Var> = inputs
                .iter()
                .map(|x| {
                    if self.rule.autocasts() && x.dtype().is_float() && compute.is_float() {
                        x.convert(compute)
                    } else {
                        x.clone()
                    }
                })
                .collect();
            let mut cx =
                Call { cell: self, step, prefix: String::new(), masks: masks.to_vec(), arguments, out_masks: None };
            let outputs = self.rule.call_many(&mut cx, &cast)?;
            let masks = match cx.out_masks.take() {
                Some(m) => m,
                None if self.rule.supports_masking() => vec![masks.iter().flatten().next().cloned(); outputs.len()],
                None => vec![None; outputs.len()],
            };
            match trace.fault() {
                Some(e) => Err(e),
                None => Ok((outputs, masks)),
            }
        })
    }
}

impl fmt::Debug for LayerCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title())
    }
}

impl fmt::Debug for LayerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title())
    }
}

/// The random stream of a weight: a hash (FNV-1a) of its path, so that it does not depend on the order of building.
fn stream_of(path: &str) -> u32 {
    path.bytes().fold(0x811c_9dc5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

/// Keras' order of a model's weights: by layer, as declared; seed states left out.
pub(crate) fn ordered(variables: Vec<Variable>) -> Vec<Variable> {
    variables.into_iter().filter(|v| !v.spec().seed).collect()
}

pub(crate) fn set_all(variables: &[Variable], values: &[Tensor], whose: &str) -> Result<()> {
    if variables.len() != values.len() {
        let shapes: Vec<String> = variables.iter().map(|v| format!("{} {:?}", v.path(), v.spec().shape)).collect();
        return Err(Error::new(ErrorKind::Argument, format!("{whose} has another number of weights"))
            .expected(format!("{} arrays: {}", variables.len(), shapes.join(", ")))
            .received(format!("{} arrays", values.len())));
    }
    variables.iter().zip(values).try_for_each(|(v, t)| v.set(t.clone()))
}

/// A step under construction: the graph, the variables in it, what they become, and the losses that layers add.
pub struct Step {
    /// The graph.
    pub trace: Trace,
    /// Whether layers behave as in training.
    pub training: bool,
    /// Losses that layers added.
    pub losses: Vec<Var>,
    values: HashMap<u64, Var>,
    updates: Vec<(Variable, Var)>,
    key: Option<Var>,
    stream: u32,
}

impl Step {
    /// A step on a graph in which these variables have these values; `key` is the `u32[3]` random key of the step.
    pub fn new(trace: &Trace, training: bool, variables: &[Variable], values: &[Var], key: Option<Var>) -> Step {
        let values = variables.iter().map(Variable::id).zip(values.iter().cloned()).collect();
        Step { trace: trace.clone(), training, losses: vec![], values, updates: vec![], key, stream: 0 }
    }

    /// The value of a variable at this point of the step.
    pub fn value(&self, variable: &Variable) -> Result<Var> {
        let missing = || Error::new(ErrorKind::Internal, format!("{} is not part of this step", variable.path()));
        self.values.get(&variable.id()).cloned().ok_or_else(missing)
    }

    /// Gives a variable a new value from here on and after the step.
    pub fn update(&mut self, variable: &Variable, value: Var) {
        self.values.insert(variable.id(), value.clone());
        match self.updates.iter_mut().find(|(v, _)| v.id() == variable.id()) {
            Some(u) => u.1 = value,
            None => self.updates.push((variable.clone(), value)),
        }
    }

    /// Every variable that got a new value.
    pub fn updates(&self) -> &[(Variable, Var)] {
        &self.updates
    }

    /// A number that tells apart the places that draw random numbers in this step.
    pub(crate) fn next_stream(&mut self) -> u32 {
        self.stream += 1;
        self.stream
    }

    /// The random key; zeros when the step was given none.
    pub(crate) fn key(&mut self) -> Var {
        let trace = self.trace.clone();
        self.key.get_or_insert_with(|| trace.full(&Type::new(DType::U32, [3]), 0.0)).clone()
    }
}
