//! Handles to build graphs with: `Trace` holds the graph, `Var` is a value in it.
//!
//! A fault does not panic and does not litter the code with `?`: the first one is recorded with its place, every value made
//! after it is poisoned, and [`Trace::finish`] returns it.

use crate::error::{Error, ErrorKind, Result};
use crate::ir::graph::{Graph, ValueId};
use crate::ir::op::Op;
use crate::ir::types::Type;
use crate::ops::Parameter;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// A graph under construction. Cheap to clone: all clones build the same graph.
#[derive(Clone)]
pub struct Trace(Rc<RefCell<Inner>>);

struct Inner {
    graph: Graph,
    fault: Option<Error>,
    scopes: Vec<(String, u32)>,
}

impl Default for Trace {
    fn default() -> Self {
        Trace::new()
    }
}

impl Trace {
    /// An empty trace.
    pub fn new() -> Trace {
        Trace(Rc::new(RefCell::new(Inner { graph: Graph::new(), fault: None, scopes: vec![(String::new(), 0)] })))
    }

    /// A new parameter.
    pub fn parameter(&self, ty: Type) -> Var {
        let index = self.0.borrow().graph.parameters().len();
        self.push1(Parameter { index, ty: ty.clone() }.into(), &[], ty)
    }

    /// A constant tensor.
    #[track_caller]
    pub fn constant(&self, value: Tensor) -> Var {
        let ty = Type::new(value.dtype(), value.shape());
        self.push1(crate::ops::Constant(value).into(), &[], ty)
    }

    /// A scalar constant of type `dtype`.
    #[track_caller]
    pub fn scalar(&self, dtype: DType, value: f64) -> Var {
        self.constant(Tensor::scalar(value).cast(dtype))
    }

    /// `value` everywhere.
    #[track_caller]
    pub fn full(&self, ty: &Type, value: f64) -> Var {
        self.scalar(ty.dtype, value).broadcast_in_dim(&ty.shape, &[])
    }

    /// Names who asks for the nodes that `body` adds; nested names are joined by `/`.
    pub fn scoped<R>(&self, name: &str, body: impl FnOnce() -> R) -> R {
        {
            let mut t = self.0.borrow_mut();
            let outer = &t.scopes[t.scopes.len() - 1].0;
            let path = if outer.is_empty() { name.to_string() } else { format!("{outer}/{name}") };
            let number = t.graph.scope(&path);
            t.scopes.push((path, number));
        }
        let result = body();
        self.0.borrow_mut().scopes.pop();
        result
    }

    /// The current scope's path.
    pub fn scope_path(&self) -> String {
        let t = self.0.borrow();
        t.scopes[t.scopes.len() - 1].0.clone()
    }

    /// Appends an op with one result.
    #[track_caller]
    pub fn push(&self, op: impl Into<Op>, operands: &[&Var]) -> Var {
        let fallback = operands.first().map_or_else(|| Type::new(DType::F32, []), |v| v.ty());
        self.push1(op.into(), operands, fallback)
    }

    #[track_caller]
    fn push1(&self, op: Op, operands: &[&Var], fallback: Type) -> Var {
        let mut all = self.push_many(op, operands, fallback, 1);
        all.swap_remove(0)
    }

    /// Appends an op with `count` results; after a fault they are poisoned values of type `fallback`.
    #[track_caller]
    pub fn push_many(&self, op: Op, operands: &[&Var], fallback: Type, count: usize) -> Vec<Var> {
        let place = Location::caller();
        let mut t = self.0.borrow_mut();
        let poison =
            || (0..count).map(|_| Var { trace: self.clone(), id: None, ty: Rc::new(fallback.clone()) }).collect();
        let foreign = operands.iter().any(|v| !Rc::ptr_eq(&v.trace.0, &self.0));
        let ids: Option<Vec<ValueId>> = operands.iter().map(|v| v.id).collect();
        let Some(ids) = ids.filter(|_| t.fault.is_none()) else { return poison() };
        let (path, scope) = t.scopes[t.scopes.len() - 1].clone();
        let pushed = match foreign {
            true => Err(Error::new(ErrorKind::Argument, format!("{}: a value of another graph was used", op.name()))),
            false => t.graph.push(op, &ids, scope),
        };
        match pushed {
            Ok(ids) => {
                let var = |id: ValueId| Var { trace: self.clone(), ty: Rc::new(t.graph.ty(id).clone()), id: Some(id) };
                ids.into_iter().map(var).collect()
            }
            Err(e) => {
                let e = if path.is_empty() { e } else { e.layer(path) };
                t.fault = Some(e.fact("at", format!("{}:{}", place.file(), place.line())));
                poison()
            }
        }
    }

    /// Records a fault of the caller's own; the first one wins.
    pub fn fail(&self, error: Error) {
        let mut t = self.0.borrow_mut();
        let path = t.scopes[t.scopes.len() - 1].0.clone();
        let error = if path.is_empty() { error } else { error.layer(path) };
        t.fault.get_or_insert(error);
    }

    /// The first fault so far.
    pub fn fault(&self) -> Option<Error> {
        self.0.borrow().fault.clone()
    }

    /// Looks at the graph so far.
    pub fn with_graph<R>(&self, look: impl FnOnce(&Graph) -> R) -> R {
        look(&self.0.borrow().graph)
    }

    /// The value `id` of this trace's graph.
    pub fn var(&self, id: ValueId) -> Var {
        let ty = self.0.borrow().graph.ty(id).clone();
        Var { trace: self.clone(), id: Some(id), ty: Rc::new(ty) }
    }

    /// Copies a whole graph into this one, its parameters replaced by `arguments`; returns its results.
    #[track_caller]
    pub fn inline(&self, graph: &Graph, arguments: &[Var]) -> Vec<Var> {
        let mut map: Vec<Option<Var>> = vec![None; graph.num_values()];
        for (p, a) in graph.parameters().iter().zip(arguments) {
            map[p.index()] = Some(a.clone());
        }
        let get = |map: &[Option<Var>], v: &ValueId| map[v.index()].clone().expect("operands come before their use");
        for node in graph.nodes() {
            if matches!(node.op, Op::Parameter(_)) {
                continue;
            }
            let operands: Vec<Var> = node.operands.iter().map(|v| get(&map, v)).collect();
            let refs: Vec<&Var> = operands.iter().collect();
            let range = node.result_range();
            let fallback = graph.ty(ValueId(range.start as u32)).clone();
            for (i, v) in range.clone().zip(self.push_many(node.op.clone(), &refs, fallback, range.len())) {
                map[i] = Some(v);
            }
        }
        graph.results.iter().map(|v| get(&map, v)).collect()
    }

    /// The finished graph returning `results`, or the first fault.
    pub fn finish(&self, results: &[Var]) -> Result<Graph> {
        let t = self.0.borrow();
        if let Some(e) = &t.fault {
            return Err(e.clone());
        }
        let mut graph = t.graph.clone();
        let lost = || Error::new(ErrorKind::Internal, "a poisoned value without a fault");
        graph.results = results.iter().map(|v| v.id.ok_or_else(lost)).collect::<Result<_>>()?;
        Ok(graph)
    }
}

/// A value in a trace. Cheap to clone.
#[derive(Clone)]
pub struct Var {
    trace: Trace,
    id: Option<ValueId>,
    ty: Rc<Type>,
}

impl Var {
    /// The trace it belongs to.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Its number in the graph; `None` after a fault.
    pub fn id(&self) -> Option<ValueId> {
        self.id
    }

    /// Its type.
    pub fn ty(&self) -> Type {
        (*self.ty).clone()
    }

    /// Its element type.
    pub fn dtype(&self) -> DType {
        self.ty.dtype
    }

    /// Length along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.ty.shape
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.ty.rank()
    }

    /// Length along an axis; negative axes count from the end. 1 when there is no such axis (a fault will tell).
    pub fn dim(&self, axis: isize) -> usize {
        let i = if axis < 0 { axis + self.rank() as isize } else { axis };
        usize::try_from(i).ok().and_then(|i| self.shape().get(i).copied()).unwrap_or(1)
    }

    /// A scalar constant of the same element type.
    #[track_caller]
    pub fn constant_like(&self, value: f64) -> Var {
        self.trace.scalar(self.dtype(), value)
    }

    /// `value` everywhere, in this value's type.
    #[track_caller]
    pub fn full_like(&self, value: f64) -> Var {
        self.trace.full(&self.ty, value)
    }

    /// Appends an op with this value as first operand.
    #[track_caller]
    pub fn apply(&self, op: impl Into<Op>, others: &[&Var]) -> Var {
        let operands: Vec<&Var> = std::iter::once(self).chain(others.iter().copied()).collect();
        self.trace.push(op, &operands)
    }
}

impl fmt::Debug for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "%{}: {}", id.0, self.ty),
            None => write!(f, "%poisoned: {}", self.ty),
        }
    }
}
