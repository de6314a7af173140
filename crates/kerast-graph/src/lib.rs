//! Typed graphs with StableHLO's names and semantics: tensors, ops, autodiff, passes and a CPU compiler.
//!
//! Reading order: [`tensor`], [`ir`] (types, graph, handles), [`ops`] (one file each), [`compose`] (functions made of ops),
//! [`autodiff`], [`passes`], [`backend`]. Nothing here knows Keras.
#![forbid(unsafe_code)]

pub mod autodiff;
pub mod backend;
pub mod compose;
pub mod error;
pub mod ir;
pub mod ops;
pub mod passes;
pub mod tensor;

pub use error::{Error, ErrorKind, Result};
pub use ir::graph::{Graph, ValueId};
pub use ir::types::Type;
pub use ir::var::{Trace, Var};
pub use kerast_kernels::dtype::{DType, Element, bf16, f16};
pub use tensor::Tensor;
