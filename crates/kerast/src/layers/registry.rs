//! Every layer: one line each. The registry drives loading, the support table and the contract tests.

use super::layer::entry;
use super::*;
use crate::config::Entry;
use std::sync::LazyLock;

static REGISTRY: LazyLock<Vec<Entry<dyn LayerRule>>> = LazyLock::new(|| {
    vec![
        entry::<Input>("InputLayer"),
        entry::<Dense>("Dense"),
        entry::<ActivationLayer>("Activation"),
        entry::<Dropout>("Dropout"),
        entry::<Identity>("Identity"),
        entry::<ActivityRegularization>("ActivityRegularization"),
        entry::<AlphaDropout>("AlphaDropout"),
        entry::<GaussianDropout>("GaussianDropout"),
        entry::<GaussianNoise>("GaussianNoise"),
        entry::<SpatialDropout3D>("SpatialDropout3D"),
        entry::<SpatialDropout2D>("SpatialDropout2D"),
        entry::<SpatialDropout1D>("SpatialDropout1D"),
        entry::<ThresholdedRelu>("ThresholdedReLU"),
        entry::<SoftmaxLayer>("Softmax"),
        entry::<PRelu>("PReLU"),
        entry::<EluLayer>("ELU"),
        entry::<LeakyReluLayer>("LeakyReLU"),
        entry::<ReluLayer>("ReLU"),
        entry::<Embedding>("Embedding"),
        entry::<Masking>("Masking"),
        entry::<Lambda>("Lambda"),
        entry::<Conv1D>("Conv1D"),
        entry::<Conv2D>("Conv2D"),
        entry::<Conv3D>("Conv3D"),
        entry::<SeparableConv2D>("SeparableConv2D"),
        entry::<SeparableConv1D>("SeparableConv1D"),
        entry::<DepthwiseConv2D>("DepthwiseConv2D"),
        entry::<DepthwiseConv1D>("DepthwiseConv1D"),
        entry::<Conv3DTranspose>("Conv3DTranspose"),
        entry::<Conv2DTranspose>("Conv2DTranspose"),
        entry::<Conv1DTranspose>("Conv1DTranspose"),
        entry::<MaxPooling1D>("MaxPooling1D"),
        entry::<MaxPooling2D>("MaxPooling2D"),
        entry::<MaxPooling3D>("MaxPooling3D"),
        entry::<AveragePooling1D>("AveragePooling1D"),
        entry::<AveragePooling2D>("AveragePooling2D"),
        entry::<AveragePooling3D>("AveragePooling3D"),
        entry::<GlobalMaxPooling1D>("GlobalMaxPooling1D"),
        entry::<GlobalMaxPooling2D>("GlobalMaxPooling2D"),
        entry::<GlobalMaxPooling3D>("GlobalMaxPooling3D"),
        entry::<GlobalAveragePooling1D>("GlobalAveragePooling1D"),
        entry::<GlobalAveragePooling2D>("GlobalAveragePooling2D"),
        entry::<GlobalAveragePooling3D>("GlobalAveragePooling3D"),
        entry::<Flatten>("Flatten"),
        entry::<Reshape>("Reshape"),
        entry::<Permute>("Permute"),
        entry::<RepeatVector>("RepeatVector"),
        entry::<ZeroPadding1D>("ZeroPadding1D"),
        entry::<ZeroPadding2D>("ZeroPadding2D"),
        entry::<ZeroPadding3D>("ZeroPadding3D"),
        entry::<Cropping1D>("Cropping1D"),
        entry::<Cropping2D>("Cropping2D"),
        entry::<Cropping3D>("Cropping3D"),
        entry::<UpSampling1D>("UpSampling1D"),
        entry::<UpSampling2D>("UpSampling2D"),
        entry::<UpSampling3D>("UpSampling3D"),
        entry::<BatchNormalization>("BatchNormalization"),
        entry::<LayerNormalization>("LayerNormalization"),
        entry::<SimpleRnn>("SimpleRNN"),
        entry::<Lstm>("LSTM"),
        entry::<Gru>("GRU"),
        entry::<Bidirectional>("Bidirectional"),
        entry::<TimeDistributed>("TimeDistributed"),
        entry::<MultiHeadAttention>("MultiHeadAttention"),
        entry::<Add>("Add"),
        entry::<Multiply>("Multiply"),
        entry::<Average>("Average"),
        entry::<Maximum>("Maximum"),
        entry::<Minimum>("Minimum"),
        entry::<Subtract>("Subtract"),
        entry::<Concatenate>("Concatenate"),
        entry::<Dot>("Dot"),
    ]
});

pub(super) fn registry() -> &'static [Entry<dyn LayerRule>] {
    &REGISTRY
}

/// The classes of Keras' layers that are here, in the order of Keras' documentation.
pub fn layer_classes() -> impl Iterator<Item = &'static str> {
    REGISTRY.iter().map(|e| e.class)
}
