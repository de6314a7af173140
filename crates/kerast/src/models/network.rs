//! A network: the uses of layers in order, from inputs to outputs. Every model is one; a model inside a model is a layer that is one.

use super::symbol::{Node, Symbol};
use crate::config::{Config, Json};
use crate::layers::cell::{Step, SubModel};
use crate::layers::{Arguments, Base, Call, Input, LayerRef, LayerRule, Shape};
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::Var;
use std::collections::HashMap;
use std::sync::Arc;

/// Output `index` of use `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Port {
    pub(crate) node: usize,
    pub(crate) index: usize,
}

/// One use of a layer in a network.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) layer: LayerRef,
    pub(crate) inputs: Vec<Port>,
    pub(crate) arguments: Arguments<Port>,
    pub(crate) outputs: Vec<(Shape, DType)>,
}

/// The uses of layers from inputs to outputs, in an order in which everything is made before it is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub(crate) uses: Vec<Use>,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
}

/// An input: its name, shape and type.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) name: String,
    pub(crate) ty: (Shape, DType),
}

impl Network {
    /// The network between symbols.
    pub(crate) fn between(inputs: &[Symbol], outputs: &[Symbol]) -> Result<Network> {
        let fault = outputs.iter().chain(inputs).find_map(|s| s.node.fault.clone());
        if let Some(e) = fault {
            return Err(e);
        }
        let mut network = Network::default();
        let mut places: HashMap<*const Node, usize> = HashMap::new();
        for s in inputs {
            let node = network.place(&s.node, &mut places, inputs)?;
            network.inputs.push(Port { node, index: s.index });
        }
        for s in outputs {
            let node = network.place(&s.node, &mut places, inputs)?;
            network.outputs.push(Port { node, index: s.index });
        }
        network.check_names()?;
        Ok(network)
    }

    /// Appends a node after everything it needs, without recursion, so that depth is no limit.
    fn place(
        &mut self,
        node: &Arc<Node>,
        places: &mut HashMap<*const Node, usize>,
        inputs: &[Symbol],
    ) -> Result<usize> {
        let mut stack = vec![node.clone()];
        while let Some(top) = stack.last().cloned() {
            if places.contains_key(&Arc::as_ptr(&top)) {
                stack.pop();
                continue;
            }
            let waiting: Vec<Arc<Node>> = top
                .inputs
                .iter()
                .chain(top.arguments.values())
                .filter(|s| !places.contains_key(&Arc::as_ptr(&s.node)))
                .map(|s| s.node.clone())
                .collect();
            if !waiting.is_empty() {
                stack.extend(waiting.into_iter().rev());
                continue;
            }
            let is_input = top.layer.rule().class_name() == "InputLayer";
            if is_input && !inputs.iter().any(|s| Arc::ptr_eq(&s.node, &top)) {
                return Err(Error::new(
                    ErrorKind::Argument,
                    format!("the output depends on `{}`, which is not among the model's inputs", top.layer.name()),
                )
                .repair("add it to the list of inputs"));
            }
            let port = |s: &Symbol| Port { node: places[&Arc::as_ptr(&s.node)], index: s.index };
            let one = Use {
                layer: top.layer.clone(),
                inputs: top.inputs.iter().map(port).collect(),
                arguments: top.arguments.map(port),
                outputs: top.outputs.clone(),
            };
            places.insert(Arc::as_ptr(&top), self.uses.len());
            self.uses.push(one);
            stack.pop();
        }
        Ok(places[&Arc::as_ptr(node)])
    }

    fn check_names(&self) -> Result<()> {
        let mut seen: HashMap<String, u64> = HashMap::new();
        for layer in self.cells() {
            match seen.insert(layer.name().to_string(), layer.id()) {
                Some(other) if other != layer.id() => {
                    return Err(Error::new(
                        ErrorKind::Argument,
                        format!("two layers have the name `{}`", layer.name()),
                    )
                    .repair("give one of them another name: `.name(\"…\")`"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The layers, each once, in Keras' order: by distance from the outputs, farthest first; equals in the order in which a walk
    /// back from the outputs meets them. Files name weights by this order.
    pub(crate) fn cells(&self) -> Vec<LayerRef> {
        let mut met: Vec<usize> = vec![];
        let mut seen = vec![false; self.uses.len()];
        let mut stack: Vec<usize> = self.outputs.iter().rev().map(|p| p.node).collect();
        while let Some(n) = stack.pop() {
            if !std::mem::replace(&mut seen[n], true) {
                met.push(n);
                stack.extend(self.uses[n].inputs.iter().chain(self.uses[n].arguments.values()).rev().map(|p| p.node));
            }
        }
        let mut index: HashMap<u64, usize> = HashMap::new();
        for &n in &met {
            let next = index.len();
            index.entry(self.uses[n].layer.id()).or_insert(next);
        }
        let mut depth: HashMap<u64, usize> = HashMap::new();
        let mut of_use = vec![0usize; self.uses.len()];
        for n in (0..self.uses.len()).rev() {
            let layer = depth.entry(self.uses[n].layer.id()).or_insert(0);
            *layer = (*layer).max(of_use[n]);
            let here = *layer;
            of_use[n] = here;
            for p in self.uses[n].inputs.iter().chain(self.uses[n].arguments.values()) {
                of_use[p.node] = of_use[p.node].max(here + 1);
            }
        }
        let mut once = std::collections::HashSet::new();
        let mut cells: Vec<LayerRef> =
            self.uses.iter().filter(|u| once.insert(u.layer.id())).map(|u| u.layer.clone()).collect();
        cells.sort_by_key(|c| {
            let id = c.id();
            (std::cmp::Reverse(depth.get(&id).copied().unwrap_or(0)), index.get(&id).copied().unwrap_or(usize::MAX))
        });
        cells
    }

    /// Shape and type of a port.
    pub(crate) fn ty(&self, p: Port) -> &(Shape, DType) {
        &self.uses[p.node].outputs[p.index]
    }

    /// The inputs by themselves, to check data against without the layers.
    pub(crate) fn expected(&self) -> Vec<Expected> {
        let one = |(p, name): (&Port, String)| Expected { name, ty: self.ty(*p).clone() };
        self.inputs.iter().zip(self.input_names()).map(one).collect()
    }

    /// The names of the inputs: their layers'.
    pub(crate) fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|p| self.uses[p.node].layer.name().to_string()).collect()
    }

    /// The names of the outputs: their layers', numbered where a layer gives several.
    pub(crate) fn output_names(&self) -> Vec<String> {
        let mut names: Vec<String> = vec![];
        for p in &self.outputs {
            let base = self.uses[p.node].layer.name().to_string();
            let mut name = base.clone();
            let mut n = 1;
            while names.contains(&name) {
                name = format!("{base}_{n}");
                n += 1;
            }
            names.push(name);
        }
        names
    }

    /// Traces the network: outputs and their masks.
    pub(crate) fn trace(
        &self,
        step: &mut Step,
        inputs: &[Var],
        masks: &[Option<Var>],
        inside: &str,
    ) -> Result<(Vec<Var>, Vec<Option<Var>>)> {
        let mut values: Vec<Vec<(Var, Option<Var>)>> = vec![vec![]; self.uses.len()];
        for (i, p) in self.inputs.iter().enumerate() {
            values[p.node] = vec![(inputs[i].clone(), masks.get(i).cloned().flatten())];
        }
        for (n, one) in self.uses.iter().enumerate() {
            if !values[n].is_empty() {
                continue;
            }
            let (xs, mut ms): (Vec<Var>, Vec<Option<Var>>) =
                one.inputs.iter().map(|p| values[p.node][p.index].clone()).unzip();
            let arguments = one.arguments.map(|p| values[p.node][p.index].0.clone());
            if let (Some(mask), Some(first)) = (arguments.tensor("mask"), ms.first_mut()) {
                *first = Some(mask.convert(DType::Bool));
            }
            let made = one.layer.invoke(step, &xs, &ms, arguments);
            let (ys, ms) = made.map_err(|e| self.locate(n, &xs, e, inside))?;
            if one.layer.rule().consumes_masks() {
                one.inputs.iter().for_each(|p| values[p.node][p.index].1 = None);
            }
            values[n] = ys.into_iter().zip(ms.into_iter().chain(std::iter::repeat(None))).collect();
        }
        Ok(self.outputs.iter().map(|p| values[p.node][p.index].clone()).unzip())
    }

    /// Adds the layer and where its input came from to a fault.
    fn locate(&self, n: usize, xs: &[Var], e: Error, inside: &str) -> Error {
        let one = &self.uses[n];
        let from: Vec<String> = one
            .inputs
            .iter()
            .zip(xs)
            .map(|(p, x)| format!("{:?}, coming from {}", x.shape(), self.uses[p.node].layer.title()))
            .collect();
        let e = if e.get("received").is_none() { e.received(from.join("\n")) } else { e };
        one.layer.locate(e, inside)
    }
}

/// A network as a layer of another model.
#[derive(Clone, Debug)]
pub(crate) struct NetworkLayer {
    pub(crate) base: Base,
    pub(crate) network: Arc<Network>,
    pub(crate) sequential: bool,
}

impl Config for NetworkLayer {
    fn class_name(&self) -> &'static str {
        if self.sequential { "Sequential" } else { "Functional" }
    }
    fn config(&self) -> Json {
        super::serialize::network_config(&self.network, self.sequential)
    }
}

impl SubModel for NetworkLayer {
    fn cells(&self) -> Vec<LayerRef> {
        self.network.cells()
    }
}

impl LayerRule for NetworkLayer {
    crate::layers::layer_base!();

    fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
        if inputs.len() != self.network.inputs.len() {
            return Err(Error::new(ErrorKind::Argument, "the model takes another number of inputs")
                .expected(format!("{}: {}", self.network.inputs.len(), self.network.input_names().join(", ")))
                .received(inputs.len()));
        }
        let masks = cx.masks.clone();
        let name = cx.cell.name().to_string();
        let (ys, ms) = self.network.trace(cx.step, inputs, &masks, &name)?;
        cx.set_masks(ms);
        Ok(ys)
    }

    fn as_model(&self) -> Option<&dyn SubModel> {
        Some(self)
    }
}

/// The symbol of an input layer.
#[track_caller]
pub(crate) fn input_symbol(input: Input) -> Symbol {
    let shape = input.batch_shape().clone();
    let dtype = input.base().dtype.compute();
    let layer = LayerRef::new(Arc::new(input));
    let (dtype, fault) = match dtype {
        Ok(d) => (d, None),
        Err(e) => (DType::F32, Some(layer.locate(e, ""))),
    };
    let node =
        Arc::new(Node { layer, inputs: vec![], arguments: Arguments::default(), outputs: vec![(shape, dtype)], fault });
    Symbol { node, index: 0 }
}
