//! What is made again rather than stored.
//!
//! A gradient reads much of what its activation computed on the way: of gelu x/2, x/√2 and 1 + erf. Each such value is written, held
//! meanwhile and fetched from memory. Where some follow cheaply from one, or from what is stored anyway, the later chain computes them
//! again: the same operations on the same numbers, so the same bits.

use super::units::{Unit, UnitId, Units, is_window};
use crate::error::Result;
use crate::ir::graph::{Graph, ValueId};
use crate::ir::op::Cpu;
use crate::passes::prune;
use kerast_kernels::map::Scalar;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Elements from which on a value is not found in a cache later.
const LARGE: usize = 64 * 1024;
/// Additions that may be done again for each byte that is not stored.
const WORTH: usize = 2;

/// What one unit makes again: nodes, and the values at which they begin.
#[derive(Default)]
struct Again {
    nodes: HashSet<usize>,
    from: HashSet<ValueId>,
}

/// The graph with nodes of their own for what is made again, and which those are; `None` where that does not pay.
pub(super) fn remake(graph: &Graph, units: &Units) -> Result<Option<(Graph, Vec<bool>)>> {
    let search = Search::new(graph, units);
    let mut plans: HashMap<UnitId, Again> = HashMap::new();
    for (u, unit) in units.units.iter().enumerate() {
        for (maker, values) in search.removable(u, unit) {
            if let Some((nodes, from)) = search.best(maker, &values) {
                let plan = plans.entry(u).or_default();
                plan.nodes.extend(nodes);
                plan.from.extend(from);
            }
        }
    }
    if plans.is_empty() {
        return Ok(None);
    }
    let mut copies = Copies { graph, units, map: vec![None; graph.num_values()], made: HashMap::new(), again: vec![] };
    let better = graph.rebuild(|out, i, node, operands| {
        let mut operands = operands.to_vec();
        if let Some((u, plan)) = units.of_node[i].and_then(|u| Some((u, plans.get(&u)?))) {
            for (new, &old) in operands.iter_mut().zip(&node.operands) {
                *new = copies.value(out, u, plan, old)?;
            }
        }
        let results = out.push(node.op.clone(), &operands, node.scope)?;
        for (old, new) in node.results().zip(&results) {
            copies.map[old.index()] = Some(*new);
        }
        Ok(Some(results))
    })?;
    copies.again.resize(better.nodes().len(), false);
    // What only the replaced values needed goes.
    let needed = prune::needed(&better);
    let again = copies.again.iter().zip(&needed).filter(|(_, needed)| **needed).map(|(again, _)| *again).collect();
    Ok(Some((prune::keep(&better, &needed)?, again)))
}

struct Search<'a> {
    graph: &'a Graph,
    units: &'a Units,
    /// The units that read each stored value.
    readers: Vec<Vec<UnitId>>,
    /// Values that somebody needs in memory as they are: results, and what is read through a repetition.
    needed: Vec<bool>,
}

impl Search<'_> {
    fn new<'a>(graph: &'a Graph, units: &'a Units) -> Search<'a> {
        let mut readers = vec![vec![]; graph.num_values()];
        for (u, unit) in units.units.iter().enumerate() {
            unit.reads.iter().for_each(|r| readers[r.index()].push(u));
        }
        let mut needed = vec![false; graph.num_values()];
        for (i, node) in graph.nodes().iter().enumerate() {
            if matches!(units.cpu[i], Some(Cpu::Broadcast(_))) || is_window(graph, i) {
                needed[units.root(graph, node.operands[0]).index()] = true;
            }
        }
        graph.results.iter().for_each(|&v| needed[units.root(graph, v).index()] = true);
        Search { graph, units, readers, needed }
    }

    fn maker(&self, v: ValueId) -> Option<UnitId> {
        self.units.of_node[self.graph.node_of(v)]
    }

    /// An element-wise value of a chain.
    fn scalar(&self, v: ValueId) -> Option<&Scalar> {
        match &self.units.cpu[self.graph.node_of(v)] {
            Some(Cpu::Scalar(s)) if !matches!(s, Scalar::Reduce { .. } | Scalar::Iota { .. }) => Some(s),
            _ => None,
        }
    }

    /// The large values that a chain reads, and nobody else, by the unit that makes them.
    fn removable(&self, u: UnitId, unit: &Unit) -> BTreeMap<UnitId, Vec<ValueId>> {
        let mut found: BTreeMap<UnitId, Vec<ValueId>> = BTreeMap::new();
        if unit.chain.is_empty() || unit.elements < LARGE {
            return found;
        }
        let operands = unit.kernel.map_or(&[][..], |k| &self.graph.nodes()[k].operands);
        let operands: Vec<ValueId> = operands.iter().map(|&v| self.units.root(self.graph, v)).collect();
        for &v in unit.reads.iter().filter(|v| !operands.contains(v)) {
            let Some(maker) = self.maker(v).filter(|&m| m != u) else { continue };
            let same = self.graph.ty(v).len() == unit.elements && self.units.units[maker].elements == unit.elements;
            if same && self.scalar(v).is_some() && !self.needed[v.index()] && self.readers[v.index()] == [u] {
                found.entry(maker).or_default().push(v);
            }
        }
        found
    }

    /// The nodes of `maker` that give most of these values again, and the value that they begin with, if one is needed.
    fn best(&self, maker: UnitId, values: &[ValueId]) -> Option<(Vec<usize>, Option<ValueId>)> {
        let size = |v: ValueId| self.graph.ty(v).dtype.size();
        let result = |n: &usize| ValueId(self.graph.nodes()[*n].result_range().start as u32);
        let weight =
            |nodes: &[usize]| nodes.iter().filter_map(|n| Some(self.scalar(result(n))?.weight())).sum::<usize>();
        let begins = self.units.units[maker].chain.iter().map(result).filter(|&v| self.scalar(v).is_some()).map(Some);
        let mut best: Option<(usize, Vec<usize>, Option<ValueId>)> = None;
        for from in begins.chain([None]) {
            let (mut nodes, mut saved) = (vec![], 0);
            for &v in values.iter().filter(|v| from != Some(**v)) {
                let before = nodes.len();
                match self.follows(maker, v, from, &mut nodes) {
                    true => saved += size(v),
                    false => nodes.truncate(before),
                }
            }
            let stored = from.is_none_or(|v| self.needed[v.index()] || !self.readers[v.index()].is_empty());
            let gain = saved.saturating_sub(if stored { 0 } else { from.map_or(0, size) });
            let pays = gain >= size_of::<f32>() && weight(&nodes) <= WORTH * gain;
            if pays && best.as_ref().is_none_or(|(g, n, _)| (gain, weight(n)) > (*g, weight(&nodes))) {
                best = Some((gain, nodes, from));
            }
        }
        best.map(|(_, nodes, from)| (nodes, from))
    }

    /// Whether a value follows from `from` and from what is stored anyway; adds the nodes of `maker` on the way to `nodes`.
    fn follows(&self, maker: UnitId, v: ValueId, from: Option<ValueId>, nodes: &mut Vec<usize>) -> bool {
        let v = self.units.root(self.graph, v);
        let node = self.graph.node_of(v);
        if from == Some(v) || nodes.contains(&node) {
            return true;
        }
        let here = self.units.of_node[node] == Some(maker);
        let operands = &self.graph.nodes()[node].operands;
        match &self.units.cpu[node] {
            Some(Cpu::Constant(_) | Cpu::Parameter | Cpu::Scalar(Scalar::Iota { .. } | Scalar::Reduce { .. })) => true,
            Some(Cpu::Broadcast(_)) => {
                let inner = self.units.root(self.graph, operands[0]);
                self.scalar(inner).is_none() || self.maker(inner) != Some(maker)
            }
            Some(Cpu::Kernel(_)) => !here && !is_window(self.graph, node),
            Some(Cpu::Scalar(Scalar::RandomBits { .. })) => false,
            Some(Cpu::Scalar(_)) if here => {
                nodes.push(node);
                operands.iter().all(|&o| self.follows(maker, o, from, nodes))
            }
            Some(Cpu::Scalar(_)) => true,
            _ => false,
        }
    }
}

/// The nodes made again, while the graph is rebuilt.
struct Copies<'a> {
    graph: &'a Graph,
    units: &'a Units,
    /// Where each value of the old graph is in the new one.
    map: Vec<Option<ValueId>>,
    /// Copies that a unit has already.
    made: HashMap<(UnitId, ValueId), ValueId>,
    again: Vec<bool>,
}

impl Copies<'_> {
    /// A value of the old graph as unit `u` sees it in the new one.
    fn value(&mut self, out: &mut Graph, u: UnitId, plan: &Again, v: ValueId) -> Result<ValueId> {
        let n = self.graph.node_of(v);
        let (node, alias) = (&self.graph.nodes()[n], matches!(self.units.cpu[n], Some(Cpu::Alias)));
        let root = self.units.root(self.graph, v);
        let again = plan.nodes.contains(&self.graph.node_of(root)) && !plan.from.contains(&root);
        let kept = self.map[v.index()].filter(|_| !again);
        if let Some(known) = kept.or_else(|| self.made.get(&(u, v)).copied()) {
            return Ok(known);
        }
        let operands = node.operands.iter().map(|&o| self.value(out, u, plan, o)).collect::<Result<Vec<_>>>()?;
        let copy = out.push(node.op.clone(), &operands, node.scope)?[0];
        self.again.resize(out.nodes().len(), false);
        self.again[out.node_of(copy)] = !alias;
        self.made.insert((u, v), copy);
        Ok(copy)
    }
}
