//! The body of a loop for a part of its batch: samples that do not see each other go through all turns on a thread of their own,
//! and nobody waits for others after every turn.

use crate::error::{Error, Result};
use crate::ir::graph::{Graph, Node, ValueId};
use crate::ir::op::{Op, shape_error};

/// Rows of a part at least, where the batch has many or few.
const ROWS: (usize, usize) = (12, 8);
/// Elements of the constants that all parts read, at most: they stay in the cache of every core.
const SHARED: usize = 256 * 1024;
/// Operations of a turn that are worth it.
const WORK: usize = 100_000;

/// A body cut along its batch.
pub(crate) struct Cut {
    /// The body for one part.
    pub(crate) body: Graph,
    /// How many parts there are, by the shapes alone.
    pub(crate) parts: usize,
    /// Which parameters are cut too; carried values and results all are.
    pub(crate) parameters: Vec<bool>,
}

/// What is known of a value of the body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Row `i` depends on row `i` of the operands that are cut, and on nothing else of them.
    Rows,
    /// The same for all parts.
    Shared,
}

/// The body cut into parts, if its rows do not depend on each other and the parts pay.
pub(crate) fn cut(body: &Graph, constants: usize, carries: usize) -> Option<Cut> {
    let types = body.types(body.parameters());
    let batch = *types.get(constants)?.shape.first()?;
    let least = if batch < 2 * ROWS.0 { ROWS.1 } else { ROWS.0 };
    let parts = (2..=batch / least).rev().find(|p| batch.is_multiple_of(*p))?;
    let shared: usize = types[..constants].iter().map(|t| t.len()).sum();
    if shared > SHARED || work(body) < WORK {
        return None;
    }
    // Constants are taken for shared until something asks for their rows.
    let long = |i: usize| types[i].shape.first() == Some(&batch);
    let mut parameters: Vec<bool> = (0..types.len()).map(|i| i >= constants && long(i)).collect();
    if !parameters[constants..constants + carries].iter().all(|&cut| cut) {
        return None;
    }
    loop {
        let mut builder =
            Builder { body, batch, rows: batch / parts, known: vec![], parameters: &parameters, wanted: None };
        match builder.build() {
            Ok(body) => return Some(Cut { body, parts, parameters }),
            Err(_) => match builder.wanted {
                Some(i) if i < constants && long(i) && !parameters[i] => parameters[i] = true,
                _ => return None,
            },
        }
    }
}

/// Operations of one turn.
fn work(body: &Graph) -> usize {
    let operations = |n: &Node| {
        let made: usize = n.results().map(|v| body.ty(v).len()).sum();
        match &n.op {
            Op::DotGeneral(d) => {
                let lhs = body.ty(n.operands[0]);
                2 * made * d.lhs_contract.iter().map(|&a| lhs.shape[a]).product::<usize>()
            }
            _ => made,
        }
    };
    body.nodes().iter().map(operations).sum()
}

struct Builder<'a> {
    body: &'a Graph,
    batch: usize,
    /// Rows of a part.
    rows: usize,
    /// What is known of each value of the new graph.
    known: Vec<Known>,
    parameters: &'a [bool],
    /// A parameter whose rows are asked for.
    wanted: Option<usize>,
}

impl Builder<'_> {
    fn build(&mut self) -> Result<Graph> {
        let body = self.body;
        let mut out = body.rebuild(|out, _, node, x| self.node(out, node, x).map(Some))?;
        let results = out.results.clone();
        out.results = self.all_cut(&mut out, &results, 0)?;
        Ok(out)
    }

    fn push(&mut self, out: &mut Graph, op: Op, x: &[ValueId], scope: u32, known: Known) -> Result<Vec<ValueId>> {
        let made = out.push(op, x, scope)?;
        self.known.resize(out.num_values(), known);
        Ok(made)
    }

    fn is_cut(&self, v: ValueId) -> bool {
        self.known[v.index()] == Known::Rows
    }

    fn node(&mut self, out: &mut Graph, node: &Node, x: &[ValueId]) -> Result<Vec<ValueId>> {
        let (op, scope) = (node.op.clone(), node.scope);
        let place = self.body.parameters().iter().position(|v| node.results().any(|r| r == *v));
        if let (Op::Parameter(p), Some(true)) = (&op, place.map(|i| self.parameters[i])) {
            let mut p = p.clone();
            p.ty.shape[0] = self.rows;
            return self.push(out, p.into(), x, scope, Known::Rows);
        }
        if !x.iter().any(|v| self.is_cut(*v)) {
            return self.push(out, op, x, scope, Known::Shared);
        }
        let batch = self.batch;
        let x = match &op {
            // All operands are as long as the result.
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select(_)
            | Op::Clamp(_)
            | Op::Convert(_)
            | Op::StopGradient(_) => self.all_cut(out, x, scope)?,
            Op::Concatenate(c) if c.0 > 0 => self.all_cut(out, x, scope)?,
            Op::Slice(s) if (s.start[0], s.limit[0], s.strides[0]) == (0, batch, 1) => x.to_vec(),
            Op::Pad(p) if (p.low[0], p.high[0], p.interior[0]) == (0, 0, 0) && !self.is_cut(x[1]) => x.to_vec(),
            Op::Reshape(r) if r.0.first() == Some(&batch) => x.to_vec(),
            Op::Transpose(t) if t.0[0] == 0 => x.to_vec(),
            Op::Reduce(r) if r.axes.first() != Some(&0) => x.to_vec(),
            Op::BroadcastInDim(b) if b.dims.first() == Some(&0) && b.shape[0] == batch => x.to_vec(),
            Op::DotGeneral(d) => match (self.is_cut(x[0]), self.is_cut(x[1])) {
                (true, false) if d.lhs_batch.is_empty() && !d.lhs_contract.contains(&0) => x.to_vec(),
                (true, true) if (d.lhs_batch.first(), d.rhs_batch.first()) == (Some(&0), Some(&0)) => x.to_vec(),
                _ => return Err(mixed(&op)),
            },
            _ => return Err(mixed(&op)),
        };
        let op = match op {
            Op::Slice(mut s) => {
                s.limit[0] = self.rows;
                s.into()
            }
            Op::Reshape(mut r) => {
                r.0[0] = self.rows;
                r.into()
            }
            Op::BroadcastInDim(mut b) => {
                b.shape[0] = self.rows;
                b.into()
            }
            op => op,
        };
        self.push(out, op, &x, scope, Known::Rows)
    }

    fn all_cut(&mut self, out: &mut Graph, x: &[ValueId], scope: u32) -> Result<Vec<ValueId>> {
        x.iter().map(|v| self.cut(out, *v, scope)).collect()
    }

    /// The rows of one part of a value: of one that is cut itself, of one whose rows are all equal, of a parameter.
    fn cut(&mut self, out: &mut Graph, v: ValueId, scope: u32) -> Result<ValueId> {
        if self.is_cut(v) {
            return Ok(v);
        }
        match out.op_of(v).clone() {
            Op::BroadcastInDim(mut b) if b.dims.first() != Some(&0) && b.shape.first() == Some(&self.batch) => {
                let from = out.nodes()[out.node_of(v)].operands.clone();
                b.shape[0] = self.rows;
                Ok(self.push(out, b.into(), &from, scope, Known::Rows)?[0])
            }
            op => {
                // Only a parameter has a place; its rows are asked for.
                self.wanted = out.parameters().iter().position(|p| *p == v);
                Err(mixed(&op))
            }
        }
    }
}

/// Why a body stays whole; nobody reads it.
fn mixed(op: &Op) -> Error {
    shape_error(op.name(), "mixes rows")
}
