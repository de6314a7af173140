//! Normalisation.

mod batch;
mod layer_norm;
mod renorm;

pub use batch::BatchNormalization;
pub use layer_norm::LayerNormalization;
