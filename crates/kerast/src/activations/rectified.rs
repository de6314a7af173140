//! Activations that let positive values through.

use super::activation;
use kerast_graph::Var;

/// `x > 0 ? x : other`.
fn positive_or(x: &Var, other: Var) -> Var {
    x.gt(0.0).select(x, &other)
}

/// `min(x, 0)`, so that exponentials of it do not overflow.
fn low(x: &Var) -> Var {
    x.gt(0.0).select(&x.full_like(0.0), x)
}

activation! {
    /// `max(x, 0)`, with Keras' extras: a slope below the threshold and a ceiling.
    Relu("relu") {
        /// Slope below the threshold.
        negative_slope: f64 = 0.0,
        /// The ceiling.
        max_value: Option<f64> = None,
        /// Where the slope of 1 begins.
        threshold: f64 = 0.0
    } |a, x| {
        if a.threshold == 0.0 && a.negative_slope == 0.0 && a.max_value.is_none() {
            return x.relu();
        }
        let zero = x.full_like(0.0);
        let above = match a.threshold {
            0.0 => x.gt(0.0),
            t => x.gt(t),
        };
        let below = if a.negative_slope == 0.0 { zero.clone() } else { (x - a.threshold) * a.negative_slope };
        let plain = a.threshold == 0.0 && a.negative_slope == 0.0;
        let y = if plain { x.relu() } else { above.select(x, &below) };
        match a.max_value {
            Some(max) => y.greater(&y.full_like(max)).select(&y.full_like(max), &y),
            None => y,
        }
    };

    /// `min(max(x, 0), 6)`.
    Relu6("relu6") {} |a, x| {
        let y = x.relu();
        y.gt(6.0).select(&y.full_like(6.0), &y)
    };

    /// `x > 0 ? x : slope · x`.
    LeakyRelu("leaky_relu") {
        /// Slope below 0.
        negative_slope: f64 = 0.2
    } |a, x| positive_or(x, x * a.negative_slope);

    /// `x > 0 ? x : α (eˣ - 1)`.
    Elu("elu") {
        /// The depth below 0.
        alpha: f64 = 1.0
    } |a, x| positive_or(x, low(x).exp_m1() * a.alpha);

    /// `max(x, 0) + min(0, α (e^(x/α) - 1))`.
    Celu("celu") {
        /// The depth below 0.
        alpha: f64 = 1.0
    } |a, x| positive_or(x, (low(x) * (1.0 / a.alpha)).exp_m1() * a.alpha);

    /// Elu scaled so that layers normalise themselves (Klambauer et al. 2017).
    Selu("selu") {} |a, x| {
        let (alpha, scale) = (1.673_263_242_354_377_2, 1.050_700_987_355_480_5);
        positive_or(x, low(x).exp_m1() * alpha) * scale
    };

    /// `x Φ(x)`, or its tanh form.
    Gelu("gelu") {
        /// Use the tanh form.
        approximate: bool = false
    } |a, x| {
        match a.approximate {
            true => {
                let inner = (x + x * x * x * 0.044715) * (2.0 / std::f64::consts::PI).sqrt();
                x * 0.5 * (inner.tanh() + 1.0)
            }
            false => x * 0.5 * ((x * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0),
        }
    };

    /// `x σ(x)`, also called swish.
    Silu("silu") {} |a, x| x * x.logistic();

    /// `x > threshold ? x : default`.
    Threshold("threshold") {
        /// The threshold.
        threshold: f64 = 0.0,
        /// The value below it.
        default_value: f64 = 0.0
    } |a, x| x.gt(a.threshold).select(x, &x.full_like(a.default_value));
}
