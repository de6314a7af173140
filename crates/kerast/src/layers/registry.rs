//! Every layer: one line each. The registry drives loading, the support table and the contract tests.

use super::core::{ActivationLayer, Dense, Dropout, Input, Masking};
use super::layer::{LayerRule, entry};
use crate::config::Entry;
use std::sync::LazyLock;

static REGISTRY: LazyLock<Vec<Entry<dyn LayerRule>>> = LazyLock::new(|| {
    vec![
        entry::<Input>("InputLayer"),
        entry::<Dense>("Dense"),
        entry::<ActivationLayer>("Activation"),
        entry::<Dropout>("Dropout"),
        entry::<Masking>("Masking"),
    ]
});

pub(super) fn registry() -> &'static [Entry<dyn LayerRule>] {
    &REGISTRY
}
