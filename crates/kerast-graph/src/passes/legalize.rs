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

/// An operand, or both, in the order batch, free, contracted: the product is the same. The smaller one if that is enough.
fn dot(out: &mut Graph, node: &Node, d: &DotGeneral, x: &[ValueId]) -> Result<Option<ValueId>> {
    let shapes = [0, 1].map(|i| out.ty(x[i]).shape.clone());
    if d.is_simple(&shapes[0], &shapes[1]) {
        return Ok(None);
    }
    let orders =
        [order(shapes[0].len(), &d.lhs_batch, &d.lhs_contract), order(shapes[1].len(), &d.rhs_batch, &d.rhs_contract)];
    let first = out.ty(x[0]).len() <= out.ty(x[1]).len();
    for ordered in [[first, !first], [!first, first], [true, true]] {
        let [a, b] = [0, 1].map(|i| match ordered[i] {
            true => orders[i].iter().map(|&axis| shapes[i][axis]).collect(),
            false => shapes[i].clone(),
        });
        let (nb, nk) = (d.lhs_batch.len(), d.lhs_contract.len());
        let (leading, trailing) = (|| (0..nb).collect(), |n: usize| (n - nk..n).collect());
        let mut op = d.clone();
        if ordered[0] {
            (op.lhs_batch, op.lhs_contract) = (leading(), trailing(a.len()));
        }
        if ordered[1] {
            (op.rhs_batch, op.rhs_contract) = (leading(), trailing(b.len()));
        }
        if op.is_simple(&a, &b) || ordered == [true, true] {
            let mut operands = x.to_vec();
            for i in (0..2).filter(|&i| ordered[i]) {
                operands[i] = out.push(Transpose(orders[i].clone()).into(), &[x[i]], node.scope)?[0];
            }
            return Ok(Some(out.push(op.into(), &operands, node.scope)?[0]));
        }
    }
    Ok(None)
}

/// Batch axes, free axes, contracted axes.
fn order(rank: usize, batch: &[usize], contract: &[usize]) -> Vec<usize> {
    batch.iter().chain(&free(rank, batch, contract)).chain(contract).copied().collect()
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
