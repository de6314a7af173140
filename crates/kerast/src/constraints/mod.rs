//! Projections of weights, applied after every update.

mod non_neg;
mod norms;

pub use non_neg::NonNeg;
pub use norms::{MaxNorm, MinMaxNorm, UnitNorm};

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
    Constraint = ConstraintRule, register_constraint, "constraint", "keras.constraints", &REGISTRY
}

fn entry<C: ConstraintRule + FromConfig>(
    class: &'static str,
    aliases: &'static [&'static str],
) -> Entry<dyn ConstraintRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(C::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn ConstraintRule>>> = LazyLock::new(|| {
    vec![
        entry::<MaxNorm>("MaxNorm", &["max_norm"]),
        entry::<NonNeg>("NonNeg", &["non_neg"]),
        entry::<UnitNorm>("UnitNorm", &["unit_norm"]),
        entry::<MinMaxNorm>("MinMaxNorm", &["min_max_norm"]),
    ]
});
