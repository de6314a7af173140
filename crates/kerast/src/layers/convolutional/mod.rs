//! Convolutions.

mod conv;
mod depthwise;
mod locally;
mod transposed;

pub use conv::{Conv1D, Conv2D, Conv3D};
pub(in crate::layers) use conv::{Shared, add_bias};
pub use depthwise::{DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D};
pub use locally::{LocallyConnected1D, LocallyConnected2D};
pub use transposed::{Conv1DTranspose, Conv2DTranspose, Conv3DTranspose};
