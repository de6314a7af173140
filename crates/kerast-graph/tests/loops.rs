//! `while`: what the sugar builds, and that it says aloud what it cannot do.

use kerast_graph::backend::cpu::evaluate;
use kerast_graph::{DType, ErrorKind, Tensor, Trace, Type, Var, autodiff};

/// Doubles x until it passes a limit.
fn doubled(x: &Var) -> Vec<Var> {
    let limit = x.constant_like(100.0);
    Var::while_loop(&[x.clone(), limit], |v| v[0].less(&v[1]), |v| vec![&v[0] * 2.0, v[1].clone()]).expect("valid")
}

#[test]
fn a_loop_runs_until_its_condition_fails() {
    let trace = Trace::new();
    let x = trace.parameter(Type::new(DType::F32, []));
    let graph = trace.finish(&doubled(&x)[..1]).expect("valid");
    for (first, last) in [(3.0f32, 192.0), (150.0, 150.0)] {
        assert_eq!(evaluate(&graph, &[Tensor::scalar(first)]).expect("runs")[0].item(), Some(last));
    }
}

#[test]
fn its_gradient_is_refused_with_a_reason() {
    let trace = Trace::new();
    let x = trace.parameter(Type::new(DType::F32, []));
    let gradient = autodiff::grad(&doubled(&x)[0], &[x]);
    let error = trace.finish(&gradient).expect_err("no gradient");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("while has no gradient"), "{error}");
}

#[test]
fn values_from_outside_must_be_passed_in() {
    let trace = Trace::new();
    let x = trace.parameter(Type::new(DType::F32, []));
    let error =
        Var::while_loop(std::slice::from_ref(&x), |v| v[0].less(&x), |v| v.to_vec()).expect_err("foreign value");
    assert!(error.message().contains("another graph"), "{error}");
}
