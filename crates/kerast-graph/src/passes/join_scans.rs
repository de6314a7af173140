//! Joins a scan with a later one that does the same and gives more (what a gradient needs of each turn), so that it runs once.

use crate::error::Result;
use crate::ir::graph::{Graph, ValueId};
use crate::ir::op::Op;
use crate::ops::Scan;
use std::collections::HashMap;

pub(super) fn join_scans(graph: &Graph) -> Result<Graph> {
    let scans: Vec<usize> = (0..graph.nodes().len()).filter(|&i| matches!(graph.nodes()[i].op, Op::Scan(_))).collect();
    let mut stand_in: HashMap<usize, usize> = HashMap::new();
    for (n, &i) in scans.iter().enumerate() {
        if let Some(&j) = scans[n + 1..].iter().rev().find(|&&j| extends(graph, i, j)) {
            stand_in.insert(i, j);
        }
    }
    if stand_in.is_empty() {
        return Ok(graph.clone());
    }
    let mut made: HashMap<usize, Vec<ValueId>> = HashMap::new();
    graph.rebuild(|out, i, node, operands| {
        let j = stand_in.get(&i).copied().unwrap_or(i);
        if let Some(results) = made.get(&j) {
            return Ok(Some(results[..node.result_range().len()].to_vec()));
        }
        let results = out.push(graph.nodes()[j].op.clone(), operands, node.scope)?;
        if j != i || stand_in.values().any(|&v| v == i) {
            made.insert(j, results.clone());
        }
        Ok(Some(results[..node.result_range().len()].to_vec()))
    })
}

/// Whether scan `j` does what scan `i` does, and gives at least as much.
fn extends(graph: &Graph, i: usize, j: usize) -> bool {
    let (a, b) = (&graph.nodes()[i], &graph.nodes()[j]);
    let (Op::Scan(x), Op::Scan(y)) = (&a.op, &b.op) else { return false };
    let same = |x: &Scan, y: &Scan| {
        (x.constants, x.carries, x.length, x.reverse) == (y.constants, y.carries, y.length, y.reverse)
            && y.body.results.len() > x.body.results.len()
            && y.body.results.starts_with(&x.body.results)
            && x.body.nodes() == y.body.nodes()
    };
    a.operands == b.operands && same(x, y)
}
