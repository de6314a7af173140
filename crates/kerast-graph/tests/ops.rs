//! The contract of every op, over the samples in the registry: the shape rule agrees with what runs, the text form reads back, the
//! gradient agrees with finite differences, and nothing changes when the op is fused with its neighbours or run on two threads.

use kerast_graph::autodiff;
use kerast_graph::backend::cpu::{compile, evaluate, pool};
use kerast_graph::ir::op::{Op, Sample};
use kerast_graph::ir::text;
use kerast_graph::ir::verify::verify;
use kerast_graph::{DType, Graph, Tensor, Trace, Type, Var};

fn parameters(trace: &Trace, operands: &[Tensor]) -> Vec<Var> {
    operands.iter().map(|t| trace.parameter(Type::new(t.dtype(), t.shape()))).collect()
}

/// The op alone, on parameters; its results in order.
fn traced(sample: &Sample) -> (Trace, Vec<Var>, Vec<Var>) {
    let trace = Trace::new();
    let inputs = parameters(&trace, &sample.operands);
    let types: Vec<Type> = inputs.iter().map(Var::ty).collect();
    let results = sample.op.infer(&types.iter().collect::<Vec<_>>()).expect("samples are valid");
    let refs: Vec<&Var> = inputs.iter().collect();
    let out = trace.push_many(sample.op.clone(), &refs, results[0].clone(), results.len());
    (trace, inputs, out)
}

fn graph(sample: &Sample) -> Graph {
    let (trace, _, out) = traced(sample);
    trace.finish(&out).expect("samples are valid")
}

#[test]
fn every_op_has_a_sample() {
    let all = Op::samples();
    for variant in Op::VARIANTS {
        assert!(*variant == "Parameter" || all.iter().any(|(v, _)| v == variant), "{variant} has no sample");
    }
}

#[test]
fn shape_rules_agree_with_what_runs() {
    for (name, sample) in Op::samples() {
        let g = graph(&sample);
        verify(&g).expect("valid");
        let got = evaluate(&g, &sample.operands).unwrap_or_else(|e| panic!("{name} {:?}: {e}", sample.op));
        for (t, v) in got.iter().zip(&g.results) {
            assert_eq!(Type::new(t.dtype(), t.shape()), *g.ty(*v), "{name}");
        }
    }
}

#[test]
fn text_reads_back() {
    for (name, sample) in Op::samples() {
        let g = graph(&sample);
        let written = g.to_string();
        let read = text::parse(&written).unwrap_or_else(|e| panic!("{name}: {e}\n{written}"));
        assert_eq!(read.to_string(), written, "{name}");
        assert_eq!(read.nodes().len(), g.nodes().len(), "{name}");
    }
}

fn same_bits(a: &Tensor, b: &Tensor) -> bool {
    let (x, y) = (a.to_f64_vec(), b.to_f64_vec());
    a.shape() == b.shape() && x.iter().zip(&y).all(|(p, q)| p == q || (p.is_nan() && q.is_nan()))
}

#[test]
fn threads_do_not_change_a_bit() {
    for (name, sample) in Op::samples() {
        let g = graph(&sample);
        let program = compile(&g, &[]).expect("compiles");
        let results = |threads| {
            let mut run = program.run(pool(threads)).expect("memory");
            sample.operands.iter().enumerate().for_each(|(i, t)| run.set(i, t).expect("fits"));
            run.run();
            (0..g.results.len()).map(|i| run.result(i).expect("result")).collect::<Vec<_>>()
        };
        for (a, b) in results(1).iter().zip(results(2)) {
            assert!(same_bits(a, &b), "{name} {:?}", sample.op);
        }
    }
}

/// Σ of all floating-point results, each multiplied by fixed weights, so that every element counts differently.
fn weighted_sum(trace: &Trace, out: &[Var]) -> Option<Var> {
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

#[test]
fn gradients_agree_with_finite_differences() {
    for (name, sample) in Op::samples() {
        let Some(tolerance) = sample.gradient else { continue };
        let (trace, inputs, out) = traced(&sample);
        let Some(loss) = weighted_sum(&trace, &out) else { continue };
        let wrt: Vec<usize> = (0..inputs.len()).filter(|&i| inputs[i].dtype().is_float()).collect();
        let wrt_vars: Vec<Var> = wrt.iter().map(|&i| inputs[i].clone()).collect();
        let grads = autodiff::grad(&loss, &wrt_vars);
        let g = trace.finish(&grads).unwrap_or_else(|e| panic!("{name}: {e}"));
        verify(&g).expect("valid");
        let got = evaluate(&g, &sample.operands).unwrap_or_else(|e| panic!("{name} {:?}: {e}", sample.op));
        let f = trace.finish(&[loss]).expect("valid");
        for (k, &i) in wrt.iter().enumerate() {
            let x = &sample.operands[i];
            let step = if x.dtype() == DType::F64 { 1e-5 } else { 1e-2 };
            for e in 0..x.len() {
                let at = |delta: f64| {
                    let mut args = sample.operands.clone();
                    let mut v = x.to_f64_vec();
                    v[e] += delta;
                    args[i] = Tensor::new(x.shape(), &v).expect("same shape").cast(x.dtype());
                    evaluate(&f, &args).expect("runs")[0].item().expect("a scalar")
                };
                let want = (at(step) - at(-step)) / (2.0 * step);
                let have = got[k].to_f64_vec()[e];
                assert!(
                    (want - have).abs() <= tolerance * (1.0 + want.abs()),
                    "{name} {:?}: d/dx{i}[{e}] is {have}, finite differences say {want}",
                    sample.op
                );
            }
        }
    }
}
