//! Takes from a scan what nobody needs of it: stacked results that nobody reads, parameters that its body does not read, and slices
//! that are one number throughout, which the body makes itself.

use super::prune;
use crate::error::Result;
use crate::ir::graph::{Graph, Node, ValueId};
use crate::ir::op::Op;
use crate::ops::{BroadcastInDim, Constant, Parameter, Scan};
use crate::tensor::Tensor;
use std::sync::Arc;

pub(super) fn trim_scans(graph: &Graph) -> Result<Graph> {
    let read = read(graph);
    graph.rebuild(|out, _, node, operands| match &node.op {
        Op::Scan(scan) => trimmed(out, node, scan, operands, &read[node.result_range()]).map(Some),
        op => out.push(op.clone(), operands, node.scope).map(Some),
    })
}

/// Which values somebody reads.
fn read(graph: &Graph) -> Vec<bool> {
    let mut read = vec![false; graph.num_values()];
    let operands = graph.nodes().iter().flat_map(|n| &n.operands);
    operands.chain(&graph.results).for_each(|v| read[v.index()] = true);
    read
}

/// What becomes of a parameter of the body.
enum Fate {
    Kept,
    Dropped,
    /// Made by the body from this scalar.
    Made(Tensor),
}

/// The scan without what is not needed; a result for each of the old ones, any for those that nobody reads.
fn trimmed(
    out: &mut Graph,
    node: &Node,
    scan: &Scan,
    operands: &[ValueId],
    read_after: &[bool],
) -> Result<Vec<ValueId>> {
    let kept = |r: &usize| *r < scan.carries || read_after[*r];
    let results: Vec<usize> = (0..read_after.len()).filter(kept).collect();
    let mut body = (*scan.body).clone();
    body.results = results.iter().map(|&r| scan.body.results[r]).collect();
    let body = prune::prune(&body)?;
    let read = read(&body);
    let fates: Vec<Fate> = (0..operands.len())
        .map(|i| {
            let slice = i >= scan.constants + scan.carries;
            let carry = i >= scan.constants && !slice;
            match scalar(out, operands[i]).filter(|_| slice) {
                _ if carry => Fate::Kept,
                _ if !read[body.parameters()[i].index()] => Fate::Dropped,
                Some(value) => Fate::Made(value),
                None => Fate::Kept,
            }
        })
        .collect();
    let remain: Vec<usize> = (0..operands.len()).filter(|&i| matches!(fates[i], Fate::Kept)).collect();
    let body = body.rebuild(|inner, _, node, x| {
        let Op::Parameter(p) = &node.op else { return inner.push(node.op.clone(), x, node.scope).map(Some) };
        match &fates[p.index] {
            Fate::Dropped => Ok(None),
            Fate::Made(value) => {
                let scalar = inner.push(Constant(value.clone()).into(), &[], node.scope)?;
                let spread = BroadcastInDim { shape: p.ty.shape.clone(), dims: vec![] };
                inner.push(spread.into(), &scalar, node.scope).map(Some)
            }
            Fate::Kept => {
                let index = remain.iter().position(|&i| i == p.index).unwrap_or_default();
                inner.push(Parameter { index, ty: p.ty.clone() }.into(), &[], node.scope).map(Some)
            }
        }
    })?;
    let constants = remain.iter().filter(|&&i| i < scan.constants).count();
    let left: Vec<ValueId> = remain.iter().map(|&i| operands[i]).collect();
    let made = out.push(Scan { body: Arc::new(body), constants, ..scan.clone() }.into(), &left, node.scope)?;
    let place = |r: usize| results.iter().position(|&k| k == r).unwrap_or_default();
    Ok((0..read_after.len()).map(|r| made[place(r)]).collect())
}

/// The number that every element of a value is, if it is the same everywhere by construction.
fn scalar(graph: &Graph, v: ValueId) -> Option<Tensor> {
    let Op::BroadcastInDim(_) = graph.op_of(v) else { return None };
    let from = graph.nodes()[graph.node_of(v)].operands[0];
    match graph.op_of(from) {
        Op::Constant(Constant(value)) if graph.ty(from).shape.is_empty() => Some(value.clone()),
        _ => None,
    }
}
