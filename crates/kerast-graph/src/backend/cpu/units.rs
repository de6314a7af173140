//! What runs as one: chains of element-wise ops with the reductions that end them, and kernels with the chain that follows them.
//!
//! A node joins the unit of an operand when both walk the same number of elements and nothing outside the unit lies between
//! them. Values that cost nothing to make again (broadcasts, slices, small constants, counters) belong to no unit: every reader makes
//! them for itself.

use crate::error::Result;
use crate::ir::graph::{Graph, Node, ValueId};
use crate::ir::op::{Cpu, Op};
use crate::ir::types::Type;
use kerast_kernels::map::Scalar;

/// The number of a unit.
pub(super) type UnitId = usize;

/// Nodes that run together.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// The kernel's node, if one starts this unit.
    pub(super) kernel: Option<usize>,
    /// Element-wise nodes in graph order, reductions included.
    pub(super) chain: Vec<usize>,
    /// The reduction of windows that ends this unit, if one does.
    pub(super) window: Option<usize>,
    /// Elements that the chain walks.
    pub(super) elements: usize,
    /// Shape and axes of the reductions that end the chain, if any.
    pub(super) reduction: Option<(Vec<usize>, Vec<usize>)>,
    /// Stored values (roots) that the unit reads.
    pub(super) reads: Vec<ValueId>,
    first: usize,
    pub(super) last: usize,
}

/// The partition of a graph.
pub(super) struct Units {
    pub(super) units: Vec<Unit>,
    /// The unit of each node; `None` for nodes that need no work.
    pub(super) of_node: Vec<Option<UnitId>>,
    /// How each node is done; kernels are taken out when they are emitted.
    pub(super) cpu: Vec<Option<Cpu>>,
}

const MAX_CHAIN: usize = 96;
const MAX_READS: usize = 20;
const SEARCH: usize = 400;

pub(super) fn cpu_of(graph: &Graph, node: &Node) -> Cpu {
    let results: Vec<ValueId> = node.results().collect();
    node.op.cpu(&graph.types(&node.operands), &graph.types(&results))
}

/// Partitions the nodes into units. Nodes that are marked in `again` read what others made from memory.
pub(super) fn partition(graph: &Graph, again: &[bool]) -> Result<Units> {
    let n = graph.nodes().len();
    let mut p = Partition {
        graph,
        again,
        units: vec![],
        of_node: vec![None; n],
        cpu: graph.nodes().iter().map(|node| Some(cpu_of(graph, node))).collect(),
    };
    if let Some(Some(Cpu::Failed(e))) = p.cpu.iter().find(|c| matches!(c, Some(Cpu::Failed(_)))) {
        return Err(e.clone());
    }
    for i in 0..n {
        p.add(i);
    }
    for &v in &graph.results {
        let v = root(graph, &p.cpu, v);
        p.store(v);
    }
    p.attach_epilogues();
    Ok(Units { units: p.units, of_node: p.of_node, cpu: p.cpu })
}

struct Partition<'a> {
    graph: &'a Graph,
    again: &'a [bool],
    units: Vec<Unit>,
    of_node: Vec<Option<UnitId>>,
    cpu: Vec<Option<Cpu>>,
}

/// How a chain sees an operand.
pub(super) enum Source {
    /// A value made by an element-wise node, walked element by element.
    Chain(usize),
    /// A stored value, element by element.
    Stored,
    /// This stored value through a repetition.
    Repeated(ValueId),
    /// Made on the spot: constant or counter.
    Free,
}

impl Units {
    /// Follows aliases to the value that is stored.
    pub(super) fn root(&self, graph: &Graph, value: ValueId) -> ValueId {
        root(graph, &self.cpu, value)
    }
}

fn root(graph: &Graph, cpu: &[Option<Cpu>], mut value: ValueId) -> ValueId {
    while let Some(Cpu::Alias) = &cpu[graph.node_of(value)] {
        value = graph.nodes()[graph.node_of(value)].operands[0];
    }
    value
}

/// Elements in a row that make a slice worth reading where it lies.
const RUN: usize = 16;

/// A slice that element-wise readers read out of its operand, long stretch by long stretch.
pub(super) fn is_window(graph: &Graph, node: usize) -> bool {
    let node = &graph.nodes()[node];
    let Op::Slice(s) = &node.op else { return false };
    let shape = &graph.ty(node.operands[0]).shape;
    let mut run = 1;
    for a in (0..shape.len()).rev() {
        run *= s.limit[a] - s.start[a];
        if s.limit[a] - s.start[a] < shape[a] {
            break;
        }
    }
    run >= RUN && s.strides.iter().all(|&n| n == 1)
}

/// A scalar constant, or a counter: cheap to make again.
fn is_free(graph: &Graph, cpu: &[Option<Cpu>], value: ValueId) -> bool {
    match &cpu[graph.node_of(value)] {
        Some(Cpu::Constant(t)) => t.len() == 1,
        Some(Cpu::Scalar(Scalar::Iota { .. })) => true,
        _ => false,
    }
}

pub(super) fn source(graph: &Graph, cpu: &[Option<Cpu>], value: ValueId) -> Source {
    let v = root(graph, cpu, value);
    if is_free(graph, cpu, v) {
        return Source::Free;
    }
    let node = graph.node_of(v);
    match &cpu[node] {
        Some(Cpu::Broadcast(_)) => {
            let inner = root(graph, cpu, graph.nodes()[node].operands[0]);
            match &cpu[graph.node_of(inner)] {
                // A repetition of a repetition was composed by the passes; what is left is stored on its own.
                _ if is_free(graph, cpu, inner) => match &cpu[graph.node_of(inner)] {
                    Some(Cpu::Constant(_)) => Source::Free,
                    _ => Source::Repeated(inner),
                },
                _ => Source::Repeated(inner),
            }
        }
        Some(Cpu::Scalar(Scalar::Reduce { .. })) => Source::Stored,
        Some(Cpu::Scalar(_)) => Source::Chain(node),
        _ if is_window(graph, node) => Source::Repeated(root(graph, cpu, graph.nodes()[node].operands[0])),
        _ => Source::Stored,
    }
}

impl Partition<'_> {
    fn ty(&self, v: ValueId) -> &Type {
        self.graph.ty(v)
    }

    fn source(&self, v: ValueId) -> Source {
        source(self.graph, &self.cpu, v)
    }

    /// The number of elements that a node walks.
    fn walks(&self, i: usize) -> usize {
        match &self.cpu[i] {
            Some(Cpu::Scalar(Scalar::Reduce { shape, .. })) => shape.iter().product(),
            _ => self.ty(ValueId(self.graph.nodes()[i].result_range().start as u32)).len(),
        }
    }

    fn add(&mut self, i: usize) {
        match &self.cpu[i] {
            Some(Cpu::Kernel(_)) if is_window(self.graph, i) => {}
            Some(Cpu::Kernel(_)) => self.add_kernel(i),
            Some(Cpu::Scalar(Scalar::Iota { .. })) => {}
            Some(Cpu::Scalar(Scalar::Reduce { shape, axes, .. })) => {
                let reduction = Some((shape.clone(), axes.clone()));
                self.add_element_wise(i, reduction);
            }
            Some(Cpu::Scalar(_)) => self.add_element_wise(i, None),
            _ => {}
        }
    }

    fn add_kernel(&mut self, i: usize) {
        let node = &self.graph.nodes()[i];
        let reads: Vec<ValueId> = node.operands.iter().map(|&v| root(self.graph, &self.cpu, v)).collect();
        reads.iter().for_each(|&v| self.store(v));
        self.units.push(Unit { kernel: Some(i), reads, first: i, last: i, ..Unit::default() });
        self.of_node[i] = Some(self.units.len() - 1);
    }

    /// Gives a value that is otherwise made on the spot a unit of its own, because somebody needs it in memory.
    fn store(&mut self, v: ValueId) {
        let node = self.graph.node_of(v);
        if self.of_node[node].is_some() {
            return;
        }
        let reads = match &self.cpu[node] {
            Some(Cpu::Broadcast(_)) => {
                let inner = root(self.graph, &self.cpu, self.graph.nodes()[node].operands[0]);
                if !matches!(self.cpu[self.graph.node_of(inner)], Some(Cpu::Constant(_))) {
                    self.store(inner);
                }
                if is_free(self.graph, &self.cpu, inner) && self.of_node[self.graph.node_of(inner)].is_none() {
                    vec![]
                } else {
                    vec![inner]
                }
            }
            Some(Cpu::Scalar(Scalar::Iota { .. })) => vec![],
            Some(Cpu::Kernel(_)) if is_window(self.graph, node) => return self.add_kernel(node),
            _ => return,
        };
        let elements = self.ty(v).len();
        self.units.push(Unit { chain: vec![node], elements, reads, first: node, last: node, ..Unit::default() });
        self.of_node[node] = Some(self.units.len() - 1);
    }

    fn add_element_wise(&mut self, i: usize, reduction: Option<(Vec<usize>, Vec<usize>)>) {
        let elements = self.walks(i);
        let operands = self.graph.nodes()[i].operands.clone();
        // The key of random bits is read whole, not element by element.
        let whole = matches!(&self.cpu[i], Some(Cpu::Scalar(Scalar::RandomBits { .. })));
        let is_again = |node: usize| self.again.get(node) == Some(&true);
        let mut reads: Vec<ValueId> = vec![];
        let mut chained: Vec<(UnitId, ValueId)> = vec![];
        for v in operands {
            match self.source(v) {
                Source::Chain(node) if !whole && (is_again(node) || !is_again(i)) => {
                    let unit = self.of_node[node].expect("element-wise nodes get a unit when they are met");
                    chained.push((unit, root(self.graph, &self.cpu, v)));
                }
                Source::Chain(_) | Source::Stored => reads.push(root(self.graph, &self.cpu, v)),
                Source::Repeated(r) => {
                    self.store(r);
                    reads.push(r);
                }
                Source::Free if whole => {
                    let r = root(self.graph, &self.cpu, v);
                    self.store(r);
                    reads.push(r);
                }
                Source::Free => {}
            }
        }
        let mut candidates: Vec<UnitId> = chained.iter().map(|c| c.0).collect();
        candidates.sort_unstable_by_key(|&u| std::cmp::Reverse((self.units[u].last, u)));
        candidates.dedup();
        let mut home: Option<UnitId> = None;
        for u in candidates {
            match home {
                None => {
                    let others = chained.iter().filter(|c| c.0 != u).map(|c| c.1);
                    let outside: Vec<ValueId> = reads.iter().copied().chain(others).collect();
                    if self.accepts(u, elements, &reduction, &outside) {
                        self.join(u, i, &outside, &reduction);
                        home = Some(u);
                    }
                }
                Some(h) if self.can_merge(h, u) => self.merge(h, u),
                Some(_) => {}
            }
        }
        if home.is_none() {
            reads.extend(chained.iter().map(|c| c.1));
            reads.sort_unstable();
            reads.dedup();
            self.units.push(Unit { chain: vec![i], elements, reduction, reads, first: i, last: i, ..Unit::default() });
            home = Some(self.units.len() - 1);
        }
        self.of_node[i] = home;
    }

    fn accepts(
        &self,
        u: UnitId,
        elements: usize,
        reduction: &Option<(Vec<usize>, Vec<usize>)>,
        reads: &[ValueId],
    ) -> bool {
        let unit = &self.units[u];
        let geometry = match (&unit.reduction, reduction) {
            (Some(a), Some(b)) => same_geometry(a, b),
            (None, Some((shape, axes))) => reducible(shape, axes),
            _ => true,
        };
        unit.elements == elements
            && geometry
            && unit.chain.len() < MAX_CHAIN
            && unit.reads.len() + reads.len() < MAX_READS
            && !self.reaches(reads, u)
    }

    fn can_merge(&self, a: UnitId, b: UnitId) -> bool {
        let (x, y) = (&self.units[a], &self.units[b]);
        let geometry = match (&x.reduction, &y.reduction) {
            (Some(p), Some(q)) => same_geometry(p, q),
            _ => true,
        };
        x.elements == y.elements
            && geometry
            && x.chain.len() + y.chain.len() < MAX_CHAIN
            && x.reads.len() + y.reads.len() < MAX_READS
            && !self.reaches_through(&x.reads, b, a)
            && !self.reaches_through(&y.reads, a, b)
    }

    fn join(&mut self, u: UnitId, i: usize, reads: &[ValueId], reduction: &Option<(Vec<usize>, Vec<usize>)>) {
        let unit = &mut self.units[u];
        unit.chain.push(i);
        unit.last = unit.last.max(i);
        for r in reads {
            if !unit.reads.contains(r) {
                unit.reads.push(*r);
            }
        }
        if unit.reduction.is_none() {
            unit.reduction = reduction.clone();
        }
    }

    fn merge(&mut self, into: UnitId, from: UnitId) {
        let gone = std::mem::take(&mut self.units[from]);
        for &node in &gone.chain {
            self.of_node[node] = Some(into);
        }
        let unit = &mut self.units[into];
        unit.chain.extend(gone.chain);
        unit.chain.sort_unstable();
        unit.first = unit.first.min(gone.first);
        unit.last = unit.last.max(gone.last);
        for r in gone.reads {
            if !unit.reads.contains(&r) {
                unit.reads.push(r);
            }
        }
        unit.reduction = unit.reduction.take().or(gone.reduction);
        // What one half made for the other is no longer read from memory.
        let of_node = &self.of_node;
        let graph = self.graph;
        let cpu = &self.cpu;
        self.units[into].reads.retain(|&r| {
            let node = graph.node_of(r);
            let reduction = matches!(cpu[node], Some(Cpu::Scalar(Scalar::Reduce { .. })));
            of_node[node] != Some(into) || reduction
        });
    }

    fn reaches(&self, reads: &[ValueId], target: UnitId) -> bool {
        self.reaches_through(reads, target, usize::MAX)
    }

    /// Whether one of these stored values depends on unit `target` other than through direct membership in `own`. When the search
    /// grows too long the answer is yes.
    fn reaches_through(&self, reads: &[ValueId], target: UnitId, own: UnitId) -> bool {
        let floor = self.units[target].first;
        let mut stack: Vec<(ValueId, bool)> = reads.iter().map(|&v| (v, true)).collect();
        let mut seen: Vec<UnitId> = vec![];
        let mut budget = SEARCH;
        while let Some((v, direct)) = stack.pop() {
            let node = self.graph.node_of(v);
            match self.of_node[node] {
                Some(u) if u == target => {
                    // A chain value of the target read by the other half is what merging removes; a reduction is not.
                    let chain = !matches!(self.cpu[node], Some(Cpu::Scalar(Scalar::Reduce { .. })));
                    if !(direct && own != usize::MAX && chain) {
                        return true;
                    }
                }
                Some(u) if u == own => {}
                Some(u) if self.units[u].last >= floor && !seen.contains(&u) => {
                    seen.push(u);
                    budget = match budget.checked_sub(1 + self.units[u].reads.len()) {
                        Some(b) => b,
                        None => return true,
                    };
                    stack.extend(self.units[u].reads.iter().map(|&r| (r, false)));
                }
                // Seen, too early to matter, or a parameter or constant.
                _ => {}
            }
        }
        false
    }

    /// Lets kernels that can do so apply the chain that reads their only result, block by block, and reduce the windows of what that makes.
    fn attach_epilogues(&mut self) {
        let mut readers: Vec<Vec<UnitId>> = vec![vec![]; self.graph.num_values()];
        for (u, unit) in self.units.iter().enumerate() {
            for r in &unit.reads {
                readers[r.index()].push(u);
            }
        }
        let mut repeated = vec![false; self.graph.num_values()];
        for (i, node) in self.graph.nodes().iter().enumerate() {
            if matches!(self.cpu[i], Some(Cpu::Broadcast(_))) || is_window(self.graph, i) {
                repeated[root(self.graph, &self.cpu, node.operands[0]).index()] = true;
            }
        }
        for v in &self.graph.results {
            repeated[root(self.graph, &self.cpu, *v).index()] = true;
        }
        for k in 0..self.units.len() {
            let Some(i) = self.units[k].kernel else { continue };
            let accepts = matches!(&self.cpu[i], Some(Cpu::Kernel(kernel)) if kernel.fuses());
            let result = ValueId(self.graph.nodes()[i].result_range().start as u32);
            let [u] = readers[result.index()][..] else { continue };
            let chain = &self.units[u];
            let fits = accepts
                && !repeated[result.index()]
                && chain.kernel.is_none()
                && chain.reduction.is_none()
                && chain.elements == self.ty(result).len()
                && self.units[k].reads.len() + chain.reads.len() < MAX_READS + 8;
            let others: Vec<ValueId> = chain.reads.iter().copied().filter(|&r| r != result).collect();
            if fits && !self.reaches(&others, k) {
                let chain = std::mem::take(&mut self.units[u]);
                for &node in &chain.chain {
                    self.of_node[node] = Some(k);
                }
                let unit = &mut self.units[k];
                unit.elements = chain.elements;
                unit.last = unit.last.max(chain.last);
                for r in others {
                    readers[r.index()].iter_mut().filter(|x| **x == u).for_each(|x| *x = k);
                    if !unit.reads.contains(&r) {
                        unit.reads.push(r);
                    }
                }
                unit.chain = chain.chain;
            }
            self.attach_window(k, i, &readers, &repeated);
        }
    }

    /// Lets unit `k` with kernel `i` reduce the windows of its result, if nobody else reads that.
    fn attach_window(&mut self, k: UnitId, i: usize, readers: &[Vec<UnitId>], repeated: &[bool]) {
        let made = |node: usize| self.graph.nodes()[node].results();
        let chain = &self.units[k].chain;
        let wanted = |v: &ValueId| repeated[v.index()] || readers[v.index()].iter().any(|&u| u != k);
        let results: Vec<ValueId> = match chain.is_empty() {
            true => made(i).collect(),
            false => chain.iter().flat_map(|&n| made(n)).filter(wanted).collect(),
        };
        let [v] = results[..] else { return };
        let [u] = readers[v.index()][..] else { return };
        let (Some(w), false) = (self.units[u].kernel, repeated[v.index()]) else { return };
        let (Some(Cpu::Kernel(kernel)), Some(Cpu::Kernel(window))) = (&self.cpu[i], &self.cpu[w]) else { return };
        if window.as_window().is_some_and(|window| kernel.takes(window)) && self.units[u].chain.is_empty() {
            let last = std::mem::take(&mut self.units[u]).last;
            self.of_node[w] = Some(k);
            let unit = &mut self.units[k];
            unit.window = Some(w);
            unit.last = unit.last.max(last);
        }
    }
}

fn reducible(shape: &[usize], axes: &[usize]) -> bool {
    kerast_kernels::map::MapBuilder::new(0).can_reduce(shape, axes)
}

fn same_geometry(a: &(Vec<usize>, Vec<usize>), b: &(Vec<usize>, Vec<usize>)) -> bool {
    kerast_kernels::map::same_geometry((&a.0, &a.1), (&b.0, &b.1))
}
