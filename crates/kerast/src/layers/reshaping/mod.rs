//! Layers that change shapes.

mod images;
pub(in crate::layers) mod interpolation;
mod shape;

pub use images::{
    Cropping1D, Cropping2D, Cropping3D, Sides, UpSampling1D, UpSampling2D, UpSampling3D, ZeroPadding1D, ZeroPadding2D,
    ZeroPadding3D,
};
pub use shape::{Flatten, Permute, RepeatVector, Reshape};
