//! Initial matrices with structure: the identity, orthogonal matrices (Saxe et al. 2013).

use super::InitializerRule;
use crate::config::config;
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_kernels::random::Stream;

config! {
    /// `gain` on the diagonal, 0 elsewhere; for matrices.
    pub struct Identity("Identity") {
        ;
        /// The value on the diagonal.
        gain: f64 = 1.0,
    }
}

impl InitializerRule for Identity {
    fn init(&self, shape: &[usize], dtype: DType, _: &mut Stream) -> Result<Tensor> {
        let [rows, cols] = *shape else { return Err(not_a_matrix("Identity", shape)) };
        let mut t = Tensor::zeros(DType::F32, shape)?;
        if let Some(v) = t.as_mut_slice::<f32>() {
            (0..rows.min(cols)).for_each(|i| v[i * cols + i] = self.gain as f32);
        }
        Ok(t.cast(dtype))
    }
}

fn not_a_matrix(name: &str, shape: &[usize]) -> Error {
    Error::new(ErrorKind::Shape, format!("{name} makes matrices only")).received(format!("{shape:?}"))
}

config! {
    /// A random matrix with orthonormal rows or columns, times `gain`; leading axes are taken together.
    pub struct Orthogonal("Orthogonal") {
        ;
        /// The factor.
        gain: f64 = 1.0,
        /// A stream of its own.
        seed: Option<i64> = None,
    }
}

impl InitializerRule for Orthogonal {
    fn init(&self, shape: &[usize], dtype: DType, random: &mut Stream) -> Result<Tensor> {
        if shape.len() < 2 {
            return Err(not_a_matrix("Orthogonal", shape));
        }
        let mut r = self.seed.map_or_else(|| random.clone(), |s| Stream::new(s as u64, 0));
        let cols = shape[shape.len() - 1];
        let rows: usize = shape[..shape.len() - 1].iter().product();
        let (long, short) = (rows.max(cols), rows.min(cols));
        let basis = orthonormal(long, short, &mut r);
        // `basis` holds `short` orthonormal vectors of `long` elements: the columns of a tall matrix, the rows of a wide one.
        let mut t = Tensor::zeros(DType::F32, shape)?;
        if let Some(v) = t.as_mut_slice::<f32>() {
            for i in 0..rows {
                for j in 0..cols {
                    let x = if rows >= cols { basis[j * long + i] } else { basis[i * long + j] };
                    v[i * cols + j] = (self.gain * x) as f32;
                }
            }
        }
        Ok(t.cast(dtype))
    }
}

/// `count` orthonormal vectors of `n` elements, by Gram and Schmidt on normal vectors, twice for precision.
fn orthonormal(n: usize, count: usize, random: &mut Stream) -> Vec<f64> {
    let mut all: Vec<f64> = Vec::with_capacity(n * count);
    for k in 0..count {
        let mut v: Vec<f64> = (0..n).map(|_| random.normal()).collect();
        for _ in 0..2 {
            for q in all.chunks_exact(n).take(k) {
                let dot: f64 = q.iter().zip(&v).map(|(a, b)| a * b).sum();
                v.iter_mut().zip(q).for_each(|(x, a)| *x -= dot * a);
            }
        }
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        all.extend(v.iter().map(|x| x / norm));
    }
    all
}
