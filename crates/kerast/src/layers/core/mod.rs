//! Layers that most models are made of.

mod dense;
mod input;

pub use dense::Dense;
pub use input::Input;
