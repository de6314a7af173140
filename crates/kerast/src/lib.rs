//! Kerast: Keras for Rust.
#![forbid(unsafe_code)]

pub use kerast_graph::{DType, Element, Error, ErrorKind, Result, Tensor};
