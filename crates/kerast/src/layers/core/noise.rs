//! Layers that make training harder: whole channels dropped, noise, penalties on what passes.

use super::dropout::keep_mask;
use crate::config::{Object, Word};
use crate::layers::sizes::channels_last;
use crate::layers::{Call, LayerRule, Shape, Weights, expect_rank, layer, layer_base};
use crate::regularizers::{L1L2, Regularizer};
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

fn check_rate(rate: f64, most: f64) -> Result<()> {
    match (0.0..=most).contains(&rate) {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Argument, "`rate` must lie between 0 and 1").received(rate)),
    }
}

macro_rules! spatial_dropouts {
    ($($(#[$meta:meta])* $name:ident($class:literal, $rank:literal, $($format:ident)?);)*) => {$(
        layer! {
            $(#[$meta])*
            pub struct $name($class) {
                /// The share of channels that is dropped.
                rate: f64,
                ;
                /// A seed, kept for files; the model's seed decides.
                seed: Option<i64> = None,
                $(
                    /// `"channels_last"` (default) or `"channels_first"`.
                    $format: Option<Word> = Some("channels_last".into()),
                )?
            }
        }

        impl LayerRule for $name {
            layer_base!();

            fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
                check_rate(self.rate, 1.0)?;
                expect_rank(&inputs[0], $rank, "batch, spatial axes and channels")?;
                if self.rate > 0.0 { weights.add_seed("seed_generator") } else { Ok(()) }
            }

            fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
                #[allow(unused_mut, unused_assignments)]
                let mut last = true;
                $(last = channels_last(&self.$format)?;)?
                if !cx.training() || self.rate == 0.0 {
                    return Ok(x.clone());
                }
                let channel = if last { x.rank() - 1 } else { 1 };
                let shape: Vec<usize> = (0..x.rank()).map(|a| if a == 0 || a == channel { x.shape()[a] } else { 1 }).collect();
                let kept = keep_mask(cx, &shape, self.rate).broadcast_to(x.shape());
                let scale = if self.rate < 1.0 { 1.0 / (1.0 - self.rate) } else { 0.0 };
                Ok(kept.select(&(x * scale), &x.full_like(0.0)))
            }

            fn supports_masking(&self) -> bool {
                true
            }
        }
    )*};
}

spatial_dropouts! {
    /// In training, sets whole channels over time to 0 (Tompson et al. 2014): `[batch, time, channels]`.
    SpatialDropout1D("SpatialDropout1D", 3,);
    /// In training, sets whole channels of an image to 0: `[batch, height, width, channels]`.
    SpatialDropout2D("SpatialDropout2D", 4, data_format);
    /// In training, sets whole channels of a volume to 0: `[batch, depth, height, width, channels]`.
    SpatialDropout3D("SpatialDropout3D", 5, data_format);
}

layer! {
    /// In training, adds normal noise.
    ///
    /// **Shape** any → the same.
    pub struct GaussianNoise("GaussianNoise") {
        /// Standard deviation of the noise.
        stddev: f64,
        ;
        /// A seed, kept for files; the model's seed decides.
        seed: Option<i64> = None,
    }
}

impl LayerRule for GaussianNoise {
    layer_base!();

    fn build(&self, _: &[Shape], weights: &mut Weights) -> Result<()> {
        if self.stddev > 0.0 { weights.add_seed("seed_generator") } else { Ok(()) }
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        match cx.training() && self.stddev > 0.0 {
            true => Ok(x + cx.normal(x.shape()).convert(x.dtype()) * self.stddev),
            false => Ok(x.clone()),
        }
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

layer! {
    /// In training, multiplies by normal noise around 1, of the variance that dropout has (Srivastava et al. 2014).
    ///
    /// **Shape** any → the same.
    pub struct GaussianDropout("GaussianDropout") {
        /// The rate of the dropout that it resembles.
        rate: f64,
        ;
        /// A seed, kept for files; the model's seed decides.
        seed: Option<i64> = None,
    }
}

impl LayerRule for GaussianDropout {
    layer_base!();

    fn build(&self, _: &[Shape], weights: &mut Weights) -> Result<()> {
        check_rate(self.rate, 1.0)?;
        if self.rate > 0.0 { weights.add_seed("seed_generator") } else { Ok(()) }
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        if !cx.training() || self.rate == 0.0 {
            return Ok(x.clone());
        }
        let deviation = (self.rate / (1.0 - self.rate)).sqrt();
        Ok(x * (cx.normal(x.shape()).convert(x.dtype()) * deviation + 1.0))
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

layer! {
    /// Dropout that keeps mean and variance of what SELU gives (Klambauer et al. 2017).
    ///
    /// **Shape** any → the same.
    pub struct AlphaDropout("AlphaDropout") {
        /// The share that is dropped.
        rate: f64,
        ;
        /// A seed, kept for files; the model's seed decides.
        seed: Option<i64> = None,
        /// The shape of the mask, 1 where it is repeated; the input's unless given.
        noise_shape: Option<Vec<Option<usize>>> = None,
    }
}

impl LayerRule for AlphaDropout {
    layer_base!();

    fn build(&self, _: &[Shape], weights: &mut Weights) -> Result<()> {
        check_rate(self.rate, 1.0)?;
        if self.rate > 0.0 { weights.add_seed("seed_generator") } else { Ok(()) }
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        /// What SELU tends to below: -λα.
        const FLOOR: f64 = -1.758_099_340_847_376_6;
        if !cx.training() || self.rate == 0.0 {
            return Ok(x.clone());
        }
        let noise: Vec<usize> = match &self.noise_shape {
            Some(s) => s.iter().zip(x.shape()).map(|(n, d)| n.unwrap_or(*d)).collect(),
            None => x.shape().to_vec(),
        };
        let kept = keep_mask(cx, &noise, self.rate).broadcast_to(x.shape());
        let a = ((1.0 - self.rate) * (1.0 + self.rate * FLOOR * FLOOR)).powf(-0.5);
        Ok(kept.select(x, &x.full_like(FLOOR)) * a - a * FLOOR * self.rate)
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

layer! {
    /// Passes its input on, and adds a penalty on it to the loss.
    ///
    /// **Shape** any → the same.
    pub struct ActivityRegularization("ActivityRegularization") {
        ;
        /// Factor of the sum of magnitudes.
        l1: f64 = 0.0,
        /// Factor of the sum of squares.
        l2: f64 = 0.0,
    }
}

impl LayerRule for ActivityRegularization {
    layer_base!();

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let penalty: Regularizer = Object::from_arc(std::sync::Arc::new(L1L2 { l1: self.l1, l2: self.l2 }));
        cx.penalize(&Some(penalty), x)?;
        Ok(x.clone())
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

layer! {
    /// Passes its input on.
    ///
    /// **Shape** any → the same.
    pub struct Identity("Identity") {}
}

impl LayerRule for Identity {
    layer_base!();

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        Ok(x.clone())
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
