//! Drops what no result needs. Parameters stay: they are the signature.

use crate::error::Result;
use crate::ir::graph::Graph;
use crate::ir::op::Op;

/// The nodes that a result needs, and the parameters.
pub(crate) fn needed(graph: &Graph) -> Vec<bool> {
    let mut needed: Vec<bool> = graph.nodes().iter().map(|n| matches!(n.op, Op::Parameter(_))).collect();
    graph.results.iter().for_each(|&v| needed[graph.node_of(v)] = true);
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        if needed[i] {
            node.operands.iter().for_each(|&v| needed[graph.node_of(v)] = true);
        }
    }
    needed
}

/// The graph of these nodes.
pub(crate) fn keep(graph: &Graph, nodes: &[bool]) -> Result<Graph> {
    graph.rebuild(|out, i, node, operands| match nodes[i] {
        true => out.push(node.op.clone(), operands, node.scope).map(Some),
        false => Ok(None),
    })
}

pub(super) fn prune(graph: &Graph) -> Result<Graph> {
    keep(graph, &needed(graph))
}
