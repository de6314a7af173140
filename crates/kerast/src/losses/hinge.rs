//! Hinge losses: targets -1 or 1 (0 is read as -1), or one-hot.

use super::LossRule;
use super::regression::mean_losses;
use crate::Result;
use crate::config::{Word, config};
use kerast_graph::{DType, Var};

fn last(y: &Var) -> usize {
    y.rank().saturating_sub(1)
}

/// Targets of 0 and 1 as -1 and 1; any others as they are.
fn signs(t: &Var) -> Var {
    let all: Vec<usize> = (0..t.rank()).collect();
    let binary = t.eq(0.0).or(&t.eq(1.0)).convert(DType::Bool).reduce_all(&all);
    binary.select(&(t * 2.0 - 1.0), t)
}

mean_losses! {
    /// `mean(max(1 - t·p, 0))`.
    Hinge("Hinge", "hinge") {} |l, t, p| (1.0 - signs(t) * p).relu().mean(&[last(p)]);

    /// `mean(max(1 - t·p, 0)²)`.
    SquaredHinge("SquaredHinge", "squared_hinge") {} |l, t, p| (1.0 - signs(t) * p).relu().square().mean(&[last(p)]);

    /// `max(max((1 - t)·p) - Σ t·p + 1, 0)`.
    CategoricalHinge("CategoricalHinge", "categorical_hinge") {} |l, t, p| {
        let positive = (t * p).reduce_sum(&[last(p)]);
        let negative = ((1.0 - t) * p).reduce_max(&[last(p)]);
        (negative - positive + 1.0).relu()
    };
}
