//! A body repeated along an axis, with carried state: recurrent layers.
//!
//! `c_{t+1}, y_t = body(constants, c_t, x_t)`. The gradient is a scan from the other end: the forward scan is extended by what the
//! body's gradient needs of each turn, the backward body is that gradient. Cotangents of constants that are products or sums of one
//! turn (weights, biases) are taken out of the loop: all turns at once, as one large product.

use crate::autodiff::{self, Vjp};
use crate::backend::cpu;
use crate::error::Result;
use crate::ir::attributes::{Attribute, Attributes};
use crate::ir::graph::{Graph, ValueId};
use crate::ir::op::{Cpu, Op, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::{Trace, Var};
use crate::ops::{DotGeneral, Reduce, ReduceKind};
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use std::sync::Arc;

/// A body repeated along the first axis of its slices.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Parameters: constants, carried values, slices. Results: carried values, slices.
    pub body: Arc<Graph>,
    /// How many parameters are the same in every turn.
    pub constants: usize,
    /// How many are carried from turn to turn.
    pub carries: usize,
    /// How many turns.
    pub length: usize,
    /// From the end.
    pub reverse: bool,
}

fn stacked(ty: &Type, length: usize) -> Type {
    Type::new(ty.dtype, std::iter::once(length).chain(ty.shape.iter().copied()).collect::<Vec<_>>())
}

impl OpRule for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let g = &self.body;
        let fixed = self.constants + self.carries;
        let parameters: Vec<&Type> = g.parameters().iter().map(|v| g.ty(*v)).collect();
        let results: Vec<&Type> = g.results.iter().map(|v| g.ty(*v)).collect();
        if parameters.len() != x.len() || fixed > x.len() || results.len() < self.carries {
            return Err(shape_error(
                "scan",
                format!("the body takes {} values, {} were given", parameters.len(), x.len()),
            ));
        }
        for (i, (p, t)) in parameters.iter().zip(x).enumerate() {
            let want = if i < fixed { (*p).clone() } else { stacked(p, self.length) };
            if **t != want {
                return Err(shape_error("scan", format!("operand {i} does not fit the body"))
                    .expected(want)
                    .received(t));
            }
        }
        if (0..self.carries).any(|k| results[k] != parameters[self.constants + k]) {
            return Err(shape_error("scan", "a carried value changes its type in the body"));
        }
        let carried = results[..self.carries].iter().map(|t| (*t).clone());
        Ok(carried.chain(results[self.carries..].iter().map(|t| stacked(t, self.length))).collect())
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        Backward::new(self, cx).build()
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        match cpu::scan(&self.body, self.constants, self.carries, self.length, self.reverse) {
            Ok(scan) => Cpu::Kernel(Box::new(scan)),
            Err(e) => Cpu::Failed(e),
        }
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
            .with("constants", self.constants)
            .with("carries", self.carries)
            .with("length", self.length)
            .with("reverse", self.reverse)
            .with("body", Attribute::Graph((*self.body).clone()))
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "scan" {
            return Ok(None);
        }
        Ok(Some(Scan {
            body: Arc::new(a.graph("body")?.clone()),
            constants: a.size("constants")?,
            carries: a.size("carries")?,
            length: a.size("length")?,
            reverse: a.flag("reverse")?,
        }))
    }

    fn samples() -> Vec<Sample> {
        // h = tanh(x + h·u); y = h·h
        let body = |n: usize| {
            let t = Trace::new();
            let u = t.parameter(Type::new(DType::F32, [n, n]));
            let h = t.parameter(Type::new(DType::F32, [2, n]));
            let x = t.parameter(Type::new(DType::F32, [2, n]));
            let next = (&x + h.dot(&u)).tanh();
            Arc::new(t.finish(&[next.clone(), &next * &next]).expect("valid"))
        };
        let values = |shape: &[usize], seed: usize| {
            let n: usize = shape.iter().product();
            Tensor::new(shape, &(0..n).map(|i| ((i * 13 + seed) % 11) as f32 / 8.0 - 0.6).collect::<Vec<_>>())
                .expect("n values")
        };
        let one = |length: usize, reverse: bool| {
            let op = Scan { body: body(3), constants: 1, carries: 1, length, reverse };
            Sample::new(op, vec![values(&[3, 3], 1), values(&[2, 3], 2), values(&[length, 2, 3], 3)])
        };
        vec![one(4, false), one(3, true), one(1, false)]
    }
}

/// The construction of the gradient.
struct Backward<'a> {
    scan: &'a Scan,
    cx: &'a Vjp<'a>,
    /// The body, then its gradient, in one graph whose first values are the body's.
    joint: Graph,
    /// Values that belong to the body.
    forward: usize,
    /// Parameter (in the joint graph) of each body result's cotangent.
    cotangents: Vec<Option<ValueId>>,
    /// Gradient (in the joint graph) of each body parameter.
    gradients: Vec<Option<ValueId>>,
}

/// Where the backward body finds a value of the joint graph.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The scan's own operand.
    Parameter(usize),
    /// A saved value of each turn.
    Saved(usize),
}

impl<'a> Backward<'a> {
    fn new(scan: &'a Scan, cx: &'a Vjp<'a>) -> Backward<'a> {
        let body = &scan.body;
        let trace = Trace::new();
        let parameters: Vec<Var> = body.parameters().iter().map(|v| trace.parameter(body.ty(*v).clone())).collect();
        let results = trace.inline(body, &parameters);
        let forward = trace.with_graph(Graph::num_values);
        let mut outputs = vec![];
        let mut cotangents = vec![];
        for y in &results {
            let d = y.dtype().is_float().then(|| trace.parameter(y.ty()));
            cotangents.push(d.as_ref().and_then(Var::id));
            outputs.extend(d.map(|d| (y.clone(), d)));
        }
        // A carried value's cotangent is needed in every turn, whoever asks.
        let wanted = |i: usize| (i >= scan.constants && i < scan.constants + scan.carries) || cx.wanted[i];
        let wrt: Vec<usize> =
            (0..parameters.len()).filter(|&i| wanted(i) && parameters[i].dtype().is_float()).collect();
        let vars: Vec<Var> = wrt.iter().map(|&i| parameters[i].clone()).collect();
        let mut gradients = vec![None; parameters.len()];
        for (i, g) in wrt.into_iter().zip(autodiff::cotangents(&outputs, &vars)) {
            gradients[i] = Some(g.unwrap_or_else(|| parameters[i].full_like(0.0)).id()).flatten();
        }
        let joint = trace.with_graph(Clone::clone);
        Backward { scan, cx, joint, forward, cotangents, gradients }
    }

    fn is_carry(&self, i: usize) -> bool {
        i >= self.scan.constants && i < self.scan.constants + self.scan.carries
    }

    /// The values of the body that its gradient reads, as parameters or values to be saved.
    fn needed(&self) -> (Vec<(ValueId, Known)>, Vec<ValueId>) {
        let (mut known, mut saved): (Vec<(ValueId, Known)>, Vec<ValueId>) = (vec![], vec![]);
        let mut need = |v: ValueId| {
            if v.index() >= self.forward || known.iter().any(|(k, _)| *k == v) {
                return;
            }
            let parameter = self.joint.parameters().iter().position(|p| *p == v);
            let constant = matches!(self.joint.op_of(v), Op::Constant(_));
            match parameter {
                Some(i) if !self.is_carry(i) => known.push((v, Known::Parameter(i))),
                // Constants of the body are made again.
                None if constant => {}
                _ => {
                    known.push((v, Known::Saved(saved.len())));
                    saved.push(v);
                }
            }
        };
        for node in self.joint.nodes().iter().filter(|n| n.result_range().start >= self.forward) {
            node.operands.iter().for_each(|&v| need(v));
        }
        self.gradients.iter().flatten().for_each(|&v| need(v));
        (known, saved)
    }

    fn build(self) -> Vec<Option<Var>> {
        let (scan, cx) = (self.scan, self.cx);
        let (known, saved) = self.needed();
        let trace = cx.operands[0].trace().clone();
        // The forward scan again, with the saved values as further results; the passes join it with the first one.
        let mut extended = (*scan.body).clone();
        extended.results.extend(&saved);
        let count = extended.results.len();
        let op = Scan { body: Arc::new(extended), ..scan.clone() };
        let operands: Vec<&Var> = cx.operands.iter().collect();
        let outputs = trace.push_many(op.into(), &operands, cx.operands[0].ty(), count);
        let saved_stacks = &outputs[scan.body.results.len()..];

        let plan: Vec<Constant> = (0..scan.constants).map(|i| self.constant(i)).collect();
        let body = Trace::new();
        let mut inputs = BackwardInputs::default();
        let mut map: Vec<Option<Var>> = vec![None; self.joint.num_values()];
        for (v, k) in &known {
            let ty = self.joint.ty(*v).clone();
            let index = match k {
                Known::Parameter(i) => *i,
                Known::Saved(_) => usize::MAX,
            };
            if index < scan.constants {
                map[v.index()] = Some(body.parameter(ty));
                inputs.constants.push(cx.operands[index].clone());
            }
        }
        // Carried: the cotangents of carried values, then sums of cotangents of constants that stay in the loop.
        let floats: Vec<usize> = (0..scan.carries).filter(|&k| self.cotangents[k].is_some()).collect();
        for &k in &floats {
            let d = self.cotangents[k].expect("filtered");
            map[d.index()] = Some(body.parameter(self.joint.ty(d).clone()));
            inputs.carries.push(cx.dy(k));
        }
        let mut sums: Vec<(usize, Var)> = vec![];
        for (i, c) in plan.iter().enumerate() {
            if matches!(c, Constant::Summed) {
                sums.push((i, body.parameter(cx.operands[i].ty())));
                inputs.carries.push(cx.operands[i].full_like(0.0));
            }
        }
        // Slices: the scan's own, the saved, the cotangents of stacked results.
        for (v, k) in &known {
            let ty = self.joint.ty(*v).clone();
            match *k {
                Known::Parameter(i) if i >= scan.constants => {
                    map[v.index()] = Some(body.parameter(ty));
                    inputs.slices.push(cx.operands[i].clone());
                }
                Known::Saved(s) => {
                    map[v.index()] = Some(body.parameter(ty));
                    inputs.slices.push(saved_stacks[s].clone());
                }
                Known::Parameter(_) => {}
            }
        }
        for (k, d) in self.cotangents.iter().enumerate().skip(scan.carries) {
            if let Some(d) = d {
                map[d.index()] = Some(body.parameter(self.joint.ty(*d).clone()));
                inputs.slices.push(cx.dy(k));
            }
        }
        self.replay(&body, &mut map);
        let get = |v: ValueId| map[v.index()].clone().expect("replayed");
        // Results: next cotangents of carried values, next sums; then slices.
        let mut results: Vec<Var> =
            floats.iter().filter_map(|&k| self.gradients[scan.constants + k]).map(get).collect();
        for (i, sum) in &sums {
            let g = self.gradients[*i].map(get).expect("only wanted constants are summed");
            results.push(sum + g);
        }
        let carries = results.len();
        let first_slice = scan.constants + scan.carries;
        let slices: Vec<usize> = (first_slice..cx.operands.len()).filter(|&i| self.gradients[i].is_some()).collect();
        results.extend(slices.iter().filter_map(|&i| self.gradients[i]).map(get));
        let mut emitted: Vec<ValueId> = vec![];
        for c in &plan {
            for v in c.operands(&self.joint).into_iter().filter(|v| v.index() >= self.forward) {
                let known = slices.iter().any(|&i| self.gradients[i] == Some(v));
                if !known && !emitted.contains(&v) {
                    emitted.push(v);
                    results.push(get(v));
                }
            }
        }
        let graph = match body.finish(&results) {
            Ok(g) => g,
            Err(e) => {
                trace.fail(e);
                return cx.none();
            }
        };
        let op = Scan {
            body: Arc::new(graph),
            constants: inputs.constants.len(),
            carries,
            length: scan.length,
            reverse: !scan.reverse,
        };
        let all: Vec<&Var> = inputs.constants.iter().chain(&inputs.carries).chain(&inputs.slices).collect();
        let back = trace.push_many(op.into(), &all, cx.operands[0].ty(), results.len());
        let stack_of = |v: ValueId| -> Option<Var> {
            if let Some(p) = emitted.iter().position(|e| *e == v) {
                return Some(back[carries + slices.len() + p].clone());
            }
            if let Some(p) = slices.iter().position(|&i| self.gradients[i] == Some(v)) {
                return Some(back[carries + p].clone());
            }
            known.iter().find(|(k, _)| *k == v).map(|(_, k)| match *k {
                Known::Parameter(i) => cx.operands[i].clone(),
                Known::Saved(s) => saved_stacks[s].clone(),
            })
        };
        let mut out = cx.none();
        for (n, &k) in floats.iter().enumerate() {
            out[scan.constants + k] = Some(back[n].clone());
        }
        for (n, (i, _)) in sums.iter().enumerate() {
            out[*i] = Some(back[floats.len() + n].clone());
        }
        for (n, &i) in slices.iter().enumerate() {
            out[i] = Some(back[carries + n].clone());
        }
        for (i, c) in plan.iter().enumerate() {
            if let Constant::Lifted { base, after } = c {
                out[i] = lifted(&self.joint, *base, after, &stack_of);
            }
        }
        out
    }

    /// Copies the gradient part of the joint graph into the backward body.
    fn replay(&self, body: &Trace, map: &mut [Option<Var>]) {
        for node in self.joint.nodes() {
            let range = node.result_range();
            let constant = matches!(node.op, Op::Constant(_));
            if matches!(node.op, Op::Parameter(_)) || (range.start < self.forward && !constant) {
                continue;
            }
            let operands: Option<Vec<Var>> = node.operands.iter().map(|v| map[v.index()].clone()).collect();
            let Some(operands) = operands else { continue };
            let refs: Vec<&Var> = operands.iter().collect();
            let ty = self.joint.ty(ValueId(range.start as u32)).clone();
            for (i, v) in range.clone().zip(body.push_many(node.op.clone(), &refs, ty, range.len())) {
                map[i] = Some(v);
            }
        }
    }

    /// How the cotangent of constant `i` is found.
    fn constant(&self, i: usize) -> Constant {
        let Some(mut v) = self.gradients[i].filter(|_| self.cx.wanted[i]) else { return Constant::Unwanted };
        let mut after = vec![];
        loop {
            let node = &self.joint.nodes()[self.joint.node_of(v)];
            if v.index() < self.forward {
                return Constant::Summed;
            }
            match &node.op {
                Op::Transpose(_) | Op::Reshape(_) => {
                    after.push(node.op.clone());
                    v = node.operands[0];
                }
                Op::DotGeneral(d) if d.lhs_batch.is_empty() => {
                    // A constant of the loop among the factors has no stack.
                    let fixed = |o: &ValueId| {
                        self.joint.parameters().iter().position(|p| p == o).is_some_and(|p| p < self.scan.constants)
                    };
                    let literal =
                        |o: &ValueId| o.index() < self.forward && matches!(self.joint.op_of(*o), Op::Constant(_));
                    if node.operands.iter().any(|o| fixed(o) || literal(o)) {
                        return Constant::Summed;
                    }
                    after.reverse();
                    return Constant::Lifted { base: v, after };
                }
                Op::Reduce(r) if r.kind == ReduceKind::Sum && node.operands[0].index() >= self.forward => {
                    after.reverse();
                    return Constant::Lifted { base: v, after };
                }
                _ => return Constant::Summed,
            }
        }
    }
}

#[derive(Default)]
struct BackwardInputs {
    constants: Vec<Var>,
    carries: Vec<Var>,
    slices: Vec<Var>,
}

enum Constant {
    /// Nobody asks for it.
    Unwanted,
    /// Added up turn by turn.
    Summed,
    /// A product or sum over all turns at once, then these shape changes. The values are the node's operands.
    Lifted { base: ValueId, after: Vec<Op> },
}

impl Constant {
    /// The values whose stacks the lifted op reads.
    fn operands(&self, joint: &Graph) -> Vec<ValueId> {
        match self {
            Constant::Lifted { base, .. } => joint.nodes()[joint.node_of(*base)].operands.clone(),
            _ => vec![],
        }
    }
}

/// Σ over turns of a product or sum, as one op on stacks.
fn lifted(joint: &Graph, base: ValueId, after: &[Op], stack_of: &dyn Fn(ValueId) -> Option<Var>) -> Option<Var> {
    let node = &joint.nodes()[joint.node_of(base)];
    let stacks: Vec<Var> = node.operands.iter().map(|&o| stack_of(o)).collect::<Option<_>>()?;
    let shifted = |axes: &[usize]| std::iter::once(0).chain(axes.iter().map(|a| a + 1)).collect::<Vec<_>>();
    let mut y = match &node.op {
        Op::DotGeneral(DotGeneral { lhs_contract, rhs_contract, .. }) => {
            stacks[0].dot_general(&stacks[1], (&[], &[]), (&shifted(lhs_contract), &shifted(rhs_contract)))
        }
        Op::Reduce(Reduce { axes, .. }) => stacks[0].reduce_sum(&shifted(axes)),
        _ => return None,
    };
    for op in after {
        y = y.apply(op.clone(), &[]);
    }
    Some(y)
}

impl Trace {
    /// `length` turns of `body(constants, carried, slices) -> (carried, slices)`: returns last carried values and stacked slices.
    #[track_caller]
    pub fn scan(
        &self,
        constants: &[Var],
        carries: &[Var],
        slices: &[Var],
        length: usize,
        reverse: bool,
        body: impl FnOnce(&[Var], &[Var], &[Var]) -> (Vec<Var>, Vec<Var>),
    ) -> (Vec<Var>, Vec<Var>) {
        let t = Trace::new();
        let of = |v: &Var, slice: bool| {
            let ty = v.ty();
            let shape = if slice { ty.shape.get(1..).unwrap_or(&[]).to_vec() } else { ty.shape };
            t.parameter(Type::new(ty.dtype, shape))
        };
        let c: Vec<Var> = constants.iter().map(|v| of(v, false)).collect();
        let k: Vec<Var> = carries.iter().map(|v| of(v, false)).collect();
        let x: Vec<Var> = slices.iter().map(|v| of(v, true)).collect();
        let (next, out) = body(&c, &k, &x);
        let results: Vec<Var> = next.iter().chain(&out).cloned().collect();
        let graph = t.finish(&results).unwrap_or_else(|e| {
            self.fail(e);
            Graph::new()
        });
        let op = Scan { body: Arc::new(graph), constants: constants.len(), carries: carries.len(), length, reverse };
        let all: Vec<&Var> = constants.iter().chain(carries).chain(slices).collect();
        let fallback = all.first().map_or_else(|| Type::new(DType::F32, []), |v| v.ty());
        let mut made = self.push_many(op.into(), &all, fallback, results.len());
        let stacks = made.split_off(carries.len());
        (made, stacks)
    }
}
