//! Data that come in a stream: made, changed, mixed and batched while training runs, so that they need not fit into memory.

use super::arrays::{Arrays, IntoArrays};
use super::batches::rows;
use crate::{Error, ErrorKind, Result, Tensor};
use kerast_kernels::random::Stream;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

/// Inputs and targets of one sample, or of a batch of them.
#[derive(Clone, Debug)]
pub struct Sample {
    /// One array for each input of the model.
    pub x: Vec<Tensor>,
    /// One array for each output.
    pub y: Vec<Tensor>,
}

/// The elements of one epoch.
type Elements = Box<dyn Iterator<Item = Result<Sample>> + Send>;

/// A stream of samples or batches that can be read once per epoch.
///
/// ```
/// use kerast::prelude::*;
///
/// # fn main() -> Result<()> {
/// let x = Tensor::new(&[6, 2], &[0f32; 12])?;
/// let y = Tensor::new(&[6], &[0i32, 1, 0, 1, 0, 1])?;
/// let data = Dataset::from_arrays(&x, &y)?.shuffle(6).batch(4).prefetch(2);
///
/// let mut model = Sequential::new().add(Dense::new(2).activation("softmax").input_dim(2));
/// model.compile("adam", "sparse_categorical_crossentropy").build()?;
/// model.fit_dataset(&data).epochs(2).verbose(0).run()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Dataset {
    make: Arc<dyn Fn(usize) -> Elements + Send + Sync>,
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dataset")
    }
}

impl Dataset {
    /// A stream made anew for each epoch (counted from 0) by a function.
    pub fn new<I>(make: impl Fn(usize) -> I + Send + Sync + 'static) -> Dataset
    where
        I: Iterator<Item = Result<Sample>> + Send + 'static,
    {
        Dataset { make: Arc::new(move |epoch| Box::new(make(epoch))) }
    }

    /// The samples of arrays, one by one.
    ///
    /// # Errors
    /// When there are no samples, or arrays of different lengths.
    pub fn from_arrays(x: impl IntoArrays, y: impl IntoArrays) -> Result<Dataset> {
        let plain = |a: Arrays| a.0.into_iter().map(|(_, t)| t).collect::<Vec<Tensor>>();
        let (x, y) = (Arc::new(plain(x.arrays()?)), Arc::new(plain(y.arrays()?)));
        let lengths: Vec<usize> = x.iter().chain(y.iter()).map(|t| t.shape().first().copied().unwrap_or(0)).collect();
        let n = lengths.first().copied().unwrap_or(0);
        if n == 0 || lengths.iter().any(|l| *l != n) {
            return Err(Error::new(ErrorKind::Shape, "arrays must have equally many samples, and at least one")
                .received(format!("{lengths:?}")));
        }
        Ok(Dataset::new(move |_| {
            let (x, y) = (x.clone(), y.clone());
            (0..n).map(move |i| {
                let one = |t: &Tensor| rows(t, i, i + 1)?.reshape(&t.shape()[1..]);
                Ok(Sample {
                    x: x.iter().map(one).collect::<Result<_>>()?,
                    y: y.iter().map(one).collect::<Result<_>>()?,
                })
            })
        }))
    }

    /// Every element changed by a function.
    pub fn map(self, f: impl Fn(Sample) -> Result<Sample> + Send + Sync + 'static) -> Dataset {
        let f = Arc::new(f);
        Dataset::new(move |epoch| {
            let f = f.clone();
            (self.make)(epoch).map(move |s| f(s?))
        })
    }

    /// Elements in random order: each is drawn from the next `buffer` ones. Every epoch has its own order.
    pub fn shuffle(self, buffer: usize) -> Dataset {
        Dataset::new(move |epoch| {
            let mut source = (self.make)(epoch);
            let mut random = Stream::new(crate::seed(), 0x4000_0000 | epoch as u32);
            let mut held: Vec<Result<Sample>> = vec![];
            std::iter::from_fn(move || {
                while held.len() < buffer.max(1) {
                    match source.next() {
                        Some(s) => held.push(s),
                        None => break,
                    }
                }
                if held.is_empty() { None } else { Some(held.swap_remove(random.below(held.len()))) }
            })
        })
    }

    /// `size` samples at a time stacked into a batch; the last one may be smaller.
    pub fn batch(self, size: usize) -> Dataset {
        Dataset::new(move |epoch| {
            let mut source = (self.make)(epoch);
            let mut refused = size == 0;
            std::iter::from_fn(move || {
                if std::mem::take(&mut refused) {
                    return Some(Err(Error::new(ErrorKind::Argument, "`batch` must be at least 1").received(0)));
                }
                let samples: Result<Vec<Sample>> = source.by_ref().take(size).collect();
                match samples {
                    Ok(s) if s.is_empty() => None,
                    other => Some(other.and_then(|s| stack(&s))),
                }
            })
        })
    }

    /// Up to `elements` are made ahead by a thread of their own, while the model computes; as they are asked for where there are
    /// no threads, as on WebAssembly.
    pub fn prefetch(self, elements: usize) -> Dataset {
        if cfg!(target_family = "wasm") {
            return self;
        }
        Dataset::new(move |epoch| {
            let source = (self.make)(epoch);
            let (give, take) = sync_channel(elements.max(1));
            std::thread::spawn(move || {
                for s in source {
                    // Nobody takes any more: the epoch has ended early.
                    if give.send(s).is_err() {
                        break;
                    }
                }
            });
            take.into_iter()
        })
    }

    /// The elements of an epoch.
    pub fn iter(&self, epoch: usize) -> impl Iterator<Item = Result<Sample>> + Send + use<> {
        (self.make)(epoch)
    }
}

/// Samples as one batch.
fn stack(samples: &[Sample]) -> Result<Sample> {
    let join = |of: fn(&Sample) -> &Vec<Tensor>| -> Result<Vec<Tensor>> {
        let first = of(&samples[0]);
        (0..first.len()).map(|k| stack_one(&first[k], samples.iter().map(|s| of(s).get(k)))).collect()
    };
    Ok(Sample { x: join(|s| &s.x)?, y: join(|s| &s.y)? })
}

fn stack_one<'a>(first: &Tensor, all: impl Iterator<Item = Option<&'a Tensor>>) -> Result<Tensor> {
    let mut bytes = vec![];
    let mut n = 0;
    for t in all {
        let fits = t.filter(|t| t.shape() == first.shape() && t.dtype() == first.dtype());
        let t = fits.ok_or_else(|| {
            Error::new(ErrorKind::Shape, "the samples of a batch must have one shape and type")
                .expected(format!("{:?} {}", first.shape(), first.dtype()))
                .received(t.map_or("no array".into(), |t| format!("{:?} {}", t.shape(), t.dtype())))
                .fact("sample", format!("{n} of its batch"))
        })?;
        bytes.extend_from_slice(t.bytes());
        n += 1;
    }
    let shape: Vec<usize> = std::iter::once(n).chain(first.shape().iter().copied()).collect();
    Tensor::from_le_bytes(first.dtype(), &shape, &bytes)
}

impl From<Sample> for (Arrays, Arrays) {
    fn from(s: Sample) -> (Arrays, Arrays) {
        let plain = |v: Vec<Tensor>| Arrays(v.into_iter().map(|t| (None, t)).collect());
        (plain(s.x), plain(s.y))
    }
}
