//! A schedule: units in an order in which everything is made before it is read.

use super::units::{Unit, Units};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::graph::Graph;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Sorts the units; ties go to the unit whose nodes come first in the graph. Empty units are dropped.
pub(super) fn schedule(graph: &Graph, mut all: Units) -> Result<Units> {
    let count = all.units.len();
    let mut waits = vec![0usize; count];
    let mut readers: Vec<Vec<usize>> = vec![vec![]; count];
    for (u, unit) in all.units.iter().enumerate() {
        for &r in &unit.reads {
            if let Some(maker) = all.of_node[graph.node_of(r)].filter(|&m| m != u) {
                waits[u] += 1;
                readers[maker].push(u);
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<(usize, usize)>> =
        (0..count).filter(|&u| waits[u] == 0).map(|u| Reverse((all.units[u].last, u))).collect();
    let mut order = vec![];
    while let Some(Reverse((_, u))) = ready.pop() {
        order.push(u);
        for &r in &readers[u] {
            waits[r] -= 1;
            if waits[r] == 0 {
                ready.push(Reverse((all.units[r].last, r)));
            }
        }
    }
    if order.len() != count {
        return Err(Error::new(ErrorKind::Internal, "fusion made a cycle"));
    }
    let mut place = vec![None; count];
    let mut units = vec![];
    for u in order {
        let unit: Unit = std::mem::take(&mut all.units[u]);
        if unit.kernel.is_some() || !unit.chain.is_empty() {
            place[u] = Some(units.len());
            units.push(unit);
        }
    }
    for o in &mut all.of_node {
        *o = o.and_then(|u| place[u]);
    }
    Ok(Units { units, ..all })
}
