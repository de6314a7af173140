//! Layers that make images larger: zero padding, up-sampling.

use crate::config::{Arg, Field, Word, wrong};
use crate::layers::sizes::{Sizes, channels_last};
use crate::layers::{Call, LayerRule, Shape, Weights, expect_rank, layer, layer_base};
use crate::{Error, ErrorKind, Result};
use kerast_graph::{DType, Tensor, Var};
use serde_json::Value;

/// Rows before and after, columns before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding2D(pub [(usize, usize); 2]);

impl Arg<Padding2D> for usize {
    fn arg(self) -> Padding2D {
        Padding2D([(self, self); 2])
    }
}
impl Arg<Padding2D> for (usize, usize) {
    fn arg(self) -> Padding2D {
        Padding2D([(self.0, self.0), (self.1, self.1)])
    }
}
impl Arg<Padding2D> for ((usize, usize), (usize, usize)) {
    fn arg(self) -> Padding2D {
        Padding2D([self.0, self.1])
    }
}

impl Field for Padding2D {
    fn to_json(&self) -> Value {
        Value::Array(self.0.iter().map(|(a, b)| serde_json::json!([a, b])).collect())
    }
    fn from_json(v: &Value) -> Result<Self> {
        let bad = || wrong("a number, two numbers, or two pairs", v);
        let side = |v: &Value| -> Result<(usize, usize)> {
            match Vec::<usize>::from_json(v)?[..] {
                [a] => Ok((a, a)),
                [a, b] => Ok((a, b)),
                _ => Err(bad()),
            }
        };
        match v {
            Value::Array(a) if a.len() == 2 => Ok(Padding2D([side(&a[0])?, side(&a[1])?])),
            Value::Number(_) => Ok(Padding2D([side(v)?; 2])),
            _ => Err(bad()),
        }
    }
}

layer! {
    /// Rows and columns of zeros around an image.
    ///
    /// **Shape** `[batch, height, width, channels]` → the same, larger.
    pub struct ZeroPadding2D("ZeroPadding2D") {
        /// How many at each side.
        padding: Padding2D,
        ;
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: Option<Word> = Some("channels_last".into()),
    }
}

impl LayerRule for ZeroPadding2D {
    layer_base!();

    fn build(&self, inputs: &[Shape], _: &mut Weights) -> Result<()> {
        expect_rank(&inputs[0], 4, "batch, height, width and channels")
    }

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        let first = if channels_last(&self.data_format)? { 1 } else { 2 };
        let (mut low, mut high) = (vec![0; 4], vec![0; 4]);
        for (i, (a, b)) in self.padding.0.iter().enumerate() {
            (low[first + i], high[first + i]) = (*a as i64, *b as i64);
        }
        Ok(x.pad(&x.constant_like(0.0), &low, &high, &[0; 4]))
    }
}

layer! {
    /// Each pixel several times, or pixels interpolated between.
    ///
    /// **Shape** `[batch, height, width, channels]` → `[batch, height·a, width·b, channels]`.
    pub struct UpSampling2D("UpSampling2D") {
        /// The factors of height and width.
        size: Sizes<2>,
        ;
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: Option<Word> = Some("channels_last".into()),
        /// `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        interpolation: Word = "nearest".into(),
    }
}

impl LayerRule for UpSampling2D {
    layer_base!();

    fn build(&self, inputs: &[Shape], _: &mut Weights) -> Result<()> {
        if self.size.0.contains(&0) {
            return Err(Error::new(ErrorKind::Argument, "`size` must be at least 1"));
        }
        expect_rank(&inputs[0], 4, "batch, height, width and channels")
    }

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        let first = if channels_last(&self.data_format)? { 1 } else { 2 };
        let kinds = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"];
        let kind = self.interpolation.one_of("interpolation", &kinds)?;
        let mut y = x.clone();
        for (i, &k) in self.size.0.iter().enumerate() {
            y = if kind == "nearest" { repeat(&y, first + i, k) } else { interpolate(&y, first + i, k, kind)? };
        }
        Ok(y)
    }
}

/// Each element along an axis `k` times.
fn repeat(x: &Var, axis: usize, k: usize) -> Var {
    let mut wide = x.shape().to_vec();
    wide.insert(axis + 1, k);
    let dims: Vec<usize> = (0..wide.len()).filter(|&d| d != axis + 1).collect();
    let mut out = x.shape().to_vec();
    out[axis] *= k;
    x.broadcast_in_dim(&wide, &dims).reshape(&out)
}

/// What a pixel at this distance counts: the triangle, Keys' cubic (1981), Lanczos' window.
fn influence(kind: &str, distance: f64) -> f64 {
    let x = distance.abs();
    let sinc = |x: f64| if x < 1e-9 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
    let lanczos = |r: f64| if x < r { sinc(x) * sinc(x / r) } else { 0.0 };
    match kind {
        "bicubic" if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        "bicubic" if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        "bicubic" => 0.0,
        "lanczos3" => lanczos(3.0),
        "lanczos5" => lanczos(5.0),
        _ => (1.0 - x).max(0.0),
    }
}

/// Interpolation along an axis at the centres of the new pixels, as a product with a small matrix; what lies outside does not count.
fn interpolate(x: &Var, axis: usize, k: usize, kind: &str) -> Result<Var> {
    let n = x.shape()[axis];
    let mut m = vec![0f32; n * n * k];
    for o in 0..n * k {
        let place = (o as f64 + 0.5) / k as f64 - 0.5;
        let weights: Vec<f64> = (0..n).map(|i| influence(kind, place - i as f64)).collect();
        let total: f64 = weights.iter().sum();
        for (i, w) in weights.iter().enumerate() {
            m[i * n * k + o] = (w / total) as f32;
        }
    }
    let float = if x.dtype().is_float() { x.dtype() } else { DType::F32 };
    let x = &x.convert(float);
    let m = x.trace().constant(Tensor::new(&[n, n * k], &m)?.cast(float));
    let product = x.dot_general(&m, (&[], &[]), (&[axis], &[0]));
    // The new axis came last; put it back.
    let rank = x.rank();
    let order: Vec<usize> = (0..rank)
        .map(|i| {
            if i < axis {
                i
            } else if i == axis {
                rank - 1
            } else {
                i - 1
            }
        })
        .collect();
    Ok(product.transpose(&order))
}
