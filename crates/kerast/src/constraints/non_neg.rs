//! No weight below zero.

use super::ConstraintRule;
use crate::config::config;
use kerast_graph::Var;

config! {
    /// `max(w, 0)`.
    pub struct NonNeg("NonNeg") {}
}

impl ConstraintRule for NonNeg {
    fn call(&self, w: &Var) -> Var {
        w.relu()
    }
}
