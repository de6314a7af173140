//! The verifier: run after trace, autodiff and every pass in debug builds.

use crate::error::{Error, ErrorKind, Result};
use crate::ir::graph::Graph;

/// Checks that operands come before their use, that every type is what the op's shape rule says, and that results exist.
pub fn verify(graph: &Graph) -> Result<()> {
    let bad = |what: String| Err(Error::new(ErrorKind::Internal, format!("invalid graph: {what}")));
    for (i, node) in graph.nodes().iter().enumerate() {
        let first = node.result_range().start;
        if let Some(v) = node.operands.iter().find(|v| v.index() >= first) {
            return bad(format!("node {i} ({}) uses %{} before it exists", node.op.name(), v.0));
        }
        let types = node.op.infer(&graph.types(&node.operands))?;
        let have: Vec<_> = node.results().map(|v| graph.ty(v).clone()).collect();
        if types != have {
            return bad(format!("node {i} ({}): its rule says {types:?}, the graph says {have:?}", node.op.name()));
        }
    }
    match graph.results.iter().find(|v| v.index() >= graph.num_values()) {
        Some(v) => bad(format!("result %{} does not exist", v.0)),
        None => Ok(()),
    }
}
