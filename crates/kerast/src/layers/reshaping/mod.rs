//! Layers that change shapes.

mod images;
mod shape;

pub use images::{Padding2D, UpSampling2D, ZeroPadding2D};
pub use shape::{Flatten, Permute, RepeatVector, Reshape};
