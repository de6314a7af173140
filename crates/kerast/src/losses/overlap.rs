//! Losses of how much two sets of pixels overlap.

use super::LossRule;
use super::crossentropy::{EPSILON, place};
use super::regression::mean_losses;
use crate::Result;
use crate::config::{Word, config};
use kerast_graph::Var;

/// The sum over these axes, all of them unless given.
fn total(x: &Var, axes: &Option<Vec<i64>>) -> Var {
    let all = (0..x.rank() as i64).collect();
    let axes: Vec<usize> = axes.as_ref().unwrap_or(&all).iter().map(|a| place(x, *a)).collect();
    x.reduce_sum(&axes)
}

mean_losses! {
    /// `1 - 2 Σ t p / (Σ t + Σ p)` (Sørensen and Dice).
    Dice("Dice", "dice") {
        /// The axes that are summed over; all unless given.
        axis: Option<Vec<i64>> = None,
    } |l, t, p| {
        let both = total(&(t * p), &l.axis) * 2.0;
        1.0 - both / (total(t, &l.axis) + total(p, &l.axis) + EPSILON)
    };

    /// `1 - Σ t p / (Σ t p + α Σ t (1-p) + β Σ p (1-t))` (Salehi et al. 2017).
    Tversky("Tversky", "tversky") {
        /// The weight of what is missed.
        alpha: f64 = 0.5,
        /// The weight of what is too much.
        beta: f64 = 0.5,
        /// The axes that are summed over; all unless given.
        axis: Option<Vec<i64>> = None,
    } |l, t, p| {
        let both = total(&(t * p), &l.axis);
        let missed = total(&(t * (1.0 - p)), &l.axis) * l.alpha;
        let surplus = total(&(p * (1.0 - t)), &l.axis) * l.beta;
        1.0 - &both / (&both + missed + surplus + EPSILON)
    };
}
