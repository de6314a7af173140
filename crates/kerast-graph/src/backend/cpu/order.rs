//! A schedule: units in an order in which everything is made before it is read.

use super::units::{Unit, Units};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::graph::Graph;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Sorts the units: of those that can run, the one whose turn it is. Empty units are dropped.
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
    let turns = turns(&all.units, &readers);
    let mut ready: BinaryHeap<Reverse<(usize, usize)>> =
        (0..count).filter(|&u| waits[u] == 0).map(|u| Reverse((turns[u], u))).collect();
    let mut order = vec![];
    while let Some(Reverse((_, u))) = ready.pop() {
        order.push(u);
        for &r in &readers[u] {
            waits[r] -= 1;
            if waits[r] == 0 {
                ready.push(Reverse((turns[r], r)));
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

/// When it is each unit's turn: where its kernel stands in the graph, or else the last node of its chain, and before that of whoever reads it.
/// So the gradient of a weight, which the optimizer's step follows in the same unit, is computed while what it reads is in the cache, and not
/// at the end of the step with the optimizer's other nodes.
fn turns(units: &[Unit], readers: &[Vec<usize>]) -> Vec<usize> {
    let mut turns: Vec<usize> = units.iter().map(|u| u.kernel.unwrap_or(u.last)).collect();
    let mut earlier: Vec<usize> = (0..units.len()).collect();
    let mut makers: Vec<Vec<usize>> = vec![vec![]; units.len()];
    readers.iter().enumerate().for_each(|(maker, all)| all.iter().for_each(|&r| makers[r].push(maker)));
    while let Some(u) = earlier.pop() {
        for &m in &makers[u] {
            if turns[m] > turns[u] {
                turns[m] = turns[u];
                earlier.push(m);
            }
        }
    }
    turns
}
