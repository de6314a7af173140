//! Gather and scatter against StableHLO's formulas, index by index.

use crate::run::{noise, numbers, ravel, run, session, unravel, values};
use kerast_kernels::buffer::Buffer;
use kerast_kernels::dtype::DType;
use kerast_kernels::gather::{Gather, GatherDims, gather_shape};
use kerast_kernels::machine::{Kernel, Role};
use kerast_kernels::scatter::{Combine, Scatter, ScatterDims};

struct Case {
    operand: Vec<usize>,
    indices: Vec<usize>,
    dims: GatherDims,
    sizes: Vec<usize>,
}

fn case(operand: &[usize], indices: &[usize], dims: [&[usize]; 5], vector: usize, sizes: &[usize]) -> Case {
    let [offset, collapsed, operand_batching, index_batching, map] = dims.map(<[usize]>::to_vec);
    let dims = GatherDims {
        offset_dims: offset,
        collapsed_slice_dims: collapsed,
        operand_batching_dims: operand_batching,
        start_indices_batching_dims: index_batching,
        start_index_map: map,
        index_vector_dim: vector,
    };
    Case { operand: operand.to_vec(), indices: indices.to_vec(), dims, sizes: sizes.to_vec() }
}

fn cases() -> Vec<Case> {
    vec![
        // Rows, as an embedding takes them; small, large, and with the component axis spelled out.
        case(&[7, 5], &[3, 2], [&[2], &[0], &[], &[], &[0]], 2, &[1, 5]),
        case(&[90, 301], &[13, 11], [&[2], &[0], &[], &[], &[0]], 2, &[1, 301]),
        case(&[7, 5], &[4, 1], [&[1], &[0], &[], &[], &[0]], 1, &[1, 5]),
        // Columns, few and many; a middle axis.
        case(&[5, 7], &[4], [&[0], &[1], &[], &[], &[1]], 1, &[5, 1]),
        case(&[301, 40], &[173], [&[0], &[1], &[], &[], &[1]], 1, &[301, 1]),
        case(&[3, 6, 4], &[5], [&[0, 2], &[1], &[], &[], &[1]], 1, &[3, 1, 4]),
        // Single elements by all coordinates, components first; along a batching axis, twice.
        case(&[4, 5], &[2, 9], [&[], &[0, 1], &[], &[], &[1, 0]], 0, &[1, 1]),
        case(&[6, 9], &[6, 3], [&[], &[1], &[0], &[0], &[1]], 2, &[1, 1]),
        case(&[40, 90], &[40, 500], [&[], &[1], &[0], &[0], &[1]], 2, &[1, 1]),
        case(&[3, 5, 2, 4], &[2, 3, 4, 1], [&[3], &[1], &[2, 0], &[0, 1], &[1]], 3, &[1, 1, 1, 4]),
        // Overlapping windows; windows with result axes in front; part of a row.
        case(&[6, 7], &[9, 2], [&[1, 2], &[], &[], &[], &[0, 1]], 1, &[2, 3]),
        case(&[90, 70], &[50, 2], [&[0, 1], &[], &[], &[], &[0, 1]], 1, &[40, 33]),
        case(&[300, 41], &[99, 1], [&[1, 2], &[], &[], &[], &[0]], 1, &[70, 41]),
        case(&[5, 8], &[2, 3], [&[0], &[0], &[], &[], &[0]], 2, &[1, 4]),
        // One window; nothing at all.
        case(&[4, 3, 2], &[2], [&[0, 1], &[0], &[], &[], &[0, 2]], 0, &[1, 3, 2]),
        case(&[4, 3], &[0], [&[1], &[0], &[], &[], &[0]], 1, &[1, 3]),
    ]
}

/// Start indices from -2 to three behind the end of the longest axis.
fn starts(c: &Case, dtype: DType) -> Vec<f64> {
    let below = c.operand.iter().max().copied().unwrap_or(0) as u64 + 5;
    let shift = if dtype.is_unsigned() { 0.0 } else { 2.0 };
    noise(c.indices.iter().product(), 5, below).iter().map(|v| v - shift).collect()
}

/// Where window element `offset` of the window at `batch` starts, before clamping, and the operand's batching coordinates.
fn start(c: &Case, indices: &[f64], batch: &[usize]) -> (Vec<i64>, Vec<i64>) {
    let (rank, d) = (c.operand.len(), &c.dims);
    let mut full = vec![0; rank];
    for (k, &axis) in d.start_index_map.iter().enumerate() {
        let mut at = batch.to_vec();
        if d.index_vector_dim < c.indices.len() {
            at.insert(d.index_vector_dim, k);
        }
        full[axis] = indices[ravel(&at, &c.indices)] as i64;
    }
    let mut batching = vec![0; rank];
    for (&o, &s) in d.operand_batching_dims.iter().zip(&d.start_indices_batching_dims) {
        batching[o] = batch[s - usize::from(d.index_vector_dim < s)] as i64;
    }
    (full, batching)
}

/// The batch and window coordinates of an element of the result (or of the updates).
fn split(c: &Case, at: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let d = &c.dims;
    let batch = (0..at.len()).filter(|i| !d.offset_dims.contains(i)).map(|i| at[i]).collect();
    let mut offset = vec![0; c.operand.len()];
    let kept =
        (0..c.operand.len()).filter(|i| !d.collapsed_slice_dims.contains(i) && !d.operand_batching_dims.contains(i));
    kept.zip(&d.offset_dims).for_each(|(axis, &o)| offset[axis] = at[o]);
    (batch, offset)
}

fn naive_gather(c: &Case, x: &[f64], indices: &[f64]) -> Vec<f64> {
    let shape = gather_shape(&c.indices, &c.dims, &c.sizes);
    let element = |n: usize| {
        let (batch, offset) = split(c, &unravel(n, &shape));
        let (full, batching) = start(c, indices, &batch);
        let clamped = |i: usize| full[i].clamp(0, (c.operand[i] - c.sizes[i]) as i64);
        let at: Vec<usize> = (0..full.len()).map(|i| (clamped(i) + batching[i]) as usize + offset[i]).collect();
        x[ravel(&at, &c.operand)]
    };
    (0..shape.iter().product()).map(element).collect()
}

fn naive_scatter(c: &Case, x: &[f64], indices: &[f64], updates: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let shape = gather_shape(&c.indices, &c.dims, &c.sizes);
    let mut y = x.to_vec();
    // In the order of the indices, also where the updates' memory has another.
    let mut order: Vec<usize> = (0..updates.len()).collect();
    order.sort_by_key(|&n| split(c, &unravel(n, &shape)).0);
    for n in order {
        let u = updates[n];
        let (batch, offset) = split(c, &unravel(n, &shape));
        let (full, batching) = start(c, indices, &batch);
        let inside = (0..full.len()).all(|i| full[i] >= 0 && full[i] + c.sizes[i] as i64 <= c.operand[i] as i64);
        if inside {
            let at: Vec<usize> = (0..full.len()).map(|i| (full[i] + batching[i]) as usize + offset[i]).collect();
            let y = &mut y[ravel(&at, &c.operand)];
            *y = f(*y, u);
        }
    }
    y
}

#[test]
fn gather_equals_its_definition() {
    for (k, c) in cases().iter().enumerate() {
        let types =
            [(DType::F32, DType::I32), (DType::U8, DType::I64), (DType::BF16, DType::U8), (DType::I64, DType::I32)];
        for (dtype, index) in types {
            let x = noise(c.operand.iter().product(), 3, 100);
            let indices = starts(c, index);
            let expected = naive_gather(c, &x, &indices);
            let make = || -> Box<dyn Kernel> {
                Box::new(Gather::new(dtype.size(), &c.operand, &c.indices, index, &c.dims, &c.sizes))
            };
            let inputs = [&values(dtype, &x), &values(index, &indices)];
            let y = run(make, &inputs, &[expected.len() * dtype.size()]);
            assert_eq!(numbers(dtype, &y[0]), expected, "case {k}, {dtype} by {index}");
        }
    }
}

/// The first input after a kernel has written its only output there.
fn run_in_place(kernel: Box<dyn Kernel>, inputs: &[&Buffer], threads: usize) -> Buffer {
    let role = |k: usize| if k == 0 { Role::State } else { Role::Input };
    let roles: Vec<(usize, Role)> = inputs.iter().enumerate().map(|(k, b)| (b.len(), role(k))).collect();
    let mut s = session(kernel, &roles, &(0..inputs.len()).collect::<Vec<_>>(), &[0], threads);
    inputs.iter().enumerate().for_each(|(k, b)| s.put(k, (*b).clone()));
    s.run();
    s.take(0).expect("owned")
}

fn check_scatter(k: usize, c: &Case, dtype: DType, combine: Combine) {
    let dims = ScatterDims {
        update_window_dims: c.dims.offset_dims.clone(),
        inserted_window_dims: c.dims.collapsed_slice_dims.clone(),
        input_batching_dims: c.dims.operand_batching_dims.clone(),
        scatter_indices_batching_dims: c.dims.start_indices_batching_dims.clone(),
        scatter_dims_to_operand_dims: c.dims.start_index_map.clone(),
        index_vector_dim: c.dims.index_vector_dim,
    };
    let shape = gather_shape(&c.indices, &c.dims, &c.sizes);
    let below = if dtype == DType::Bool { 2 } else { 9 };
    let x = noise(c.operand.iter().product(), 7, below);
    let updates = noise(shape.iter().product(), 11, below);
    let indices = starts(c, DType::I32);
    let expected = naive_scatter(c, &x, &indices, &updates, |a, b| match combine {
        Combine::Add if dtype == DType::Bool => a.max(b),
        Combine::Add => a + b,
        Combine::Set => b,
        // Products of u8 wrap.
        Combine::Multiply => a * b % 256.0,
        Combine::Min => a.min(b),
        Combine::Max => a.max(b),
    });
    let make = || -> Box<dyn Kernel> {
        Box::new(Scatter::new(dtype, &c.operand, &c.indices, DType::I32, &shape, &dims, combine))
    };
    let (x, indices, updates) = (values(dtype, &x), values(DType::I32, &indices), values(dtype, &updates));
    let y = run(make, &[&x, &indices, &updates], &[x.len()]);
    assert_eq!(numbers(dtype, &y[0]), expected, "case {k}, {dtype} {combine:?}");
    for threads in [1, 2] {
        let y = run_in_place(make(), &[&x, &indices, &updates], threads);
        assert_eq!(numbers(dtype, &y), expected, "case {k} in place, {dtype} {combine:?}");
    }
}

#[test]
fn scatter_equals_its_definition() {
    for (k, c) in cases().iter().enumerate() {
        for combine in [Combine::Add, Combine::Set, Combine::Min, Combine::Max] {
            for dtype in [DType::F32, DType::I64] {
                check_scatter(k, c, dtype, combine);
            }
        }
        check_scatter(k, c, DType::U8, Combine::Multiply);
        check_scatter(k, c, DType::Bool, Combine::Add);
        check_scatter(k, c, DType::Bool, Combine::Multiply);
    }
}

/// Rounded sums depend on their order: it is the order of the indices on any number of threads.
#[test]
fn updates_meet_in_the_order_of_the_indices() {
    let (rows, width, n) = (5, 333, 200);
    let x = vec![0.0; rows * width];
    let indices = noise(n, 1, rows as u64);
    let updates: Vec<f64> = noise(n * width, 2, 1 << 24).iter().map(|v| v / 77.0).collect();
    let mut expected = vec![0f32; rows * width];
    for (b, &i) in indices.iter().enumerate() {
        for j in 0..width {
            expected[i as usize * width + j] += updates[b * width + j] as f32;
        }
    }
    let dims = ScatterDims {
        update_window_dims: vec![1],
        inserted_window_dims: vec![0],
        input_batching_dims: vec![],
        scatter_indices_batching_dims: vec![],
        scatter_dims_to_operand_dims: vec![0],
        index_vector_dim: 1,
    };
    let make = || -> Box<dyn Kernel> {
        Box::new(Scatter::new(DType::F32, &[rows, width], &[n], DType::I64, &[n, width], &dims, Combine::Add))
    };
    let inputs = [&values(DType::F32, &x), &values(DType::I64, &indices), &values(DType::F32, &updates)];
    assert_eq!(run(make, &inputs, &[rows * width * 4])[0].as_slice::<f32>(), expected);
}

#[test]
fn nan_wins_over_numbers_and_an_empty_operand_takes_nothing() {
    let dims = ScatterDims {
        update_window_dims: vec![],
        inserted_window_dims: vec![0],
        input_batching_dims: vec![],
        scatter_indices_batching_dims: vec![],
        scatter_dims_to_operand_dims: vec![0],
        index_vector_dim: 1,
    };
    let scatter = |rows: usize, combine| -> Box<dyn Kernel> {
        Box::new(Scatter::new(DType::F32, &[rows], &[3], DType::I32, &[3], &dims, combine))
    };
    let (indices, updates) = (values(DType::I32, &[0.0, -1.0, 1.0]), values(DType::F32, &[f64::NAN, 7.0, 3.0]));
    for combine in [Combine::Min, Combine::Max] {
        let x = values(DType::F32, &[1.0, f64::NAN]);
        let y = run(|| scatter(2, combine), &[&x, &indices, &updates], &[8]);
        assert!(y[0].as_slice::<f32>().iter().all(|v| v.is_nan()));
    }
    run(|| scatter(0, Combine::Add), &[&values(DType::F32, &[]), &indices, &updates], &[0]);
}
