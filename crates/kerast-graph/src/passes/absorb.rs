//! What stands around a product or a window and can be part of it: zeros around the input; behind fixed weights, factors and offsets
//! of the output channels, such as a batch normalisation that no longer learns. The latter rounds differently in the last place.

use super::fold;
use super::simplify::{constant, rectified};
use crate::error::Result;
use crate::ir::graph::{Graph, Node, ValueId};
use crate::ir::op::Op;
use crate::ops::{
    ArgWindow, Binary, BinaryKind, BroadcastInDim, ConvDim, Convolution, Pad, ReduceKind, ReduceWindow, WindowDim, free,
};
use std::collections::{HashMap, HashSet};

/// `product + offset`, where nobody else reads the product.
#[derive(Clone, Copy)]
struct Affine {
    product: ValueId,
    /// One number per channel.
    offset: Option<ValueId>,
}

pub(super) fn absorb(graph: &Graph) -> Result<Graph> {
    let fixed = fold::fixed(graph);
    let mut readers = vec![0; graph.num_values()];
    let operands = graph.nodes().iter().flat_map(|n| &n.operands);
    operands.chain(&graph.results).for_each(|v| readers[v.index()] += 1);
    let chosen: HashSet<(ValueId, &[WindowDim], bool)> = graph.nodes().iter().filter_map(choice).collect();
    let mut known: HashMap<ValueId, Affine> = HashMap::new();
    graph.rebuild(|out, _, node, x| {
        let alone = node.result_range().len() == 1 && readers[node.result_range().start] == 1;
        let constant = |i: usize| fixed[node.operands[i].index()].is_some();
        let made = match &node.op {
            Op::Convolution(c) => {
                let made = padded(out, node, c, x)?;
                Some((made, (alone && constant(1)).then_some(Affine { product: made, offset: None })))
            }
            Op::ReduceWindow(w) => {
                let largest = w.kind == ReduceKind::Max;
                let made = match chosen.contains(&(node.operands[0], &w.dims[..], largest)) {
                    true if largest || w.kind == ReduceKind::Min => {
                        let op = ArgWindow { largest, dims: w.dims.clone() };
                        Some(out.push(op.into(), x, node.scope)?[0])
                    }
                    _ => padded_window(out, node, w, x)?,
                };
                made.map(|made| (made, None))
            }
            Op::DotGeneral(d) if alone && constant(1) && d.lhs_batch.is_empty() => {
                let made = out.push(node.op.clone(), x, node.scope)?[0];
                Some((made, Some(Affine { product: made, offset: None })))
            }
            Op::Binary(Binary(kind @ (BinaryKind::Add | BinaryKind::Multiply))) => {
                let pair = [(0, 1), (1, 0)].into_iter().find(|&(y, f)| constant(f) && known.contains_key(&x[y]));
                match pair {
                    Some((y, f)) => affine(out, node, *kind, known[&x[y]], x[f])?,
                    None => None,
                }
            }
            _ => None,
        };
        let Some((value, form)) = made else { return out.push(node.op.clone(), x, node.scope).map(Some) };
        if let Some(form) = form.filter(|_| alone) {
            known.insert(value, form);
        }
        Ok(Some(vec![value]))
    })
}

/// Constant elements around a value, none between its own.
struct Border {
    inside: ValueId,
    element: f64,
    low: Vec<i64>,
    high: Vec<i64>,
}

impl Border {
    fn of(out: &Graph, v: ValueId) -> Option<Border> {
        let Op::Pad(Pad { low, high, interior }) = out.op_of(v) else { return None };
        let [inside, element] = out.nodes()[out.node_of(v)].operands[..] else { return None };
        let grows = interior.iter().all(|&n| n == 0) && low.iter().chain(high).all(|&n| n >= 0);
        let element = constant(out, element).filter(|_| grows)?;
        Some(Border { inside, element, low: low.clone(), high: high.clone() })
    }
}

/// conv(pad(x, 0)) = conv with that padding.
fn padded(out: &mut Graph, node: &Node, c: &Convolution, x: &[ValueId]) -> Result<ValueId> {
    let fits = |b: &Border, a: usize| match c.lhs.spatial.iter().position(|&s| s == a) {
        Some(i) => c.dims[i].lhs_dilation == 1,
        None => b.low[a] == 0 && b.high[a] == 0,
    };
    let border = Border::of(out, x[0]).filter(|b| b.element == 0.0 && (0..b.low.len()).all(|a| fits(b, a)));
    let Some(b) = border else { return Ok(out.push(node.op.clone(), x, node.scope)?[0]) };
    let dim = |(d, &a): (&ConvDim, &usize)| {
        let padding = (d.padding.0 + b.low[a], d.padding.1 + b.high[a]);
        ConvDim { padding, ..*d }
    };
    let dims = c.dims.iter().zip(&c.lhs.spatial).map(dim).collect();
    Ok(out.push(Convolution { dims, ..c.clone() }.into(), &[b.inside, x[1]], node.scope)?[0])
}

/// The windows in which somebody looks for the number of the largest (or smallest) element: they are searched once.
fn choice(node: &Node) -> Option<(ValueId, &[WindowDim], bool)> {
    let Op::ArgWindow(w) = &node.op else { return None };
    Some((node.operands[0], &w.dims[..], w.largest))
}

/// Whether every window along this axis meets an element, if there is any.
pub(super) fn meets(d: &WindowDim) -> bool {
    d.base_dilation == 1 && d.window_dilation == 1 && d.padding.0.max(d.padding.1) < d.size as i64
}

/// The sums of windows of pad(x, 0) are those of x with that padding. So are the largest elements where none of x is below 0 and every
/// window meets one of them.
fn padded_window(out: &mut Graph, node: &Node, w: &ReduceWindow, x: &[ValueId]) -> Result<Option<ValueId>> {
    let Some(b) = Border::of(out, x[0]).filter(|b| b.element == 0.0) else { return Ok(None) };
    let joined = |(a, d): (usize, &WindowDim)| {
        let padding = (d.padding.0 + b.low[a], d.padding.1 + b.high[a]);
        WindowDim { padding, ..*d }
    };
    let dims: Vec<WindowDim> = w.dims.iter().enumerate().map(joined).collect();
    let same = match w.kind {
        ReduceKind::Sum => true,
        ReduceKind::Max => !out.ty(b.inside).is_empty() && dims.iter().all(meets) && rectified(out, b.inside).is_some(),
        _ => false,
    };
    let dense = w.dims.iter().all(|d| d.base_dilation == 1);
    if !same || !dense {
        return Ok(None);
    }
    Ok(Some(out.push(ReduceWindow { dims, ..w.clone() }.into(), &[b.inside], node.scope)?[0]))
}

/// The axes of the channels in the product and in its weights.
fn channels(out: &Graph, product: ValueId) -> Option<(usize, usize)> {
    let rank = out.ty(product).rank();
    match out.op_of(product) {
        Op::Convolution(c) => Some((c.out.feature, c.rhs.batch)),
        Op::DotGeneral(d) => {
            let weights = out.nodes()[out.node_of(product)].operands[1];
            match free(out.ty(weights).rank(), &d.rhs_batch, &d.rhs_contract)[..] {
                [axis] => Some((rank - 1, axis)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// (x · W + o) · f = x · (W f) + o f, and (x · W + o) + f = x · W + (o + f), for f with one number per channel.
fn affine(
    out: &mut Graph,
    node: &Node,
    kind: BinaryKind,
    of: Affine,
    factor: ValueId,
) -> Result<Option<(ValueId, Option<Affine>)>> {
    let Some((axis, weights_axis)) = channels(out, of.product) else { return Ok(None) };
    let ty = out.ty(of.product).clone();
    let Op::BroadcastInDim(b) = out.op_of(factor).clone() else { return Ok(None) };
    let vector = out.nodes()[out.node_of(factor)].operands[0];
    let scope = node.scope;
    let along = |dims: Vec<usize>, shape: &[usize]| Op::from(BroadcastInDim { shape: shape.to_vec(), dims });
    let vector = match (&b.dims[..], out.ty(vector).len() == ty.shape[axis]) {
        ([only], true) if *only == axis => vector,
        ([], _) => out.push(along(vec![], &[ty.shape[axis]]), &[vector], scope)?[0],
        _ => return Ok(None),
    };
    let joined = |out: &mut Graph, kind: BinaryKind, a: ValueId, b: ValueId| -> Result<ValueId> {
        Ok(out.push(Binary(kind).into(), &[a, b], scope)?[0])
    };
    let made = match kind {
        BinaryKind::Add => {
            let offset = of.offset.map_or(Ok(vector), |o| joined(out, kind, o, vector))?;
            Affine { product: of.product, offset: Some(offset) }
        }
        _ => {
            let product = out.nodes()[out.node_of(of.product)].clone();
            let shape = out.ty(product.operands[1]).shape.clone();
            let factors = out.push(along(vec![weights_axis], &shape), &[vector], scope)?[0];
            let weights = joined(out, kind, product.operands[1], factors)?;
            let offset = of.offset.map(|o| joined(out, kind, o, vector)).transpose()?;
            let product = out.push(product.op, &[product.operands[0], weights], product.scope)?[0];
            Affine { product, offset }
        }
    };
    let value = match made.offset {
        Some(offset) => {
            let wide = out.push(along(vec![axis], &ty.shape), &[offset], scope)?[0];
            joined(out, BinaryKind::Add, made.product, wide)?
        }
        None => made.product,
    };
    Ok(Some((value, Some(made))))
}
