//! Layers that change the shape only: flatten, reshape, permute, repeat.

use crate::config::Word;
use crate::layers::sizes::channels_last;
use crate::layers::{Call, LayerRule, Shape, Weights, expect_rank, layer, layer_base};
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

layer! {
    /// Everything but the batch as one axis; channels-first data are brought to channels-last order first, as Keras does.
    ///
    /// **Shape** `[batch, …]` → `[batch, product]`.
    pub struct Flatten("Flatten") {
        ;
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: Option<Word> = Some("channels_last".into()),
    }
}

impl LayerRule for Flatten {
    layer_base!();

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        let n = x.rank();
        let x = match channels_last(&self.data_format)? || n < 3 {
            true => x.clone(),
            false => x.transpose(&std::iter::once(0).chain(2..n).chain([1]).collect::<Vec<_>>()),
        };
        let product: usize = x.shape()[1..].iter().product();
        Ok(x.reshape(&[x.shape()[0], product]))
    }
}

layer! {
    /// The same elements under another shape; one axis may be -1.
    ///
    /// **Shape** `[batch, …]` → `[batch, target…]`.
    pub struct Reshape("Reshape") {
        /// The shape of a sample.
        target_shape: Vec<i64>,
    }
}

impl crate::config::Arg<Vec<i64>> for Vec<usize> {
    fn arg(self) -> Vec<i64> {
        self.into_iter().map(|n| n as i64).collect()
    }
}

impl LayerRule for Reshape {
    layer_base!();

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        let elements: usize = x.shape()[1..].iter().product();
        let fixed: i64 = self.target_shape.iter().filter(|d| **d != -1).product();
        let free = self.target_shape.iter().filter(|d| **d == -1).count();
        let fits = match free {
            0 => fixed == elements as i64,
            1 => fixed > 0 && elements as i64 % fixed == 0,
            _ => false,
        };
        if !fits || self.target_shape.iter().any(|d| *d < -1) {
            return Err(Error::new(ErrorKind::Shape, "the elements do not fill the target shape")
                .expected(format!("{elements} elements per sample"))
                .received(format!("target_shape {:?}", self.target_shape)));
        }
        let dim = |d: &i64| if *d == -1 { elements / fixed as usize } else { *d as usize };
        let shape: Vec<usize> = std::iter::once(x.shape()[0]).chain(self.target_shape.iter().map(dim)).collect();
        Ok(x.reshape(&shape))
    }
}

layer! {
    /// Another order of axes, counted from 1; the batch stays first.
    ///
    /// **Shape** `[batch, a, b]` → `[batch, b, a]` for `[2, 1]`.
    pub struct Permute("Permute") {
        /// The axis, from 1, that each axis comes from.
        dims: Vec<usize>,
    }
}

impl LayerRule for Permute {
    layer_base!();

    fn build(&self, inputs: &[Shape], _: &mut Weights) -> Result<()> {
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        match sorted.iter().copied().eq(1..=self.dims.len()) {
            true => expect_rank(&inputs[0], self.dims.len() + 1, "batch and the permuted axes"),
            false => Err(Error::new(ErrorKind::Argument, "`dims` must name each axis from 1 on once")
                .received(format!("{:?}", self.dims))),
        }
    }

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        Ok(x.transpose(&std::iter::once(0).chain(self.dims.iter().copied()).collect::<Vec<_>>()))
    }
}

layer! {
    /// Each sample's vector n times.
    ///
    /// **Shape** `[batch, features]` → `[batch, n, features]`.
    pub struct RepeatVector("RepeatVector") {
        /// How often.
        n: usize,
    }
}

impl LayerRule for RepeatVector {
    layer_base!();

    fn build(&self, inputs: &[Shape], _: &mut Weights) -> Result<()> {
        expect_rank(&inputs[0], 2, "batch, features")
    }

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        Ok(x.broadcast_in_dim(&[x.shape()[0], self.n, x.shape()[1]], &[0, 2]))
    }
}
