//! The contract of every op, over the samples in the registry: the shape rule agrees with what runs, the text form reads back, the
//! gradient agrees with finite differences, and nothing changes when the op runs on two threads.

mod common;

use common::{Program, applied, check_gradients, parameters, traced, weighted_sum};
use kerast_graph::autodiff;
use kerast_graph::ir::attributes::Attribute;
use kerast_graph::ir::op::{Op, Sample};
use kerast_graph::ir::text;
use kerast_graph::{DType, Graph, Tensor, Trace, Type, Var};

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
fn shape_rules_agree_with_what_runs_and_threads_do_not_change_a_bit() {
    for (name, sample) in Op::samples() {
        let g = graph(&sample);
        let results = Program::new(&g, 1).call(&sample.operands);
        for (t, v) in results.iter().zip(&g.results) {
            assert_eq!(Type::new(t.dtype(), t.shape()), *g.ty(*v), "{name}");
        }
        for (a, b) in results.iter().zip(Program::new(&g, 2).call(&sample.operands)) {
            assert!(same_bits(a, &b), "{name} {:?}", sample.op);
        }
    }
}

/// Constants are folded, brought into the order in which kernels read them, …: the results stay as they are.
#[test]
fn constants_give_the_bits_that_parameters_give() {
    for (name, sample) in Op::samples().into_iter().filter(|(_, s)| !s.operands.is_empty()) {
        let expected = Program::new(&graph(&sample), 1).call(&sample.operands);
        for first in [0, 1] {
            let trace = Trace::new();
            let mut inputs = parameters(&trace, &sample.operands[..first]);
            inputs.extend(sample.operands[first..].iter().map(|t| trace.constant(t.clone())));
            let g = trace.finish(&applied(&trace, &sample, &inputs)).expect("samples are valid");
            for (a, b) in expected.iter().zip(Program::new(&g, 2).call(&sample.operands[..first])) {
                assert!(same_bits(a, &b), "{name} {:?}", sample.op);
            }
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let mut wrong = vec![];
    for (name, sample) in Op::samples() {
        let Some(tolerance) = sample.gradient else { continue };
        let (trace, inputs, out) = traced(&sample);
        let Some(loss) = weighted_sum(&trace, &out) else { continue };
        let wrt: Vec<usize> = (0..inputs.len()).filter(|&i| inputs[i].dtype().is_float()).collect();
        let wrt_vars: Vec<Var> = wrt.iter().map(|&i| inputs[i].clone()).collect();
        let grads = autodiff::grad(&loss, &wrt_vars);
        let g = trace.finish(&grads).unwrap_or_else(|e| panic!("{name}: {e}"));
        let gradients = Program::new(&g, 1).call(&sample.operands);
        let mut f = Program::new(&trace.finish(&[loss]).expect("valid"), 1);
        let what = format!("{name} {:?}", sample.op);
        wrong.extend(check_gradients(&what, &mut f, &sample.operands, &wrt, &gradients, tolerance, 60));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Shape rules meet graphs from files: whatever the operands, they answer or refuse, and what they accept is small enough to hold.
#[test]
fn shape_rules_refuse_wrong_operands_without_a_panic() {
    let kinds = [Type::new(DType::F32, []), Type::new(DType::I32, [3]), Type::new(DType::Bool, [2, 0])];
    for (name, sample) in Op::samples() {
        let types: Vec<Type> = sample.operands.iter().map(|t| Type::new(t.dtype(), t.shape())).collect();
        let mut lists =
            vec![vec![], types.iter().rev().cloned().collect(), types.iter().chain(&types).cloned().collect()];
        for i in 0..types.len().min(4) {
            lists.push(types[..i].to_vec());
            let mut changed = |ty: Type| {
                let mut list = types.clone();
                list[i] = ty;
                lists.push(list);
            };
            kinds.iter().for_each(|k| changed(k.clone()));
            let (dtype, shape) = (types[i].dtype, &types[i].shape);
            changed(Type::new(dtype, [shape.as_slice(), &[2]].concat()));
            changed(Type::new(dtype, shape.iter().skip(1).copied().collect::<Vec<_>>()));
            changed(Type::new(dtype, shape.iter().map(|n| n + 1).collect::<Vec<_>>()));
            changed(Type::new(dtype, shape.iter().map(|n| n.saturating_sub(1)).collect::<Vec<_>>()));
            changed(Type::new(dtype, vec![0; shape.len()]));
        }
        for list in lists {
            let refs: Vec<&Type> = list.iter().collect();
            let answer = std::panic::catch_unwind(|| sample.op.infer(&refs));
            assert!(answer.is_ok(), "{name} {:?} panics on {list:?}", sample.op);
        }
    }
}

/// The same for attributes: what reads back may be refused by the shape rule, not break it.
#[test]
fn shape_rules_refuse_wrong_attributes_without_a_panic() {
    for (name, sample) in Op::samples() {
        let types: Vec<Type> = sample.operands.iter().map(|t| Type::new(t.dtype(), t.shape())).collect();
        let refs: Vec<&Type> = types.iter().collect();
        let attributes = sample.op.attributes();
        for (i, (_, value)) in attributes.0.iter().enumerate() {
            for wrong in changed(value) {
                let mut list = attributes.clone();
                list.0[i].1 = wrong;
                let answer = std::panic::catch_unwind(|| match Op::parse(sample.op.name(), &list) {
                    Ok(op) => op.infer(&refs).is_ok(),
                    Err(_) => false,
                });
                assert!(answer.is_ok(), "{name} panics on {list:?}");
            }
        }
    }
}

fn changed(value: &Attribute) -> Vec<Attribute> {
    let numbers = [0, -1, 1, 7, 1 << 40, i64::MAX, i64::MIN];
    match value {
        Attribute::Int(_) => numbers.map(Attribute::Int).into(),
        Attribute::Ints(v) => {
            let mut all = vec![Attribute::Ints(vec![]), Attribute::Ints(v.iter().chain(v).copied().collect())];
            for i in 0..v.len().min(8) {
                all.push(Attribute::Ints([&v[..i], &v[i + 1..]].concat()));
                for n in numbers {
                    let mut list = v.clone();
                    list[i] = n;
                    all.push(Attribute::Ints(list));
                }
            }
            all
        }
        _ => vec![Attribute::Int(3), Attribute::Word("x".to_string())],
    }
}
