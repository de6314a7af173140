//! The graph: an append-only list of typed nodes. List order is a valid schedule.

use crate::error::{Error, ErrorKind, Result};
use crate::ir::op::Op;
use crate::ir::types::Type;
use crate::ops::Constant;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use std::ops::Range;

/// The number of a value within its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

impl ValueId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One operation: its operands come from earlier nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is done.
    pub op: Op,
    /// What it is done to.
    pub operands: Vec<ValueId>,
    first: u32,
    count: u32,
    /// Index into [`Graph::scopes`]: who asked for it.
    pub scope: u32,
}

impl Node {
    /// The values that this node makes.
    pub fn results(&self) -> impl Iterator<Item = ValueId> + use<> {
        (self.first..self.first + self.count).map(ValueId)
    }

    /// The numbers of the values that this node makes.
    pub fn result_range(&self) -> Range<usize> {
        self.first as usize..(self.first + self.count) as usize
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Value {
    ty: Type,
    node: u32,
}

/// A typed program without side effects: parameters in, results out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    values: Vec<Value>,
    parameters: Vec<ValueId>,
    /// What the graph returns.
    pub results: Vec<ValueId>,
    /// Names of the places that asked for nodes (layer paths); [`Node::scope`] points here.
    pub scopes: Vec<String>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Graph {
        Graph { scopes: vec![String::new()], ..Graph::default() }
    }

    /// The nodes in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The parameters in order.
    pub fn parameters(&self) -> &[ValueId] {
        &self.parameters
    }

    /// Number of values.
    pub fn num_values(&self) -> usize {
        self.values.len()
    }

    /// The type of a value.
    pub fn ty(&self, id: ValueId) -> &Type {
        &self.values[id.index()].ty
    }

    /// The index of the node that makes a value.
    pub fn node_of(&self, id: ValueId) -> usize {
        self.values[id.index()].node as usize
    }

    /// The operation that makes a value.
    pub fn op_of(&self, id: ValueId) -> &Op {
        &self.nodes[self.node_of(id)].op
    }

    /// The types of some values.
    pub fn types<'a>(&'a self, ids: &[ValueId]) -> Vec<&'a Type> {
        ids.iter().map(|&v| self.ty(v)).collect()
    }

    /// The number of scope `name`, added if new.
    pub fn scope(&mut self, name: &str) -> u32 {
        match self.scopes.iter().rposition(|s| s == name) {
            Some(i) => i as u32,
            None => {
                self.scopes.push(name.to_string());
                (self.scopes.len() - 1) as u32
            }
        }
    }

    /// Appends a node after checking it against the op's shape rule; returns its results.
    pub fn push(&mut self, op: Op, operands: &[ValueId], scope: u32) -> Result<Vec<ValueId>> {
        if let Some(bad) = operands.iter().find(|v| v.index() >= self.values.len()) {
            return Err(Error::new(ErrorKind::Internal, format!("{}: operand %{} does not exist", op.name(), bad.0)));
        }
        let types = op.infer(&self.types(operands))?;
        if let Some(huge) = types.iter().find(|t| !t.is_addressable()) {
            return Err(Error::new(ErrorKind::Shape, format!("{}: the result is larger than any memory", op.name()))
                .received(huge.to_string()));
        }
        let is_parameter = matches!(op, Op::Parameter(_));
        let first = self.values.len() as u32;
        let node = self.nodes.len() as u32;
        let count = types.len() as u32;
        self.values.extend(types.into_iter().map(|ty| Value { ty, node }));
        self.nodes.push(Node { op, operands: operands.to_vec(), first, count, scope });
        if is_parameter {
            self.parameters.push(ValueId(first));
        }
        Ok((first..first + count).map(ValueId).collect())
    }

    /// Makes a value known: the node of this only result becomes a constant.
    pub(crate) fn fix(&mut self, id: ValueId, value: Tensor) {
        let node = &mut self.nodes[self.values[id.index()].node as usize];
        node.op = Constant(value).into();
        node.operands.clear();
    }

    /// Lets go of the elements of a constant that nobody reads any more.
    pub(crate) fn release(&mut self, id: ValueId) {
        let value = &mut self.values[id.index()];
        value.ty = Type::new(DType::F32, vec![]);
        self.nodes[value.node as usize].op = Constant(Tensor::scalar(0.0f32)).into();
    }

    /// Rebuilds the graph node by node: `rewrite` receives the new graph, a node and its operands in the new graph, and returns the
    /// values that stand for the node's results (usually by pushing the node or a better one), or `None` to drop the node.
    pub fn rebuild(
        &self,
        rewrite: impl FnMut(&mut Graph, usize, &Node, &[ValueId]) -> Result<Option<Vec<ValueId>>>,
    ) -> Result<Graph> {
        self.rebuild_in(0..self.nodes.len(), rewrite)
    }

    /// The same with the nodes in another order; those that come before one of their operands are dropped.
    pub fn rebuild_in(
        &self,
        order: impl IntoIterator<Item = usize>,
        mut rewrite: impl FnMut(&mut Graph, usize, &Node, &[ValueId]) -> Result<Option<Vec<ValueId>>>,
    ) -> Result<Graph> {
        let mut out = Graph { scopes: self.scopes.clone(), ..Graph::default() };
        let mut map: Vec<Option<ValueId>> = vec![None; self.values.len()];
        for i in order {
            let node = &self.nodes[i];
            let operands: Option<Vec<ValueId>> = node.operands.iter().map(|v| map[v.index()]).collect();
            let Some(operands) = operands else { continue };
            if let Some(new) = rewrite(&mut out, i, node, &operands)? {
                for (old, new) in node.results().zip(new) {
                    map[old.index()] = Some(new);
                }
            }
        }
        let missing = || Error::new(ErrorKind::Internal, "a rewrite dropped a value that the graph returns");
        out.results = self.results.iter().map(|v| map[v.index()].ok_or_else(missing)).collect::<Result<_>>()?;
        Ok(out)
    }
}
