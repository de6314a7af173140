//! Dropout (Srivastava et al. 2014).

use crate::layers::{Call, LayerRule, Shape, Weights, layer, layer_base};
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::Var;

layer! {
    /// In training, sets a share of the elements to 0 and scales the others by `1 / (1 - rate)`; otherwise does nothing.
    ///
    /// **Shape** any → the same.
    pub struct Dropout("Dropout") {
        /// The share that is dropped.
        rate: f64,
        ;
        /// A seed, kept for files; the model's seed decides.
        seed: Option<i64> = None,
        /// The shape of the mask, 1 where it is repeated; the input's unless given.
        noise_shape: Option<Vec<Option<usize>>> = None,
    }
}

impl LayerRule for Dropout {
    layer_base!();

    fn build(&self, _: &[Shape], weights: &mut Weights) -> Result<()> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(Error::new(ErrorKind::Argument, "`rate` must lie between 0 and 1").received(self.rate));
        }
        if self.rate > 0.0 { weights.add_seed("seed_generator") } else { Ok(()) }
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        if !cx.training() || self.rate == 0.0 {
            return Ok(x.clone());
        }
        let noise: Vec<usize> = match &self.noise_shape {
            Some(s) => s.iter().zip(x.shape()).map(|(n, d)| n.unwrap_or(*d)).collect(),
            None => x.shape().to_vec(),
        };
        Ok(dropped(cx, x, &noise, self.rate))
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

/// What is kept of `x`, scaled up, and zeros: drawn for values of this shape, which broadcasts to that of `x`.
pub(crate) fn dropped(cx: &mut Call<'_>, x: &Var, shape: &[usize], rate: f64) -> Var {
    let kept = keep_mask(cx, shape, rate).broadcast_to(x.shape());
    let scale = if rate < 1.0 { 1.0 / (1.0 - rate) } else { 0.0 };
    kept.select(&(x * scale), &x.full_like(0.0))
}

/// True with probability `1 - rate`: 32 random bits against the rate.
pub(crate) fn keep_mask(cx: &mut Call<'_>, shape: &[usize], rate: f64) -> Var {
    let bits = cx.bits(shape);
    debug_assert_eq!(bits.dtype(), DType::U32);
    let dropped = (rate * 4_294_967_296.0).round().max(1.0);
    bits.greater(&bits.constant_like(dropped - 1.0))
}
