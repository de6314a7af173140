//! Penalties on size: `l1 · Σ|x| + l2 · Σx²`.

use super::RegularizerRule;
use crate::Result;
use crate::config::config;
use kerast_graph::Var;

config! {
    /// `l1 · Σ|x|`.
    pub struct L1("L1") {
        ;
        /// The factor.
        l1: f64 = 0.01,
    }
}

impl RegularizerRule for L1 {
    fn call(&self, x: &Var) -> Result<Var> {
        Ok(x.abs().sum_all() * self.l1)
    }
}

config! {
    /// `l2 · Σx²`.
    pub struct L2("L2") {
        ;
        /// The factor.
        l2: f64 = 0.01,
    }
}

impl RegularizerRule for L2 {
    fn call(&self, x: &Var) -> Result<Var> {
        Ok(x.square().sum_all() * self.l2)
    }
}

config! {
    /// `l1 · Σ|x| + l2 · Σx²`.
    pub struct L1L2("L1L2") {
        ;
        /// The factor of the absolute values.
        l1: f64 = 0.0,
        /// The factor of the squares.
        l2: f64 = 0.0,
    }
}

impl RegularizerRule for L1L2 {
    fn call(&self, x: &Var) -> Result<Var> {
        Ok(x.abs().sum_all() * self.l1 + x.square().sum_all() * self.l2)
    }
}
