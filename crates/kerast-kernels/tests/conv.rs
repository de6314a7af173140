//! Convolutions against naive sums in f64: forward and both gradients, strided, padded, dilated, grouped, in 0 to 3
//! dimensions, in both layouts, on every instruction set, on one and several threads.

mod gradients;

use gradients::{by_input, by_weights};
use kerast_kernels::conv::{Conv, Dim, FilterLayout, Layout, conv_element, conv_f32_on};
use kerast_kernels::dtype::bf16;
use kerast_kernels::isa::Isa;
use kerast_kernels::pool::Pool;
use std::ops::Range;
use std::sync::Mutex;

fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Calls `f` with every index into a box of the given sizes.
fn each(sizes: &[usize], f: &mut dyn FnMut(&[usize])) {
    let total: usize = sizes.iter().product();
    let mut index = vec![0; sizes.len()];
    for mut rest in 0..total {
        for i in (0..sizes.len()).rev() {
            index[i] = rest % sizes[i];
            rest /= sizes[i];
        }
        f(&index);
    }
}

fn offset(strides: &[usize], index: &[usize]) -> usize {
    strides.iter().zip(index).map(|(s, i)| s * i).sum()
}

/// Place, sum and sum of magnitudes for every element of y.
fn naive(c: &Conv, x: &[f32], w: &[f32]) -> Vec<(usize, f64, f64)> {
    let outputs: Vec<usize> = c.spatial.iter().map(|d| d.output).collect();
    let kernel: Vec<usize> = c.spatial.iter().map(|d| d.kernel).collect();
    let examples = c.batch / c.batch_groups;
    let inputs = c.in_channels / c.groups;
    let mut all = vec![];
    for n in 0..examples {
        for o in 0..c.out_channels {
            let group = o / (c.out_channels / c.groups);
            let batch = n + o / (c.out_channels / c.batch_groups) * examples;
            each(&outputs, &mut |s| {
                let (mut sum, mut size) = (0.0, 0.0);
                each(&kernel, &mut |k| {
                    let (mut from, mut weight) = (0, 0);
                    for (i, d) in c.spatial.iter().enumerate() {
                        let at = (s[i] * d.stride + k[i] * d.kernel_dilation) as isize - d.pad_low;
                        let gap = d.input_dilation as isize;
                        if at < 0 || at % gap != 0 || at / gap >= d.input as isize {
                            return;
                        }
                        from += (at / gap) as usize * c.x.spatial[i];
                        weight += if d.reversed { d.kernel - 1 - k[i] } else { k[i] } * c.w.spatial[i];
                    }
                    for channel in 0..inputs {
                        let a = x[batch * c.x.batch + (group * inputs + channel) * c.x.channel + from] as f64;
                        let b = w[o * c.w.output + channel * c.w.input + weight] as f64;
                        sum += a * b;
                        size += (a * b).abs();
                    }
                });
                all.push((n * c.y.batch + o * c.y.channel + offset(&c.y.spatial, s), sum, size));
            });
        }
    }
    all
}

/// `tiles`: the convolution is computed tile by tile.
fn check_one(isa: Isa, c: &Conv, pools: &[Pool], tiles: bool) {
    let [nx, nw, ny] = c.extents();
    let (x, w) = (noise(nx, 1), noise(nw, 2));
    let mut expected = naive(c, &x, &w);
    if tiles && isa == Isa::Scalar {
        // Without fused operations mixing rounds twice; an output shares the errors of its tile.
        let most = expected.iter().fold(0.0, |most: f64, e| most.max(e.2));
        expected.iter_mut().for_each(|e| e.2 = most);
    }
    let mut first: Option<Vec<u32>> = None;
    for pool in pools {
        for with_epilogue in [false, true] {
            let mut y = vec![77.0f32; ny];
            let seen = Mutex::new(vec![0; c.pixels() * c.out_channels]);
            let epilogue = |rows: Range<usize>, columns: Range<usize>| {
                let mut seen = seen.lock().unwrap();
                rows.for_each(|r| columns.clone().for_each(|j| seen[r * c.out_channels + j] += 1));
            };
            let epilogue: Option<kerast_kernels::gemm::Epilogue<'_>> =
                if with_epilogue { Some(&epilogue) } else { None };
            // SAFETY: the slices have the lengths that `extents` names.
            unsafe { conv_f32_on(isa, c, x.as_ptr(), w.as_ptr(), y.as_mut_ptr(), pool, epilogue) };
            if with_epilogue {
                assert!(
                    seen.into_inner().unwrap().iter().all(|&n| n == 1),
                    "{isa} {c:?}: pixels reported other than once"
                );
            }
            let mut touched = vec![false; ny];
            for &(at, sum, size) in &expected {
                touched[at] = true;
                let bound = 3e-6 * size + 1e-30;
                assert!((y[at] as f64 - sum).abs() <= bound, "{isa} {c:?} at {at}: {} instead of {sum}", y[at]);
            }
            assert!((0..ny).all(|i| touched[i] || y[i] == 77.0), "{isa} {c:?}: wrote outside y");
            let bits: Vec<u32> = y.iter().map(|v| v.to_bits()).collect();
            match &first {
                Some(f) => assert!(*f == bits, "{isa} {c:?}: other bits with {} threads", pool.threads()),
                None => first = Some(bits),
            }
        }
    }
    let mut y = vec![0.0; ny];
    let double = |v: &[f32]| v.iter().map(|&x| x as f64).collect::<Vec<_>>();
    let (x, w) = (double(&x), double(&w));
    // SAFETY: as above.
    unsafe { conv_element(c, x.as_ptr(), w.as_ptr(), y.as_mut_ptr(), &pools[0]) };
    for &(at, sum, size) in &expected {
        assert!((y[at] - sum).abs() <= 1e-13 * size, "f64 {c:?} at {at}: {} instead of {sum}", y[at]);
    }
}

/// The same convolution with x, w and y laid out channels first.
fn channels_first(c: &Conv) -> Conv {
    let strides = |sizes: Vec<usize>| {
        let mut strides = vec![1; sizes.len()];
        (1..sizes.len()).rev().for_each(|i| strides[i - 1] = strides[i] * sizes[i]);
        strides
    };
    let layout = |batch: usize, channels: usize, size: fn(&Dim) -> usize| {
        let mut sizes = vec![batch, channels];
        sizes.extend(c.spatial.iter().map(size));
        let s = strides(sizes);
        Layout { batch: s[0], channel: s[1], spatial: s[2..].to_vec() }
    };
    let w = layout(c.out_channels, c.in_channels / c.groups, |d| d.kernel);
    Conv {
        x: layout(c.batch, c.in_channels, |d| d.input),
        y: layout(c.batch, c.out_channels, |d| d.output),
        w: FilterLayout { output: w.batch, input: w.channel, spatial: w.spatial },
        ..c.clone()
    }
}

/// Forward and both gradients in both layouts.
fn check(c: &Conv) {
    check_all(c, false);
}

fn check_all(c: &Conv, tiles: bool) {
    let pools = [1, 2, 3].map(Pool::new);
    for isa in Isa::available() {
        for c in [c.clone(), channels_first(c)] {
            check_one(isa, &c, &pools, tiles);
            check_one(isa, &by_weights(&c), &pools, tiles);
            if c.groups == 1 || c.groups == c.in_channels {
                check_one(isa, &by_input(&c), &pools, tiles);
            }
        }
    }
}

/// A dimension with padding that keeps the size at stride 1.
fn same(input: usize, kernel: usize, stride: usize) -> Dim {
    let low = (kernel as isize - 1) / 2;
    Dim::new(input, kernel, stride, low, kernel as isize - 1 - low)
}

#[test]
fn images() {
    for (n, size, ci, co, k) in
        [(2, 9, 5, 7, 3), (3, 14, 16, 33, 3), (2, 28, 1, 6, 5), (1, 20, 3, 32, 3), (2, 13, 20, 50, 5)]
    {
        check(&Conv::channels_last(n, ci, co, 1, vec![same(size, k, 1), same(size + 1, k, 1)]));
        check(&Conv::channels_last(n, ci, co, 1, vec![Dim::new(size, k, 1, 0, 0), Dim::new(size + 1, k, 1, 0, 0)]));
    }
    // Large enough for threads, blocks and parts.
    check(&Conv::channels_last(8, 12, 40, 1, vec![same(17, 3, 1), same(17, 3, 1)]));
    check(&Conv::channels_last(1, 64, 40, 1, vec![same(24, 3, 1), same(30, 3, 1)]));
    check(&Conv::channels_last(2, 400, 34, 1, vec![same(6, 3, 1), same(7, 3, 1)]));
}

#[test]
fn small_windows_of_many_channels() {
    // Tiles of 4 x 4 and of 2 x 2, whole and cut off, of few and of many channels, and too few of them.
    for (n, h, w, ci, co) in [(3, 8, 16, 24, 32), (2, 13, 11, 17, 33), (8, 6, 6, 32, 18), (4, 7, 7, 20, 34)] {
        check_all(&Conv::channels_last(n, ci, co, 1, vec![same(h, 3, 1), same(w, 3, 1)]), true);
        check_all(&Conv::channels_last(n, ci, co, 1, vec![Dim::new(h, 3, 1, 0, 0), Dim::new(w, 3, 1, 2, 0)]), true);
    }
    for (n, h, w, ci, co) in [(3, 8, 10, 32, 16), (2, 13, 11, 20, 50)] {
        check_all(&Conv::channels_last(n, ci, co, 1, vec![same(h, 5, 1), same(w, 5, 1)]), true);
        check_all(&Conv::channels_last(n, ci, co, 1, vec![Dim::new(h, 5, 1, 0, 0), Dim::new(w, 5, 1, 4, 3)]), true);
    }
    // More output channels than are worked on at a time, and fewer rows of tiles than threads.
    check_all(&Conv::channels_last(1, 40, 150, 1, vec![same(7, 3, 1), same(20, 3, 1)]), true);
    // More weights than the cache holds, for few tiles.
    check_all(&Conv::channels_last(1, 190, 200, 1, vec![same(9, 3, 1), same(10, 3, 1)]), true);
}

#[test]
fn tiles_round_little() {
    let pool = Pool::new(1);
    for (taps, bound) in [(3, 1.5e-6), (5, 2e-6)] {
        let c = Conv::channels_last(16, 32, 48, 1, vec![same(16, taps, 1), same(16, taps, 1)]);
        for c in [c.clone(), by_input(&c), by_weights(&c)] {
            let [nx, nw, ny] = c.extents();
            let (x, w, mut y) = (noise(nx, 1), noise(nw, 2), vec![0.0f32; ny]);
            // SAFETY: the slices have the lengths that `extents` names.
            unsafe { conv_f32_on(Isa::available()[0], &c, x.as_ptr(), w.as_ptr(), y.as_mut_ptr(), &pool, None) };
            let (mut error, mut size) = (0.0, 0.0);
            for (at, sum, _) in naive(&c, &x, &w) {
                error += (y[at] as f64 - sum).powi(2);
                size += sum * sum;
            }
            let relative = (error / size).sqrt();
            println!("{taps} x {taps}, {:?}: {relative:.2e}", c.spatial[0]);
            assert!(relative < bound, "{c:?}: root mean square error {relative:e} of the results' size");
        }
    }
}

#[test]
fn narrow_images() {
    for (size, kernel) in [(4, 3), (2, 3), (1, 3), (3, 3), (5, 5)] {
        check(&Conv::channels_last(5, 18, 35, 1, vec![same(size, kernel, 1), same(size, kernel, 1)]));
    }
    check(&Conv::channels_last(40, 10, 9, 1, vec![Dim::new(4, 4, 1, 0, 0), Dim::new(4, 4, 1, 0, 0)]));
    check(&Conv::channels_last(300, 32, 20, 1, vec![same(2, 3, 1), same(2, 3, 1)]));
}

#[test]
fn strides_and_dilations() {
    for stride in [2, 3] {
        for (kernel, ci, co) in [(1, 8, 12), (1, 20, 17), (3, 6, 17), (4, 5, 3)] {
            check(&Conv::channels_last(2, ci, co, 1, vec![same(15, kernel, stride), same(26, kernel, stride)]));
        }
    }
    let dilated = |input, kernel, stride, dilation, pad| {
        let d = Dim { kernel_dilation: dilation, ..Dim::new(input, kernel, stride, pad, pad) };
        Dim { output: d.fitting(), ..d }
    };
    check(&Conv::channels_last(2, 6, 9, 1, vec![dilated(19, 3, 1, 2, 2), dilated(17, 3, 1, 3, 3)]));
    check(&Conv::channels_last(2, 6, 9, 1, vec![dilated(19, 3, 2, 2, 0), dilated(17, 3, 2, 2, 1)]));
    // A transposed convolution, whose gradients stride, and one with everything at once.
    let gaps = |input, kernel, stride, gap, dilation, low, high| {
        let d = Dim { input_dilation: gap, kernel_dilation: dilation, ..Dim::new(input, kernel, stride, low, high) };
        Dim { output: d.fitting(), ..d }
    };
    check(&Conv::channels_last(2, 8, 10, 1, vec![gaps(7, 4, 1, 2, 1, 2, 2), gaps(8, 3, 1, 2, 1, 1, 2)]));
    check(&Conv::channels_last(2, 4, 5, 1, vec![gaps(7, 3, 2, 3, 2, 3, 1), gaps(8, 2, 3, 2, 1, -2, 3)]));
    check(&Conv::channels_last(2, 4, 5, 1, vec![gaps(9, 1, 1, 3, 1, 0, 2), gaps(9, 2, 2, 4, 2, 1, 0)]));
    check(&Conv::channels_last(2, 4, 5, 1, vec![Dim::new(9, 3, 1, -2, 4), Dim::new(12, 3, 1, 5, -3)]));
}

#[test]
fn other_ranks() {
    check(&Conv::channels_last(6, 20, 30, 1, vec![]));
    check(&Conv::channels_last(2, 7, 12, 1, vec![same(300, 5, 1)]));
    check(&Conv::channels_last(1, 16, 8, 1, vec![same(4000, 9, 1)]));
    check(&Conv::channels_last(2, 16, 8, 1, vec![same(100, 3, 2)]));
    check(&Conv::channels_last(1, 3, 5, 1, vec![same(6, 3, 1), same(9, 3, 1), same(10, 3, 1)]));
    check(&Conv::channels_last(2, 8, 20, 1, vec![same(7, 3, 2), same(8, 2, 1), same(15, 3, 2)]));
    check(&Conv::channels_last(2, 64, 40, 1, vec![same(14, 1, 1), same(14, 1, 1)]));
}

#[test]
fn groups() {
    let dims = |stride| vec![same(10, 3, stride), same(13, 3, stride)];
    check(&Conv::channels_last(2, 12, 18, 3, dims(1)));
    check(&Conv::channels_last(2, 12, 18, 6, dims(2)));
    // Depthwise, with one and with several outputs per input.
    for channels in [1, 5, 16, 40] {
        for times in [1, 2, 3] {
            check(&Conv::channels_last(3, channels, channels * times, channels, dims(1)));
        }
        check(&Conv::channels_last(2, channels, channels, channels, dims(2)));
    }
    check(&Conv::channels_last(2, 24, 24, 24, vec![same(50, 5, 1)]));
    check(&Conv::channels_last(2, 24, 24, 24, vec![same(5, 3, 1), same(6, 3, 1), same(7, 3, 1)]));
    check(&Conv::channels_last(2, 24, 24, 24, vec![same(12, 1, 1), same(12, 1, 1)]));
    check(&Conv::channels_last(8, 48, 48, 48, vec![same(28, 3, 1), same(28, 3, 1)]));
}

#[test]
fn halves_and_integers() {
    let c = Conv::channels_last(3, 6, 10, 2, vec![same(9, 3, 2), same(11, 3, 1)]);
    let pool = Pool::new(2);
    let [nx, nw, ny] = c.extents();
    let (x, w) = (noise(nx, 1), noise(nw, 2));
    let (hx, hw): (Vec<bf16>, Vec<bf16>) =
        (x.iter().map(|v| bf16::from_f32(*v)).collect(), w.iter().map(|v| bf16::from_f32(*v)).collect());
    let mut y = vec![bf16::ZERO; ny];
    // SAFETY: the slices have the lengths that `extents` names.
    unsafe { conv_element(&c, hx.as_ptr(), hw.as_ptr(), y.as_mut_ptr(), &pool) };
    for (at, sum, size) in naive(&c, &x, &w) {
        assert!((y[at].to_f64() - sum).abs() <= 3e-2 * size, "{} instead of {sum}", y[at]);
    }
    let ints = |v: &[f32]| v.iter().map(|x| (x * 50.0) as i32).collect::<Vec<_>>();
    let floats = |v: &[i32]| v.iter().map(|&x| x as f32).collect::<Vec<_>>();
    let (ix, iw) = (ints(&x), ints(&w));
    let mut y = vec![0i32; ny];
    // SAFETY: as above.
    unsafe { conv_element(&c, ix.as_ptr(), iw.as_ptr(), y.as_mut_ptr(), &pool) };
    for (at, sum, _) in naive(&c, &floats(&ix), &floats(&iw)) {
        assert_eq!(y[at] as f64, sum);
    }
}
