//! Values that JAX's `lax` gives for the same operands, and orders that NumPy defines.

use kerast_graph::backend::cpu::{Donation, compile, evaluate, pool};
use kerast_graph::ops::{
    Combine, ConvAxes, ConvDim, Convolution, GatherDims, ReduceKind, ScatterDims, SegmentSum, Sort, WindowDim,
};
use kerast_graph::{DType, Tensor, Trace, Type, Var};

/// The operands that the values were made from.
fn floats(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let v: Vec<f32> = (0..n).map(|i| ((i * 37 + seed * 53 + 11) % 127) as f32 / 31.75 - 2.0).collect();
    Tensor::new(shape, &v).expect("n values")
}

fn run(operands: &[Tensor], f: impl FnOnce(&[Var]) -> Var) -> Tensor {
    let trace = Trace::new();
    let inputs: Vec<Var> = operands.iter().map(|t| trace.parameter(Type::new(t.dtype(), t.shape()))).collect();
    let graph = trace.finish(&[f(&inputs)]).expect("valid");
    evaluate(graph.clone(), operands).expect("runs").swap_remove(0)
}

#[track_caller]
fn check(got: &Tensor, shape: &[usize], want: &[f64]) {
    assert_eq!(got.shape(), shape);
    let values = got.to_f64_vec();
    let near = values.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-3);
    assert!(near && values.len() == want.len(), "{values:?} instead of {want:?}");
}

#[test]
fn convolutions() {
    let how = |dim: ConvDim, data: ConvAxes| Convolution {
        lhs: data.clone(),
        rhs: ConvAxes::keras_kernel(1),
        out: data,
        dims: vec![dim],
        feature_groups: 1,
        batch_groups: 1,
    };
    let everything = ConvDim { stride: 2, padding: (3, 1), lhs_dilation: 3, rhs_dilation: 2, reversed: true };
    let got = run(&[floats(&[2, 4, 1], 1), floats(&[3, 1, 2], 2)], |v| {
        v[0].convolution(&v[1], how(everything, ConvAxes::channels_last(1)))
    });
    let want = [
        0.0, 0.0, 1.9902, -1.3578, 0.0186, 1.395, -1.953, -0.5766, -0.8226, 0.5612, 0.0, 0.0, 3.1047, -2.1182, 0.029,
        2.1762, -3.0467, -0.8995, 0.2919, -0.1991,
    ];
    check(&got, &[2, 5, 2], &want);

    let mixed = ConvDim { padding: (1, 0), rhs_dilation: 2, reversed: true, ..ConvDim::default() };
    let got = run(&[floats(&[1, 4, 5], 1), floats(&[2, 2, 4], 2)], |v| {
        let how = how(mixed, ConvAxes::channels_first(1));
        v[0].convolution(&v[1], Convolution { feature_groups: 2, ..how })
    });
    let want = [
        3.6307, -3.6977, -3.8797, 5.1981, -0.8735, 3.3569, -0.7157, -0.19, -0.8933, -3.5836, 4.4531, -3.5732, -1.4806,
        -3.4353, 0.7108, 0.1324,
    ];
    check(&got, &[1, 4, 4], &want);

    let strided = ConvDim { stride: 2, padding: (1, 0), ..ConvDim::default() };
    let got = run(&[floats(&[3, 2, 5], 1), floats(&[2, 2, 3], 2)], |v| {
        let how = how(strided, ConvAxes::channels_first(1));
        v[0].convolution(&v[1], Convolution { batch_groups: 3, ..how })
    });
    let want = [0.3298, -0.2713, 0.9578, 1.3933, -2.663, -2.538, -1.0481, -0.0327, -3.0276];
    check(&got, &[1, 3, 3], &want);
}

/// Convolutions that reduce the windows of their results themselves give what they give with the result in memory, which is there where
/// somebody wants to have it; so do the gradients.
#[test]
fn windows_behind_convolutions() {
    let window = |size: usize, stride: usize, padding| WindowDim { size, stride, padding, ..WindowDim::default() };
    let (pair, unit) = (window(2, 2, (0, 0)), WindowDim::default());
    let cases = [
        (true, vec![3, 28, 28, 1], vec![5, 5, 1, 20], 0, vec![unit, pair, pair, unit]),
        (true, vec![5, 14, 13, 20], vec![5, 5, 20, 50], 0, vec![unit, pair, pair, unit]),
        (true, vec![4, 15, 17, 32], vec![3, 3, 32, 24], 1, vec![unit, pair, pair, unit]),
        (true, vec![1, 33, 32, 16], vec![3, 3, 16, 132], 1, vec![unit, pair, window(3, 1, (1, 1)), unit]),
        (true, vec![2, 20, 20, 3], vec![3, 3, 3, 6], 1, vec![unit, pair, pair, unit]),
        (true, vec![2, 20, 21, 3], vec![3, 3, 3, 17], 1, vec![unit, window(3, 4, (0, 0)), window(2, 3, (0, 1)), unit]),
        (false, vec![2, 20, 21, 3], vec![3, 3, 3, 17], 1, vec![unit, window(3, 2, (0, 0)), window(3, 2, (0, 0)), unit]),
        (true, vec![2, 20, 21, 3], vec![3, 3, 3, 17], 1, vec![unit, window(20, 20, (0, 0)), pair, unit]),
        (true, vec![6, 50, 4], vec![3, 4, 19], 0, vec![unit, pair, unit]),
        (true, vec![2, 6, 7, 40, 3], vec![2, 2, 2, 3, 9], 0, vec![unit, unit, pair, pair, unit]),
        (false, vec![2, 6, 7, 40, 3], vec![2, 2, 2, 3, 9], 0, vec![unit, pair, pair, pair, unit]),
    ];
    for (alone, x, w, pad, windows) in cases {
        let (features, rank) = (w[w.len() - 1], w.len() - 2);
        let operands = [floats(&x, 1), floats(&w, 2), floats(&[features], 3)];
        for (kind, rectify) in [(ReduceKind::Max, true), (ReduceKind::Max, false), (ReduceKind::Sum, false)] {
            let all = |kept: bool, threads: usize| {
                let trace = Trace::new();
                let v: Vec<Var> = operands.iter().map(|t| trace.parameter(Type::new(t.dtype(), t.shape()))).collect();
                let dims = vec![ConvDim { padding: (pad, pad), ..ConvDim::default() }; rank];
                let how = Convolution { dims, ..Convolution::channels_last(rank) };
                let raw = v[0].convolution(&v[1], how);
                let biased = &raw + &v[2].broadcast_in_dim(raw.shape(), &[rank + 1]);
                let zeros = raw.full_like(0.0);
                let y = if rectify { biased.less_equal(&zeros).select(&zeros, &biased) } else { biased };
                let z = y.reduce_window(kind, &windows);
                let loss = (&z * &z).reduce_sum(&(0..rank + 2).collect::<Vec<_>>());
                let mut results = vec![z];
                results.extend(kerast_graph::autodiff::grad(&loss, &v));
                results.extend(kept.then_some(y));
                let graph = trace.finish(&results).expect("valid");
                let program = compile(graph.clone(), &[]).expect("compiles");
                // The gradient of sums is made of sums of windows too.
                let others = usize::from(kind == ReduceKind::Sum);
                let count = program.dump().matches(" = Window").count();
                assert_eq!(count, others + usize::from(kept || !alone), "{x:?} {w:?} {windows:?}");
                let mut run = program.run(pool(threads)).expect("fits");
                for (i, t) in operands.iter().enumerate() {
                    run.set(i, t).expect("fits");
                }
                run.run();
                (0..4).map(|i| run.result(i).expect("ran").to_f64_vec()).collect::<Vec<_>>()
            };
            let want = all(true, 1);
            for threads in [1, 2, 3] {
                assert_eq!(all(false, threads), want, "{x:?} {w:?} {windows:?} {kind:?} {rectify}, {threads} threads");
            }
        }
    }
}

#[test]
fn windows() {
    let dim = |size, stride, padding, base_dilation, window_dilation| WindowDim {
        size,
        stride,
        base_dilation,
        window_dilation,
        padding,
    };
    let x = [floats(&[4, 5], 3)];
    let largest = [dim(2, 2, (1, 0), 1, 2), dim(3, 2, (0, 1), 2, 1)];
    let want = [1.1811, -0.4882, 0.6772, 1.8425, 1.1811, -0.4882, 0.6772, 1.8425];
    check(&run(&x, |v| v[0].reduce_window(ReduceKind::Max, &largest)), &[2, 4], &want);
    let sum = [dim(2, 1, (0, 1), 1, 1), dim(2, 3, (1, 0), 1, 2)];
    let want = [-1.1339, 3.0551, -1.4803, 2.3622, -1.8268, 1.6693, -2.0, 0.6614];
    check(&run(&x, |v| v[0].reduce_window(ReduceKind::Sum, &sum)), &[4, 2], &want);
}

#[test]
fn gathers_and_scatters() {
    let dims = GatherDims {
        offset_dims: vec![2],
        collapsed_slice_dims: vec![2],
        operand_batching_dims: vec![1],
        start_indices_batching_dims: vec![0],
        start_index_map: vec![2],
        index_vector_dim: 2,
    };
    let places = Tensor::new(&[3, 2], &[0i32, 3, 1, 1, 2, 9]).expect("six places");
    let got = run(&[floats(&[2, 3, 4], 2), places], |v| v[0].gather(&v[1], dims, &[2, 1, 1]));
    let want = [1.685, -0.3307, 1.1811, -0.8346, -0.4882, 1.4961, -0.4882, 1.4961, 1.3386, -0.6772, -1.4961, 0.4882];
    check(&got, &[3, 2, 2], &want);

    let dims = ScatterDims {
        update_window_dims: vec![0, 2],
        inserted_window_dims: vec![],
        input_batching_dims: vec![],
        scatter_indices_batching_dims: vec![],
        scatter_dims_to_operand_dims: vec![1, 0],
        index_vector_dim: 0,
    };
    // The third window lies outside and is left out.
    let places = Tensor::new(&[2, 3], &[0i32, 1, 5, 2, 1, 0]).expect("six places");
    let got =
        run(&[floats(&[4, 3], 1), places, floats(&[2, 3, 2], 6)], |v| v[0].scatter(&v[1], &v[2], dims, Combine::Add));
    let want = [0.0157, 1.1811, -1.6535, -0.4882, -0.6299, 1.7008, -0.6299, 3.3858, 0.189, -2.1417, 0.189, 0.8346];
    check(&got, &[4, 3], &want);
}

#[test]
fn sugar_for_indices() {
    let x = Tensor::new(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).expect("six values");
    let at = |shape: &[usize], v: &[i32]| Tensor::new(shape, v).expect("as many places");
    check(&run(&[x.clone(), at(&[2], &[2, 0])], |v| v[0].take(&v[1], 1)), &[2, 2], &[3.0, 1.0, 6.0, 4.0]);
    check(&run(&[x.clone(), at(&[1, 2], &[1, 7])], |v| v[0].rows(&v[1])), &[1, 2, 3], &[4.0, 5.0, 6.0, 4.0, 5.0, 6.0]);
    let picked = run(&[x.clone(), at(&[2, 2], &[0, 2, 1, 1])], |v| v[0].take_along_axis(&v[1], 1));
    check(&picked, &[2, 2], &[1.0, 3.0, 5.0, 5.0]);
    // The other axes broadcast.
    let picked = run(&[x.clone(), at(&[1, 1], &[2])], |v| v[0].take_along_axis(&v[1], 1));
    check(&picked, &[2, 1], &[3.0, 6.0]);
    let written = run(&[x, at(&[2, 1], &[2, 0]), Tensor::new(&[2, 1], &[8.0f32, 9.0]).expect("two values")], |v| {
        v[0].scatter_along_axis(&v[1], &v[2], 1, Combine::Set)
    });
    check(&written, &[2, 3], &[1.0, 2.0, 8.0, 9.0, 5.0, 6.0]);
}

#[test]
fn order_is_stable_and_puts_nan_last() {
    let x = Tensor::new(&[6], &[2.0f32, f32::NAN, -1.0, 2.0, -0.0, 0.0]).expect("six values");
    let places = |descending| run(std::slice::from_ref(&x), |v| v[0].arg_sort(0, descending));
    assert_eq!(places(false).to_f64_vec(), [2.0, 4.0, 5.0, 0.0, 3.0, 1.0]);
    assert_eq!(places(true).to_f64_vec(), [0.0, 3.0, 4.0, 5.0, 2.0, 1.0]);
    let tied = Tensor::new(&[6], &[2.0f32, 1.0, 5.0, 2.0, 5.0, 5.0]).expect("six values");
    assert_eq!(run(&[tied], |v| v[0].top_k(4).1).to_f64_vec(), [2.0, 4.0, 5.0, 0.0]);
    let numbers = Tensor::new(&[3], &[3i32, 1, 2]).expect("three values");
    let op = Sort { axis: 0, descending: false };
    assert_eq!(run(&[numbers], |v| v[0].apply(op, &[])).cast(DType::I32).to_f64_vec(), [1.0, 2.0, 3.0]);
}

#[test]
fn running_reductions() {
    let x = [floats(&[2, 3], 1)];
    let products = run(&x, |v| v[0].reverse(&[1]).cumulative_product(1).reverse(&[1]));
    check(&products, &[2, 3], &[-0.0308, -1.953, -1.6535, -0.6091, 1.2477, 1.8425]);
    let operands = [floats(&[2, 5], 1), floats(&[2, 5], 2)];
    let slope = run(&operands, |v| {
        let loss = (v[0].cumulative_max(1) * &v[1]).sum_all();
        kerast_graph::autodiff::grad(&loss, &v[..1]).swap_remove(0)
    });
    check(&slope, &[2, 5], &[1.685, -1.6063, 0.0, 0.0, 0.0, 1.2126, 0.0, 0.0, 0.0, 0.0]);
}

/// `w - rate · Σ rows`, in place and beside w: the same bits, whether what is left alone is passed over or not.
#[test]
fn rows_of_a_table_are_updated_in_place() {
    let (segments, width) = (700, 24);
    let ids: Vec<i32> = (0..50).map(|i| (i * i * 31) % 720 - 9).collect();
    let operands = [floats(&[segments, width], 1), floats(&[50, width], 2), Tensor::new(&[50], &ids).expect("50 ids")];
    let updates: [fn(&Var, &Var) -> Var; 3] =
        [|w, sum| w - sum * 0.25, |w, sum| w + sum * -0.5 * 0.5, |w, sum| w * 0.5 - sum * 0.25];
    for update in updates {
        let trace = Trace::new();
        let p: Vec<Var> = operands.iter().map(|t| trace.parameter(Type::new(t.dtype(), t.shape()))).collect();
        let sum = p[1].apply(SegmentSum { segments }, &[&p[2]]);
        let graph = trace.finish(&[update(&p[0], &sum)]).expect("valid");
        let beside = evaluate(graph.clone(), &operands).expect("runs").swap_remove(0);
        for threads in [1, 2] {
            let program = compile(graph.clone(), &[Donation { parameter: 0, result: 0 }]).expect("compiles");
            let mut run = program.run(pool(threads)).expect("memory");
            run.put(0, operands[0].clone()).expect("fits");
            (1..3).for_each(|i| run.set(i, &operands[i]).expect("fits"));
            run.run();
            assert_eq!(run.take(0).expect("the table").bytes(), beside.bytes());
        }
    }
}

/// The gradient of `gelu(x w)`: of what it reads of the forward pass, one value is stored, and from a certain size on the others are
/// made again; the halves are too small for that.
#[test]
fn activations_are_made_again_for_their_gradients() {
    let (rows, width) = (128, 512);
    let weights = floats(&[64, width], 2);
    let program = |rows: usize| {
        let trace = Trace::new();
        let x = trace.parameter(Type::new(DType::F32, [rows, 64]));
        let w = trace.parameter(Type::new(DType::F32, [64, width]));
        let h = x.dot(&w) * 0.1;
        let y = &h * 0.5 * ((&h * 0.5f64.sqrt()).erf() + 1.0);
        // A product between the activation and its gradient.
        let loss = y.dot(&w.transpose(&[1, 0])).square().sum_all();
        let slope = kerast_graph::autodiff::grad(&loss, &[w]).swap_remove(0);
        trace.finish(&[slope]).expect("valid")
    };
    let x = floats(&[rows, 64], 1);
    let whole = program(rows);
    let slope = evaluate(whole.clone(), &[x.clone(), weights.clone()]).expect("runs").swap_remove(0);
    let bytes = compile(whole.clone(), &[]).expect("compiles").arena_bytes();
    assert!(bytes < 4 * rows * width * 4, "{bytes} bytes");
    let half = program(rows / 2);
    let values = x.as_slice::<f32>().expect("floats");
    let halves: Vec<Vec<f64>> = values
        .chunks(values.len() / 2)
        .map(|v| {
            let x = Tensor::new(&[rows / 2, 64], v).expect("half of the rows");
            evaluate(half.clone(), &[x, weights.clone()]).expect("runs").swap_remove(0).to_f64_vec()
        })
        .collect();
    let largest = slope.to_f64_vec().iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, v) in slope.to_f64_vec().iter().enumerate() {
        assert!((v - halves[0][i] - halves[1][i]).abs() < 1e-5 * largest, "element {i}: {v}");
    }
}

/// The kernel along the last axis gives what maximum, exponential, sum and division give.
#[test]
fn softmax_of_rows() {
    for shape in [[40, 1], [1000, 10], [7, 63], [7, 64], [9, 130], [3, 5000]] {
        let x = floats(&shape, 5);
        let made = run(std::slice::from_ref(&x), |v| v[0].softmax(1)).to_f64_vec();
        let parts = run(&[x], |v| v[0].convert(DType::F64).softmax(1)).to_f64_vec();
        let worst = made.iter().zip(&parts).map(|(a, b)| ((a - b) / b).abs()).fold(0.0, f64::max);
        // x less the largest, up to 4, is rounded to 2.4e-7; the rest is good for four roundings.
        assert!(worst < 5e-7, "{shape:?}: {worst}");
    }
    let inf = f32::INFINITY;
    let x = Tensor::new(&[3, 2], &[f32::NAN, 1.0, -inf, -inf, -inf, 7.0]).expect("six values");
    let made = run(&[x], |v| v[0].softmax(1)).to_f64_vec();
    assert!(made[..4].iter().all(|v| v.is_nan()) && made[4..] == [0.0, 1.0], "{made:?}");
}
