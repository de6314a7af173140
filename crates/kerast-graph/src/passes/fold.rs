//! Computes once what depends on constants alone, with the very kernels that would compute it at run time.

use crate::backend::cpu;
use crate::error::Result;
use crate::ir::graph::{Graph, Node, ValueId};
use crate::ir::op::Op;
use crate::ops::Constant;
use crate::tensor::Tensor;

pub(super) fn fold(graph: &Graph) -> Result<Graph> {
    let fixed = fixed(graph);
    // What others read, repetitions followed to what is repeated: they cost nothing.
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
    if wanted.is_empty() {
        return Ok(graph.clone());
    }
    let values = evaluate(graph, &fixed, &wanted)?;
    graph.rebuild(|out, _, node, operands| {
        let known = wanted.iter().position(|v| v.index() == node.result_range().start);
        match known {
            Some(i) => out.push(Constant(values[i].clone()).into(), &[], node.scope).map(Some),
            None => out.push(node.op.clone(), operands, node.scope).map(Some),
        }
    })
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

/// The values of these nodes: a program with the constants as parameters.
fn evaluate(graph: &Graph, fixed: &[Option<usize>], wanted: &[ValueId]) -> Result<Vec<Tensor>> {
    let mut arguments = vec![];
    let mut needed = vec![false; graph.num_values()];
    wanted.iter().for_each(|v| needed[v.index()] = true);
    for node in graph.nodes().iter().rev() {
        if needed[node.result_range().start] {
            node.operands.iter().for_each(|v| needed[v.index()] = true);
        }
    }
    let part = |node: &Node| needed[node.result_range().start] && fixed[node.result_range().start].is_some();
    let mut of = graph.clone();
    of.results = wanted.to_vec();
    let of = of.rebuild(|out, _, node, operands| match &node.op {
        _ if !part(node) => Ok(None),
        Op::Constant(Constant(value)) => {
            arguments.push(value.clone());
            let ty = graph.ty(ValueId(node.result_range().start as u32)).clone();
            out.push(Op::Parameter(crate::ops::Parameter { index: arguments.len() - 1, ty }), &[], node.scope).map(Some)
        }
        op => out.push(op.clone(), operands, node.scope).map(Some),
    })?;
    cpu::evaluate(&of, &arguments)
}
