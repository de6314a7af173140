//! Activations that cut off or pull in.

use super::activation;

activation! {
    /// -1 below -1, 1 above 1, x between.
    HardTanh("hard_tanh") {} |a, x| {
        let one = x.full_like(1.0);
        let low = x.less(&one.neg()).select(&one.neg(), x);
        x.greater(&one).select(&one, &low)
    };

    /// `x - tanh x`.
    TanhShrink("tanh_shrink") {} |a, x| x - x.tanh();

    /// 0 within ± the threshold, x outside.
    HardShrink("hard_shrink") {
        /// Half the width of the gap.
        threshold: f64 = 0.5
    } |a, x| x.abs().gt(a.threshold).select(x, &x.full_like(0.0));

    /// x pulled towards 0 by the threshold.
    SoftShrink("soft_shrink") {
        /// How far.
        threshold: f64 = 0.5
    } |a, x| {
        let zero = x.full_like(0.0);
        let low = x.lt(-a.threshold).select(&(x + a.threshold), &zero);
        x.gt(a.threshold).select(&(x - a.threshold), &low)
    };
}
