//! Random initial values: uniform, normal, truncated normal, and those scaled by the size of the weight (Glorot and Bengio 2010, He
//! et al. 2015, LeCun et al. 1998).

use super::InitializerRule;
use crate::config::{Word, config};
use crate::{DType, Result, Tensor};
use kerast_kernels::random::Stream;

/// The standard deviation of a normal distribution cut at ±2.
const TRUNCATED: f64 = 0.879_625_661_034_239_8;

/// The initializer's own stream if it has a seed, else the weight's.
fn stream(seed: &Option<i64>, weight: &mut Stream) -> Stream {
    match seed {
        Some(s) => Stream::new(*s as u64, 0),
        None => weight.clone(),
    }
}

fn draw(shape: &[usize], dtype: DType, mut next: impl FnMut() -> f64) -> Result<Tensor> {
    let mut t = Tensor::zeros(DType::F32, shape)?;
    if let Some(values) = t.as_mut_slice::<f32>() {
        values.iter_mut().for_each(|v| *v = next() as f32);
    }
    Ok(t.cast(dtype))
}

fn truncated(random: &mut Stream) -> f64 {
    loop {
        let v = random.normal();
        if v.abs() <= 2.0 {
            return v;
        }
    }
}

config! {
    /// Uniform between two bounds.
    pub struct RandomUniform("RandomUniform") {
        ;
        /// Lower bound.
        minval: f64 = -0.05,
        /// Upper bound.
        maxval: f64 = 0.05,
        /// A stream of its own.
        seed: Option<i64> = None,
    }
}

impl InitializerRule for RandomUniform {
    fn init(&self, shape: &[usize], dtype: DType, random: &mut Stream) -> Result<Tensor> {
        let mut r = stream(&self.seed, random);
        draw(shape, dtype, || self.minval + (self.maxval - self.minval) * r.uniform())
    }
}

config! {
    /// Normal.
    pub struct RandomNormal("RandomNormal") {
        ;
        /// The mean.
        mean: f64 = 0.0,
        /// The standard deviation.
        stddev: f64 = 0.05,
        /// A stream of its own.
        seed: Option<i64> = None,
    }
}

impl InitializerRule for RandomNormal {
    fn init(&self, shape: &[usize], dtype: DType, random: &mut Stream) -> Result<Tensor> {
        let mut r = stream(&self.seed, random);
        draw(shape, dtype, || self.mean + self.stddev * r.normal())
    }
}

config! {
    /// Normal, values beyond two standard deviations drawn again.
    pub struct TruncatedNormal("TruncatedNormal") {
        ;
        /// The mean.
        mean: f64 = 0.0,
        /// The standard deviation before the cut.
        stddev: f64 = 0.05,
        /// A stream of its own.
        seed: Option<i64> = None,
    }
}

impl InitializerRule for TruncatedNormal {
    fn init(&self, shape: &[usize], dtype: DType, random: &mut Stream) -> Result<Tensor> {
        let mut r = stream(&self.seed, random);
        draw(shape, dtype, || self.mean + self.stddev * truncated(&mut r))
    }
}

/// Inputs and outputs that a weight connects: Keras' rule, or the axes that the user names.
fn fans(shape: &[usize], inputs: &Option<Vec<i64>>, outputs: &Option<Vec<i64>>) -> (f64, f64) {
    if let (Some(i), Some(o)) = (inputs, outputs) {
        let at = |a: &i64| if *a < 0 { (*a + shape.len() as i64) as usize } else { *a as usize };
        let (i, o): (Vec<usize>, Vec<usize>) = (i.iter().map(at).collect(), o.iter().map(at).collect());
        let product = |axes: &[usize]| axes.iter().filter_map(|&a| shape.get(a)).product::<usize>() as f64;
        let rest =
            (0..shape.len()).filter(|a| !i.contains(a) && !o.contains(a)).map(|a| shape[a]).product::<usize>() as f64;
        return (product(&i) * rest, product(&o) * rest);
    }
    match *shape {
        [] => (1.0, 1.0),
        [n] => (n as f64, n as f64),
        [i, o] => (i as f64, o as f64),
        _ => {
            let field: usize = shape[..shape.len() - 2].iter().product();
            ((shape[shape.len() - 2] * field) as f64, (shape[shape.len() - 1] * field) as f64)
        }
    }
}

struct Scaling<'a> {
    scale: f64,
    mode: &'a str,
    distribution: &'a str,
    seed: &'a Option<i64>,
    axes: (&'a Option<Vec<i64>>, &'a Option<Vec<i64>>),
}

impl Scaling<'_> {
    fn init(&self, shape: &[usize], dtype: DType, random: &mut Stream) -> Result<Tensor> {
        let (i, o) = fans(shape, self.axes.0, self.axes.1);
        let n = match self.mode {
            "fan_in" => i,
            "fan_out" => o,
            _ => (i + o) / 2.0,
        };
        let variance = self.scale / n.max(1.0);
        let mut r = stream(self.seed, random);
        match self.distribution {
            "uniform" => {
                let limit = (3.0 * variance).sqrt();
                draw(shape, dtype, || limit * (2.0 * r.uniform() - 1.0))
            }
            "untruncated_normal" => draw(shape, dtype, || variance.sqrt() * r.normal()),
            _ => draw(shape, dtype, || variance.sqrt() / TRUNCATED * truncated(&mut r)),
        }
    }
}

config! {
    /// Variance `scale / n`, where `n` counts inputs, outputs or their mean.
    pub struct VarianceScaling("VarianceScaling") {
        ;
        /// The factor.
        scale: f64 = 1.0,
        /// `"fan_in"`, `"fan_out"` or `"fan_avg"`.
        mode: Word = "fan_in".into(),
        /// `"truncated_normal"`, `"untruncated_normal"` or `"uniform"`.
        distribution: Word = "truncated_normal".into(),
        /// A stream of its own.
        seed: Option<i64> = None,
        /// The axes that count as inputs.
        input_axes: Option<Vec<i64>> = None,
        /// The axes that count as outputs.
        output_axes: Option<Vec<i64>> = None,
    }
}

impl InitializerRule for VarianceScaling {
    fn init(&self, shape: &[usize], dtype: DType, random: &mut Stream) -> Result<Tensor> {
        let mode = self.mode.one_of("mode", &["fan_in", "fan_out", "fan_avg"])?;
        let kinds = ["truncated_normal", "untruncated_normal", "uniform", "normal"];
        let distribution = self.distribution.one_of("distribution", &kinds)?;
        let axes = (&self.input_axes, &self.output_axes);
        Scaling { scale: self.scale, mode, distribution, seed: &self.seed, axes }.init(shape, dtype, random)
    }
}

macro_rules! scaled {
    ($($(#[$doc:meta])* $name:ident($class:literal) = $scale:literal, $mode:literal, $distribution:literal;)*) => {$(
        config! {
            $(#[$doc])*
            pub struct $name($class) {
                ;
                /// A stream of its own.
                seed: Option<i64> = None,
                /// The axes that count as inputs.
                input_axes: Option<Vec<i64>> = None,
                /// The axes that count as outputs.
                output_axes: Option<Vec<i64>> = None,
            }
        }

        impl InitializerRule for $name {
            fn init(&self, shape: &[usize], dtype: DType, random: &mut Stream) -> Result<Tensor> {
                let axes = (&self.input_axes, &self.output_axes);
                let s = Scaling { scale: $scale, mode: $mode, distribution: $distribution, seed: &self.seed, axes };
                s.init(shape, dtype, random)
            }
        }
    )*};
}

scaled! {
    /// Uniform within ±√(6 / (inputs + outputs)).
    GlorotUniform("GlorotUniform") = 1.0, "fan_avg", "uniform";
    /// Truncated normal of variance 2 / (inputs + outputs).
    GlorotNormal("GlorotNormal") = 1.0, "fan_avg", "truncated_normal";
    /// Uniform within ±√(6 / inputs).
    HeUniform("HeUniform") = 2.0, "fan_in", "uniform";
    /// Truncated normal of variance 2 / inputs.
    HeNormal("HeNormal") = 2.0, "fan_in", "truncated_normal";
    /// Uniform within ±√(3 / inputs).
    LecunUniform("LecunUniform") = 1.0, "fan_in", "uniform";
    /// Truncated normal of variance 1 / inputs.
    LecunNormal("LecunNormal") = 1.0, "fan_in", "truncated_normal";
}
