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
        entry::<Embedding>("Embedding"),
        entry::<Masking>("Masking"),
        entry::<Lambda>("Lambda"),
        entry::<Conv1D>("Conv1D"),
        entry::<Conv2D>("Conv2D"),
        entry::<Conv3D>("Conv3D"),
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
        entry::<ZeroPadding2D>("ZeroPadding2D"),
        entry::<UpSampling2D>("UpSampling2D"),
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
