//! Convolutions.

mod conv;
mod depthwise;
mod transposed;

pub use conv::{Conv1D, Conv2D, Conv3D};
pub use depthwise::{DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D};
pub use transposed::{Conv1DTranspose, Conv2DTranspose, Conv3DTranspose};
