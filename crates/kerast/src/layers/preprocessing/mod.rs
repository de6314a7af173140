//! Layers that bring data into range.

mod images;
mod normalization;
mod numbers;
mod rescaling;

pub use images::{CenterCrop, RandomFlip, RandomRotation, Resizing};
pub use normalization::Normalization;
pub use numbers::Numbers;
pub use rescaling::Rescaling;
