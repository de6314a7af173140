//! Penalties on weights and outputs, added to the loss.

mod l1l2;
mod orthogonal;

pub use l1l2::{L1, L1L2, L2};
pub use orthogonal::OrthogonalRegularizer;

use crate::Result;
use crate::config::{Config, Entry, FromConfig, family};
use kerast_graph::Var;
use std::sync::{Arc, LazyLock};

/// A penalty.
pub trait RegularizerRule: Config {
    /// The penalty of `x`: a scalar.
    fn call(&self, x: &Var) -> Result<Var>;
}

family! {
    /// A regularizer: `"l2"`, [`L2`], or a config.
    Regularizer = RegularizerRule, register_regularizer, "regularizer", "keras.regularizers", &REGISTRY
}

fn entry<R: RegularizerRule + FromConfig>(
    class: &'static str,
    aliases: &'static [&'static str],
) -> Entry<dyn RegularizerRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(R::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn RegularizerRule>>> = LazyLock::new(|| {
    vec![
        entry::<L1>("L1", &["l1"]),
        entry::<L2>("L2", &["l2"]),
        entry::<L1L2>("L1L2", &["l1_l2"]),
        entry::<OrthogonalRegularizer>("OrthogonalRegularizer", &["orthogonal_regularizer"]),
    ]
});
