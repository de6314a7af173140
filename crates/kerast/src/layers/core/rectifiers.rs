//! Activations with settings of their own, as layers.

use crate::activations::{ActivationRule, Elu, LeakyRelu, Relu};
use crate::config::Object;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::{Call, LayerRule, Shape, Weights, known, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::Var;

layer! {
    /// `max(x, 0)`, with a ceiling, a slope below, and a threshold if wished.
    ///
    /// **Shape** any → the same.
    pub struct ReluLayer("ReLU") {
        ;
        /// The ceiling.
        max_value: Option<f64> = None,
        /// Slope below the threshold.
        negative_slope: f64 = 0.0,
        /// Where the slope of 1 begins.
        threshold: f64 = 0.0,
    }
}

layer! {
    /// `x` above 0, `negative_slope · x` below.
    ///
    /// **Shape** any → the same.
    pub struct LeakyReluLayer("LeakyReLU") {
        ;
        /// Slope below 0.
        negative_slope: f64 = 0.3,
    }
}

layer! {
    /// `x` above 0, `alpha (eˣ - 1)` below (Clevert et al. 2015).
    ///
    /// **Shape** any → the same.
    pub struct EluLayer("ELU") {
        ;
        /// What it tends to below, negated.
        alpha: f64 = 1.0,
    }
}

layer! {
    /// `x` above a threshold, 0 elsewhere. Keras 3 has it no more; old files do.
    ///
    /// **Shape** any → the same.
    pub struct ThresholdedRelu("ThresholdedReLU") {
        ;
        /// The threshold.
        theta: f64 = 1.0,
    }
}

macro_rules! functions {
    ($($name:ident |$layer:ident, $x:ident| $formula:expr;)*) => {$(
        impl LayerRule for $name {
            layer_base!();

            fn call(&self, _: &mut Call<'_>, $x: &Var) -> Result<Var> {
                let $layer = self;
                Ok($formula)
            }

            fn supports_masking(&self) -> bool {
                true
            }
        }
    )*};
}

functions! {
    ReluLayer |l, x| {
        let relu = Relu { negative_slope: l.negative_slope, max_value: l.max_value, threshold: l.threshold };
        relu.call(x)
    };
    LeakyReluLayer |l, x| LeakyRelu { negative_slope: l.negative_slope }.call(x);
    EluLayer |l, x| Elu { alpha: l.alpha }.call(x);
    ThresholdedRelu |l, x| x.gt(l.theta).select(x, &x.full_like(0.0));
}

layer! {
    /// `x` above 0, `α x` below, with α learned for each element or, along shared axes, together (He et al. 2015).
    ///
    /// **Shape** any → the same.
    pub struct PRelu("PReLU") {
        ;
        /// First values of α.
        alpha_initializer: Initializer = Object::named("zeros"),
        /// Penalty on α.
        alpha_regularizer: Option<Regularizer> = None,
        /// Projection of α.
        alpha_constraint: Option<Constraint> = None,
        /// Axes along which α is the same.
        shared_axes: Option<Vec<usize>> = None,
    }
}

impl LayerRule for PRelu {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let shared = self.shared_axes.clone().unwrap_or_default();
        let size =
            |a: usize| if shared.contains(&a) { Ok(1) } else { known(&inputs[0], a, "an axis that α does not share") };
        let shape = (1..inputs[0].len()).map(size).collect::<Result<Vec<_>>>()?;
        weights
            .add("alpha", &shape, &self.alpha_initializer)?
            .regularizer(&self.alpha_regularizer)
            .constraint(&self.alpha_constraint);
        Ok(())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let alpha = cx.weight("alpha")?.expand_dims(0).broadcast_to(x.shape());
        Ok(x.relu() - alpha * x.neg().relu())
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

layer! {
    /// Softmax along an axis, or along several together. A mask given as an argument says what counts.
    ///
    /// **Shape** any → the same.
    pub struct SoftmaxLayer("Softmax") {
        ;
        /// The axes.
        axis: Vec<i64> = vec![-1],
    }
}

impl LayerRule for SoftmaxLayer {
    layer_base!();

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let rank = x.rank() as i64;
        let place = |a: &i64| usize::try_from(if *a < 0 { a + rank } else { *a }).ok().filter(|a| *a < rank as usize);
        let axes: Option<Vec<usize>> = self.axis.iter().map(place).collect();
        let axes = axes.filter(|a| !a.is_empty()).ok_or_else(|| {
            Error::new(ErrorKind::Argument, "`axis` does not exist")
                .expected(format!("axes of {rank}"))
                .received(format!("{:?}", self.axis))
        })?;
        let mask = cx.arguments().tensor("mask").map(|m| m.convert(DType::Bool).broadcast_to(x.shape()));
        let x = match &mask {
            Some(m) => m.select(x, &x.full_like(-1e9)),
            None => x.clone(),
        };
        // The axes brought together at the end, and back.
        let order: Vec<usize> = (0..x.rank()).filter(|a| !axes.contains(a)).chain(axes.iter().copied()).collect();
        let moved = x.transpose(&order);
        let joined: usize = axes.iter().map(|&a| x.shape()[a]).product();
        let rows = x.shape().iter().product::<usize>() / joined.max(1);
        let y = moved.reshape(&[rows, joined]).softmax(1).reshape(moved.shape());
        let back: Vec<usize> = (0..x.rank()).filter_map(|a| order.iter().position(|&o| o == a)).collect();
        let y = y.transpose(&back);
        Ok(match &mask {
            Some(m) => m.select(&y, &y.full_like(0.0)),
            None => y,
        })
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
