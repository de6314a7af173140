//! Layers that most models are made of.

mod dense;
mod dropout;
mod input;
mod simple;

pub use dense::Dense;
pub use dropout::Dropout;
pub use input::Input;
pub use simple::{ActivationLayer, Masking};
