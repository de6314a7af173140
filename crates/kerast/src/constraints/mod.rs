//! Projections of weights, applied after every update.

mod non_neg;

pub use non_neg::NonNeg;

use crate::config::{Config, Entry, FromConfig, family};
use kerast_graph::Var;
use std::sync::{Arc, LazyLock};

/// A projection.
pub trait ConstraintRule: Config {
    /// The allowed weight nearest to `w`, of the same shape.
    fn call(&self, w: &Var) -> Var;
}

family! {
    /// A constraint: `"non_neg"`, [`NonNeg`], or a config.
    Constraint = ConstraintRule, "constraint", "keras.constraints", &REGISTRY
}

fn entry<C: ConstraintRule + FromConfig>(
    class: &'static str,
    aliases: &'static [&'static str],
) -> Entry<dyn ConstraintRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(C::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn ConstraintRule>>> =
    LazyLock::new(|| vec![entry::<NonNeg>("NonNeg", &["non_neg", "nonneg"])]);
