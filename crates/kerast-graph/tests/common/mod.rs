//! What the contract tests share: graphs of samples, compiled once and run often, and finite differences.

use kerast_graph::backend::cpu::{Run, compile, pool};
use kerast_graph::ir::op::Sample;
use kerast_graph::ir::verify::verify;
use kerast_graph::{DType, Graph, Tensor, Trace, Type, Var};

/// One parameter for each tensor.
pub(crate) fn parameters(trace: &Trace, operands: &[Tensor]) -> Vec<Var> {
    operands.iter().map(|t| trace.parameter(Type::new(t.dtype(), t.shape()))).collect()
}

/// The op alone, on parameters; its results in order.
pub(crate) fn traced(sample: &Sample) -> (Trace, Vec<Var>, Vec<Var>) {
    let trace = Trace::new();
    let inputs = parameters(&trace, &sample.operands);
    let out = applied(&trace, sample, &inputs);
    (trace, inputs, out)
}

/// The results of the op on these values.
pub(crate) fn applied(trace: &Trace, sample: &Sample, inputs: &[Var]) -> Vec<Var> {
    let types: Vec<Type> = inputs.iter().map(Var::ty).collect();
    let results = sample.op.infer(&types.iter().collect::<Vec<_>>()).expect("samples are valid");
    let refs: Vec<&Var> = inputs.iter().collect();
    let fallback = results.first().cloned().unwrap_or(Type::new(DType::F32, []));
    trace.push_many(sample.op.clone(), &refs, fallback, results.len())
}

/// Σ of all floating-point values, each multiplied by fixed weights, so that every element counts differently.
pub(crate) fn weighted_sum(trace: &Trace, out: &[Var]) -> Option<Var> {
    let mut total: Option<Var> = None;
    for y in out.iter().filter(|y| y.dtype().is_float()) {
        let n: usize = y.shape().iter().product();
        let w: Vec<f64> = (0..n).map(|i| 0.5 + ((i * 13) % 7) as f64 * 0.25).collect();
        let w = trace.constant(Tensor::new(y.shape(), &w).expect("n weights").cast(y.dtype()));
        let s = (y * w).sum_all().convert(DType::F64);
        total = Some(total.map_or_else(|| s.clone(), |t| t + &s));
    }
    total
}

/// A graph compiled once.
pub(crate) struct Program {
    run: Run,
    results: usize,
}

impl Program {
    /// Verifies and compiles.
    pub(crate) fn new(graph: &Graph, threads: usize) -> Program {
        verify(graph).expect("valid");
        let run = compile(graph.clone(), &[]).and_then(|e| e.run(pool(threads))).expect("compiles");
        Program { run, results: graph.results.len() }
    }

    /// Runs it.
    pub(crate) fn call(&mut self, arguments: &[Tensor]) -> Vec<Tensor> {
        arguments.iter().enumerate().for_each(|(i, t)| self.run.set(i, t).expect("fits"));
        self.run.run();
        (0..self.results).map(|i| self.run.result(i).expect("result")).collect()
    }
}

/// Compares gradients (tensors, one for each index in `wrt`) with central differences of a scalar program, at `most` elements of each
/// operand at most, spread evenly. Returns what disagrees.
pub(crate) fn check_gradients(
    what: &str,
    f: &mut Program,
    arguments: &[Tensor],
    wrt: &[usize],
    gradients: &[Tensor],
    tolerance: f64,
    most: usize,
) -> Vec<String> {
    let mut wrong = vec![];
    for (gradient, &i) in gradients.iter().zip(wrt) {
        let x = &arguments[i];
        let step = if x.dtype() == DType::F64 { 1e-5 } else { 1e-2 };
        let values = x.to_f64_vec();
        let have = gradient.to_f64_vec();
        for e in (0..x.len()).step_by(x.len().div_ceil(most).max(1)) {
            let mut at = |delta: f64| {
                let mut v = values.clone();
                v[e] += delta;
                let mut moved = arguments.to_vec();
                moved[i] = Tensor::new(x.shape(), &v).expect("same shape").cast(x.dtype());
                f.call(&moved)[0].item().expect("a scalar")
            };
            let want = (at(step) - at(-step)) / (2.0 * step);
            // Written so that NaN disagrees.
            let agrees = (want - have[e]).abs() <= tolerance * (1.0 + want.abs());
            if !agrees {
                wrong.push(format!("{what}: d/dx{i}[{e}] is {}, finite differences say {want}", have[e]));
            }
        }
    }
    wrong
}
