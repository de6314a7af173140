//! `while`: what the sugar builds, and that it says aloud what it cannot do. `scan`: all turns at once are what they are one by one,
//! whether its batch can be cut into parts or not.

use kerast_graph::backend::cpu::{compile, evaluate, pool};
use kerast_graph::{DType, ErrorKind, Tensor, Trace, Type, Var, autodiff};
use std::collections::BTreeMap;

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
        assert_eq!(evaluate(graph.clone(), &[Tensor::scalar(first)]).expect("runs")[0].item(), Some(last));
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

fn values(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let value = |i: usize| ((i * 31 + seed * 17) % 61) as f32 / 40.0 - 0.7;
    Tensor::new(shape, &(0..n).map(value).collect::<Vec<_>>()).expect("n values")
}

const TURNS: usize = 3;

/// What a body makes of constants, carried values and slices: the next carried values, and what is stacked.
type Body = fn(&[Var], &[Var], &[Var]) -> (Vec<Var>, Vec<Var>);

/// All turns of a body.
type Build<'a> = &'a dyn Fn(&Trace, &[Var], &[Var], &[Var]) -> (Vec<Var>, Vec<Var>);

/// Checks that a scan is cut into so many parts and gives what its body gives turn by turn.
fn check(parts: usize, constants: &[&[usize]], carries: &[&[usize]], slices: &[&[usize]], body: Body) {
    let stacked = |s: &&[usize]| [&[TURNS][..], s].concat();
    let shapes = constants.iter().chain(carries).map(|s| s.to_vec()).chain(slices.iter().map(stacked));
    let inputs: Vec<Tensor> = shapes.enumerate().map(|(i, shape)| values(&shape, i)).collect();
    let run = |threads: usize, build: Build<'_>| {
        let trace = Trace::new();
        let p: Vec<Var> = inputs.iter().map(|t| trace.parameter(Type::new(DType::F32, t.shape()))).collect();
        let (c, rest) = p.split_at(constants.len());
        let (h, x) = rest.split_at(carries.len());
        let (last, stacks) = build(&trace, c, h, x);
        let graph = trace.finish(&[last, stacks].concat()).expect("valid");
        let program = compile(graph.clone(), &[]).expect("compiles");
        let cut = format!("parts: {parts},");
        assert!(
            !program.dump().contains("Scan {") || program.dump().contains(&cut),
            "not cut as expected: {}",
            program.dump()
        );
        let mut run = program.run(pool(threads)).expect("memory");
        inputs.iter().enumerate().for_each(|(i, t)| run.set(i, t).expect("fits"));
        run.run();
        (0..graph.results.len()).map(|i| run.result(i).expect("a result")).collect::<Vec<_>>()
    };
    let [at_once, on_two] = [1, 2].map(|threads| run(threads, &|t, c, h, x| t.scan(c, h, x, TURNS, false, body)));
    assert!(at_once.iter().zip(&on_two).all(|(a, b)| a.bytes() == b.bytes()), "threads change bits");
    let turn_by_turn = run(1, &|_, c, h, x| {
        let mut h = h.to_vec();
        let mut made: BTreeMap<usize, Vec<Var>> = BTreeMap::new();
        for turn in 0..TURNS {
            let slice = |v: &Var| v.slice_axis(0, turn, turn + 1).reshape(&v.shape()[1..]);
            let (next, stack) = body(c, &h, &x.iter().map(slice).collect::<Vec<_>>());
            h = next;
            for (k, v) in stack.iter().enumerate() {
                let row: Vec<usize> = [&[1], v.shape()].concat();
                made.entry(k).or_default().push(v.reshape(&row));
            }
        }
        (h, made.into_values().map(|rows| Var::concatenate(&rows.iter().collect::<Vec<_>>(), 0)).collect())
    });
    for (k, (a, b)) in at_once.iter().zip(&turn_by_turn).enumerate() {
        assert_eq!(a.shape(), b.shape(), "result {k}");
        let close = |(x, y): (f64, f64)| (x - y).abs() <= 1e-5 * (1.0 + y.abs());
        assert!(a.to_f64_vec().into_iter().zip(b.to_f64_vec()).all(close), "result {k} differs");
    }
}

#[test]
fn samples_that_do_not_see_each_other() {
    // As many samples as features: what is a matrix and what a batch only its use tells. The second constant is a mask per sample, the
    // last slice a vector for all samples.
    check(4, &[&[48, 96], &[48, 48]], &[&[48, 48], &[48]], &[&[48, 96], &[96]], |c, h, x| {
        let z = &x[0] + (&h[0] * &c[1]).dot(&c[0]) + x[1].broadcast_in_dim(&[48, 96], &[1]);
        let (a, b) = (z.slice_axis(1, 0, 48).tanh(), z.slice_axis(1, 48, 96).logistic());
        let total = a.reduce_sum(&[1]);
        let next = &a * &b + h[1].broadcast_in_dim(&[48, 48], &[0]) * 0.1;
        let wide = Var::concatenate(&[&b, &a], 1);
        (vec![next, &h[1] * 0.5 + total], vec![wide.reshape(&[48, 2, 48]).transpose(&[0, 2, 1]), h[0].clone()])
    });
}

#[test]
fn samples_that_do() {
    // Normalised over the batch.
    check(1, &[&[48, 48]], &[&[32, 48]], &[&[32, 48]], |c, h, x| {
        let z = &x[0] + h[0].dot(&c[0]);
        let mean = z.reduce_sum(&[0]) * (1.0 / 32.0);
        let y = (&z - mean.broadcast_in_dim(&[32, 48], &[1])).tanh();
        (vec![y.clone()], vec![y])
    });
    // A product whose rows are the features.
    check(1, &[&[32, 32]], &[&[32, 32]], &[&[32, 32]], |c, h, x| {
        let y = (&x[0] + c[0].dot(&h[0])).tanh();
        (vec![y.clone()], vec![y])
    });
    // A stack that is the same for all samples.
    check(1, &[&[48, 48], &[7]], &[&[32, 48]], &[&[32, 48]], |c, h, x| {
        (vec![(&x[0] + h[0].dot(&c[0])).tanh()], vec![&c[1] * 2.0])
    });
}
