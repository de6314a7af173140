//! Constant initial values.

use super::InitializerRule;
use crate::config::config;
use crate::{DType, Result, Tensor};
use kerast_kernels::random::Stream;

fn filled(shape: &[usize], dtype: DType, value: f64) -> Result<Tensor> {
    let mut t = Tensor::zeros(DType::F32, shape)?;
    if let Some(values) = t.as_mut_slice::<f32>() {
        values.fill(value as f32);
    }
    Ok(t.cast(dtype))
}

config! {
    /// All 0.
    pub struct Zeros("Zeros") {}
}

impl InitializerRule for Zeros {
    fn init(&self, shape: &[usize], dtype: DType, _: &mut Stream) -> Result<Tensor> {
        Tensor::zeros(dtype, shape)
    }
}

config! {
    /// All 1.
    pub struct Ones("Ones") {}
}

impl InitializerRule for Ones {
    fn init(&self, shape: &[usize], dtype: DType, _: &mut Stream) -> Result<Tensor> {
        filled(shape, dtype, 1.0)
    }
}

config! {
    /// All the same value.
    pub struct Constant("Constant") {
        ;
        /// The value.
        value: f64 = 0.0,
    }
}

impl InitializerRule for Constant {
    fn init(&self, shape: &[usize], dtype: DType, _: &mut Stream) -> Result<Tensor> {
        filled(shape, dtype, self.value)
    }
}
