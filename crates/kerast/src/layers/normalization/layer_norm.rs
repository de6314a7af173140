//! Layer normalisation (Ba, Kiros, Hinton 2016).

use super::batch::place;
use crate::config::Object;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::{Call, LayerRule, Shape, Weights, known, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{DType, Result};
use kerast_graph::Var;

layer! {
    /// `y = γ (x - mean) / √(variance + ε) + β`, with the statistics of each sample over the given axes.
    ///
    /// **Shape** any → the same.
    pub struct LayerNormalization("LayerNormalization") {
        ;
        /// The axes that are normalised together.
        axis: Vec<i64> = vec![-1],
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
        /// Penalty on β.
        beta_regularizer: Option<Regularizer> = None,
        /// Penalty on γ.
        gamma_regularizer: Option<Regularizer> = None,
        /// Projection of β.
        beta_constraint: Option<Constraint> = None,
        /// Projection of γ.
        gamma_constraint: Option<Constraint> = None,
        /// Root-mean-square form of old files: no mean, no β.
        rms_scaling: bool = false,
    }
}

impl LayerRule for LayerNormalization {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let mut shape = vec![];
        for a in &self.axis {
            shape.push(known(&inputs[0], place(*a, inputs[0].len())?, "the normalised axis")?);
        }
        if self.scale || self.rms_scaling {
            weights
                .add("gamma", &shape, &self.gamma_initializer)?
                .regularizer(&self.gamma_regularizer)
                .constraint(&self.gamma_constraint);
        }
        if self.center && !self.rms_scaling {
            weights
                .add("beta", &shape, &self.beta_initializer)?
                .regularizer(&self.beta_regularizer)
                .constraint(&self.beta_constraint);
        }
        Ok(())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let own = x.dtype();
        let x = if own.size() < 4 { x.convert(DType::F32) } else { x.clone() };
        let mut axes = self.axis.iter().map(|a| place(*a, x.rank())).collect::<Result<Vec<_>>>()?;
        let weight_axes = axes.clone();
        axes.sort_unstable();
        let rest: Vec<usize> = (0..x.rank()).filter(|a| !axes.contains(a)).collect();
        let spread = |v: &Var| v.broadcast_in_dim(x.shape(), &rest);
        let (mean, variance) = x.moments(&axes);
        let centred = if self.rms_scaling { x.clone() } else { &x - spread(&mean) };
        let mut y = centred * spread(&(variance + self.epsilon).rsqrt());
        let per_feature = |v: Var| {
            let v = v.convert(x.dtype());
            let increasing = weight_axes.windows(2).all(|w| w[0] < w[1]);
            if increasing {
                return v.broadcast_in_dim(x.shape(), &weight_axes);
            }
            let mut order: Vec<usize> = (0..weight_axes.len()).collect();
            order.sort_by_key(|&i| weight_axes[i]);
            v.transpose(&order).broadcast_in_dim(x.shape(), &axes)
        };
        if self.scale || self.rms_scaling {
            y = y * per_feature(cx.raw_weight("gamma")?);
        }
        if self.center && !self.rms_scaling {
            y = y + per_feature(cx.raw_weight("beta")?);
        }
        Ok(y.convert(own))
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
