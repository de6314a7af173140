//! Brings ops into the forms that backends take: a reduction over axes that do not lie together becomes several, and the operands of
//! a product whose axes cannot be walked with one stride each are transposed first, and long concatenations go by groups.

use crate::error::Result;
use crate::ir::graph::{Graph, Node, ValueId};
use crate::ir::op::Op;
use crate::ops::{Concatenate, DotGeneral, Reduce, Transpose, free};

pub(super) fn legalize(graph: &Graph) -> Result<Graph> {
    graph.rebuild(|out, _, node, operands| {
        let better = match &node.op {
            Op::Reduce(r) => reduce(out, node, r, operands[0])?,
            Op::DotGeneral(d) => dot(out, node, d, operands)?,
            Op::Concatenate(c) => concatenate(out, node, c, operands)?,
            _ => None,
        };
        match better {
            Some(v) => Ok(Some(vec![v])),
            None => out.push(node.op.clone(), operands, node.scope).map(Some),
        }
    })
}

/// Σ over {A, B} = Σ_A Σ_B; from the back, so that the numbers of the other axes stay.
fn reduce(out: &mut Graph, node: &Node, r: &Reduce, x: ValueId) -> Result<Option<ValueId>> {
    let groups = groups(&out.ty(x).shape, &r.axes);
    if groups.len() < 2 {
        return Ok(None);
    }
    let mut v = x;
    for axes in groups.into_iter().rev() {
        v = out.push(Reduce { kind: r.kind, axes }.into(), &[v], node.scope)?[0];
    }
    Ok(Some(v))
}

/// Parts of one concatenation: a kernel takes only so many operands.
pub(super) const MOST: usize = 48;

/// Many parts are joined in groups, then the groups.
fn concatenate(out: &mut Graph, node: &Node, c: &Concatenate, x: &[ValueId]) -> Result<Option<ValueId>> {
    if x.len() <= MOST {
        return Ok(None);
    }
    let mut parts = x.to_vec();
    while parts.len() > 1 {
        let join = |group: &[ValueId]| Ok(out.push(c.clone().into(), group, node.scope)?[0]);
        parts = parts.chunks(MOST).map(join).collect::<Result<_>>()?;
    }
    Ok(Some(parts[0]))
}

/// Both operands in the order batch, free, contracted: the product is the same.
fn dot(out: &mut Graph, node: &Node, d: &DotGeneral, x: &[ValueId]) -> Result<Option<ValueId>> {
    if d.is_simple(&out.ty(x[0]).shape, &out.ty(x[1]).shape) {
        return Ok(None);
    }
    let mut ordered = |v: ValueId, batch: &[usize], contract: &[usize]| -> Result<ValueId> {
        let middle = free(out.ty(v).rank(), batch, contract);
        let order: Vec<usize> = batch.iter().chain(&middle).chain(contract).copied().collect();
        Ok(out.push(Transpose(order).into(), &[v], node.scope)?[0])
    };
    let a = ordered(x[0], &d.lhs_batch, &d.lhs_contract)?;
    let b = ordered(x[1], &d.rhs_batch, &d.rhs_contract)?;
    let tail = |v: ValueId, n: usize, out: &Graph| (out.ty(v).rank() - n..out.ty(v).rank()).collect::<Vec<_>>();
    let batch: Vec<usize> = (0..d.lhs_batch.len()).collect();
    let op = DotGeneral {
        lhs_batch: batch.clone(),
        rhs_batch: batch,
        lhs_contract: tail(a, d.lhs_contract.len(), out),
        rhs_contract: tail(b, d.rhs_contract.len(), out),
    };
    Ok(Some(out.push(op.into(), &[a, b], node.scope)?[0]))
}

/// Runs of reduced axes with nothing but unit axes between them.
fn groups(shape: &[usize], axes: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = vec![];
    let mut open = false;
    for axis in 0..shape.len() {
        if axes.contains(&axis) {
            match groups.last_mut() {
                Some(g) if open => g.push(axis),
                _ => groups.push(vec![axis]),
            }
            open = true;
        } else if shape[axis] != 1 {
            open = false;
        }
    }
    groups
}
