//! Crossentropies that count easy samples less (Lin et al. 2017).

use super::LossRule;
use super::crossentropy::{EPSILON, binary, place};
use super::regression::mean_losses;
use crate::Result;
use crate::config::{Word, config};
use kerast_graph::Var;

/// Targets moved towards the uniform distribution over `n` values.
fn smoothed(t: &Var, by: f64, n: f64) -> Var {
    if by == 0.0 { t.clone() } else { t * (1.0 - by) + by / n }
}

fn power(x: Var, exponent: f64) -> Var {
    let e = x.full_like(exponent);
    x.pow(&e)
}

mean_losses! {
    /// `-(1-p)^γ ln p` for targets of 1, `-p^γ ln(1-p)` for targets of 0, averaged over an axis.
    BinaryFocalCrossentropy("BinaryFocalCrossentropy", "binary_focal_crossentropy") {
        /// Predictions are logits rather than probabilities.
        from_logits: bool = false,
        /// Moves targets towards ½.
        label_smoothing: f64 = 0.0,
        /// The axis that is averaged.
        axis: i64 = -1,
        /// Weigh targets of 1 by α and targets of 0 by 1 - α.
        apply_class_balancing: bool = false,
        /// The weight of targets of 1.
        alpha: f64 = 0.25,
        /// How little easy samples count; 0: as much as hard ones.
        gamma: f64 = 2.0,
    } |l, t, p| {
        let t = smoothed(t, l.label_smoothing, 2.0);
        let p = if l.from_logits { p.logistic() } else { p.clone() };
        let hit = &t * &p + (1.0 - &t) * (1.0 - &p);
        let loss = power(1.0 - hit, l.gamma) * binary(&t, &p, false);
        let loss = if l.apply_class_balancing { (&t * l.alpha + (1.0 - &t) * (1.0 - l.alpha)) * loss } else { loss };
        loss.mean(&[place(&p, l.axis)])
    };

    /// `-α (1-p)^γ t ln p`, summed over the class axis, targets one-hot.
    CategoricalFocalCrossentropy("CategoricalFocalCrossentropy", "categorical_focal_crossentropy") {
        /// Predictions are logits rather than probabilities.
        from_logits: bool = false,
        /// Moves targets towards the uniform distribution.
        label_smoothing: f64 = 0.0,
        /// The axis of the classes.
        axis: i64 = -1,
        /// The weight of everything.
        alpha: f64 = 0.25,
        /// How little easy samples count; 0: as much as hard ones.
        gamma: f64 = 2.0,
    } |l, t, p| {
        let axis = place(p, l.axis);
        let t = smoothed(t, l.label_smoothing, t.shape().last().map_or(1.0, |&n| n as f64));
        let p = if l.from_logits { p.softmax(axis) } else { p.clone() };
        let p = (&p / p.reduce_sum(&[axis]).expand_dims(axis)).clamp(EPSILON, 1.0 - EPSILON);
        (power(1.0 - &p, l.gamma) * l.alpha * (t * p.log()).neg()).reduce_sum(&[axis])
    };
}
