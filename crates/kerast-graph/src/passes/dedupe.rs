//! Joins nodes that do the same to the same operands.

use crate::error::Result;
use crate::ir::graph::{Graph, ValueId};
use crate::ir::op::Op;
use std::collections::HashMap;

/// Values that are equal as far as op and operands tell: place and operands of each.
type Seen = HashMap<(&'static str, Vec<ValueId>), Vec<(usize, Vec<ValueId>)>>;

pub(super) fn dedupe(graph: &Graph) -> Result<Graph> {
    let mut seen = Seen::new();
    graph.rebuild(|out, i, node, operands| {
        if matches!(node.op, Op::Parameter(_)) {
            return out.push(node.op.clone(), operands, node.scope).map(Some);
        }
        let twins = seen.entry((node.op.name(), operands.to_vec())).or_default();
        if let Some((_, results)) = twins.iter().find(|(j, _)| graph.nodes()[*j].op == node.op) {
            return Ok(Some(results.clone()));
        }
        let results = out.push(node.op.clone(), operands, node.scope)?;
        twins.push((i, results.clone()));
        Ok(Some(results))
    })
}
