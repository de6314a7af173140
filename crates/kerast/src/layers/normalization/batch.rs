//! Batch normalisation (Ioffe and Szegedy 2015).

use crate::config::{Object, Raw};
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::{Call, LayerRule, Shape, Weights, known, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::Var;

layer! {
    /// `y = γ (x - mean) / √(variance + ε) + β` per channel: in training with the batch's own statistics, which also move the
    /// averages; otherwise, and when frozen, with the moving averages.
    ///
    /// **Shape** any → the same.
    pub struct BatchNormalization("BatchNormalization") {
        ;
        /// The channel axis.
        axis: i64 = -1,
        /// How slowly the averages move.
        momentum: f64 = 0.99,
        /// Keeps the divisor away from 0.
        epsilon: f64 = 1e-3,
        /// Whether β is added.
        center: bool = true,
        /// Whether γ is multiplied.
        scale: bool = true,
        /// First values of β.
        beta_initializer: Initializer = Object::named("zeros"),
        /// First values of γ.
        gamma_initializer: Initializer = Object::named("ones"),
        /// First values of the moving mean.
        moving_mean_initializer: Initializer = Object::named("zeros"),
        /// First values of the moving variance.
        moving_variance_initializer: Initializer = Object::named("ones"),
        /// Penalty on β.
        beta_regularizer: Option<Regularizer> = None,
        /// Penalty on γ.
        gamma_regularizer: Option<Regularizer> = None,
        /// Projection of β.
        beta_constraint: Option<Constraint> = None,
        /// Projection of γ.
        gamma_constraint: Option<Constraint> = None,
        /// Statistics over all replicas; there is one.
        synchronized: bool = false,
        /// Whether training, too, leans on averages (batch renormalisation, Ioffe 2017).
        renorm: bool = false,
        /// Bounds `rmin`, `rmax`, `dmax` of batch renormalisation's correction.
        renorm_clipping: Option<Raw> = None,
        /// How slowly the averages of batch renormalisation move.
        renorm_momentum: f64 = 0.99,
    }
}

/// An axis counted from either end, which must exist and not be the batch.
pub(in crate::layers) fn place(axis: i64, rank: usize) -> Result<usize> {
    let a = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(a) {
        Ok(a) if a < rank => Ok(a),
        _ => Err(Error::new(ErrorKind::Argument, "`axis` does not exist")
            .expected(format!("an axis of {rank}"))
            .received(axis)),
    }
}

impl LayerRule for BatchNormalization {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let axis = place(self.axis, inputs[0].len())?;
        let n = known(&inputs[0], axis, "the channel axis")?;
        if self.scale {
            weights
                .add("gamma", &[n], &self.gamma_initializer)?
                .regularizer(&self.gamma_regularizer)
                .constraint(&self.gamma_constraint);
        }
        if self.center {
            weights
                .add("beta", &[n], &self.beta_initializer)?
                .regularizer(&self.beta_regularizer)
                .constraint(&self.beta_constraint);
        }
        weights.add("moving_mean", &[n], &self.moving_mean_initializer)?.not_trainable();
        weights.add("moving_variance", &[n], &self.moving_variance_initializer)?.not_trainable();
        if self.renorm {
            self.build_renorm(n, weights)?;
        }
        Ok(())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let axis = place(self.axis, x.rank())?;
        let own = x.dtype();
        // Statistics of half-precision data are computed in f32.
        let x = if own.size() < 4 { x.convert(DType::F32) } else { x.clone() };
        let spread = |v: &Var| v.convert(x.dtype()).broadcast_in_dim(x.shape(), &[axis]);
        let (moving_mean, moving_variance) = (cx.raw_weight("moving_mean")?, cx.raw_weight("moving_variance")?);
        let mut correction = None;
        let (mean, variance) = match cx.training() && cx.trains() {
            true => {
                let (mean, variance) = statistics(&x, axis, cx.mask(0));
                let moved =
                    |old: &Var, new: &Var| old * self.momentum + new.convert(old.dtype()) * (1.0 - self.momentum);
                match self.renorm {
                    true => correction = Some(self.renormalize(cx, &mean, &variance)?),
                    false => {
                        cx.update("moving_mean", &moved(&moving_mean, &mean))?;
                        cx.update("moving_variance", &moved(&moving_variance, &variance))?;
                    }
                }
                (mean, variance)
            }
            false => (moving_mean, moving_variance),
        };
        let mut factor = (variance.convert(x.dtype()) + self.epsilon).rsqrt();
        let mut scale = correction.as_ref().map(|c| c.r.clone());
        let mut offset = correction.map(|c| c.d);
        if self.scale {
            let gamma = cx.raw_weight("gamma")?.convert(x.dtype());
            offset = offset.map(|d| d * &gamma);
            scale = Some(scale.map_or(gamma.clone(), |r| r * &gamma));
        }
        if self.center {
            let beta = cx.raw_weight("beta")?.convert(x.dtype());
            offset = Some(offset.map_or(beta.clone(), |d| d + &beta));
        }
        if let Some(scale) = scale {
            factor = factor * scale;
        }
        let mut shift = mean.convert(x.dtype()).neg() * &factor;
        if let Some(offset) = offset {
            shift = shift + offset;
        }
        Ok((&x * spread(&factor) + spread(&shift)).convert(own))
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

/// Mean and variance per channel; masked steps do not count.
fn statistics(x: &Var, axis: usize, mask: Option<&Var>) -> (Var, Var) {
    let axes: Vec<usize> = (0..x.rank()).filter(|&a| a != axis).collect();
    let spread = |v: &Var| v.broadcast_in_dim(x.shape(), &[axis]);
    let Some(mask) = mask else {
        return x.moments(&axes);
    };
    let mut shape = mask.shape().to_vec();
    while shape.len() < x.rank() {
        shape.push(1);
    }
    let w = mask.convert(x.dtype()).reshape(&shape).broadcast_to(x.shape());
    let count = w.reduce_sum(&axes) + 1e-7;
    let mean = (x * &w).reduce_sum(&axes) / &count;
    let variance = ((x - spread(&mean)).square() * w).reduce_sum(&axes) / count;
    (mean, variance)
}
