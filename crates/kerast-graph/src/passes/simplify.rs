//! Local algebra. Each rule stands with its formula; none trades an operation for a worse one, none reorders sums but by leaving out zeros,
//! and those of rows by number, where it says so.

use super::absorb::meets;
use super::legalize;
use crate::error::Result;
use crate::ir::graph::{Graph, Node, ValueId};
use crate::ir::op::Op;
use crate::ops::{
    ArgWindow, Binary, BinaryKind, BroadcastInDim, Combine, Compare, CompareKind, Concatenate, DotGeneral, Pad, Reduce,
    ReduceKind, Reshape, Scatter, SegmentSum, Select, Transpose, WindowDim, free,
};
use kerast_kernels::dtype::DType;

pub(super) fn simplify(graph: &Graph) -> Result<Graph> {
    graph.rebuild(|out, _, node, operands| match rule(out, node, operands)? {
        Some(v) => Ok(Some(vec![v])),
        None => out.push(node.op.clone(), operands, node.scope).map(Some),
    })
}

fn rule(out: &mut Graph, node: &Node, x: &[ValueId]) -> Result<Option<ValueId>> {
    Ok(match &node.op {
        Op::Binary(Binary(kind)) => match arithmetic(out, *kind, x) {
            None if *kind == BinaryKind::Add => joined_pads(out, node, x)?,
            found => found,
        },
        // reshape(reshape(a)) = reshape(a); reshape to the same shape = a
        Op::Reshape(Reshape(shape)) => {
            if out.ty(x[0]).shape == *shape {
                return Ok(Some(x[0]));
            }
            match out.op_of(x[0]) {
                Op::Reshape(_) => {
                    let inner = out.nodes()[out.node_of(x[0])].operands[0];
                    let same = out.ty(inner).shape == *shape;
                    if same { Some(inner) } else { Some(out.push(node.op.clone(), &[inner], node.scope)?[0]) }
                }
                _ => None,
            }
        }
        // transpose(transpose(a, p), q) = transpose(a, p∘q); the identity = a
        Op::Transpose(Transpose(q)) => {
            let (inner, p) = match out.op_of(x[0]) {
                Op::Transpose(Transpose(p)) => (out.nodes()[out.node_of(x[0])].operands[0], p.clone()),
                _ => (x[0], (0..q.len()).collect()),
            };
            let joined: Vec<usize> = q.iter().map(|&i| p[i]).collect();
            // Only axes of length 1 change places: the elements stay where they are.
            let shape = out.ty(inner).shape.clone();
            let long: Vec<usize> = joined.iter().copied().filter(|&a| shape[a] != 1).collect();
            match joined.iter().enumerate().all(|(i, &a)| i == a) {
                true => Some(inner),
                false if long.windows(2).all(|w| w[0] < w[1]) => {
                    let moved = Reshape(joined.iter().map(|&a| shape[a]).collect());
                    Some(out.push(moved.into(), &[inner], node.scope)?[0])
                }
                false if inner != x[0] => Some(out.push(Transpose(joined).into(), &[inner], node.scope)?[0]),
                false => moved_lookup(out, node, &joined, inner)?,
            }
        }
        Op::DotGeneral(d) => unturned(out, node, d, x)?,
        // reverse(reverse(a)) along the same axes = a; along none = a
        Op::Reverse(r) => match out.op_of(x[0]) {
            _ if r.0.is_empty() => Some(x[0]),
            Op::Reverse(inner) if inner == r => Some(out.nodes()[out.node_of(x[0])].operands[0]),
            _ => None,
        },
        // a slice of everything, a padding of nothing, a single part = a
        Op::Slice(s) if out.ty(x[0]).shape == s.limit && s.strides.iter().all(|&t| t == 1) => {
            s.start.iter().all(|&i| i == 0).then_some(x[0])
        }
        Op::Pad(p) if p.low.iter().chain(&p.high).all(|&n| n == 0) => {
            p.interior.iter().all(|&n| n == 0).then_some(x[0])
        }
        Op::Concatenate(_) if x.len() == 1 => Some(x[0]),
        // convert to the same type = a
        Op::Convert(c) if out.ty(x[0]).dtype == c.0 => Some(x[0]),
        Op::BroadcastInDim(b) => broadcast(out, node, b, x[0])?,
        // a reduction over nothing = a
        Op::Reduce(r) if r.axes.is_empty() => Some(x[0]),
        Op::Reduce(r) if r.kind == ReduceKind::Sum => match summed_grad(out, r, x[0]) {
            None => summed_scatter(out, node, r, x[0])?,
            found => found,
        },
        Op::Select(_) if x[1] == x[2] => Some(x[1]),
        Op::Select(_) => rectified_scatter(out, node, x)?,
        Op::Scatter(s) => summed_rows(out, node, s, x)?,
        Op::SegmentSum(s) => moved_rows(out, node, s, x)?,
        _ => None,
    })
}

/// dot(transpose(a), b) = dot(a, b) by the axes of a, where those that are neither batch nor contracted keep their order, and no stride is missing.
fn unturned(out: &mut Graph, node: &Node, d: &DotGeneral, x: &[ValueId]) -> Result<Option<ValueId>> {
    for i in 0..2 {
        let Op::Transpose(Transpose(p)) = out.op_of(x[i]) else { continue };
        let mut op = d.clone();
        let (batch, contract) = match i {
            0 => (&mut op.lhs_batch, &mut op.lhs_contract),
            _ => (&mut op.rhs_batch, &mut op.rhs_contract),
        };
        let kept = free(p.len(), batch, contract).windows(2).all(|w| p[w[0]] < p[w[1]]);
        batch.iter_mut().chain(contract).for_each(|axis| *axis = p[*axis]);
        let mut operands = x.to_vec();
        operands[i] = out.nodes()[out.node_of(x[i])].operands[0];
        if kept && op.is_simple(&out.ty(operands[0]).shape, &out.ty(operands[1]).shape) {
            return Ok(Some(out.push(op.into(), &operands, node.scope)?[0]));
        }
    }
    Ok(None)
}

/// The sum of a cross-entropy's gradient over all axes but the last is a result of its own; the rows are added in another order.
fn summed_grad(out: &Graph, r: &Reduce, x: ValueId) -> Option<ValueId> {
    let shape = &out.ty(x).shape;
    let grad = match out.op_of(x) {
        Op::Reshape(_) => out.nodes()[out.node_of(x)].operands[0],
        _ => x,
    };
    let node = &out.nodes()[out.node_of(grad)];
    let results: Vec<ValueId> = node.results().collect();
    let leading = r.axes.iter().copied().eq(0..shape.len().saturating_sub(1));
    let fits = matches!(node.op, Op::CrossEntropyGrad(_)) && grad == results[1] && leading;
    (fits && shape.last() == out.ty(grad).shape.last()).then(|| results[2])
}

/// broadcast(broadcast(a)) = broadcast(a), also through a reshape that only adds or drops unit axes.
fn broadcast(out: &mut Graph, node: &Node, b: &BroadcastInDim, x: ValueId) -> Result<Option<ValueId>> {
    let identity = out.ty(x).shape == b.shape && b.dims.iter().enumerate().all(|(i, &d)| i == d);
    if identity {
        return Ok(Some(x));
    }
    let operand = |out: &Graph| out.nodes()[out.node_of(x)].operands[0];
    match out.op_of(x).clone() {
        Op::BroadcastInDim(inner) => {
            let dims = inner.dims.iter().map(|&d| b.dims[d]).collect();
            let joined = BroadcastInDim { shape: b.shape.clone(), dims };
            let a = operand(out);
            Ok(Some(out.push(joined.into(), &[a], node.scope)?[0]))
        }
        Op::Reshape(Reshape(to)) => {
            let a = operand(out);
            let from = out.ty(a).shape.clone();
            let real = |shape: &[usize]| (0..shape.len()).filter(|&i| shape[i] != 1).collect::<Vec<_>>();
            let (p, q) = (real(&from), real(&to));
            let same = p.len() == q.len() && p.iter().zip(&q).all(|(&i, &j)| from[i] == to[j]);
            // Every unit axis of `a` needs a result axis of its own; only operands without unit axes are rewritten.
            if !same || p.len() != from.len() {
                return Ok(None);
            }
            let dims = q.iter().map(|&j| b.dims[j]).collect();
            let joined = BroadcastInDim { shape: b.shape.clone(), dims };
            Ok(Some(out.push(joined.into(), &[a], node.scope)?[0]))
        }
        _ => Ok(None),
    }
}

/// a + 0 = a, a - 0 = a, a · 1 = a, a / 1 = a. (a · 0 is not 0 for NaN and infinities.)
fn arithmetic(out: &Graph, kind: BinaryKind, x: &[ValueId]) -> Option<ValueId> {
    let (a, b) = (constant(out, x[0]), constant(out, x[1]));
    match kind {
        BinaryKind::Add if b == Some(0.0) => Some(x[0]),
        BinaryKind::Add if a == Some(0.0) => Some(x[1]),
        BinaryKind::Subtract if b == Some(0.0) => Some(x[0]),
        BinaryKind::Multiply | BinaryKind::Divide if b == Some(1.0) => Some(x[0]),
        BinaryKind::Multiply if a == Some(1.0) => Some(x[1]),
        _ => None,
    }
}

/// The largest elements of windows and the source, of a `scatter_window` that sends the source to them; the windows are those of y.
struct Sent {
    windows: ArgWindow,
    y: ValueId,
    largest: ValueId,
    source: ValueId,
}

impl Sent {
    fn of(out: &Graph, v: ValueId) -> Option<Sent> {
        let made_by = |v: ValueId| &out.nodes()[out.node_of(v)];
        let (Op::ScatterWindow(scatter), [numbers, source]) = (&made_by(v).op, &made_by(v).operands[..]) else {
            return None;
        };
        let Op::ArgWindow(windows) = &made_by(*numbers).op else { return None };
        let y = made_by(*numbers).operands[0];
        let same = windows.dims == scatter.dims && out.ty(y).shape == scatter.shape;
        let largest = made_by(*numbers).results().next()?;
        same.then(|| Sent { windows: windows.clone(), y, largest, source: *source })
    }
}

/// With y = a ≤ 0 ? 0 : a and p its largest per window: a ≤ 0 ? 0 : scatter(g) = scatter(p ≤ 0 ? 0 : g), since g goes to where y is
/// p: the gradient of a rectifier below the largest of windows, on as many elements as there are windows.
fn rectified_scatter(out: &mut Graph, node: &Node, x: &[ValueId]) -> Result<Option<ValueId>> {
    let made_by = |v: ValueId| &out.nodes()[out.node_of(v)];
    let Some(sent) = Sent::of(out, x[2]).filter(|s| s.windows.largest) else { return Ok(None) };
    let same = rectified(out, sent.y) == Some(x[0]) && constant(out, x[1]) == Some(0.0);
    let (true, Op::BroadcastInDim(_)) = (same, &made_by(x[1]).op) else { return Ok(None) };
    let (scatter, numbers) = (made_by(x[2]).op.clone(), made_by(x[2]).operands[0]);
    let zero = made_by(x[1]).operands[0];
    if !out.ty(zero).shape.is_empty() {
        return Ok(None);
    }
    let spread = BroadcastInDim { shape: out.ty(sent.largest).shape.clone(), dims: vec![] };
    let zeros = out.push(spread.into(), &[zero], node.scope)?[0];
    let test = out.push(Compare(CompareKind::LessEqual).into(), &[sent.largest, zeros], node.scope)?[0];
    let kept = out.push(Select.into(), &[test, zeros, sent.source], node.scope)?[0];
    Ok(Some(out.push(scatter, &[numbers, kept], node.scope)?[0]))
}

/// Σ scatter(g) = Σ g along axes that hold whole windows, where every window has an element to send to.
fn summed_scatter(out: &mut Graph, node: &Node, r: &Reduce, x: ValueId) -> Result<Option<ValueId>> {
    let Some(sent) = Sent::of(out, x) else { return Ok(None) };
    let dims = &sent.windows.dims;
    let single = |a: usize| dims[a] == WindowDim::default();
    let whole = (0..dims.len()).all(|a| r.axes.contains(&a) || single(a));
    if !whole || !dims.iter().all(meets) || out.ty(sent.y).is_empty() {
        return Ok(None);
    }
    Ok(Some(out.push(r.clone().into(), &[sent.source], node.scope)?[0]))
}

/// transpose(gather(table, ids)) = gather(table, transpose(ids)), where whole rows change places.
fn moved_lookup(out: &mut Graph, node: &Node, permutation: &[usize], found: ValueId) -> Result<Option<ValueId>> {
    let Op::Gather(g) = out.op_of(found).clone() else { return Ok(None) };
    let &[table, ids] = &out.nodes()[out.node_of(found)].operands[..] else { return Ok(None) };
    let rank = out.ty(ids).rank();
    let by_row = g.dims.index_vector_dim == rank && g.dims.offset_dims.iter().copied().eq(rank..permutation.len());
    if !by_row || !g.dims.start_indices_batching_dims.is_empty() || !moves_rows(permutation, rank) {
        return Ok(None);
    }
    let ids = out.push(Transpose(permutation[..rank].to_vec()).into(), &[ids], node.scope)?[0];
    Ok(Some(out.push(g.into(), &[table, ids], node.scope)?[0]))
}

/// segment_sum(transpose(rows), ids) = segment_sum(rows, transpose(ids)), where whole rows change places: they are summed in another order.
fn moved_rows(out: &mut Graph, node: &Node, s: &SegmentSum, x: &[ValueId]) -> Result<Option<ValueId>> {
    let Op::Transpose(Transpose(p)) = out.op_of(x[0]).clone() else { return Ok(None) };
    let (rows, rank) = (out.nodes()[out.node_of(x[0])].operands[0], out.ty(x[1]).rank());
    if !moves_rows(&p, rank) {
        return Ok(None);
    }
    let mut back = vec![0; rank];
    p[..rank].iter().enumerate().for_each(|(to, &from)| back[from] = to);
    let ids = out.push(Transpose(back).into(), &[x[1]], node.scope)?[0];
    Ok(Some(out.push(s.clone().into(), &[rows, ids], node.scope)?[0]))
}

/// Only the first `rank` axes change places.
fn moves_rows(permutation: &[usize], rank: usize) -> bool {
    permutation.iter().enumerate().skip(rank).all(|(i, &axis)| i == axis)
}

/// Rows added to zeros are summed by number: no table of zeros is made first.
fn summed_rows(out: &mut Graph, node: &Node, s: &Scatter, x: &[ValueId]) -> Result<Option<ValueId>> {
    let (table, ids, rows) = (out.ty(x[0]), out.ty(x[1]), out.ty(x[2]));
    let d = &s.dims;
    let by_row = d.inserted_window_dims == [0]
        && d.scatter_dims_to_operand_dims == [0]
        && d.input_batching_dims.is_empty()
        && d.index_vector_dim == ids.rank()
        && d.update_window_dims.iter().copied().eq(ids.rank()..rows.rank())
        && rows.shape[ids.rank()..] == table.shape[1..];
    let types = (table.dtype, ids.dtype) == (DType::F32, DType::I32);
    if !(by_row && types && s.combine == Combine::Add && constant(out, x[0]) == Some(0.0)) {
        return Ok(None);
    }
    let op = SegmentSum { segments: table.shape[0] };
    Ok(Some(out.push(op.into(), &[x[2], x[1]], node.scope)?[0]))
}

/// pad(a) + pad(b) + … = concatenate(a, b, …) where the paddings are zeros and the parts fill the axis: the gradient of slices.
fn joined_pads(out: &mut Graph, node: &Node, x: &[ValueId]) -> Result<Option<ValueId>> {
    let mut open = x.to_vec();
    let mut parts: Vec<(usize, usize, ValueId)> = vec![];
    while let Some(v) = open.pop() {
        // A value that is added to itself again and again has more leaves than nodes.
        if parts.len() == legalize::MOST {
            return Ok(None);
        }
        let inner = &out.nodes()[out.node_of(v)];
        match &inner.op {
            Op::Binary(Binary(BinaryKind::Add)) => open.extend(&inner.operands),
            Op::Pad(p) if constant(out, inner.operands[1]) == Some(0.0) => match padded_axis(p) {
                Some(axis) => parts.push((axis, p.low[axis] as usize, inner.operands[0])),
                None => return Ok(None),
            },
            _ => return Ok(None),
        }
    }
    parts.sort_by_key(|p| p.1);
    let axis = parts[0].0;
    let mut end = 0;
    for (a, low, v) in &parts {
        if *a != axis || *low != end {
            return Ok(None);
        }
        end += out.ty(*v).shape[axis];
    }
    if end != out.ty(x[0]).shape[axis] {
        return Ok(None);
    }
    let operands: Vec<ValueId> = parts.iter().map(|p| p.2).collect();
    Ok(Some(out.push(Concatenate(axis).into(), &operands, node.scope)?[0]))
}

/// The one axis that is padded, if it only grows at its ends.
fn padded_axis(p: &Pad) -> Option<usize> {
    let grows = |a: usize| p.low[a] != 0 || p.high[a] != 0;
    let mut axes = (0..p.low.len()).filter(|&a| grows(a));
    let axis = axes.next().filter(|_| axes.next().is_none() && p.interior.iter().all(|&n| n == 0))?;
    (p.low[axis] >= 0 && p.high[axis] >= 0).then_some(axis)
}

/// The test `a ≤ 0` of a value that is a ≤ 0 ? 0 : a.
pub(super) fn rectified(out: &Graph, v: ValueId) -> Option<ValueId> {
    let made_by = |v: ValueId| &out.nodes()[out.node_of(v)];
    let (Op::Select(_), [test, otherwise, a]) = (&made_by(v).op, &made_by(v).operands[..]) else { return None };
    let compare = made_by(*test);
    let zero = |v: ValueId| constant(out, v) == Some(0.0);
    let same = compare.op == Op::Compare(Compare(CompareKind::LessEqual))
        && compare.operands[0] == *a
        && zero(compare.operands[1])
        && zero(*otherwise);
    same.then_some(*test)
}

/// The value of a constant that is the same everywhere.
pub(super) fn constant(out: &Graph, v: ValueId) -> Option<f64> {
    match out.op_of(v) {
        Op::Constant(c) => c.0.item(),
        Op::BroadcastInDim(_) | Op::Reshape(_) => constant(out, out.nodes()[out.node_of(v)].operands[0]),
        _ => None,
    }
}
