//! Layers that most models are made of.

mod dense;
mod dropout;
mod einsum_dense;
mod embedding;
mod input;
mod lambda;
mod layer_scale;
mod noise;
mod rectifiers;
mod reversible_embedding;
mod simple;

pub use dense::Dense;
pub use dropout::Dropout;
pub(crate) use dropout::dropped;
pub use einsum_dense::EinsumDense;
pub use embedding::Embedding;
pub use input::Input;
pub use lambda::{Lambda, register_function};
pub use layer_scale::LayerScale;
pub use noise::{
    ActivityRegularization, AlphaDropout, GaussianDropout, GaussianNoise, Identity, SpatialDropout1D, SpatialDropout2D,
    SpatialDropout3D,
};
pub use rectifiers::{EluLayer, LeakyReluLayer, PRelu, ReluLayer, SoftmaxLayer, ThresholdedRelu};
pub use reversible_embedding::ReversibleEmbedding;
pub use simple::{ActivationLayer, Masking};
