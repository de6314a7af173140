//! Symbols: the values of a functional model before it has data. Applying a layer to symbols gives symbols.
//!
//! A fault (a shape that does not fit, an unknown name) travels with the symbol and is returned by `Model::new`, so that the lines
//! that build a network need no `?`.

use crate::layers::cell::Step;
use crate::layers::{Argument, Arguments, LayerRef, LayerRule, Shape, Variable};
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::{Trace, Type, Var};
use std::sync::Arc;

/// A value of a functional model: shape and element type, and which layer makes it.
#[derive(Clone)]
pub struct Symbol {
    pub(crate) node: Arc<Node>,
    pub(crate) index: usize,
}

/// What is known of a value: its shape and its element type.
type Known = (Shape, DType);

impl From<&Symbol> for Argument<Symbol> {
    fn from(s: &Symbol) -> Self {
        Argument::Tensor(s.clone())
    }
}

/// One use of a layer.
pub(crate) struct Node {
    pub(crate) layer: LayerRef,
    pub(crate) inputs: Vec<Symbol>,
    /// What the call is given beside its inputs; a `mask` stands in place of one that arrives with the input.
    pub(crate) arguments: Arguments<Symbol>,
    pub(crate) outputs: Vec<(Shape, DType)>,
    pub(crate) fault: Option<Error>,
}

impl Symbol {
    /// Its shape, batch axis first.
    pub fn shape(&self) -> Shape {
        self.node.outputs.get(self.index).map_or_else(Vec::new, |o| o.0.clone())
    }

    /// Its element type.
    pub fn dtype(&self) -> DType {
        self.node.outputs.get(self.index).map_or(DType::F32, |o| o.1)
    }

    /// This symbol through a layer: a shorthand for `layer.apply(&self)`.
    #[track_caller]
    pub fn through(&self, layer: impl IntoLayer) -> Symbol {
        first(call(&layer.into_layer(), std::slice::from_ref(self), Arguments::default()))
    }
}

impl std::fmt::Debug for Symbol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "<Symbol shape={}, dtype={}, from {}>",
            crate::layers::show(&self.shape()),
            self.dtype(),
            self.node.layer.name()
        )
    }
}

/// What can stand where a layer is wanted: a layer, a shared layer, a model.
pub trait IntoLayer {
    /// The layer in use.
    fn into_layer(self) -> LayerRef;
}

impl<L: LayerRule + 'static> IntoLayer for L {
    #[track_caller]
    fn into_layer(self) -> LayerRef {
        LayerRef::new(Arc::new(self))
    }
}

/// By reference only, so that `shared.apply(…)` can be written twice.
impl IntoLayer for &LayerRef {
    fn into_layer(self) -> LayerRef {
        self.clone()
    }
}

/// What a layer can be applied to: one symbol, or several.
pub trait Symbols {
    /// The symbols in order.
    fn symbols(&self) -> Vec<Symbol>;
}

impl Symbols for &Symbol {
    fn symbols(&self) -> Vec<Symbol> {
        vec![(*self).clone()]
    }
}
impl Symbols for Symbol {
    fn symbols(&self) -> Vec<Symbol> {
        vec![self.clone()]
    }
}
impl<const N: usize> Symbols for [&Symbol; N] {
    fn symbols(&self) -> Vec<Symbol> {
        self.iter().map(|s| (*s).clone()).collect()
    }
}
impl<const N: usize> Symbols for &[&Symbol; N] {
    fn symbols(&self) -> Vec<Symbol> {
        self.iter().map(|s| (*s).clone()).collect()
    }
}
impl Symbols for &[Symbol] {
    fn symbols(&self) -> Vec<Symbol> {
        self.to_vec()
    }
}
impl Symbols for &Vec<Symbol> {
    fn symbols(&self) -> Vec<Symbol> {
        self.to_vec()
    }
}
impl Symbols for (&Symbol, &Symbol) {
    fn symbols(&self) -> Vec<Symbol> {
        vec![self.0.clone(), self.1.clone()]
    }
}

/// Applies layers to symbols.
pub trait Apply: IntoLayer + Sized {
    /// The output of this layer for these inputs.
    #[track_caller]
    fn apply(self, inputs: impl Symbols) -> Symbol {
        first(call(&self.into_layer(), &inputs.symbols(), Arguments::default()))
    }

    /// All outputs of this layer for these inputs and keyword arguments of Keras' `call`:
    /// `attention.apply_with((&x, &x), [("use_causal_mask", true.into())])`; a symbol as an argument is `(&mask).into()`.
    #[track_caller]
    fn apply_with<const N: usize>(self, inputs: impl Symbols, arguments: [(&str, Argument<Symbol>); N]) -> Vec<Symbol> {
        let arguments = arguments.into_iter().map(|(n, a)| (n.to_string(), a)).collect();
        call(&self.into_layer(), &inputs.symbols(), arguments)
    }

    /// All outputs of this layer for these inputs.
    #[track_caller]
    fn apply_many(self, inputs: impl Symbols) -> Vec<Symbol> {
        call(&self.into_layer(), &inputs.symbols(), Arguments::default())
    }

    /// The layer in use, to be applied several times with the same weights.
    #[track_caller]
    fn shared(self) -> LayerRef {
        self.into_layer()
    }
}

impl<L: IntoLayer> Apply for L {}

fn first(mut all: Vec<Symbol>) -> Symbol {
    all.swap_remove(0)
}

/// One more use of a layer.
pub(crate) fn call(layer: &LayerRef, inputs: &[Symbol], arguments: Arguments<Symbol>) -> Vec<Symbol> {
    let earlier = inputs.iter().chain(arguments.values()).find_map(|s| s.node.fault.clone());
    let types: Vec<(Shape, DType)> = inputs.iter().map(|s| (s.shape(), s.dtype())).collect();
    let made = match earlier {
        Some(e) => Err(e),
        None => infer(layer, &types, &arguments.map(|s| (s.shape(), s.dtype()))).map_err(|e| locate(layer, inputs, e)),
    };
    let (outputs, fault) = match made {
        Ok(outputs) => (outputs, None),
        Err(e) => (vec![(vec![], DType::F32)], Some(e)),
    };
    let count = outputs.len().max(1);
    let node = Arc::new(Node { layer: layer.clone(), inputs: inputs.to_vec(), arguments, outputs, fault });
    (0..count).map(|index| Symbol { node: node.clone(), index }).collect()
}

/// Adds the layer, and what it was fed from, to a fault.
fn locate(layer: &LayerRef, inputs: &[Symbol], e: Error) -> Error {
    let from: Vec<String> = inputs
        .iter()
        .map(|s| format!("{}, coming from {}", crate::layers::show(&s.shape()), s.node.layer.title()))
        .collect();
    let e = match e.get("received") {
        Some(_) => e,
        None => e.received(from.join("\n")),
    };
    layer.locate(e, "")
}

/// The shapes and types of a layer's outputs, found by tracing it: axes that change when unknown axes change are unknown.
fn infer(layer: &LayerRef, inputs: &[Known], arguments: &Arguments<Known>) -> Result<Vec<Known>> {
    if layer.rule().class_name() == "InputLayer" {
        return Ok(inputs.to_vec());
    }
    let shapes: Vec<Shape> = inputs.iter().map(|i| i.0.clone()).collect();
    layer.build(&shapes, crate::seed())?;
    let one = trace_shapes(layer, inputs, arguments, 0)?;
    let two = trace_shapes(layer, inputs, arguments, 1)?;
    let merge = |(a, b): (Type, Type)| {
        let dims = a.shape.iter().zip(&b.shape).map(|(x, y)| (x == y).then_some(*x)).collect();
        (dims, a.dtype)
    };
    if one.iter().zip(&two).any(|(a, b)| a.rank() != b.rank()) {
        return Err(Error::new(ErrorKind::Shape, "the number of axes of the output depends on the batch size"));
    }
    Ok(one.into_iter().zip(two).map(merge).collect())
}

/// Stand-ins for unknown axes: two different sizes for each axis, large enough for any window.
fn stand_in(axis: usize, round: usize) -> usize {
    match axis {
        0 => 2 + round,
        _ => 96 + 32 * round + 8 * axis,
    }
}

fn trace_shapes(layer: &LayerRef, inputs: &[Known], arguments: &Arguments<Known>, round: usize) -> Result<Vec<Type>> {
    let trace = Trace::new();
    let variables = layer.variables();
    let values: Vec<Var> = variables.iter().map(|v| trace.parameter(v.ty())).collect();
    let concrete = |s: &Shape| s.iter().enumerate().map(|(i, d)| d.unwrap_or(stand_in(i, round))).collect::<Vec<_>>();
    let stand = |(s, d): &Known| trace.parameter(Type::new(*d, concrete(s)));
    let xs: Vec<Var> = inputs.iter().map(stand).collect();
    let arguments = arguments.map(stand);
    let mut step = Step::new(&trace, false, &variables, &values, None);
    let (outputs, _) = layer.invoke(&mut step, &xs, &vec![None; xs.len()], arguments)?;
    Ok(outputs.iter().map(Var::ty).collect())
}

/// Every variable that these cells have, each once, in order.
pub(crate) fn variables_of(cells: &[LayerRef]) -> Vec<Variable> {
    let mut seen = std::collections::HashSet::new();
    cells.iter().flat_map(|c| c.variables()).filter(|v| seen.insert(v.id())).collect()
}
