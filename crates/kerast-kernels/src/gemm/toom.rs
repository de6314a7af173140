//! The matrices of Toom and Cook behind short convolutions (Winograd, *Arithmetic Complexity of Computations*, 1980; Lavin
//! and Gray, *Fast Algorithms for Convolutional Neural Networks*, 2016).
//!
//! `m` outputs of a correlation with `r` taps need m + r - 1 products: y = Aᵀ[(G g) ⊙ (Bᵀ d)], polynomials
//! evaluated at points and put together again. B depends on the points alone, so output and taps can change roles: the
//! gradient by the weights uses the same Bᵀ d.

/// Products of the longest convolution.
pub(crate) const MOST: usize = 6;

/// The points next to infinity, for 4 and for 6 products. Of four choices for 6 that were tried this one and its mirror have the
/// smallest errors.
const POINTS: [f32; MOST - 1] = [0.0, 1.0, -1.0, 0.5, -2.0];

/// A matrix of `to` rows and `from` columns: Bᵀ if both are the number of products, G if there are fewer columns, Aᵀ if
/// there are fewer rows.
pub(crate) const fn matrix(from: usize, to: usize) -> [[f32; MOST]; MOST] {
    let mut m = [[0.0; MOST]; MOST];
    let points = if from > to { from } else { to } - 1;
    let mut i = 0;
    while i <= points {
        if from == to {
            m[i] = without(points, i);
        } else {
            let mut k = 0;
            let (short, norm) = if from < to { (from, norm(points, i)) } else { (to, 1.0) };
            let mut power = 1.0 / norm;
            while k < short {
                // At infinity the highest power counts alone.
                let value = if i < points { power } else { (k + 1 == short) as u8 as f32 };
                if from < to {
                    m[i][k] = value;
                } else {
                    m[k][i] = value;
                }
                power *= POINTS[if i < points { i } else { 0 }];
                k += 1;
            }
        }
        i += 1;
    }
    m
}

/// The first column with an element other than 0, row by row.
pub(crate) const fn first(from: usize, to: usize) -> [usize; MOST] {
    let m = matrix(from, to);
    let mut first = [0; MOST];
    let mut i = 0;
    while i < to {
        while m[i][first[i]] == 0.0 {
            first[i] += 1;
        }
        i += 1;
    }
    first
}

/// The coefficients of ∏ (x - pⱼ) over all points but number `i`.
const fn without(points: usize, i: usize) -> [f32; MOST] {
    let mut c = [0.0; MOST];
    c[0] = 1.0;
    let (mut j, mut degree) = (0, 0);
    while j < points {
        if j != i {
            degree += 1;
            let mut k = degree;
            while k > 0 {
                c[k] = c[k - 1] - POINTS[j] * c[k];
                k -= 1;
            }
            c[0] *= -POINTS[j];
        }
        j += 1;
    }
    c
}

/// ∏ (pᵢ - pⱼ) over all points but number `i`.
const fn norm(points: usize, i: usize) -> f32 {
    let (mut j, mut product) = (0, 1.0);
    while j < points && i < points {
        if j != i {
            product *= POINTS[i] - POINTS[j];
        }
        j += 1;
    }
    product
}

/// What a kernel for one of these matrices does: Y = M X Mᵀ for `channels` channels side by side, where X and Y
/// are square and their elements vectors of channels.
pub(crate) struct Sandwich {
    pub(crate) x: *const f32,
    /// Strides of rows and columns.
    pub(crate) x_steps: [usize; 2],
    pub(crate) y: *mut f32,
    pub(crate) y_steps: [usize; 2],
    pub(crate) channels: usize,
    /// So many squares one after the other, and how far they are apart.
    pub(crate) count: usize,
    pub(crate) x_next: usize,
    pub(crate) y_next: usize,
}

/// A kernel for a fixed matrix.
pub(crate) type Sandwiched = unsafe fn(&Sandwich);

/// A loop over the indices of a [`Sandwich`], written out.
macro_rules! unrolled {
    ($i:ident below $end:ident $body:block) => {
        unrolled!($i, $end, $body, 0 1 2 3 4 5)
    };
    ($i:ident, $end:ident, $body:block, $($n:literal)*) => {
        $(if $n < $end {
            const $i: usize = $n;
            $body
        })*
    };
}
pub(crate) use unrolled;

/// Defines `sandwich` from the operations that [`micro_kernels`](super::micro::micro_kernels) needs too.
macro_rules! sandwich_kernels {
    ($feature:meta) => {
        /// One vector of channels of a sandwich.
        #[$feature]
        #[inline]
        unsafe fn squeeze<const FROM: usize, const TO: usize, const PART: bool>(
            s: &Sandwich,
            x: *const f32,
            y: *mut f32,
            part: Mask,
        ) {
            let mut half = [[zero(); FROM]; TO];
            // SAFETY: the caller vouches for all elements of the squares.
            unsafe {
                unrolled!(J below FROM {
                    let mut column = [zero(); FROM];
                    unrolled!(I below FROM {
                        let p = x.wrapping_add(I * s.x_steps[0] + J * s.x_steps[1]);
                        column[I] = if PART { load_part(p, part) } else { load(p) };
                    });
                    let mixed = combine::<FROM, TO>(column);
                    unrolled!(I below TO { half[I][J] = mixed[I]; });
                });
                unrolled!(I below TO {
                    let row = combine::<FROM, TO>(half[I]);
                    unrolled!(J below TO {
                        let p = y.wrapping_add(I * s.y_steps[0] + J * s.y_steps[1]);
                        if PART { store_part(p, part, row[J]) } else { store(p, row[J]) }
                    });
                });
            }
        }

        /// Sums of vectors with the constants of a matrix.
        #[$feature]
        #[inline]
        fn combine<const FROM: usize, const TO: usize>(v: [Vector; FROM]) -> [Vector; TO] {
            let mut sums = [zero(); TO];
            unrolled!(I below TO {
                unrolled!(J below FROM {
                    let factor = const { $crate::gemm::toom::matrix(FROM, TO) }[I][J];
                    let first = const { $crate::gemm::toom::first(FROM, TO) }[I] == J;
                    if first && factor == 1.0 {
                        sums[I] = v[J];
                    } else if factor == 1.0 {
                        sums[I] = add(sums[I], v[J]);
                    } else if factor != 0.0 {
                        // SAFETY: one element.
                        sums[I] = fma(unsafe { splat(&factor) }, v[J], sums[I]);
                    }
                });
            });
            sums
        }

        #[$feature]
        unsafe fn squares<const FROM: usize, const TO: usize>(s: &Sandwich) {
            let whole = s.channels / LANES * LANES;
            let part = mask(s.channels - whole);
            let (mut x, mut y) = (s.x, s.y);
            for _ in 0..s.count {
                // SAFETY: passed on.
                unsafe {
                    for c in (0..whole).step_by(LANES) {
                        squeeze::<FROM, TO, false>(s, x.wrapping_add(c), y.wrapping_add(c), part);
                    }
                    if whole < s.channels {
                        squeeze::<FROM, TO, true>(s, x.wrapping_add(whole), y.wrapping_add(whole), part);
                    }
                }
                (x, y) = (x.wrapping_add(s.x_next), y.wrapping_add(s.y_next));
            }
        }

        /// # Panics
        /// If convolutions of no kind have this matrix.
        fn sandwich(from: usize, to: usize) -> Sandwiched {
            match (from, to) {
                (4, 4) => squares::<4, 4>,
                (3, 4) => squares::<3, 4>,
                (4, 2) => squares::<4, 2>,
                (2, 4) => squares::<2, 4>,
                (4, 3) => squares::<4, 3>,
                (6, 6) => squares::<6, 6>,
                (3, 6) => squares::<3, 6>,
                (6, 4) => squares::<6, 4>,
                (4, 6) => squares::<4, 6>,
                (6, 3) => squares::<6, 3>,
                (5, 6) => squares::<5, 6>,
                (6, 2) => squares::<6, 2>,
                (2, 6) => squares::<2, 6>,
                (6, 5) => squares::<6, 5>,
                _ => unreachable!("no convolution takes {from} elements to {to}"),
            }
        }
    };
}
pub(crate) use sandwich_kernels;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_correlations_are_exact_up_to_rounding() {
        for (m, r) in [(2, 3), (3, 2), (4, 3), (3, 4), (2, 5), (5, 2)] {
            let products = m + r - 1;
            let d: Vec<f64> = (0..products).map(|i| (i * i) as f64 - 3.5).collect();
            let g: Vec<f64> = (0..r).map(|i| 1.0 - 0.75 * i as f64).collect();
            let times = |a: [[f32; MOST]; MOST], v: &[f64], rows: usize| -> Vec<f64> {
                (0..rows).map(|i| v.iter().zip(a[i]).map(|(x, c)| x * c as f64).sum()).collect()
            };
            let (u, v) = (times(matrix(r, products), &g, products), times(matrix(products, products), &d, products));
            let p: Vec<f64> = u.iter().zip(v).map(|(u, v)| u * v).collect();
            for (i, y) in times(matrix(products, m), &p, m).into_iter().enumerate() {
                let expected: f64 = (0..r).map(|k| d[i + k] * g[k]).sum();
                assert!((y - expected).abs() < 1e-4, "F({m}, {r}) at {i}: {y} instead of {expected}");
            }
        }
    }
}
