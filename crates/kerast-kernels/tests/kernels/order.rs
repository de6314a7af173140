//! Sorting, the k largest, places of extremes and running sums against the definitions.

use crate::run::{noise, numbers, run, values};
use kerast_kernels::buffer::Buffer;
use kerast_kernels::dtype::DType;
use kerast_kernels::machine::Kernel;
use kerast_kernels::order::{ArgReduce, Cumulate, CumulateKind, Sort, TopK};
use std::cmp::Ordering;

fn cases() -> Vec<(Vec<usize>, usize)> {
    vec![
        (vec![7], 0),
        (vec![1], 0),
        (vec![3, 5], 1),
        (vec![3, 5], 0),
        (vec![2, 9, 3], 1),
        (vec![2, 6, 67], 1),
        (vec![3, 4, 131, 2], 2),
        (vec![33, 301], 1),
        (vec![301, 90], 0),
        (vec![3, 0], 1),
        (vec![0, 3], 1),
    ]
}

/// Element numbers of every line.
fn lines(shape: &[usize], axis: usize) -> Vec<Vec<usize>> {
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let line = |o: usize, i: usize| (0..shape[axis]).map(|j| (o * shape[axis] + j) * inner + i).collect();
    (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))).map(|(o, i)| line(o, i)).collect()
}

/// Few different values, both signs where there are signs, -0 beside 0, NaN and infinities among floats.
fn operand(dtype: DType, count: usize) -> Vec<f64> {
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, -1.5];
    let value = |v: f64| match dtype {
        DType::Bool => v % 2.0,
        d if d.is_unsigned() => v * 20.0,
        d if d.is_int() => (v - 5.0) * 12.0,
        _ => special.get(v as usize).copied().unwrap_or(v - 8.0),
    };
    noise(count, 23, 12).into_iter().map(value).collect()
}

/// NaN after all numbers.
fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn assert_same(dtype: DType, y: &Buffer, expected: &[f64], what: &str) {
    let y = numbers(dtype, y);
    let same = |a: f64, b: f64| a == b && a.is_sign_negative() == b.is_sign_negative() || a.is_nan() && b.is_nan();
    let equal = y.len() == expected.len() && y.iter().zip(expected).all(|(a, b)| same(*a, *b));
    assert!(equal, "{what}, {dtype}: {y:?} instead of {expected:?}");
}

#[test]
fn sorting_is_stable_and_takes_companions_along() {
    for (shape, axis) in cases() {
        let count = shape.iter().product();
        let places: Vec<f64> = (0..count).map(|i| (i % 256) as f64).collect();
        for dtype in DType::ALL {
            for descending in [false, true] {
                let x = operand(dtype, count);
                let (mut sorted, mut moved) = (vec![0.0; count], vec![0.0; count]);
                for line in lines(&shape, axis) {
                    let mut order = line.clone();
                    order.sort_by(|&a, &b| match descending && !x[a].is_nan() && !x[b].is_nan() {
                        true => compare(x[b], x[a]),
                        false => compare(x[a], x[b]),
                    });
                    for (to, from) in line.into_iter().zip(order) {
                        (sorted[to], moved[to]) = (x[from], places[from]);
                    }
                }
                let make = || -> Box<dyn Kernel> {
                    Box::new(Sort::new(&[dtype, DType::U8, DType::F64], &shape, axis, descending))
                };
                let inputs = [&values(dtype, &x), &values(DType::U8, &places), &values(DType::F64, &places)];
                let y = run(make, &inputs, &[count * dtype.size(), count, count * 8]);
                let what = format!("{shape:?} along {axis}, descending: {descending}");
                assert_same(dtype, &y[0], &sorted, &what);
                assert_same(DType::U8, &y[1], &moved, &what);
                assert_same(DType::F64, &y[2], &moved, &what);
            }
        }
    }
}

#[test]
fn wide_integers_are_told_apart() {
    let x = [u64::MAX, 1 << 63, u64::MAX - 1, 0, (1 << 63) - 1];
    let y = run(|| Box::new(Sort::new(&[DType::U64], &[5], 0, false)), &[&Buffer::from_slice(&x)], &[40]);
    assert_eq!(y[0].as_slice::<u64>(), [0, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX]);
    let x = [i64::MAX, i64::MIN, -1, i64::MAX - 1, 0];
    let y = run(|| Box::new(TopK::new(DType::I64, &[5], 5)), &[&Buffer::from_slice(&x)], &[40, 20]);
    assert_eq!(y[0].as_slice::<i64>(), [i64::MAX, i64::MAX - 1, 0, -1, i64::MIN]);
    assert_eq!(y[1].as_slice::<i32>(), [0, 3, 4, 2, 1]);
}

#[test]
fn the_k_largest_come_in_order() {
    for (shape, k) in
        [(vec![7], 7), (vec![1], 1), (vec![4, 9], 3), (vec![3, 2, 40], 1), (vec![30, 700], 12), (vec![3, 4], 0)]
    {
        let (length, count) = (shape[shape.len() - 1], shape.iter().product::<usize>());
        for dtype in DType::ALL {
            let x = operand(dtype, count);
            let (mut top, mut places) = (vec![], vec![]);
            for line in lines(&shape, shape.len() - 1) {
                let mut order = line;
                order.sort_by(|&a, &b| compare(x[b], x[a]));
                top.extend(order[..k].iter().map(|&i| x[i]));
                places.extend(order[..k].iter().map(|&i| (i % length) as f64));
            }
            let make = || -> Box<dyn Kernel> { Box::new(TopK::new(dtype, &shape, k)) };
            let y = run(make, &[&values(dtype, &x)], &[top.len() * dtype.size(), top.len() * 4]);
            assert_same(dtype, &y[0], &top, &format!("{k} of {shape:?}"));
            assert_same(DType::I32, &y[1], &places, &format!("places of {k} of {shape:?}"));
        }
    }
}

#[test]
fn places_of_extremes_are_the_first() {
    for (shape, axis) in cases() {
        let count = shape.iter().product();
        for dtype in DType::ALL {
            for (largest, without_nan) in [(true, false), (false, false), (true, true), (false, true)] {
                let mut x = operand(dtype, count);
                if without_nan {
                    x.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = 1.0);
                }
                let expected: Vec<f64> = lines(&shape, axis)
                    .iter()
                    .map(|line| {
                        let nan = line.iter().position(|&i| x[i].is_nan());
                        let better = |a: f64, b: f64| if largest { a > b } else { a < b };
                        let best = (0..line.len()).reduce(|a, b| if better(x[line[b]], x[line[a]]) { b } else { a });
                        nan.or(best).unwrap_or(0) as f64
                    })
                    .collect();
                let make = || -> Box<dyn Kernel> { Box::new(ArgReduce::new(dtype, &shape, axis, largest)) };
                let y = run(make, &[&values(dtype, &x)], &[expected.len() * 4]);
                let what = format!("{shape:?} along {axis}, largest: {largest}, of {dtype}");
                assert_same(DType::I32, &y[0], &expected, &what);
            }
        }
    }
}

/// What has run up to each element of a line of small whole numbers.
fn running(kind: CumulateKind, dtype: DType, line: &[f64], exclusive: bool) -> Vec<f64> {
    let end = |v: f64| if dtype == DType::Bool { v.clamp(0.0, 1.0) } else { numbers(dtype, &values(dtype, &[v]))[0] };
    let mut a = match kind {
        CumulateKind::Sum => 0.0,
        CumulateKind::Product => 1.0,
        CumulateKind::Max => end(f64::NEG_INFINITY),
        CumulateKind::Min => end(f64::INFINITY),
    };
    let step = |a: f64, x: f64| match kind {
        CumulateKind::Sum if dtype == DType::Bool => a.max(x),
        CumulateKind::Sum => a + x,
        CumulateKind::Product => a * x,
        CumulateKind::Max => a.max(x),
        CumulateKind::Min => a.min(x),
    };
    let mut out = vec![];
    for &x in line {
        let next = step(a, x);
        out.push(if exclusive { a } else { next });
        a = next;
    }
    out
}

#[test]
fn what_runs_along_equals_its_definition() {
    for (shape, axis) in cases() {
        let count = shape.iter().product();
        // Sums stay below 128 and exact in every type.
        let x: Vec<f64> = noise(count, 29, 12).iter().map(|&v| f64::from(v < 3.0)).collect();
        for dtype in DType::ALL {
            for kind in CumulateKind::ALL {
                for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
                    let mut expected = vec![0.0; count];
                    for mut line in lines(&shape, axis) {
                        if reverse {
                            line.reverse();
                        }
                        let values: Vec<f64> = line.iter().map(|&i| x[i]).collect();
                        let values = running(kind, dtype, &values, exclusive);
                        line.iter().zip(values).for_each(|(&i, v)| expected[i] = v);
                    }
                    let make = || -> Box<dyn Kernel> {
                        Box::new(Cumulate::new(dtype, &shape, axis, kind, exclusive, reverse))
                    };
                    let y = run(make, &[&values(dtype, &x)], &[count * dtype.size()]);
                    let what = format!("{kind:?} of {shape:?} along {axis}, {exclusive} {reverse}");
                    assert_same(dtype, &y[0], &expected, &what);
                }
            }
        }
    }
}

#[test]
fn nan_stays_in_running_extremes() {
    let x = values(DType::F32, &[1.0, f64::NAN, 3.0]);
    for kind in [CumulateKind::Max, CumulateKind::Min] {
        let y = run(|| Box::new(Cumulate::new(DType::F32, &[3], 0, kind, false, false)), &[&x], &[12]);
        let nan: Vec<bool> = y[0].as_slice::<f32>().iter().map(|v| v.is_nan()).collect();
        assert_eq!(nan, [false, true, true]);
    }
}
