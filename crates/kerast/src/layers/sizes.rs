//! Arguments that are one number per spatial axis.

use crate::Result;
use crate::config::{Arg, Field, Word};
use serde_json::Value;

/// One number per spatial axis; a single number stands for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes<const N: usize>(pub [usize; N]);

impl<const N: usize> Arg<Sizes<N>> for usize {
    fn arg(self) -> Sizes<N> {
        Sizes([self; N])
    }
}
impl<const N: usize> Arg<Option<Sizes<N>>> for usize {
    fn arg(self) -> Option<Sizes<N>> {
        Some(Sizes([self; N]))
    }
}
impl<const N: usize> Arg<Sizes<N>> for [usize; N] {
    fn arg(self) -> Sizes<N> {
        Sizes(self)
    }
}
impl<const N: usize> Arg<Option<Sizes<N>>> for [usize; N] {
    fn arg(self) -> Option<Sizes<N>> {
        Some(Sizes(self))
    }
}
impl Arg<Sizes<2>> for (usize, usize) {
    fn arg(self) -> Sizes<2> {
        Sizes([self.0, self.1])
    }
}
impl Arg<Option<Sizes<2>>> for (usize, usize) {
    fn arg(self) -> Option<Sizes<2>> {
        Some(Sizes([self.0, self.1]))
    }
}

impl<const N: usize> Field for Sizes<N> {
    fn to_json(&self) -> Value {
        Value::Array(self.0.iter().map(|&n| Value::from(n as u64)).collect())
    }
    fn from_json(v: &Value) -> Result<Self> {
        let all = Vec::<usize>::from_json(v)?;
        match all[..] {
            [one] => Ok(Sizes([one; N])),
            _ => <[usize; N]>::try_from(all)
                .map(Sizes)
                .map_err(|_| crate::config::wrong(&format!("{N} whole numbers, or one"), v)),
        }
    }
}

/// Whether channels come last; `None` is Keras' default, which is yes.
pub(crate) fn channels_last(format: &Option<Word>) -> Result<bool> {
    match format {
        None => Ok(true),
        Some(w) => Ok(w.one_of("data_format", &["channels_last", "channels_first"])? == "channels_last"),
    }
}

/// Padding before and after so that `ceil(n / stride)` windows fit: Keras' `"same"`.
pub(crate) fn same_padding(n: usize, size: usize, stride: usize, dilation: usize) -> (i64, i64) {
    let window = (size as i64 - 1) * dilation as i64 + 1;
    let places = n.div_ceil(stride) as i64;
    let total = ((places - 1) * stride as i64 + window - n as i64).max(0);
    (total / 2, total - total / 2)
}
