//! Products against naive sums in f64: odd sizes, every transposition, every instruction set, one and several threads.

use kerast_kernels::dtype::{bf16, f16};
use kerast_kernels::gemm::{Gemm, Strides, gemm_element, gemm_f32_on};
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

/// The sum and the sum of magnitudes for every element of C.
fn naive(g: &Gemm, a: &[f32], b: &[f32]) -> Vec<(f64, f64)> {
    let mut out = vec![];
    for batch in 0..g.batch {
        let (outer, inner) = (batch / g.group, batch % g.group);
        let (of_a, of_b) = (outer * g.outer[0] + inner * g.a.batch, outer * g.outer[1] + inner * g.b.batch);
        for i in 0..g.m {
            for j in 0..g.n {
                let (mut sum, mut size) = (0.0, 0.0);
                for p in 0..g.k {
                    let x = a[of_a + i * g.a.row + p * g.a.col] as f64;
                    let y = b[of_b + p * g.b.row + j * g.b.col] as f64;
                    sum += x * y;
                    size += (x * y).abs();
                }
                out.push((sum, size));
            }
        }
    }
    out
}

fn check(isa: Isa, g: &Gemm, pools: &[Pool]) {
    let [na, nb, nc] = g.extents();
    let (a, b, before) = (noise(na, 1), noise(nb, 2), noise(nc, 3));
    let expected = naive(g, &a, &b);
    let mut first: Option<Vec<f32>> = None;
    for pool in pools {
        for with_epilogue in [false, true] {
            let mut c = before.clone();
            let seen = Mutex::new(vec![0; g.batch * g.m * g.n]);
            let epilogue = |rows: Range<usize>, columns: Range<usize>| {
                let mut seen = seen.lock().unwrap();
                rows.for_each(|r| columns.clone().for_each(|j| seen[r * g.n + j] += 1));
            };
            let epilogue: Option<kerast_kernels::gemm::Epilogue<'_>> =
                if with_epilogue { Some(&epilogue) } else { None };
            // SAFETY: the slices have the lengths that `extents` names.
            unsafe { gemm_f32_on(isa, g, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), pool, epilogue) };
            if with_epilogue && g.n > 0 {
                assert!(
                    seen.into_inner().unwrap().iter().all(|&n| n == 1),
                    "{isa} {g:?}: rows reported other than once"
                );
            }
            let mut e = expected.iter();
            let mut touched = vec![false; nc];
            for batch in 0..g.batch {
                for i in 0..g.m {
                    for j in 0..g.n {
                        let at = batch * g.c_batch + i * g.c_row + j;
                        touched[at] = true;
                        let &(sum, size) = e.next().unwrap();
                        let (sum, start) = if g.accumulate { (sum + before[at] as f64, 1.0) } else { (sum, 0.0) };
                        let error = (c[at] as f64 - sum).abs();
                        let bound = 2e-7 * (size + start) * (4.0 + (g.k as f64).sqrt());
                        assert!(error <= bound, "{isa} {g:?} at {batch},{i},{j}: {} instead of {sum}", c[at]);
                    }
                }
            }
            assert!((0..nc).all(|i| touched[i] || c[i] == before[i]), "{isa} {g:?}: wrote outside C");
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            match &first {
                Some(f) => assert!(bits(f) == bits(&c), "{isa} {g:?}: other bits with {} threads", pool.threads()),
                None => first = Some(c),
            }
        }
    }
}

fn pools() -> Vec<Pool> {
    [1, 2, 3].map(Pool::new).into()
}

/// A product whose operands are transposed as asked, with rows `gap` elements longer than needed.
fn product(m: usize, n: usize, k: usize, ta: bool, tb: bool, gap: usize) -> Gemm {
    let strides = |rows: usize, cols: usize, transposed: bool| match transposed {
        false => Strides { batch: 0, row: cols + gap, col: 1 },
        true => Strides { batch: 0, row: 1, col: rows + gap },
    };
    Gemm { a: strides(m, k, ta), b: strides(k, n, tb), c_row: n + gap, ..Gemm::plain(m, n, k) }
}

#[test]
fn odd_sizes_and_transposes() {
    let pools = pools();
    let sizes = [
        (1, 1, 1),
        (1, 7, 5),
        (5, 1, 40),
        (3, 2, 0),
        (10, 12, 8),
        (13, 33, 17),
        (24, 64, 100),
        (50, 10, 129),
        (37, 70, 3),
        (1, 300, 70),
        (300, 1, 70),
        (65, 130, 330),
    ];
    for isa in Isa::available() {
        for (m, n, k) in sizes {
            for t in 0..8 {
                let mut g = product(m, n, k, t & 1 > 0, t & 2 > 0, if t & 4 > 0 { 3 } else { 0 });
                g.accumulate = (m + n + t) % 2 == 0;
                check(isa, &g, &pools);
            }
        }
    }
}

#[test]
fn large_enough_for_threads_and_blocks() {
    let pools = pools();
    for isa in Isa::available() {
        for (m, n, k) in
            [(100, 200, 700), (512, 130, 64), (20, 600, 400), (25, 32, 5000), (130, 512, 512), (7, 5, 20000)]
        {
            for t in 0..4 {
                check(isa, &product(m, n, k, t & 1 > 0, t & 2 > 0, 0), &pools);
            }
        }
        // So few results for so many products that threads share K; so many that they are written row by row; few rows as dot products.
        for (m, n, k) in [(150, 200, 700), (33, 410, 900), (2, 300, 520), (700, 97, 20), (8, 45, 70)] {
            for t in 0..4 {
                let accumulate = t == 0 || t == 3;
                check(isa, &Gemm { accumulate, ..product(m, n, k, t & 1 > 0, t & 2 > 0, 5 * (t & 1)) }, &pools);
            }
        }
        // A right side that is read once, stripe by stripe, in one block of rows and in two.
        for t in 0..4 {
            check(isa, &product(20, 3100, 171, t & 1 > 0, t & 2 > 0, t), &pools);
        }
        check(isa, &Gemm { accumulate: true, ..product(390, 1100, 480, true, false, 0) }, &pools);
        check(isa, &product(500, 3080, 171, false, true, 0), &pools);
        for (m, n, k) in [(1, 700, 900), (700, 1, 900)] {
            for t in 0..4 {
                check(isa, &product(m, n, k, t & 1 > 0, t & 2 > 0, 1), &pools);
            }
        }
    }
}

#[test]
fn large_enough_for_a_matrix_unit() {
    let pools = pools();
    for isa in Isa::available() {
        // Rows and columns beside whole tiles and tasks, stretches of K in one piece and in several.
        for (m, n, k) in [(257, 290, 17), (300, 261, 170), (270, 560, 32), (256, 272, 1100)] {
            for t in 0..4 {
                let accumulate = t == 1 || t == 2;
                check(isa, &Gemm { accumulate, ..product(m, n, k, t & 1 > 0, t & 2 > 0, 3 * (t & 1)) }, &pools);
            }
        }
        let apart = Strides { batch: 0, row: 2, col: 600 };
        check(isa, &Gemm { a: apart, ..Gemm::plain(260, 264, 50) }, &pools);
    }
}

/// Every instruction set may sum in another order, but none is further from the truth than a loop over K may be.
#[test]
fn no_instruction_set_loses_digits() {
    let (m, n) = (260, 270);
    let pool = Pool::new(2);
    for isa in Isa::available() {
        for (k, seed) in [(32, 1), (500, 2), (3000, 3)] {
            let g = Gemm::plain(m, n, k);
            // From 2^-20 to 2^20, as the digits of another number say.
            let spread = |count: usize, seed: u64| -> Vec<f32> {
                let size = noise(count, seed + 10);
                noise(count, seed).iter().zip(size).map(|(x, s)| x * (20.0 * s).exp2()).collect()
            };
            let (a, b) = (spread(m * k, seed), spread(k * n, seed + 5));
            let mut c = vec![0.0; m * n];
            // SAFETY: the slices have the lengths that `extents` names.
            unsafe { gemm_f32_on(isa, &g, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), &pool, None) };
            let expected = naive(&g, &a, &b);
            let worst = expected.iter().zip(&c).map(|((sum, size), c)| (f64::from(*c) - sum).abs() / size);
            let worst = worst.fold(0.0, f64::max) * (1u64 << 24) as f64;
            eprintln!("{isa} K={k}: {worst:.2} units");
            assert!(worst <= 4.0 + (k as f64).sqrt(), "{isa}: {worst} units of 2^-24 for K={k}");
        }
    }
}

#[test]
fn infinite_and_huge_elements_do_what_they_do_in_any_sum() {
    let (m, n, k) = (260, 270, 60);
    let g = Gemm::plain(m, n, k);
    for isa in Isa::available() {
        for threads in [1, 2] {
            let (mut a, mut b) = (noise(m * k, 1), noise(k * n, 2));
            (a[3 * k + 5], a[100 * k], a[200 * k + 1]) = (f32::INFINITY, f32::NAN, f32::MAX);
            b[5 * n + 7] = 0.0;
            b[n..2 * n].iter_mut().for_each(|x| *x = x.signum() * 0.5);
            let mut c = vec![0.0; m * n];
            // SAFETY: the slices have the lengths that `extents` names.
            unsafe { gemm_f32_on(isa, &g, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), &Pool::new(threads), None) };
            for (at, (sum, _)) in naive(&g, &a, &b).iter().enumerate() {
                let (c, sum) = (c[at], *sum as f32);
                let (i, j) = (at / n, at % n);
                match i {
                    3 | 100 => {
                        assert!(c == sum || c.is_nan() && sum.is_nan(), "{isa} at {i},{j}: {c} instead of {sum}")
                    }
                    200 => {
                        assert!(c.is_finite() && (c / sum - 1.0).abs() < 1e-5, "{isa} at {i},{j}: {c} instead of {sum}")
                    }
                    _ => assert!((c - sum).abs() < 1e-4, "{isa} at {i},{j}: {c} instead of {sum}"),
                }
            }
        }
    }
}

#[test]
fn batches_broadcasts_and_any_strides() {
    let pools = pools();
    for isa in Isa::available() {
        for batch in [2, 3, 20] {
            let mut g = Gemm { batch, ..Gemm::plain(30, 40, 50) };
            check(isa, &g, &pools);
            g.b.batch = 0;
            check(isa, &g, &pools);
            g.a.batch = 0;
            check(isa, &g, &pools);
            // Heads of an attention layer: rows of [length, heads, size].
            let of = |size: usize| Strides { batch: size, row: batch * size, col: 1 };
            let other = |size: usize| Strides { batch: size, row: 1, col: batch * size };
            check(isa, &Gemm { a: of(16), b: other(16), ..Gemm { batch, ..Gemm::plain(45, 45, 16) } }, &pools);
            check(
                isa,
                &Gemm { b: of(16), c_batch: 16, c_row: batch * 16, ..Gemm { batch, ..Gemm::plain(45, 16, 45) } },
                &pools,
            );
            // The same for several texts, keys of [texts, heads, length, size].
            let (mut texts, each) = (Gemm { batch: 3 * batch, ..Gemm::plain(45, 45, 16) }, 45 * 16 * batch);
            (texts.group, texts.outer, texts.a) = (batch, [each; 2], of(16));
            texts.b = Strides { batch: 45 * 16, row: 1, col: 16 };
            check(isa, &texts, &pools);
            // No unit stride anywhere, and a scalar repeated.
            let odd = Strides { batch: 7000, row: 130, col: 2 };
            for m in [1, 2, 40] {
                check(isa, &Gemm { a: odd, b: odd, ..Gemm { batch, ..Gemm::plain(m, 60, 50) } }, &pools);
            }
            let all = Strides::default();
            check(isa, &Gemm { a: all, b: all, ..Gemm { batch, ..Gemm::plain(14, 40, 9) } }, &pools);
            check(isa, &Gemm { batch, ..Gemm::plain(1, 33, 20) }, &pools);
        }
    }
}

#[test]
fn other_element_types() {
    let pool = Pool::new(2);
    let g = Gemm { batch: 2, ..product(9, 21, 130, true, true, 0) };
    let g = Gemm { a: Strides { batch: 9 * 130, ..g.a }, b: Strides { batch: 0, ..g.b }, c_batch: 9 * 21, ..g };
    let [na, nb, nc] = g.extents();
    let (a, b) = (noise(na, 1), noise(nb, 2));
    let expected = naive(&g, &a, &b);
    macro_rules! float {
        ($t:ty, $from:expr, $to:expr, $bound:expr) => {{
            let (a, b): (Vec<$t>, Vec<$t>) = (a.iter().map($from).collect(), b.iter().map($from).collect());
            let mut c = vec![<$t>::default(); nc];
            // SAFETY: the slices have the lengths that `extents` names.
            unsafe { gemm_element(&g, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), &pool) };
            for (c, (sum, size)) in c.iter().zip(&expected) {
                assert!(($to(c) - sum).abs() <= $bound * size, "{c:?} instead of {sum}");
            }
        }};
    }
    float!(f64, |x| *x as f64, |x: &f64| *x, 1e-14);
    float!(f32, |x| *x, |x: &f32| *x as f64, 1e-6);
    float!(f16, |x| f16::from_f32(*x), |x: &f16| x.to_f64(), 4e-3);
    float!(bf16, |x| bf16::from_f32(*x), |x: &bf16| x.to_f64(), 3e-2);

    let ints = |v: &[f32]| v.iter().map(|x| (x * 100.0) as i8).collect::<Vec<_>>();
    let (a, b) = (ints(&a), ints(&b));
    let mut c = vec![1i8; nc];
    // SAFETY: as above.
    unsafe { gemm_element(&Gemm { accumulate: true, ..g.clone() }, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), &pool) };
    let as_floats = |v: &[i8]| v.iter().map(|&x| x as f32).collect::<Vec<_>>();
    for (c, (sum, _)) in c.iter().zip(naive(&g, &as_floats(&a), &as_floats(&b))) {
        assert_eq!(*c, (sum as i64 + 1) as i8);
    }
}
