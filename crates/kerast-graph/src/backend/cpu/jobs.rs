//! From units to jobs: the kernel of each unit with the values that it reads and writes.

use super::units::{Source, Unit, UnitId, Units, source};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::graph::{Graph, ValueId};
use crate::ir::op::{Cpu, Op};
use crate::ir::types::strides;
use crate::ops::{Binary, BinaryKind, Constant};
use crate::tensor::Tensor;
use kerast_kernels::chain::Chain;
use kerast_kernels::machine::{Kernel, Packing};
use kerast_kernels::map::{Access, MapBuilder, Reg, Scalar};
use std::collections::{HashMap, HashSet};

/// A kernel and the stored values that it works on.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) kernel: Box<dyn Kernel>,
    pub(super) inputs: Vec<ValueId>,
    pub(super) outputs: Vec<ValueId>,
    pub(super) label: String,
}

/// The jobs of a scheduled partition.
pub(super) fn jobs(graph: &Graph, mut units: Units) -> Vec<Job> {
    let read = read_values(graph, &units);
    (0..units.units.len()).map(|u| job(graph, &mut units, u, &read)).collect()
}

/// Gives kernels what stays the same in the order in which they read it best: constants, for good, and the first `fixed` parameters,
/// if nobody else reads them, as their [`Packing`].
pub(super) fn prepack(graph: &mut Graph, jobs: &mut [Job], fixed: usize) -> Result<Vec<(usize, Packing)>> {
    let mut packings = vec![];
    let fixed: Vec<ValueId> = graph.parameters()[..fixed].to_vec();
    let all: Vec<ValueId> = jobs.iter().flat_map(|j| &j.inputs).chain(&graph.results).copied().collect();
    let read_once = |v: ValueId| all.iter().filter(|r| **r == v).count() == 1;
    for job in jobs {
        for (i, v) in job.inputs.iter_mut().enumerate() {
            if let Op::Constant(Constant(value)) = graph.op_of(*v) {
                if let Some(packing) = job.kernel.prepack(i) {
                    let full = || Error::new(ErrorKind::Internal, "there is no memory for packed weights");
                    let packed = packing.apply(value.buffer()).ok_or_else(full)?;
                    let len = packed.len() / value.dtype().size();
                    let value = Constant(Tensor::from_buffer(value.dtype(), &[len], packed)?);
                    let packed = graph.push(value.into(), &[], 0)?[0];
                    if read_once(*v) {
                        graph.release(*v);
                    }
                    *v = packed;
                }
            } else if let Some(parameter) = fixed.iter().position(|f| f == v)
                && read_once(*v)
                && let Some(packing) = job.kernel.prepack(i)
            {
                packings.push((parameter, packing));
            }
        }
    }
    Ok(packings)
}

/// Which stored values are read by another unit or returned.
fn read_values(graph: &Graph, units: &Units) -> Vec<bool> {
    let mut read = vec![false; graph.num_values()];
    for (u, unit) in units.units.iter().enumerate() {
        for r in &unit.reads {
            read[r.index()] |= units.of_node[graph.node_of(*r)] != Some(u);
        }
    }
    let reduced = units.units.iter().filter_map(|unit| unit.window).map(|w| graph.nodes()[w].operands[0]);
    for v in reduced.chain(graph.results.iter().copied()) {
        read[units.root(graph, v).index()] = true;
    }
    read
}

fn label(graph: &Graph, unit: &Unit) -> String {
    let node = unit.kernel.or(unit.chain.first().copied()).map(|n| &graph.nodes()[n]);
    node.map_or_else(String::new, |n| format!("{} {}", graph.scopes[n.scope as usize], n.op.name()).trim().to_string())
}

fn job(graph: &Graph, units: &mut Units, u: UnitId, read: &[bool]) -> Job {
    let unit = &units.units[u];
    let label = label(graph, unit);
    let raw = unit.kernel.map(|k| ValueId(graph.nodes()[k].result_range().start as u32));
    let mut operands: Vec<ValueId> = vec![];
    if let Some(k) = unit.kernel {
        operands.extend(graph.nodes()[k].operands.iter().map(|&v| units.root(graph, v)));
    }
    let own = operands.len();
    let chain = (!unit.chain.is_empty()).then(|| chain(graph, units, unit, u, read));
    let (kernel, window) = (unit.kernel, unit.window);
    let results = |node: Option<usize>| node.map_or(vec![], |k| graph.nodes()[k].results().collect());
    let mut job = match (kernel.and_then(|k| units.cpu[k].take()), chain) {
        (Some(Cpu::Kernel(done)), None) => Job { kernel: done, inputs: operands, outputs: results(kernel), label },
        (Some(Cpu::Kernel(kernel)), Some(c)) => {
            let mut inputs = vec![];
            for v in &c.inputs {
                inputs.push((Some(*v) != raw).then_some(own + inputs.iter().flatten().count()));
            }
            operands.extend(c.inputs.iter().filter(|v| Some(**v) != raw));
            let kept = raw.and_then(|raw| kept(graph, units, &c, raw));
            let kept = kept.and_then(|v| operands[own..].iter().position(|o| *o == v).map(|i| own + i));
            Job {
                kernel: kernel.fuse(Chain::new(c.builder.finish(), inputs).keeping(kept)),
                inputs: operands,
                outputs: c.outputs,
                label,
            }
        }
        (_, Some(c)) => Job { kernel: Box::new(c.builder.finish()), inputs: c.inputs, outputs: c.outputs, label },
        (_, None) => unreachable!("a unit has a kernel or a chain"),
    };
    if let Some(Some(Cpu::Kernel(kernel))) = window.map(|w| units.cpu[w].take()) {
        let reduction = kernel.as_window().expect("asked before").clone();
        job = Job { kernel: job.kernel.reduce(reduction), outputs: results(window), ..job };
    }
    job
}

/// The stored value that a chain leaves as it is where the raw result is 0: w in `w - raw · rate`.
fn kept(graph: &Graph, units: &Units, chain: &Built, raw: ValueId) -> Option<ValueId> {
    let [output] = chain.outputs[..] else { return None };
    let node = &graph.nodes()[graph.node_of(output)];
    let Op::Binary(Binary(BinaryKind::Subtract | BinaryKind::Add)) = node.op else { return None };
    vanishes(graph, node.operands[1], raw).then(|| units.root(graph, node.operands[0]))
}

/// Whether a value is 0 where `raw` is, by products alone.
fn vanishes(graph: &Graph, v: ValueId, raw: ValueId) -> bool {
    let (mut open, mut seen) = (vec![v], HashSet::new());
    while let Some(v) = open.pop() {
        let node = &graph.nodes()[graph.node_of(v)];
        if v == raw {
            return true;
        }
        if node.op == Op::Binary(Binary(BinaryKind::Multiply)) && seen.insert(v) {
            open.extend(&node.operands);
        }
    }
    false
}

struct Built {
    builder: MapBuilder,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
}

fn chain(graph: &Graph, units: &Units, unit: &Unit, u: UnitId, read: &[bool]) -> Built {
    let mut c = ChainBuilder {
        graph,
        units,
        u,
        built: Built { builder: MapBuilder::new(unit.elements), inputs: vec![], outputs: vec![] },
        regs: HashMap::new(),
        loads: vec![],
    };
    for &n in &unit.chain {
        c.node(n, read);
    }
    c.built
}

struct ChainBuilder<'a> {
    graph: &'a Graph,
    units: &'a Units,
    u: UnitId,
    built: Built,
    regs: HashMap<usize, Reg>,
    loads: Vec<(ValueId, Access, Reg)>,
}

impl ChainBuilder<'_> {
    fn node(&mut self, n: usize, read: &[bool]) {
        let node = &self.graph.nodes()[n];
        let result = ValueId(node.result_range().start as u32);
        let dtype = self.graph.ty(result).dtype;
        let reg = match &self.units.cpu[n] {
            Some(Cpu::Scalar(Scalar::Reduce { kind, axes, shape })) => {
                let x = self.value(node.operands[0]);
                if read[result.index()] {
                    self.built.builder.reduce(x, *kind, shape, axes);
                    self.built.outputs.push(result);
                }
                return;
            }
            Some(Cpu::Scalar(s @ Scalar::RandomBits { .. })) => {
                let key = self.units.root(self.graph, node.operands[0]);
                let key = self.load(key, Access::Whole);
                self.built.builder.op(s, &[key], dtype)
            }
            Some(Cpu::Scalar(s)) => {
                let args: Vec<Reg> = node.operands.iter().map(|&v| self.value(v)).collect();
                self.built.builder.op(s, &args, dtype)
            }
            // A repetition that somebody needs in memory.
            _ => self.value(result),
        };
        self.regs.insert(n, reg);
        if read[result.index()] {
            self.built.builder.store(reg);
            self.built.outputs.push(result);
        }
    }

    /// A value as the chain sees it, element by element.
    fn value(&mut self, v: ValueId) -> Reg {
        let root = self.units.root(self.graph, v);
        let node = self.graph.node_of(root);
        match source(self.graph, &self.units.cpu, v) {
            Source::Chain(n) if self.units.of_node[n] == Some(self.u) => self.regs[&n],
            Source::Chain(_) | Source::Stored => self.load(root, Access::Direct),
            Source::Repeated(inner) => {
                let access = access(self.graph, node);
                self.load(inner, access)
            }
            Source::Free => self.free(root),
        }
    }

    fn free(&mut self, v: ValueId) -> Reg {
        let node = self.graph.node_of(v);
        let inner = match &self.units.cpu[node] {
            Some(Cpu::Broadcast(_)) => self.units.root(self.graph, self.graph.nodes()[node].operands[0]),
            _ => v,
        };
        let ty = self.graph.ty(inner);
        match (self.graph.op_of(inner), &self.units.cpu[self.graph.node_of(inner)]) {
            (Op::Constant(c), _) => {
                let float = c.0.to_f64_vec()[0];
                let int = c.0.cast(kerast_kernels::dtype::DType::I64).as_slice::<i64>().map_or(0, |s| s[0]);
                self.built.builder.constant(ty.dtype, float, int)
            }
            (_, Some(Cpu::Scalar(iota))) => self.built.builder.op(iota, &[], ty.dtype),
            _ => unreachable!("free values are constants and counters"),
        }
    }

    fn load(&mut self, v: ValueId, access: Access) -> Reg {
        if let Some((_, _, reg)) = self.loads.iter().find(|(w, a, _)| *w == v && *a == access) {
            return *reg;
        }
        let reg = self.built.builder.input(self.graph.ty(v).dtype, access.clone());
        self.built.inputs.push(v);
        self.loads.push((v, access, reg));
        reg
    }
}

/// How a `broadcast_in_dim` or `slice` node reads its operand: the simplest access that does.
fn access(graph: &Graph, node: usize) -> Access {
    let node = &graph.nodes()[node];
    let x = graph.ty(node.operands[0]);
    let own = strides(&x.shape);
    let (mut offset, mut axes): (usize, Vec<(usize, usize)>) = (0, vec![]);
    match &node.op {
        Op::BroadcastInDim(_) if x.len() == 1 => return Access::Scalar,
        Op::BroadcastInDim(b) => {
            axes.extend(b.shape.iter().map(|&n| (n, 0)));
            for (i, &d) in b.dims.iter().enumerate() {
                if x.shape[i] != 1 {
                    axes[d].1 = own[i];
                }
            }
        }
        Op::Slice(s) => {
            offset = s.start.iter().zip(&own).map(|(at, stride)| at * stride).sum();
            let lengths = s.start.iter().zip(&s.limit).map(|(from, to)| to - from);
            axes.extend(lengths.zip(own));
        }
        _ => return Access::Direct,
    }
    let mut merged: Vec<(usize, usize)> = vec![];
    for (n, s) in axes.into_iter().filter(|a| a.0 != 1) {
        match merged.last_mut() {
            Some((length, stride)) if *stride == s * n => {
                *length *= n;
                *stride = s;
            }
            _ => merged.push((n, s)),
        }
    }
    match merged[..] {
        _ if offset > 0 => Access::Strided { offset, axes: merged },
        [(_, 1)] => Access::Direct,
        [(_, 0), (period, 1)] => Access::Cyclic { repeat: 1, period },
        [(period, 1), (repeat, 0)] | [(_, 0), (period, 1), (repeat, 0)] => Access::Cyclic { repeat, period },
        _ => Access::Strided { offset, axes: merged },
    }
}
