//! The matrices of Toom and Cook behind short convolutions (Winograd, *Arithmetic Complexity of Computations*, 1980; Lavin
//! and Gray, *Fast Algorithms for Convolutional Neural Networks*, 2016).
//!
//! `m` outputs of a correlation with `r` taps need m + r - 1 products: y = Aᵀ[(G g) ⊙ (Bᵀ d)], polynomials
//! evaluated at points and put together again. B depends on the points alone, so output and taps can change roles: the
//! gradient by the weights uses the same Bᵀ d.

/// Products of the longest convolution.
pub(crate) const MOST: usize = 6;

/// The points next to infinity, for 4 and for 6 products. Of the usual choices for 6 this one has the smallest errors.
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
