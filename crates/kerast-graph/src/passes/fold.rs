//! Computes once what depends on constants alone, with the very kernels that would compute it at run time.

use super::prune;
use crate::backend::cpu;
use crate::error::Result;
use crate::ir::graph::{Graph, ValueId};
use crate::ir::op::Op;
use crate::ops::{Constant, Parameter};
use crate::tensor::Tensor;
use std::collections::{HashMap, HashSet};

/// Takes the graph, so that the elements of constants go as soon as nobody needs them: there is never a second copy of all weights.
pub(super) fn fold(mut graph: Graph) -> Result<Graph> {
    let fixed = fixed(&graph);
    let wanted = wanted(&graph, &fixed);
    if wanted.is_empty() {
        return Ok(graph);
    }
    let needed = needed(&graph, &wanted);
    let groups = groups(&graph, &wanted);
    let mut readers = vec![0; graph.num_values()];
    groups.iter().flat_map(|g| &g.constants).for_each(|v| readers[v.index()] += 1);
    for group in &groups {
        for (v, value) in evaluate(&graph, group)? {
            graph.fix(v, value);
        }
        for v in &group.constants {
            readers[v.index()] -= 1;
            if readers[v.index()] == 0 && !needed[v.index()] {
                graph.release(*v);
            }
        }
    }
    prune::prune(&graph)
}

/// What others read of the values that are fixed, repetitions followed to what is repeated: they cost nothing.
fn wanted(graph: &Graph, fixed: &[Option<usize>]) -> Vec<ValueId> {
    let mut wanted: Vec<ValueId> = vec![];
    let mut want = |v: &ValueId| {
        let mut v = *v;
        while let (true, Op::BroadcastInDim(_)) = (fixed[v.index()].is_some(), graph.op_of(v)) {
            v = graph.nodes()[graph.node_of(v)].operands[0];
        }
        if fixed[v.index()].is_some() && !matches!(graph.op_of(v), Op::Constant(_)) {
            wanted.push(v);
        }
    };
    for node in graph.nodes().iter().filter(|n| fixed[n.result_range().start].is_none()) {
        node.operands.iter().for_each(&mut want);
    }
    graph.results.iter().for_each(&mut want);
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// The values that are still read when the wanted ones are known.
fn needed(graph: &Graph, wanted: &[ValueId]) -> Vec<bool> {
    let mut needed = vec![false; graph.num_values()];
    graph.results.iter().for_each(|v| needed[v.index()] = true);
    for node in graph.nodes().iter().rev() {
        let known = node.results().any(|v| wanted.binary_search(&v).is_ok());
        if !known && node.result_range().any(|v| needed[v]) {
            node.operands.iter().for_each(|v| needed[v.index()] = true);
        }
    }
    needed
}

/// Wanted values that are computed together, because they share work.
#[derive(Default)]
struct Group {
    wanted: Vec<ValueId>,
    /// Nodes in order, and the constants among their operands.
    nodes: Vec<usize>,
    constants: Vec<ValueId>,
}

fn groups(graph: &Graph, wanted: &[ValueId]) -> Vec<Group> {
    let mut groups: Vec<Group> = vec![];
    let mut of_node: HashMap<usize, usize> = HashMap::new();
    for &v in wanted {
        let mut own = Group { wanted: vec![v], ..Group::default() };
        let (mut open, mut shared, mut seen) = (vec![v], vec![], HashSet::new());
        while let Some(v) = open.pop() {
            let node = graph.node_of(v);
            if let Op::Constant(_) = graph.op_of(v) {
                own.constants.push(v);
            } else if let Some(&g) = of_node.get(&node) {
                shared.push(g);
            } else if seen.insert(node) {
                own.nodes.push(node);
                open.extend(&graph.nodes()[node].operands);
            }
        }
        // Groups that share a node become one; those that are gone are empty.
        for g in shared {
            let other = std::mem::take(&mut groups[g]);
            own.wanted.extend(other.wanted);
            own.nodes.extend(other.nodes);
            own.constants.extend(other.constants);
        }
        own.nodes.iter().for_each(|&n| _ = of_node.insert(n, groups.len()));
        own.constants.sort_unstable();
        own.constants.dedup();
        groups.push(own);
    }
    groups.retain(|g| !g.wanted.is_empty());
    groups.iter_mut().for_each(|g| g.nodes.sort_unstable());
    groups
}

/// For each value that depends on constants alone, and takes no more memory than the largest of them: its elements in memory.
pub(super) fn fixed(graph: &Graph) -> Vec<Option<usize>> {
    let mut fixed: Vec<Option<usize>> = vec![None; graph.num_values()];
    for node in graph.nodes() {
        let sizes: Option<Vec<usize>> = node.operands.iter().map(|v| fixed[v.index()]).collect();
        let largest = sizes.and_then(|s| s.into_iter().max());
        let len = |v: &ValueId| graph.ty(*v).len();
        let size = match (&node.op, largest, &node.results().collect::<Vec<_>>()[..]) {
            (Op::Constant(_), _, [v]) => Some(len(v)),
            (Op::BroadcastInDim(_), Some(n), _) => Some(n),
            (Op::RandomBits(_) | Op::Scan(_) | Op::While(_), ..) => None,
            (_, Some(n), [v]) => Some(len(v)).filter(|l| *l <= n),
            _ => None,
        };
        node.result_range().for_each(|i| fixed[i] = size);
    }
    fixed
}

/// The wanted values of a group: a program with the constants as parameters.
fn evaluate(graph: &Graph, group: &Group) -> Result<Vec<(ValueId, Tensor)>> {
    let mut part = Graph::new();
    let (mut arguments, mut map) = (vec![], HashMap::new());
    for v in &group.constants {
        let Op::Constant(Constant(value)) = graph.op_of(*v) else { continue };
        let parameter = Parameter { index: arguments.len(), ty: graph.ty(*v).clone() };
        map.insert(*v, part.push(parameter.into(), &[], 0)?[0]);
        arguments.push(value.clone());
    }
    for &n in &group.nodes {
        let node = &graph.nodes()[n];
        let operands: Vec<ValueId> = node.operands.iter().map(|v| map[v]).collect();
        map.extend(node.results().zip(part.push(node.op.clone(), &operands, 0)?));
    }
    part.results = group.wanted.iter().map(|v| map[v]).collect();
    Ok(group.wanted.iter().copied().zip(cpu::evaluate(part, &arguments)?).collect())
}
