//! Normalisation.

mod batch;
mod layer_norm;
mod renorm;
mod simple;

pub use batch::BatchNormalization;
pub(super) use batch::place;
pub use layer_norm::LayerNormalization;
pub use simple::{GroupNormalization, RmsNormalization, UnitNormalization};
