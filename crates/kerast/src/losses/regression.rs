//! Losses of distances: errors, Huber, log-cosh, cosine, and those of counts and distributions.

use super::LossRule;
use super::crossentropy::EPSILON;
use crate::Result;
use crate::config::{Word, config};
use kerast_graph::Var;

fn last(y: &Var) -> usize {
    y.rank().saturating_sub(1)
}

/// Declares losses whose formula gives elements that are averaged over the last axis.
macro_rules! mean_losses {
    ($($(#[$meta:meta])* $name:ident($class:literal, $label:literal) { $($(#[$fmeta:meta])* $field:ident: $ty:ty = $default:expr),* $(,)? } |$this:ident, $t:ident, $p:ident| $body:expr;)*) => {$(
        config! {
            $(#[$meta])*
            pub struct $name($class) {
                ;
                /// The name in a history.
                name: String = $label.into(),
                /// How samples are put together.
                reduction: Word = "sum_over_batch_size".into(),
                $($(#[$fmeta])* $field: $ty = $default,)*
            }
        }

        impl LossRule for $name {
            fn call(&self, $t: &Var, $p: &Var) -> Result<Var> {
                let $this = self;
                let _ = $this;
                Ok($body)
            }
            fn reduction(&self) -> Word {
                self.reduction.clone()
            }
        }
    )*};
}
pub(super) use mean_losses;

/// `v / |v|` along the last axis, as Keras normalises (the square norm is at least 1e-12).
fn unit(v: &Var) -> Var {
    let axis = last(v);
    let square = v.square().reduce_sum(&[axis]).expand_dims(axis);
    v * square.max(&square.full_like(1e-12)).rsqrt()
}

mean_losses! {
    /// `mean((t - p)²)`.
    MeanSquaredError("MeanSquaredError", "mean_squared_error") {} |l, t, p| (t - p).square().mean(&[last(p)]);

    /// `mean(|t - p|)`.
    MeanAbsoluteError("MeanAbsoluteError", "mean_absolute_error") {} |l, t, p| (t - p).abs().mean(&[last(p)]);

    /// `100 · mean(|t - p| / max(|t|, ε))`.
    MeanAbsolutePercentageError("MeanAbsolutePercentageError", "mean_absolute_percentage_error") {} |l, t, p| {
        let size = t.abs().max(&t.full_like(EPSILON));
        ((t - p) / size).abs().mean(&[last(p)]) * 100.0
    };

    /// `mean((ln(1 + t) - ln(1 + p))²)`, values below ε raised to it.
    MeanSquaredLogarithmicError("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error") {} |l, t, p| {
        let log = |v: &Var| (v.max(&v.full_like(EPSILON)) + 1.0).log();
        (log(t) - log(p)).square().mean(&[last(p)])
    };

    /// `mean(½e²)` for errors below δ, `mean(δ|e| - ½δ²)` above.
    Huber("Huber", "huber_loss") {
        /// Where the square turns into a line.
        delta: f64 = 1.0
    } |l, t, p| {
        let e = (p - t).abs();
        let square = e.square() * 0.5;
        let line = &e * l.delta - 0.5 * l.delta * l.delta;
        e.less_equal(&e.full_like(l.delta)).select(&square, &line).mean(&[last(p)])
    };

    /// `mean(ln cosh(p - t))`.
    LogCosh("LogCosh", "log_cosh") {} |l, t, p| {
        let e = p - t;
        (&e + crate::activations::softplus(&(&e * -2.0)) - std::f64::consts::LN_2).mean(&[last(p)])
    };

    /// `-Σ t·p / (|t||p|)`.
    CosineSimilarity("CosineSimilarity", "cosine_similarity") {
        /// The axis of the vectors.
        axis: i64 = -1
    } |l, t, p| (unit(t) * unit(p)).reduce_sum(&[last(p)]).neg();

    /// `mean(p - t ln(p + ε))`.
    Poisson("Poisson", "poisson") {} |l, t, p| (p - t * (p + EPSILON).log()).mean(&[last(p)]);

    /// `Σ t ln(t / p)`, both clipped to [ε, 1].
    KLDivergence("KLDivergence", "kl_divergence") {} |l, t, p| {
        let (t, p) = (t.clamp(EPSILON, 1.0), p.clamp(EPSILON, 1.0));
        (&t * (&t / p).log()).reduce_sum(&[t.rank().saturating_sub(1)])
    };
}
