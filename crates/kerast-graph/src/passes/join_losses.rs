//! Computes cross-entropies where their gradient is computed: one pass over the logits instead of two.

use crate::error::Result;
use crate::ir::graph::Graph;
use crate::ir::op::Op;
use std::collections::{BTreeSet, HashMap};

pub(super) fn join_losses(graph: &Graph) -> Result<Graph> {
    let nodes = graph.nodes();
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    let mut joined: HashMap<usize, usize> = HashMap::new();
    for j in (0..nodes.len()).filter(|&j| matches!(nodes[j].op, Op::CrossEntropyGrad(_))) {
        let same = |i: &usize| {
            matches!(nodes[*i].op, Op::CrossEntropy(_)) && nodes[j].operands.starts_with(&nodes[*i].operands)
        };
        let needed = needs(graph, j);
        // A gradient whose weights depend on the loss comes too late.
        let found =
            (0..j).find(|i| same(i) && !joined.contains_key(i) && !needed.contains(i) && gives_losses_alone(graph, *i));
        let Some(i) = found else { continue };
        let place = order.iter().position(|n| *n == i).unwrap_or(0);
        let (moved, rest): (Vec<usize>, Vec<usize>) =
            order.split_off(place).into_iter().partition(|n| needed.contains(n));
        order.extend(moved.into_iter().chain(rest));
        joined.insert(i, j);
    }
    if joined.is_empty() {
        return Ok(graph.clone());
    }
    let mut losses = HashMap::new();
    graph.rebuild_in(order, |out, i, node, operands| match joined.get(&i) {
        // Nobody reads the others; see above.
        Some(j) => Ok(losses.get(j).map(|loss| vec![*loss])),
        None => {
            let results = out.push(node.op.clone(), operands, node.scope)?;
            losses.insert(i, results[0]);
            Ok(Some(results))
        }
    })
}

/// The nodes that node `j` needs, itself included.
fn needs(graph: &Graph, j: usize) -> BTreeSet<usize> {
    let (mut open, mut needed) = (vec![j], BTreeSet::new());
    while let Some(n) = open.pop() {
        if needed.insert(n) {
            open.extend(graph.nodes()[n].operands.iter().map(|v| graph.node_of(*v)));
        }
    }
    needed
}

/// Whether of the results of node `i` only the first is read.
fn gives_losses_alone(graph: &Graph, i: usize) -> bool {
    let others: Vec<_> = graph.nodes()[i].results().skip(1).collect();
    let read = graph.nodes().iter().flat_map(|n| &n.operands).chain(&graph.results);
    !read.into_iter().any(|v| others.contains(v))
}
