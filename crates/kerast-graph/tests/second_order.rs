//! Gradients of gradients against finite differences of gradients: every op over its samples, and small networks.

mod common;

use common::{Program, check_gradients, parameters, traced, weighted_sum};
use kerast_graph::autodiff;
use kerast_graph::ir::op::Op;
use kerast_graph::ops::{ConvAxes, ConvDim, Convolution, ReduceKind, WindowDim};
use kerast_graph::{DType, Tensor, Trace, Var};

/// Checks the gradient of Σ w · d loss / dx with respect to every floating-point operand.
fn check(what: &str, trace: &Trace, inputs: &[Var], loss: &Var, operands: &[Tensor], tolerance: f64) -> Vec<String> {
    let wrt: Vec<usize> = (0..inputs.len()).filter(|&i| inputs[i].dtype().is_float()).collect();
    let vars: Vec<Var> = wrt.iter().map(|&i| inputs[i].clone()).collect();
    let first = autodiff::grad(loss, &vars);
    let Some(slope) = weighted_sum(trace, &first) else { return vec![] };
    let second = autodiff::grad(&slope, &vars);
    let g = trace.finish(&second).unwrap_or_else(|e| panic!("{what}: {e}"));
    let gradients = Program::new(&g, 1).call(operands);
    let mut f = Program::new(&trace.finish(&[slope]).expect("valid"), 1);
    check_gradients(what, &mut f, operands, &wrt, &gradients, tolerance, 10)
}

#[test]
fn every_op_has_a_second_gradient() {
    let mut wrong = vec![];
    for (name, sample) in Op::samples() {
        let Some(tolerance) = sample.gradient.filter(|_| sample.twice) else { continue };
        let (trace, inputs, out) = traced(&sample);
        // The square makes the first gradient depend on the operands even where the op is linear.
        let squares: Vec<Var> = out.iter().filter(|y| y.dtype().is_float()).map(|y| y * y).collect();
        let Some(loss) = weighted_sum(&trace, &squares) else { continue };
        let what = format!("{name} {:?}", sample.op);
        wrong.extend(check(&what, &trace, &inputs, &loss, &sample.operands, 3.0 * tolerance));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn values(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let v: Vec<f64> = (0..n).map(|i| ((i * 37 + seed * 53 + 11) % 127) as f64 / 63.5 - 1.0).collect();
    Tensor::new(shape, &v).expect("n values")
}

#[test]
fn simple_functions() {
    type Function = fn(&Var) -> Var;
    let functions: [(&str, Function); 3] =
        [("tanh", |x| x.tanh()), ("x³", |x| x * x * x), ("softmax", |x| x.softmax(1).square())];
    for (name, f) in functions {
        let x = values(&[2, 4], 1);
        let trace = Trace::new();
        let inputs = parameters(&trace, std::slice::from_ref(&x));
        let loss = f(&inputs[0]).sum_all();
        assert_eq!(check(name, &trace, &inputs, &loss, &[x], 1e-6), Vec::<String>::new());
    }
}

#[test]
fn third_derivative_of_a_cube_is_constant() {
    let trace = Trace::new();
    let x = trace.parameter(kerast_graph::Type::new(DType::F64, []));
    let mut y = &x * &x * &x;
    for _ in 0..3 {
        y = autodiff::grad(&y, std::slice::from_ref(&x)).swap_remove(0);
    }
    let g = trace.finish(&[y]).expect("valid");
    assert_eq!(Program::new(&g, 1).call(&[Tensor::scalar(0.7f64)])[0].item(), Some(6.0));
}

#[test]
fn softmax_cross_entropy() {
    let operands = [values(&[3, 5], 1), Tensor::new(&[3], &[4i32, 0, 2]).expect("three values")];
    let trace = Trace::new();
    let inputs = parameters(&trace, &operands);
    let truth = inputs[1].one_hot(5, DType::F64);
    let loss = (inputs[0].log_softmax(1) * truth).sum_all().neg();
    assert_eq!(check("cross-entropy", &trace, &inputs, &loss, &operands, 1e-6), Vec::<String>::new());
}

/// Convolution, max pooling, dense, cross-entropy.
#[test]
fn a_small_network() {
    let operands = [values(&[2, 6, 6, 1], 1), values(&[3, 3, 1, 2], 2), values(&[2], 3), values(&[18, 3], 4)];
    let trace = Trace::new();
    let inputs = parameters(&trace, &operands);
    let [x, kernel, bias, dense] = &inputs[..] else { unreachable!("four operands") };
    let how = Convolution {
        lhs: ConvAxes::channels_last(2),
        rhs: ConvAxes::keras_kernel(2),
        out: ConvAxes::channels_last(2),
        dims: vec![ConvDim { padding: (1, 1), ..ConvDim::default() }; 2],
        feature_groups: 1,
        batch_groups: 1,
    };
    let hidden = (x.convolution(kernel, how) + bias).tanh();
    let half = WindowDim { size: 2, stride: 2, ..WindowDim::default() };
    let window = [WindowDim::default(), half, half, WindowDim::default()];
    let pooled = hidden.reduce_window(ReduceKind::Max, &window);
    let scores = pooled.reshape(&[2, 18]).dot(dense);
    let loss = scores.log_softmax(1).slice_axis(1, 1, 2).sum_all().neg();
    assert_eq!(check("network", &trace, &inputs, &loss, &operands, 1e-5), Vec::<String>::new());
}
