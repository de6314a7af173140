//! Typed graphs with StableHLO's names and semantics: tensors, ops, autodiff, passes and a CPU compiler.
#![forbid(unsafe_code)]

pub mod error;
pub mod tensor;

pub use error::{Error, ErrorKind, Result};
pub use kerast_kernels::dtype::{DType, Element, bf16, f16};
pub use tensor::Tensor;
