//! Layers, in Keras' folders. [`LayerRule`] says what one is; [`layer!`] declares one.

mod arguments;
mod attention;
mod call;
pub mod cell;
pub mod convolutional;
pub mod core;
mod einsum;
pub(crate) mod layer;
pub mod merging;
pub mod names;
pub mod normalization;
pub(crate) mod operations;
pub mod pooling;
pub mod preprocessing;
mod registry;
pub mod reshaping;
pub mod rnn;
mod shapes;
pub mod sizes;
mod weights;

pub use arguments::{Argument, Arguments};
pub use attention::{AdditiveAttention, Attention, MultiHeadAttention};
pub use call::{Call, Masks};
pub use cell::{LayerRef, Variable};
pub use convolutional::*;
pub use core::{
    ActivationLayer, ActivityRegularization, AlphaDropout, Dense, Dropout, EinsumDense, EluLayer, Embedding,
    GaussianDropout, GaussianNoise, Identity, Input, Lambda, LayerScale, LeakyReluLayer, Masking, PRelu, ReluLayer,
    ReversibleEmbedding, SoftmaxLayer, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D, ThresholdedRelu,
    register_function,
};
pub use layer::{Base, LayerObject, LayerRule, Policy, Shape, layer, layer_base, register_layer};
pub use merging::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
pub use names::{auto_name, clear_session, snake_case};
pub use normalization::{
    BatchNormalization, GroupNormalization, LayerNormalization, RmsNormalization, UnitNormalization,
};
pub use pooling::{
    AveragePooling1D, AveragePooling2D, AveragePooling3D, GlobalAveragePooling1D, GlobalAveragePooling2D,
    GlobalAveragePooling3D, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D, MaxPooling1D, MaxPooling2D,
    MaxPooling3D,
};
pub use preprocessing::{CenterCrop, Normalization, Numbers, RandomFlip, RandomRotation, Rescaling, Resizing};
pub use registry::layer_classes;
pub use reshaping::*;
pub use rnn::{Bidirectional, ConvLstm1D, ConvLstm2D, ConvLstm3D, Gru, Lstm, SimpleRnn, TimeDistributed};
pub use shapes::{expect_rank, known, last_axis};
pub use sizes::Sizes;
pub use weights::{WeightSpec, Weights};

pub(crate) use layer::{layer_json, one_input};
pub(crate) use shapes::show;
