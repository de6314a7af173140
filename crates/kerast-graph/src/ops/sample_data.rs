//! Operands for samples: repeatable numbers, no two of them close together, so that finite differences meet no kinks.

use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;

/// f32 numbers between -2 and 2, at least 0.03 apart within the first 127 elements.
pub(super) fn floats(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let v: Vec<f32> = (0..n).map(|i| ((i * 37 + seed * 53 + 11) % 127) as f32 / 31.75 - 2.0).collect();
    Tensor::new(shape, &v).expect("n values")
}

/// The same as integers between -9 and 9.
pub(super) fn integers(shape: &[usize], seed: usize, dtype: DType) -> Tensor {
    let n: usize = shape.iter().product();
    let v: Vec<i64> = (0..n).map(|i| ((i * 7 + seed * 5 + 3) % 19) as i64 - 9).collect();
    Tensor::new(shape, &v).expect("n values").cast(dtype)
}

/// Indices as they stand.
pub(super) fn indices(shape: &[usize], values: &[i32]) -> Tensor {
    Tensor::new(shape, values).expect("as many indices as the shape has places")
}
