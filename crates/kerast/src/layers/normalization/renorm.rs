//! Batch renormalisation (Ioffe 2017): a batch's own statistics, corrected towards averages that move with training.

use super::BatchNormalization;
use crate::config::{Arg, Config, Json};
use crate::initializers::{Initializer, InitializerRule};
use crate::layers::{Call, Weights};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_graph::Var;
use kerast_kernels::random::Stream;

/// What the normalised batch is multiplied by, and what is added then. No gradient flows through either.
pub(super) struct Correction {
    pub(super) r: Var,
    pub(super) d: Var,
}

/// The square roots of another initializer's values. Keras makes the averages of the deviation so.
#[derive(Debug)]
struct Roots(Initializer);

impl Config for Roots {
    fn class_name(&self) -> &'static str {
        "Roots"
    }
    fn config(&self) -> Json {
        Json::new()
    }
}

impl InitializerRule for Roots {
    fn init(&self, shape: &[usize], dtype: DType, random: &mut Stream) -> Result<Tensor> {
        let values: Vec<f64> =
            self.0.get()?.init(shape, dtype, random)?.to_f64_vec().iter().map(|v| v.sqrt()).collect();
        Ok(Tensor::new(shape, &values)?.cast(dtype))
    }
}

impl BatchNormalization {
    /// A bound of the correction: `rmin`, `rmax` or `dmax`.
    fn bound(&self, name: &str) -> Result<Option<f64>> {
        let clipping = self.renorm_clipping.as_ref().map(|c| &c.0);
        match clipping.and_then(|c| c.get(name)) {
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(v) => v.as_f64().map(Some).ok_or_else(|| {
                Error::new(ErrorKind::Argument, format!("`{name}` of `renorm_clipping` must be a number")).received(v)
            }),
        }
    }

    fn check_clipping(&self) -> Result<()> {
        const KEYS: [&str; 3] = ["rmin", "rmax", "dmax"];
        let refuse = |expected: &str, received: String| {
            Err(Error::new(ErrorKind::Argument, "`renorm_clipping` makes no sense")
                .expected(expected)
                .received(received))
        };
        match self.renorm_clipping.as_ref().map(|c| &c.0) {
            None | Some(serde_json::Value::Null) => return Ok(()),
            Some(serde_json::Value::Object(o)) => {
                if let Some(unknown) = o.keys().find(|k| !KEYS.contains(&k.as_str())) {
                    return refuse("the keys rmin, rmax, dmax", unknown.clone());
                }
            }
            Some(other) => return refuse("an object with the keys rmin, rmax, dmax", other.to_string()),
        }
        match (self.bound("rmin")?, self.bound("rmax")?, self.bound("dmax")?) {
            (Some(low), Some(high), _) if high < low => refuse("rmax >= rmin", format!("rmin {low}, rmax {high}")),
            (_, _, Some(d)) if d < 0.0 => refuse("dmax >= 0", d.to_string()),
            _ => Ok(()),
        }
    }

    pub(super) fn build_renorm(&self, n: usize, weights: &mut Weights) -> Result<()> {
        self.check_clipping()?;
        let roots: Initializer = Roots(self.moving_variance_initializer.clone()).arg();
        weights.add("moving_stddev", &[n], &roots)?.not_trainable();
        weights.add("renorm_mean", &[n], &self.moving_mean_initializer)?.not_trainable();
        weights.add("renorm_stddev", &[n], &roots)?.not_trainable();
        Ok(())
    }

    /// The correction of a training batch; moves all averages.
    pub(super) fn renormalize(&self, cx: &mut Call<'_>, mean: &Var, variance: &Var) -> Result<Correction> {
        let average = |cx: &Call<'_>, name: &str| Ok::<_, Error>(cx.raw_weight(name)?.convert(mean.dtype()));
        let deviation = (variance + self.epsilon).sqrt();
        let (seen_mean, seen_deviation) = (average(cx, "renorm_mean")?, average(cx, "renorm_stddev")?);
        let divisor = seen_deviation.max(&seen_deviation.full_like(self.epsilon.sqrt()));
        let mut r = &deviation / &divisor;
        let mut d = (mean - &seen_mean) / &divisor;
        if let Some(low) = self.bound("rmin")? {
            r = r.max(&r.full_like(low));
        }
        if let Some(high) = self.bound("rmax")? {
            r = r.min(&r.full_like(high));
        }
        if let Some(most) = self.bound("dmax")? {
            d = d.max(&d.full_like(-most)).min(&d.full_like(most));
        }
        let moved = |old: &Var, new: &Var, m: f64| old * m + new * (1.0 - m);
        cx.update("renorm_mean", &moved(&seen_mean, mean, self.renorm_momentum))?;
        cx.update("renorm_stddev", &moved(&seen_deviation, &deviation, self.renorm_momentum))?;
        let moving = moved(&average(cx, "moving_stddev")?, &deviation, self.momentum);
        cx.update("moving_mean", &moved(&average(cx, "moving_mean")?, mean, self.momentum))?;
        let variance = &moving * &moving - self.epsilon;
        cx.update("moving_variance", &variance.max(&variance.full_like(0.0)))?;
        cx.update("moving_stddev", &moving)?;
        Ok(Correction { r: r.stop_gradient(), d: d.stop_gradient() })
    }
}
