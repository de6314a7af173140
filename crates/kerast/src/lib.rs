//! Kerast: Keras for Rust.
#![forbid(unsafe_code)]

pub mod activations;
pub mod config;
pub mod constraints;
pub mod initializers;
pub mod losses;
pub mod metrics;
pub mod optimizers;
pub mod regularizers;

pub use kerast_graph::{DType, Element, Error, ErrorKind, Result, Tensor};
