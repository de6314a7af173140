//! Drops what no result needs. Parameters stay: they are the signature.

use crate::error::Result;
use crate::ir::graph::Graph;
use crate::ir::op::Op;

pub(super) fn prune(graph: &Graph) -> Result<Graph> {
    let mut needed = vec![false; graph.num_values()];
    graph.results.iter().for_each(|v| needed[v.index()] = true);
    for node in graph.nodes().iter().rev() {
        if node.result_range().any(|i| needed[i]) {
            node.operands.iter().for_each(|v| needed[v.index()] = true);
        }
    }
    graph.rebuild(|out, _, node, operands| {
        let keep = matches!(node.op, Op::Parameter(_)) || node.result_range().any(|i| needed[i]);
        if keep { out.push(node.op.clone(), operands, node.scope).map(Some) } else { Ok(None) }
    })
}
