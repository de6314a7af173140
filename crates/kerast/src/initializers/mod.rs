//! Initial values of weights, named and scaled as Keras does. They are drawn on the host, once, from the model's seed.

mod constant;
mod matrix;
mod scaled;
mod stft;

pub use constant::{Constant, Ones, Zeros};
pub use matrix::{Identity, Orthogonal};
pub use scaled::{
    GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform, RandomNormal, RandomUniform,
    TruncatedNormal, VarianceScaling,
};
pub use stft::Stft;

use crate::config::{Config, Entry, FromConfig, family};
use crate::{DType, Result, Tensor};
use kerast_kernels::random::Stream;
use std::sync::{Arc, LazyLock};

/// How the first values of a weight are made.
pub trait InitializerRule: Config {
    /// A tensor of this shape. `random` is a stream of this weight's own.
    fn init(&self, shape: &[usize], dtype: DType, random: &mut Stream) -> Result<Tensor>;
}

family! {
    /// An initializer: `"glorot_uniform"`, [`Zeros`], or a config.
    Initializer = InitializerRule, register_initializer, "initializer", "keras.initializers", &REGISTRY
}

fn entry<I: InitializerRule + FromConfig>(
    class: &'static str,
    aliases: &'static [&'static str],
) -> Entry<dyn InitializerRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(I::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn InitializerRule>>> = LazyLock::new(|| {
    vec![
        entry::<Constant>("Constant", &["constant"]),
        entry::<Identity>("Identity", &["identity", "IdentityInitializer", "eye"]),
        entry::<Ones>("Ones", &["ones", "one"]),
        entry::<Zeros>("Zeros", &["zeros", "zero"]),
        entry::<GlorotNormal>("GlorotNormal", &["glorot_normal", "xavier_normal"]),
        entry::<GlorotUniform>("GlorotUniform", &["glorot_uniform", "xavier_uniform"]),
        entry::<HeNormal>("HeNormal", &["he_normal"]),
        entry::<HeUniform>("HeUniform", &["he_uniform"]),
        entry::<LecunNormal>("LecunNormal", &["lecun_normal"]),
        entry::<LecunUniform>("LecunUniform", &["lecun_uniform"]),
        entry::<Orthogonal>("Orthogonal", &["orthogonal", "OrthogonalInitializer"]),
        entry::<RandomNormal>("RandomNormal", &["random_normal", "normal"]),
        entry::<RandomUniform>("RandomUniform", &["random_uniform", "uniform"]),
        entry::<Stft>("STFT", &["stft", "STFTInitializer"]),
        entry::<TruncatedNormal>("TruncatedNormal", &["truncated_normal"]),
        entry::<VarianceScaling>("VarianceScaling", &["variance_scaling"]),
    ]
});
