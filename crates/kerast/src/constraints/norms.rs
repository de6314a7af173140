//! Constraints of norms along axes.

use super::ConstraintRule;
use crate::config::config;
use kerast_graph::Var;

/// Keras' `epsilon()`.
const EPSILON: f64 = 1e-7;

/// The norm along axes, kept at length 1.
fn norm(w: &Var, axes: &[i64]) -> Var {
    let mut axes: Vec<usize> = axes.iter().map(|a| if *a < 0 { a + w.rank() as i64 } else { *a } as usize).collect();
    axes.retain(|a| *a < w.rank());
    axes.sort_unstable();
    axes.dedup();
    let mut shape = w.shape().to_vec();
    axes.iter().for_each(|&a| shape[a] = 1);
    w.square().reduce_sum(&axes).reshape(&shape).sqrt()
}

config! {
    /// Norms are at most `max_value`.
    pub struct MaxNorm("MaxNorm") {
        ;
        /// The largest norm.
        max_value: f64 = 2.0,
        /// The axes of one norm.
        axis: Vec<i64> = vec![0],
    }
}

impl ConstraintRule for MaxNorm {
    fn call(&self, w: &Var) -> Var {
        let n = norm(w, &self.axis);
        w * (n.clamp(0.0, self.max_value) / (n + EPSILON))
    }
}

config! {
    /// Norms lie between `min_value` and `max_value`, moved by the share `rate` each time.
    pub struct MinMaxNorm("MinMaxNorm") {
        ;
        /// The smallest norm.
        min_value: f64 = 0.0,
        /// The largest norm.
        max_value: f64 = 1.0,
        /// How much of the way is gone at once.
        rate: f64 = 1.0,
        /// The axes of one norm.
        axis: Vec<i64> = vec![0],
    }
}

impl ConstraintRule for MinMaxNorm {
    fn call(&self, w: &Var) -> Var {
        let n = norm(w, &self.axis);
        let wanted = n.clamp(self.min_value, self.max_value) * self.rate + &n * (1.0 - self.rate);
        w * (wanted / (n + EPSILON))
    }
}

config! {
    /// Norms are 1.
    pub struct UnitNorm("UnitNorm") {
        ;
        /// The axes of one norm.
        axis: Vec<i64> = vec![0],
    }
}

impl ConstraintRule for UnitNorm {
    fn call(&self, w: &Var) -> Var {
        w / (norm(w, &self.axis) + EPSILON)
    }
}
