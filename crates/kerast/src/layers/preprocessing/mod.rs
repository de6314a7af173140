//! Layers that bring data into range.

mod normalization;
mod numbers;
mod rescaling;

pub use normalization::Normalization;
pub use numbers::Numbers;
pub use rescaling::Rescaling;
