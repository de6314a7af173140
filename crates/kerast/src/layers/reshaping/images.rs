//! Layers that make images larger or smaller: zero padding, cropping, up-sampling.

use super::interpolation::{INTERPOLATIONS, resized};
use crate::config::{Arg, Field, Word, wrong};
use crate::layers::sizes::{Sizes, channels_last};
use crate::layers::{Call, LayerRule, Shape, Weights, expect_rank, layer, layer_base};
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;
use serde_json::Value;

/// What is added or cut before and after, along each spatial axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides<const N: usize>(pub [(usize, usize); N]);

impl<const N: usize> Arg<Sides<N>> for usize {
    fn arg(self) -> Sides<N> {
        Sides([(self, self); N])
    }
}
impl Arg<Sides<1>> for (usize, usize) {
    fn arg(self) -> Sides<1> {
        Sides([self])
    }
}
impl Arg<Sides<2>> for (usize, usize) {
    fn arg(self) -> Sides<2> {
        Sides([(self.0, self.0), (self.1, self.1)])
    }
}
impl Arg<Sides<2>> for ((usize, usize), (usize, usize)) {
    fn arg(self) -> Sides<2> {
        Sides([self.0, self.1])
    }
}
impl<const N: usize> Arg<Sides<N>> for [(usize, usize); N] {
    fn arg(self) -> Sides<N> {
        Sides(self)
    }
}

impl<const N: usize> Field for Sides<N> {
    fn to_json(&self) -> Value {
        match self.0[..] {
            [(a, b)] => serde_json::json!([a, b]),
            _ => Value::Array(self.0.iter().map(|(a, b)| serde_json::json!([a, b])).collect()),
        }
    }
    fn from_json(v: &Value) -> Result<Self> {
        let bad = || wrong("a number, or numbers before and after for each axis", v);
        let side = |v: &Value| -> Result<(usize, usize)> {
            match Vec::<usize>::from_json(v)?[..] {
                [a] => Ok((a, a)),
                [a, b] => Ok((a, b)),
                _ => Err(bad()),
            }
        };
        match v {
            Value::Number(_) => Ok(Sides([side(v)?; N])),
            Value::Array(a) if N == 1 && a.len() == 2 => Ok(Sides([side(v)?; N])),
            Value::Array(a) if a.len() == N => {
                let all = a.iter().map(side).collect::<Result<Vec<_>>>()?;
                <[(usize, usize); N]>::try_from(all).map(Sides).map_err(|_| bad())
            }
            _ => Err(bad()),
        }
    }
}

macro_rules! sides {
    ($($(#[$meta:meta])* $name:ident($class:literal, $n:literal, $argument:ident, $cuts:literal, $default:literal);)*) => {$(
        layer! {
            $(#[$meta])*
            pub struct $name($class) {
                ;
                /// How many at each side.
                $argument: Sides<$n> = Sides([($default, $default); $n]),
                /// `"channels_last"` (default) or `"channels_first"`.
                data_format: Option<Word> = Some("channels_last".into()),
            }
        }

        impl LayerRule for $name {
            layer_base!();

            fn build(&self, inputs: &[Shape], _: &mut Weights) -> Result<()> {
                expect_rank(&inputs[0], $n + 2, "batch, spatial axes and channels")
            }

            fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
                let first = if channels_last(&self.data_format)? { 1 } else { 2 };
                let (mut low, mut high) = (vec![0; x.rank()], vec![0; x.rank()]);
                for (i, (a, b)) in self.$argument.0.iter().enumerate() {
                    let n = x.shape()[first + i];
                    if $cuts && a + b >= n {
                        return Err(Error::new(ErrorKind::Shape, "cropping leaves nothing")
                            .expected(format!("more than {} along axis {}", a + b, first + i))
                            .received(format!("{:?}", x.shape())));
                    }
                    let sign = if $cuts { -1 } else { 1 };
                    (low[first + i], high[first + i]) = (sign * *a as i64, sign * *b as i64);
                }
                Ok(x.pad(&x.constant_like(0.0), &low, &high, &vec![0; x.rank()]))
            }
        }
    )*};
}

sides! {
    /// Zeros before and after: `[batch, length, channels]`.
    ZeroPadding1D("ZeroPadding1D", 1, padding, false, 1);
    /// Rows and columns of zeros around an image: `[batch, height, width, channels]`.
    ZeroPadding2D("ZeroPadding2D", 2, padding, false, 1);
    /// Zeros around a volume: `[batch, depth, height, width, channels]`.
    ZeroPadding3D("ZeroPadding3D", 3, padding, false, 1);
    /// Steps cut off at the ends: `[batch, length, channels]`.
    Cropping1D("Cropping1D", 1, cropping, true, 1);
    /// Rows and columns of an image cut off: `[batch, height, width, channels]`.
    Cropping2D("Cropping2D", 2, cropping, true, 0);
    /// The rim of a volume cut off: `[batch, depth, height, width, channels]`.
    Cropping3D("Cropping3D", 3, cropping, true, 1);
}

layer! {
    /// Each step several times.
    ///
    /// **Shape** `[batch, length, channels]` → `[batch, length · size, channels]`.
    pub struct UpSampling1D("UpSampling1D") {
        ;
        /// How many times.
        size: usize = 2,
    }
}

impl LayerRule for UpSampling1D {
    layer_base!();

    fn build(&self, inputs: &[Shape], _: &mut Weights) -> Result<()> {
        expect_rank(&inputs[0], 3, "batch, length and channels")
    }

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        Ok(repeat(x, 1, self.size))
    }
}

layer! {
    /// Each voxel several times.
    ///
    /// **Shape** `[batch, depth, height, width, channels]` → the same, larger.
    pub struct UpSampling3D("UpSampling3D") {
        ;
        /// The factors of depth, height and width.
        size: Sizes<3> = Sizes([2; 3]),
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: Option<Word> = Some("channels_last".into()),
    }
}

impl LayerRule for UpSampling3D {
    layer_base!();

    fn build(&self, inputs: &[Shape], _: &mut Weights) -> Result<()> {
        expect_rank(&inputs[0], 5, "batch, depth, height, width and channels")
    }

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        let first = if channels_last(&self.data_format)? { 1 } else { 2 };
        Ok(self.size.0.iter().enumerate().fold(x.clone(), |y, (i, &k)| repeat(&y, first + i, k)))
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
        let kind = self.interpolation.one_of("interpolation", &INTERPOLATIONS)?;
        let mut y = x.clone();
        for (i, &k) in self.size.0.iter().enumerate() {
            let axis = first + i;
            y = if kind == "nearest" {
                repeat(&y, axis, k)
            } else {
                resized(&y, axis, k * y.shape()[axis], kind, false)?
            };
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
