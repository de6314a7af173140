//! Smooth steps and their relatives.

use super::activation;
use kerast_graph::Var;

/// `ln(1 + eˣ)` without overflow: `max(x, 0) + ln(1 + e^-|x|)`; the slope of the maximum at 0 is ½, as it should be.
pub(crate) fn softplus(x: &Var) -> Var {
    x.max(&x.full_like(0.0)) + x.abs().neg().exp().log1p()
}

activation! {
    /// `y = x`.
    Linear("linear") {} |a, x| x.clone();

    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid("sigmoid") {} |a, x| x.logistic();

    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid("hard_sigmoid") {} |a, x| {
        let y = x * (1.0 / 6.0) + 0.5;
        let (zero, one) = (x.full_like(0.0), x.full_like(1.0));
        let low = y.less_equal(&zero).select(&zero, &y);
        low.greater_equal(&one).select(&one, &low)
    };

    /// What Keras 1 and 2 called `hard_sigmoid`: `clip(0.2 x + 0.5, 0, 1)`. Files of that time get it under this name.
    HardSigmoidKeras2("hard_sigmoid_keras2") {} |a, x| (x * 0.2 + 0.5).clamp(0.0, 1.0);


    /// `x · hard_sigmoid(x)`.
    HardSilu("hard_silu") {} |a, x| x * crate::activations::ActivationRule::call(&HardSigmoid::new(), x);

    /// `ln σ(x)`.
    LogSigmoid("log_sigmoid") {} |a, x| softplus(&x.neg()).neg();

    /// 0 below -1, 1 above 1, `(x + 1) / 2` between.
    SparseSigmoid("sparse_sigmoid") {} |a, x| {
        let y = (x + 1.0) * 0.5;
        let (zero, one) = (x.full_like(0.0), x.full_like(1.0));
        let low = x.less_equal(&one.neg()).select(&zero, &y);
        x.greater_equal(&one).select(&one, &low)
    };

    /// The hyperbolic tangent.
    Tanh("tanh") {} |a, x| x.tanh();

    /// `ln(1 + eˣ)`.
    Softplus("softplus") {} |a, x| softplus(x);

    /// `x / (1 + |x|)`.
    Softsign("softsign") {} |a, x| x / (x.abs() + 1.0);

    /// 0 below -1, x above 1, `(x + 1)² / 4` between.
    SparsePlus("sparse_plus") {} |a, x| {
        let (zero, one) = (x.full_like(0.0), x.full_like(1.0));
        let middle = (x + 1.0).square() * 0.25;
        let low = x.less_equal(&one.neg()).select(&zero, &middle);
        x.greater_equal(&one).select(x, &low)
    };

    /// `(x + √(x² + b)) / 2`.
    Squareplus("squareplus") {
        /// The width of the bend.
        b: f64 = 4.0
    } |a, x| (x + (x.square() + a.b).sqrt()) * 0.5;

    /// `eˣ`.
    Exponential("exponential") {} |a, x| x.exp();

    /// `x tanh(ln(1 + eˣ))`.
    Mish("mish") {} |a, x| x * softplus(x).tanh();

    /// 1 from 0 on, else 0: the perceptron's step (Rosenblatt 1958). Its slope is 0 everywhere, so it cannot be trained by
    /// gradient.
    Step("step") {} |a, x| {
        x.greater_equal(&x.full_like(0.0)).convert(x.dtype())
    };
}
