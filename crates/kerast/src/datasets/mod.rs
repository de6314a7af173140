//! Data sets: handwritten digits inside the crate; MNIST and Fashion-MNIST from a folder, Keras' cache or the network.

mod digits;
mod mnist;

pub use digits::digits;
pub use mnist::{ImageSet, fashion_mnist, mnist};

use crate::{DType, Error, ErrorKind, Result, Tensor};

/// Samples and their labels.
#[derive(Clone, Debug)]
pub struct Split {
    /// The samples, first axis the samples.
    pub x: Tensor,
    /// The labels.
    pub y: Tensor,
}

/// Training and test samples.
#[derive(Clone, Debug)]
pub struct Data {
    /// Samples to train on.
    pub train: Split,
    /// Samples to test with.
    pub test: Split,
    /// What the data are and where they came from, for a line of output.
    pub source: String,
    largest: f64,
}

impl Data {
    fn each(mut self, f: impl Fn(Split) -> Result<Split>) -> Result<Data> {
        self.train = f(self.train)?;
        self.test = f(self.test)?;
        Ok(self)
    }

    /// Pixels as f32 between 0 and 1.
    pub fn normalize(self) -> Result<Data> {
        let largest = self.largest as f32;
        self.each(|s| {
            let mut x = s.x.cast(DType::F32);
            if let Some(v) = x.as_mut_slice::<f32>() {
                v.iter_mut().for_each(|p| *p /= largest);
            }
            Ok(Split { x, ..s })
        })
    }

    /// Each sample as one row.
    pub fn flatten(self) -> Result<Data> {
        self.each(|s| {
            let n = s.x.shape()[0];
            let row = s.x.len() / n.max(1);
            Ok(Split { x: s.x.reshape(&[n, row])?, y: s.y })
        })
    }

    /// A last axis of length 1: one channel.
    pub fn channels_last(self) -> Result<Data> {
        self.each(|s| {
            let shape: Vec<usize> = s.x.shape().iter().copied().chain([1]).collect();
            Ok(Split { x: s.x.reshape(&shape)?, y: s.y })
        })
    }

    /// A channel axis of length 1 before the image's.
    pub fn channels_first(self) -> Result<Data> {
        self.each(|s| {
            let mut shape = s.x.shape().to_vec();
            shape.insert(1, 1);
            Ok(Split { x: s.x.reshape(&shape)?, y: s.y })
        })
    }

    /// Labels as one-hot rows of f32.
    pub fn one_hot(self, classes: usize) -> Result<Data> {
        self.each(|s| Ok(Split { y: one_hot(&s.y, classes)?, x: s.x }))
    }
}

/// Class numbers as one-hot rows of f32.
pub fn one_hot(labels: &Tensor, classes: usize) -> Result<Tensor> {
    let values = labels.to_f64_vec();
    let mut out = Tensor::zeros(DType::F32, &[values.len(), classes])?;
    if let Some(rows) = out.as_mut_slice::<f32>() {
        for (i, v) in values.iter().enumerate() {
            if *v < 0.0 || *v >= classes as f64 || v.fract() != 0.0 {
                return Err(Error::new(ErrorKind::Data, "a label is out of range")
                    .expected(format!("whole numbers below {classes}"))
                    .received(v)
                    .fact("row", i));
            }
            rows[i * classes + *v as usize] = 1.0;
        }
    }
    Ok(out)
}
