//! Layers that put several inputs together.

mod concatenate;
mod dot;
mod element_wise;

pub use concatenate::Concatenate;
pub use dot::Dot;
pub use element_wise::{Add, Average, Maximum, Minimum, Multiply, Subtract};
