//! Normalisation of each sample by itself: in groups of channels, by the root mean square, to length 1.

use super::batch::place;
use crate::config::Object;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::{Call, LayerRule, Shape, Weights, known, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::Var;

layer! {
    /// `y = γ (x - mean) / √(variance + ε) + β`, with the statistics of each group of channels of each sample (Wu and He 2018).
    ///
    /// **Shape** any with a batch axis → the same.
    pub struct GroupNormalization("GroupNormalization") {
        ;
        /// Number of groups; -1: each channel by itself.
        groups: i64 = 32,
        /// The axis of the channels.
        axis: i64 = -1,
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
    }
}

impl GroupNormalization {
    fn groups_of(&self, channels: usize) -> Result<usize> {
        match usize::try_from(self.groups) {
            _ if self.groups == -1 => Ok(channels),
            Ok(n) if n > 0 && channels.is_multiple_of(n) => Ok(n),
            _ => Err(Error::new(ErrorKind::Argument, "`groups` must divide the channels")
                .expected(format!("a divisor of {channels}, or -1"))
                .received(self.groups)),
        }
    }
}

impl LayerRule for GroupNormalization {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let channels = known(&inputs[0], place(self.axis, inputs[0].len())?, "the channel axis")?;
        self.groups_of(channels)?;
        if self.scale {
            weights
                .add("gamma", &[channels], &self.gamma_initializer)?
                .regularizer(&self.gamma_regularizer)
                .constraint(&self.gamma_constraint);
        }
        if self.center {
            weights
                .add("beta", &[channels], &self.beta_initializer)?
                .regularizer(&self.beta_regularizer)
                .constraint(&self.beta_constraint);
        }
        Ok(())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let (axis, shape) = (place(self.axis, x.rank())?, x.shape().to_vec());
        let wide = widened(x);
        let groups = self.groups_of(shape[axis])?;
        let mut grouped = shape.clone();
        grouped.splice(axis..=axis, [groups, shape[axis] / groups]);
        let g = wide.reshape(&grouped);
        let together: Vec<usize> = (1..grouped.len()).filter(|&a| a != axis).collect();
        let (mean, variance) = g.moments(&together);
        let spread = |v: &Var| v.broadcast_in_dim(&grouped, &[0, axis]);
        let normal = (&g - spread(&mean)) * spread(&(variance + self.epsilon).rsqrt());
        let mut y = normal.reshape(&shape);
        let weight = |name: &str| -> Result<Var> {
            Ok(cx.raw_weight(name)?.convert(y.dtype()).broadcast_in_dim(&shape, &[axis]))
        };
        let (gamma, beta) =
            (self.scale.then(|| weight("gamma")).transpose()?, self.center.then(|| weight("beta")).transpose()?);
        y = gamma.map_or(y.clone(), |g| &y * g);
        y = beta.map_or(y.clone(), |b| &y + b);
        Ok(y.convert(x.dtype()))
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

layer! {
    /// `y = scale x / √(mean x² + ε)` (Zhang and Sennrich 2019).
    ///
    /// **Shape** any → the same.
    pub struct RmsNormalization("RMSNormalization") {
        ;
        /// The axes that are normalised together.
        axis: Vec<i64> = vec![-1],
        /// Keeps the divisor away from 0.
        epsilon: f64 = 1e-6,
    }
}

impl LayerRule for RmsNormalization {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let axes = places(&self.axis, inputs[0].len())?;
        let shape: Result<Vec<usize>> = axes.iter().map(|&a| known(&inputs[0], a, "the normalised axis")).collect();
        weights.add("scale", &shape?, &Object::named("ones")).map(|_| ())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let (axes, wide) = (places(&self.axis, x.rank())?, widened(x));
        let rest: Vec<usize> = (0..x.rank()).filter(|a| !axes.contains(a)).collect();
        let root = ((&wide * &wide).mean(&axes) + self.epsilon).rsqrt();
        let scale = cx.weight("scale")?.convert(wide.dtype()).broadcast_in_dim(x.shape(), &axes);
        Ok((&wide * root.broadcast_in_dim(x.shape(), &rest) * scale).convert(x.dtype()))
    }
}

layer! {
    /// `y = x / |x|`, with the Euclidean length over the given axes.
    ///
    /// **Shape** any → the same.
    pub struct UnitNormalization("UnitNormalization") {
        ;
        /// The axes whose values make up a vector.
        axis: Vec<i64> = vec![-1],
    }
}

impl LayerRule for UnitNormalization {
    layer_base!();

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        let axes = places(&self.axis, x.rank())?;
        let rest: Vec<usize> = (0..x.rank()).filter(|a| !axes.contains(a)).collect();
        let inverse = (x * x).reduce_sum(&axes).rsqrt();
        let bounded = inverse.min(&inverse.full_like(1e12));
        Ok(x * bounded.broadcast_in_dim(x.shape(), &rest))
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

/// Axes in increasing order.
fn places(axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut all = axes.iter().map(|a| place(*a, rank)).collect::<Result<Vec<_>>>()?;
    all.sort_unstable();
    Ok(all)
}

/// In f32 at least.
fn widened(x: &Var) -> Var {
    if x.dtype().size() < 4 { x.convert(DType::F32) } else { x.clone() }
}
