//! Mean 0 and variance 1, by numbers known before training.

use super::Numbers;
use crate::config::Object;
use crate::layers::{Call, LayerRule, Shape, Weights, known, layer, layer_base};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_graph::Var;

layer! {
    /// `y = (x - mean) / √variance`, with numbers for each position along `axis`: given, learned by [`Normalization::adapt`], or read from a file.
    ///
    /// **Shape** any → the same.
    pub struct Normalization("Normalization") {
        ;
        /// The axes whose positions have numbers of their own; none: one pair of numbers for all.
        axis: Vec<i64> = vec![-1],
        /// Back from normalised to original values: `y = x √variance + mean`.
        invert: bool = false,
        /// Means, if known.
        mean: Option<Numbers> = None,
        /// Variances, if known.
        variance: Option<Numbers> = None,
    }
}

impl Normalization {
    /// Takes mean and variance from data, whose first axis counts samples.
    pub fn adapt(mut self, data: &Tensor) -> Result<Normalization> {
        let shape = data.shape();
        let kept = self.kept(shape.len())?;
        let length: usize = kept.iter().map(|&a| shape[a]).product();
        if data.is_empty() || shape.is_empty() {
            return Err(Error::new(ErrorKind::Data, "there are no data to adapt to").received(format!("{shape:?}")));
        }
        let place = |mut i: usize| {
            let mut at = vec![0; shape.len()];
            for a in (0..shape.len()).rev() {
                at[a] = i % shape[a];
                i /= shape[a];
            }
            kept.iter().fold(0, |p, &a| p * shape[a] + at[a])
        };
        let values = data.to_f64_vec();
        let count = (values.len() / length) as f64;
        let (mut mean, mut variance) = (vec![0.0; length], vec![0.0; length]);
        values.iter().enumerate().for_each(|(i, v)| mean[place(i)] += v / count);
        values.iter().enumerate().for_each(|(i, v)| variance[place(i)] += (v - mean[place(i)]).powi(2) / count);
        let kept: Vec<usize> = kept.iter().map(|&a| shape[a]).collect();
        self.mean = Some(Numbers(Tensor::new(&kept, &mean)?));
        self.variance = Some(Numbers(Tensor::new(&kept, &variance)?));
        Ok(self)
    }

    /// The axes with numbers of their own, in order.
    fn kept(&self, rank: usize) -> Result<Vec<usize>> {
        let mut all =
            self.axis.iter().map(|a| crate::layers::normalization::place(*a, rank)).collect::<Result<Vec<_>>>()?;
        all.sort_unstable();
        Ok(all)
    }
}

impl LayerRule for Normalization {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let kept = self.kept(inputs[0].len())?;
        match (&self.mean, &self.variance) {
            (Some(m), Some(v)) if m.0.shape() == v.0.shape() && m.0.shape().len() <= kept.len() => return Ok(()),
            (None, None) => {}
            _ => {
                return Err(Error::new(ErrorKind::Argument, "`mean` and `variance` belong together")
                    .expected(format!("both or none, of one shape, with at most {} axes", kept.len())));
            }
        }
        let known = |&a: &usize| match inputs[0][a] {
            Some(n) => Ok(n),
            None => known(&inputs[0], a, "an axis with numbers of its own"),
        };
        let shape = kept.iter().map(known).collect::<Result<Vec<_>>>()?;
        let (zeros, ones) = (Object::named("zeros"), Object::named("ones"));
        weights.add("mean", &shape, &zeros)?.not_trainable();
        weights.add("variance", &shape, &ones)?.not_trainable();
        weights.add("count", &[], &zeros)?.not_trainable().of_type(DType::I32);
        Ok(())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let x = x.convert(cx.dtype()?);
        let kept = self.kept(x.rank())?;
        let numbers = |given: &Option<Numbers>, name: &str| -> Result<Var> {
            let v = match given {
                Some(n) => cx.trace().constant(n.0.clone()).convert(x.dtype()),
                None => cx.weight(name)?,
            };
            // Fewer axes stand for the last ones.
            let axes = &kept[kept.len() - v.rank()..];
            let fits = axes.iter().enumerate().all(|(i, &a)| v.shape()[i] == x.shape()[a] || v.shape()[i] == 1);
            match fits {
                true => Ok(v.broadcast_in_dim(x.shape(), axes)),
                false => Err(Error::new(ErrorKind::Shape, format!("the input does not fit `{name}`"))
                    .expected(format!("{:?} along axes {axes:?}", v.shape()))
                    .received(format!("{:?}", x.shape()))),
            }
        };
        let mean = numbers(&self.mean, "mean")?;
        let root = numbers(&self.variance, "variance")?.sqrt();
        let spread = root.max(&root.full_like(1e-7));
        Ok(if self.invert { x * spread + mean } else { (x - mean) / spread })
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn adapted_data_have_mean_0_and_variance_1() {
        let x = Tensor::new(&[3, 2], &[1.0f32, 10.0, 2.0, 30.0, 3.0, 50.0]).expect("numbers");
        let mut model = Sequential::new().add(Normalization::new().adapt(&x).expect("numbers").input_shape([2]));
        let y = model.predict(&x).run().expect("runs").to_f64_vec();
        let one = 1.5f64.sqrt();
        for (got, want) in y.iter().zip([-one, -one, 0.0, 0.0, one, one]) {
            assert!((got - want).abs() < 1e-6, "{y:?}");
        }
        let empty = Tensor::zeros(DType::F32, &[0, 2]).expect("nothing");
        assert!(Normalization::new().adapt(&empty).is_err());
    }
}
