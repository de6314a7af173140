//! Activations: functions of one value, named as Keras names them.

mod rectified;
mod shrinking;
mod sigmoids;
mod softmaxes;

pub use rectified::{Celu, Elu, Gelu, LeakyRelu, Relu, Relu6, Selu, Silu, Threshold};
pub use shrinking::{HardShrink, HardTanh, SoftShrink, TanhShrink};
pub(crate) use sigmoids::softplus;
pub use sigmoids::{
    Exponential, HardSigmoid, HardSigmoidKeras2, HardSilu, Linear, LogSigmoid, Mish, Sigmoid, Softplus, Softsign,
    SparsePlus, SparseSigmoid, Squareplus, Step, Tanh,
};
pub use softmaxes::{Glu, LogSoftmax, Softmax, Sparsemax};

use crate::config::{Config, Entry, FromConfig, family};
use kerast_graph::Var;
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// An activation function.
pub trait ActivationRule: Config {
    /// `y = f(x)`, of the same shape (but for `glu`).
    fn call(&self, x: &Var) -> Var;
}

family! {
    /// An activation: `"relu"`, [`Relu`], or a config.
    Activation = ActivationRule, register_activation, "activation", "keras.activations", &REGISTRY, serialize = serialize
}

/// Keras writes an activation by its name alone.
fn serialize(a: &dyn ActivationRule) -> Value {
    Value::from(a.class_name())
}

fn entry<A: ActivationRule + FromConfig>(
    class: &'static str,
    aliases: &'static [&'static str],
) -> Entry<dyn ActivationRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(A::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn ActivationRule>>> = LazyLock::new(|| {
    vec![
        entry::<Linear>("linear", &["Linear"]),
        entry::<Relu>("relu", &["ReLU"]),
        entry::<Relu6>("relu6", &["ReLU6"]),
        entry::<LeakyRelu>("leaky_relu", &["LeakyReLU"]),
        entry::<Elu>("elu", &["ELU"]),
        entry::<Celu>("celu", &[]),
        entry::<Selu>("selu", &[]),
        entry::<Gelu>("gelu", &[]),
        entry::<Silu>("silu", &["swish"]),
        entry::<Threshold>("threshold", &[]),
        entry::<Sigmoid>("sigmoid", &[]),
        entry::<HardSigmoid>("hard_sigmoid", &[]),
        entry::<HardSigmoidKeras2>("hard_sigmoid_keras2", &[]),
        entry::<HardSilu>("hard_silu", &["hard_swish"]),
        entry::<LogSigmoid>("log_sigmoid", &[]),
        entry::<SparseSigmoid>("sparse_sigmoid", &[]),
        entry::<Tanh>("tanh", &[]),
        entry::<HardTanh>("hard_tanh", &[]),
        entry::<TanhShrink>("tanh_shrink", &[]),
        entry::<HardShrink>("hard_shrink", &[]),
        entry::<SoftShrink>("soft_shrink", &[]),
        entry::<Softplus>("softplus", &[]),
        entry::<Softsign>("softsign", &[]),
        entry::<SparsePlus>("sparse_plus", &[]),
        entry::<Squareplus>("squareplus", &[]),
        entry::<Exponential>("exponential", &[]),
        entry::<Mish>("mish", &[]),
        entry::<Softmax>("softmax", &[]),
        entry::<LogSoftmax>("log_softmax", &[]),
        entry::<Sparsemax>("sparsemax", &[]),
        entry::<Glu>("glu", &[]),
        entry::<Step>("step", &[]),
    ]
});

/// Declares activations: struct, Keras' name, arguments, formula.
macro_rules! activation {
    ($($(#[$meta:meta])* $name:ident($class:literal) { $($(#[$fmeta:meta])* $field:ident: $ty:ty = $default:expr),* } |$this:ident, $x:ident| $body:expr;)*) => {$(
        $crate::config::config! {
            $(#[$meta])*
            pub struct $name($class) {
                ;
                $($(#[$fmeta])* $field: $ty = $default,)*
            }
        }

        impl $crate::activations::ActivationRule for $name {
            fn call(&self, $x: &kerast_graph::Var) -> kerast_graph::Var {
                let $this = self;
                let _ = $this;
                $body
            }
        }
    )*};
}
pub(crate) use activation;
