//! Normalisation.

mod batch;
mod layer_norm;

pub use batch::BatchNormalization;
pub use layer_norm::LayerNormalization;
