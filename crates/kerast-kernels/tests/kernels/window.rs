//! Window reductions and their gradient against the definitions.

use crate::run::{noise, numbers, ravel, run, unravel, values};
use kerast_kernels::buffer::Buffer;
use kerast_kernels::dtype::DType;
use kerast_kernels::machine::Kernel;
use kerast_kernels::map::ReduceKind;
use kerast_kernels::window::{ScatterWindow, Window, WindowAxis, number_type};

fn axis(input: usize, size: usize, stride: usize, low: i64, high: i64) -> WindowAxis {
    WindowAxis { input, size, stride, base_dilation: 1, dilation: 1, low, high }
}

fn unit(input: usize) -> WindowAxis {
    axis(input, 1, 1, 0, 0)
}

fn cases() -> Vec<Vec<WindowAxis>> {
    let dilated = |a: WindowAxis, base: usize, window: usize| WindowAxis { base_dilation: base, dilation: window, ..a };
    let (h, w) = (axis(9, 3, 2, 1, 1), axis(11, 3, 2, 0, 1));
    vec![
        // Channels last: many, few, one, odd; channels first.
        vec![unit(3), axis(8, 2, 2, 0, 0), axis(12, 2, 2, 0, 0), unit(37)],
        vec![unit(2), h, w, unit(5)],
        vec![unit(2), h, axis(150, 3, 1, 1, 1), unit(3)],
        vec![unit(2), unit(3), axis(8, 2, 2, 0, 0), axis(130, 2, 2, 0, 0)],
        vec![unit(2), unit(3), h, w],
        vec![unit(1), unit(2), axis(7, 3, 1, 1, 1), axis(200, 3, 1, 1, 1)],
        vec![unit(2), axis(50, 5, 3, 2, 2), unit(2)],
        // Large: shared by threads; one image only; long rows cut into blocks.
        vec![unit(5), axis(30, 3, 2, 0, 1), axis(29, 2, 2, 0, 1), unit(16)],
        vec![axis(31, 3, 2, 0, 1), axis(30, 2, 2, 0, 1), unit(64)],
        vec![unit(1), axis(5000, 4, 3, 1, 2), unit(4)],
        vec![unit(2), axis(3000, 700, 500, 100, 0), unit(24)],
        // Three windowed axes; a unit axis between; windows on batch and channels; none at all.
        vec![unit(2), axis(5, 2, 1, 0, 0), axis(6, 2, 2, 0, 1), axis(7, 3, 2, 1, 0), unit(4)],
        vec![axis(4, 2, 1, 0, 0), unit(3), axis(9, 4, 3, 1, 1)],
        vec![unit(3), unit(17)],
        vec![axis(40, 40, 1, 39, 0)],
        // Gaps in the window and in the operand; negative padding; places with nothing but padding.
        vec![unit(2), dilated(h, 1, 2), dilated(w, 2, 1), unit(3)],
        vec![unit(2), dilated(axis(9, 4, 1, 3, 3), 2, 3), dilated(axis(7, 5, 2, 2, 6), 4, 6), unit(20)],
        vec![unit(2), axis(9, 2, 2, -1, -2), axis(30, 3, 2, -2, 0), unit(1)],
        vec![unit(1), axis(3, 2, 1, 4, 4), axis(4, 2, 1, 5, 0), unit(2)],
        vec![unit(2), axis(3, 2, 1, 4, 4), unit(19)],
        vec![unit(2), axis(0, 2, 1, 2, 2), unit(19)],
        vec![unit(2), axis(3, 5, 1, 0, 0), unit(2)],
    ]
}

/// The operand's elements under the window of every place, in order.
fn windows(axes: &[WindowAxis]) -> Vec<Vec<usize>> {
    let input: Vec<usize> = axes.iter().map(|a| a.input).collect();
    let output: Vec<usize> = axes.iter().map(WindowAxis::output).collect();
    let sizes: Vec<usize> = axes.iter().map(|a| a.size).collect();
    let element = |place: &[usize], k: &[usize]| {
        let mut at = vec![];
        for (i, a) in axes.iter().enumerate() {
            let p = (place[i] * a.stride + k[i] * a.dilation) as i64 - a.low;
            if p < 0 || p % a.base_dilation as i64 != 0 || p / a.base_dilation as i64 >= a.input as i64 {
                return None;
            }
            at.push(p as usize / a.base_dilation);
        }
        Some(ravel(&at, &input))
    };
    let window = |n: usize| {
        let place = unravel(n, &output);
        (0..sizes.iter().product()).filter_map(|k| element(&place, &unravel(k, &sizes))).collect()
    };
    (0..output.iter().product()).map(window).collect()
}

fn reduced(kind: ReduceKind, x: &[f64], window: &[usize]) -> f64 {
    let x = window.iter().map(|&e| x[e]);
    match kind {
        ReduceKind::Sum => x.sum(),
        ReduceKind::Product => x.product(),
        ReduceKind::Max | ReduceKind::Any => x.fold(f64::NEG_INFINITY, f64::max),
        ReduceKind::Min | ReduceKind::All => x.fold(f64::INFINITY, f64::min),
    }
}

#[test]
fn windows_are_reduced() {
    for (n, axes) in cases().iter().enumerate() {
        let windows = windows(axes);
        let count = axes.iter().map(|a| a.input).product();
        for dtype in [DType::F32, DType::BF16, DType::I32, DType::U8, DType::F64] {
            for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::Product] {
                // Values whose sums and products are exact; of integers they wrap.
                let below = if kind == ReduceKind::Product { 2 } else { 3 };
                let x = noise(count, 3, below);
                let round = |v: f64| match dtype {
                    DType::U8 if v.is_finite() => v % 256.0,
                    _ => numbers(dtype, &values(dtype, &[v]))[0],
                };
                let expected: Vec<f64> = windows.iter().map(|w| round(reduced(kind, &x, w))).collect();
                let make = || -> Box<dyn Kernel> { Box::new(Window::new(dtype, kind, axes)) };
                let y = run(make, &[&values(dtype, &x)], &[expected.len() * dtype.size()]);
                assert_eq!(numbers(dtype, &y[0]), expected, "case {n}, {dtype} {kind:?}");
            }
        }
    }
}

#[test]
fn bools_stay_bools_and_nan_wins() {
    let axes = [axis(6, 2, 2, 2, 2)];
    let x = values(DType::Bool, &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    for (kind, expected) in [
        (ReduceKind::Any, [0, 0, 1, 1, 0]),
        (ReduceKind::Sum, [0, 0, 1, 1, 0]),
        (ReduceKind::All, [1, 0, 0, 1, 1]),
        (ReduceKind::Product, [1, 0, 0, 1, 1]),
    ] {
        let y = run(|| Box::new(Window::new(DType::Bool, kind, &axes)), &[&x], &[5]);
        assert_eq!(y[0].as_bytes(), expected, "{kind:?}");
    }
    let x = values(DType::F32, &[1.0, f64::NAN, f64::NAN, 2.0, 3.0, 4.0]);
    for kind in [ReduceKind::Max, ReduceKind::Min] {
        let y = run(|| Box::new(Window::new(DType::F32, kind, &axes)), &[&x], &[20]);
        let nan: Vec<bool> = y[0].as_slice::<f32>().iter().map(|v| v.is_nan()).collect();
        assert_eq!(nan, [false, true, true, false, false], "{kind:?}");
    }
}

/// The largest (or smallest) elements with their numbers, and what is sent back to them.
fn chosen_and_sent(dtype: DType, largest: bool, axes: &[WindowAxis], x: &Buffer, dy: &Buffer) -> [Buffer; 3] {
    let places: usize = axes.iter().map(WindowAxis::output).product();
    let sizes = [places * dtype.size(), places * number_type(axes).size()];
    let mut chosen = run(|| Box::new(Window::choosing(dtype, largest, axes)), &[x], &sizes);
    let sent = run(|| Box::new(ScatterWindow::new(dtype, axes)), &[&chosen[1], dy], &[x.len()]).remove(0);
    let numbers = chosen.remove(1);
    [chosen.remove(0), numbers, sent]
}

#[test]
fn the_first_of_equals_is_chosen_and_gets_the_gradient() {
    for (n, axes) in cases().iter().enumerate() {
        let windows = windows(axes);
        let count = axes.iter().map(|a| a.input).product();
        for dtype in [DType::F32, DType::F16, DType::I32, DType::F64] {
            for largest in [true, false] {
                // Few different values: most windows have several largest elements.
                let x = noise(count, 17, 4);
                let dy = noise(windows.len(), 19, 3);
                let kind = if largest { ReduceKind::Max } else { ReduceKind::Min };
                let mut expected = vec![0.0; count];
                for (w, d) in windows.iter().zip(&dy) {
                    let better = |a: f64, b: f64| if largest { a > b } else { a < b };
                    let best = w.iter().copied().reduce(|a, b| if better(x[b], x[a]) { b } else { a });
                    best.into_iter().for_each(|b| expected[b] += d);
                }
                let round = |v: f64| numbers(dtype, &values(dtype, &[v]))[0];
                let values_expected: Vec<f64> = windows.iter().map(|w| round(reduced(kind, &x, w))).collect();
                let [best, _, sent] = chosen_and_sent(dtype, largest, axes, &values(dtype, &x), &values(dtype, &dy));
                assert_eq!(numbers(dtype, &best), values_expected, "case {n}, {dtype} largest: {largest}");
                assert_eq!(numbers(dtype, &sent), expected, "case {n}, {dtype} largest: {largest}");
            }
        }
    }
}

#[test]
fn numbers_count_padding_and_minus_infinity_and_nan_can_be_chosen() {
    let (low, nan) = (f64::NEG_INFINITY, f64::NAN);
    let axes = [unit(2), axis(4, 2, 2, 0, 0), unit(1)];
    let dy = values(DType::F32, &[1.0, 2.0, 3.0, 4.0]);
    let x = values(DType::F32, &[low, low, low, low, 1.0, nan, nan, nan]);
    let [_, numbers, sent] = chosen_and_sent(DType::F32, true, &axes, &x, &dy);
    assert_eq!(numbers.as_bytes(), [0, 0, 1, 0]);
    assert_eq!(sent.as_slice::<f32>(), [1.0, 0.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0]);
    for lanes in [1, 20] {
        let axes = [axis(2, 3, 2, 3, 2), axis(4, 3, 2, 1, 0), unit(lanes)];
        let x = values(DType::F32, &vec![0.0; 8 * lanes]);
        let dy = values(DType::F32, &vec![1.0; 6 * lanes]);
        let [best, numbers, _] = chosen_and_sent(DType::F32, true, &axes, &x, &dy);
        let first: Vec<(f32, u8)> =
            (0..6).map(|p| (best.as_slice::<f32>()[p * lanes], numbers.as_bytes()[p * lanes])).collect();
        assert_eq!(first, [(f32::NEG_INFINITY, 255), (f32::NEG_INFINITY, 255), (0.0, 4), (0.0, 3), (0.0, 1), (0.0, 0)]);
    }
}
