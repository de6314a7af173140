//! Layers that most models are made of.

mod dense;
mod dropout;
mod embedding;
mod input;
mod lambda;
mod simple;

pub use dense::Dense;
pub use dropout::Dropout;
pub(crate) use dropout::keep_mask;
pub use embedding::Embedding;
pub use input::Input;
pub use lambda::{Lambda, register_function};
pub use simple::{ActivationLayer, Masking};
