//! Reverse-mode differentiation as graph building: walk the nodes backwards, ask each op's rule for the cotangents of its operands.

use crate::error::{Error, ErrorKind};
use crate::ir::graph::ValueId;
use crate::ir::op::Op;
use crate::ir::var::{Trace, Var};

/// What a gradient rule sees: operands, results and the cotangents of the results.
#[derive(Debug)]
pub struct Vjp<'a> {
    /// The operands.
    pub operands: &'a [Var],
    /// The results.
    pub results: &'a [Var],
    /// The cotangent of each result; `None`: zero.
    pub cotangents: &'a [Option<Var>],
    /// Which operands' cotangents are wanted; the others may be left out.
    pub wanted: &'a [bool],
}

impl Vjp<'_> {
    /// Operand `i`.
    pub fn x(&self, i: usize) -> &Var {
        &self.operands[i]
    }

    /// The first result.
    pub fn y(&self) -> &Var {
        &self.results[0]
    }

    /// The cotangent of result `i`, zeros where there is none.
    pub fn dy(&self, i: usize) -> Var {
        self.cotangents[i].clone().unwrap_or_else(|| self.results[i].full_like(0.0))
    }

    /// No cotangent for any operand.
    pub fn none(&self) -> Vec<Option<Var>> {
        vec![None; self.operands.len()]
    }

    /// Records as the trace's fault that this gradient does not exist, and why.
    pub fn missing(&self, op: &str, why: &str) -> Vec<Option<Var>> {
        if let Some(x) = self.operands.first() {
            x.trace().fail(Error::new(ErrorKind::Unsupported, format!("{op} has no gradient: {why}")));
        }
        self.none()
    }

    /// `f()` if the cotangent of operand `i` is wanted.
    pub fn want(&self, i: usize, f: impl FnOnce() -> Var) -> Option<Var> {
        self.wanted[i].then(f)
    }
}

/// The gradient of a scalar `loss` with respect to each of `wrt`; zeros where the loss does not depend on one.
///
/// The gradients are ordinary values of the same trace, so they can be differentiated again.
#[track_caller]
pub fn grad(loss: &Var, wrt: &[Var]) -> Vec<Var> {
    if loss.rank() != 0 || !loss.dtype().is_float() {
        let got = format!("{}", loss.ty());
        loss.trace()
            .fail(Error::new(ErrorKind::Shape, "only a floating-point scalar can be differentiated").received(got));
    }
    let seed = loss.full_like(1.0);
    vjp(&[(loss.clone(), seed)], wrt)
}

/// The cotangents of `wrt`, given the cotangents of some values (pairs of value and cotangent); zeros where none arrives.
#[track_caller]
pub fn vjp(outputs: &[(Var, Var)], wrt: &[Var]) -> Vec<Var> {
    let found = cotangents(outputs, wrt);
    found.into_iter().zip(wrt).map(|(g, w)| g.unwrap_or_else(|| w.full_like(0.0))).collect()
}

/// As [`vjp`], with `None` where no cotangent arrives.
pub fn cotangents(outputs: &[(Var, Var)], wrt: &[Var]) -> Vec<Option<Var>> {
    let Some((first, _)) = outputs.first() else { return vec![None; wrt.len()] };
    let trace = first.trace().clone();
    let ids: Option<Vec<ValueId>> = wrt.iter().chain(outputs.iter().map(|(v, _)| v)).map(Var::id).collect();
    let Some(ids) = ids.filter(|_| trace.fault().is_none()) else { return vec![None; wrt.len()] };
    let (wrt_ids, out_ids) = ids.split_at(wrt.len());

    let last = out_ids.iter().map(|v| v.index()).max().unwrap_or(0);
    let mut sum: Vec<Option<Var>> = vec![None; last + 1];
    for (id, (_, seed)) in out_ids.iter().zip(outputs) {
        accumulate(&mut sum[id.index()], seed.clone());
    }
    let depends = dependents(&trace, wrt_ids, last);
    let last_node = trace.with_graph(|g| g.node_of(ValueId(last as u32)));
    for n in (0..=last_node).rev() {
        step(&trace, n, &depends, &mut sum);
    }
    wrt_ids.iter().map(|id| sum.get(id.index()).cloned().flatten()).collect()
}

/// Which values depend on one of `wrt` through floating-point operands.
fn dependents(trace: &Trace, wrt: &[ValueId], last: usize) -> Vec<bool> {
    trace.with_graph(|g| {
        let mut depends = vec![false; last + 1];
        for id in wrt {
            if let Some(d) = depends.get_mut(id.index()) {
                *d = true;
            }
        }
        for node in g.nodes() {
            let any = node.operands.iter().any(|v| depends.get(v.index()).copied().unwrap_or(false));
            for v in node.results() {
                if let Some(d) = depends.get_mut(v.index()) {
                    *d |= any && g.ty(v).dtype.is_float();
                }
            }
        }
        depends
    })
}

fn step(trace: &Trace, n: usize, depends: &[bool], sum: &mut [Option<Var>]) {
    let (op, operands, results, scope) = trace.with_graph(|g| {
        let node = &g.nodes()[n];
        (node.op.clone(), node.operands.clone(), node.result_range(), g.scopes[node.scope as usize].clone())
    });
    let wanted: Vec<bool> = operands.iter().map(|v| depends[v.index()]).collect();
    let end = results.end.min(sum.len());
    let has = (results.start..end).any(|i| sum[i].is_some());
    if !has || !wanted.contains(&true) || matches!(op, Op::Parameter(_)) {
        return;
    }
    let values: Vec<Var> = results.clone().map(|i| trace.var(ValueId(i as u32))).collect();
    let cotangents: Vec<Option<Var>> = results.map(|i| sum.get(i).cloned().flatten()).collect();
    let inputs: Vec<Var> = operands.iter().map(|v| trace.var(*v)).collect();
    let cx = Vjp { operands: &inputs, results: &values, cotangents: &cotangents, wanted: &wanted };
    let found = trace.scoped(&format!("grad:{scope}"), || op.vjp(&cx));
    for ((id, g), want) in operands.iter().zip(found).zip(wanted) {
        if let (Some(g), true) = (g, want) {
            accumulate(&mut sum[id.index()], g);
        }
    }
}

fn accumulate(slot: &mut Option<Var>, g: Var) {
    *slot = Some(match slot.take() {
        Some(before) => before.add(&g),
        None => g,
    });
}
