//! Arrays as batches: checks, ranks brought to the model's, the order of samples.

use super::arrays::Arrays;
use crate::models::{Expected, Network, OutputRules, describe};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_kernels::buffer::Buffer;
use kerast_kernels::random::Stream;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Data of a model: inputs, targets, sample weights (one per output, where given), all with equally many samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    pub(crate) x: Vec<Tensor>,
    pub(crate) y: Vec<Tensor>,
    pub(crate) weights: Vec<Option<Tensor>>,
}

impl Samples {
    /// Number of samples.
    pub(crate) fn len(&self) -> usize {
        self.x.first().map_or(0, |t| t.shape().first().copied().unwrap_or(0))
    }

    /// All arrays, in the order of a step's parameters.
    pub(crate) fn arrays(&self) -> impl Iterator<Item = &Tensor> {
        self.x.iter().chain(&self.y).chain(self.weights.iter().flatten())
    }

    /// Samples `from .. to`.
    pub(crate) fn range(&self, from: usize, to: usize) -> Result<Samples> {
        let cut = |t: &Tensor| rows(t, from, to);
        Ok(Samples {
            x: self.x.iter().map(cut).collect::<Result<_>>()?,
            y: self.y.iter().map(cut).collect::<Result<_>>()?,
            weights: self.weights.iter().map(|w| w.as_ref().map(cut).transpose()).collect::<Result<_>>()?,
        })
    }
}

/// Rows `from .. to` of a tensor.
pub(crate) fn rows(t: &Tensor, from: usize, to: usize) -> Result<Tensor> {
    let n = t.shape().first().copied().unwrap_or(1).max(1);
    let row = t.bytes().len() / n;
    let mut shape = t.shape().to_vec();
    shape[0] = to - from;
    Tensor::from_le_bytes(t.dtype(), &shape, &t.bytes()[from * row..to * row])
}

/// The inputs of a model, checked: names, ranks, sizes, types, NaN.
pub(crate) fn inputs(expected: &[Expected], arrays: &Arrays) -> Result<Vec<Tensor>> {
    let names: Vec<String> = expected.iter().map(|e| e.name.clone()).collect();
    let given = arrays.in_order(&names, "input")?;
    let mut out = vec![];
    for (t, Expected { name, ty: (shape, dtype) }) in given.into_iter().zip(expected) {
        let t = fit_rank(t, shape.len());
        let fits =
            t.shape().len() == shape.len() && t.shape().iter().zip(shape).all(|(n, d)| d.is_none_or(|d| d == *n));
        if !fits {
            return Err(Error::new(ErrorKind::Shape, format!("the data do not fit the input `{name}`"))
                .expected(describe(&(shape.clone(), *dtype)))
                .received(format!("{:?} {}", t.shape(), t.dtype())));
        }
        refuse_nan(&t, name)?;
        out.push(t.cast(*dtype));
    }
    same_length(&out, &names)?;
    Ok(out)
}

/// A last axis of length 1 added or dropped, as Keras does for inputs.
fn fit_rank(t: Tensor, rank: usize) -> Tensor {
    let shape = t.shape().to_vec();
    if shape.len() + 1 == rank {
        let longer: Vec<usize> = shape.iter().copied().chain([1]).collect();
        return t.clone().reshape(&longer).unwrap_or(t);
    }
    if shape.len() == rank + 1 && shape.last() == Some(&1) {
        return t.clone().reshape(&shape[..rank]).unwrap_or(t);
    }
    t
}

fn refuse_nan(t: &Tensor, name: &str) -> Result<()> {
    if seen(t) {
        return Ok(());
    }
    let first = match t.dtype() {
        DType::F32 => t.as_slice::<f32>().and_then(|v| first(v, |x| x.is_nan())),
        DType::F64 => t.as_slice::<f64>().and_then(|v| first(v, |x| x.is_nan())),
        _ => None,
    };
    match first {
        None => {
            remember(t);
            Ok(())
        }
        Some(i) => {
            let row = t.len().checked_div(t.shape().first().copied().unwrap_or(1)).unwrap_or(1).max(1);
            Err(Error::new(ErrorKind::Data, format!("`{name}` holds NaN"))
                .fact("row", i / row)
                .repair("fill or drop the missing values before training"))
        }
    }
}

/// Large arrays that hold no NaN: who trains epoch by epoch has his data looked through once. Memory behind a [`Weak`] is not written to:
/// a tensor that changes moves its content first, and the reference dies.
static SEEN: Mutex<Vec<Weak<Buffer>>> = Mutex::new(Vec::new());

fn seen(t: &Tensor) -> bool {
    let list = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    list.iter().any(|w| std::ptr::eq(w.as_ptr(), Arc::as_ptr(t.buffer())))
}

fn remember(t: &Tensor) {
    const LARGE: usize = 1 << 20;
    if t.bytes().len() >= LARGE {
        let mut list = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|w| w.strong_count() > 0);
        list.push(Arc::downgrade(t.buffer()));
    }
}

/// The first value that is so. Blocks are looked at whole, which vectors do, before the one is searched that has it.
fn first<T: Copy>(values: &[T], is: impl Fn(T) -> bool) -> Option<usize> {
    const BLOCK: usize = 1024;
    let block = values.chunks(BLOCK).position(|b| b.iter().fold(false, |any, x| any | is(*x)))?;
    let from = block * BLOCK;
    values[from..].iter().position(|x| is(*x)).map(|i| from + i)
}

fn same_length(arrays: &[Tensor], names: &[String]) -> Result<()> {
    let length = |t: &Tensor| t.shape().first().copied();
    if arrays.iter().any(|t| t.shape().is_empty()) {
        return Err(Error::new(ErrorKind::Shape, "an array without a batch axis was given"));
    }
    if arrays.windows(2).any(|w| length(&w[0]) != length(&w[1])) {
        let all: Vec<String> = arrays.iter().zip(names).map(|(t, n)| format!("{n}: {}", t.shape()[0])).collect();
        return Err(Error::new(ErrorKind::Shape, "arrays must have equally many samples").received(all.join(", ")));
    }
    Ok(())
}

/// Inputs, targets and weights of a model, checked against each other.
pub(crate) fn samples(
    network: &Network,
    rules: &[OutputRules],
    x: &Arrays,
    y: &Arrays,
    weights: Option<&Arrays>,
    class_weight: &[(i64, f64)],
) -> Result<Samples> {
    let x = inputs(&network.expected(), x)?;
    let names = network.output_names();
    let with_loss: Vec<String> =
        rules.iter().filter(|r| r.loss.is_some() || !r.metrics.is_empty()).map(|r| r.name.clone()).collect();
    let wanted = if y.0.len() == with_loss.len() { &with_loss } else { &names };
    let given = y.in_order(wanted, "target")?;
    let n = x.first().map_or(0, |t| t.shape()[0]);
    let mut ys = vec![];
    for name in &names {
        let t = match wanted.iter().position(|w| w == name) {
            Some(i) => given[i].clone(),
            // An output without loss and metrics needs no targets; a placeholder keeps the places.
            None => Tensor::zeros(DType::F32, &[n, 1])?,
        };
        let t = if t.shape().len() == 1 {
            let m = t.len();
            t.reshape(&[m, 1])?
        } else {
            t
        };
        let count = t.shape().first().copied().unwrap_or(0);
        if count != n {
            return Err(Error::new(ErrorKind::Shape, "inputs and targets must have equally many samples")
                .received(format!("{n} inputs, {count} targets for `{name}`")));
        }
        refuse_nan(&t, &format!("targets of {name}"))?;
        ys.push(if t.dtype() == DType::F64 { t.cast(DType::F32) } else { t });
    }
    if n == 0 {
        return Err(Error::new(ErrorKind::Data, "there are no samples").received("arrays of length 0"));
    }
    for ((rule, t), p) in rules.iter().zip(&ys).zip(&network.outputs) {
        check_labels(rule, t, network.ty(*p).0.last().copied().flatten())?;
    }
    let mut sample_weights = vec![None; names.len()];
    if let Some(w) = weights {
        let given =
            if w.0.len() == 1 { vec![w.0[0].1.clone(); names.len()] } else { w.in_order(&names, "sample weight")? };
        for (slot, t) in sample_weights.iter_mut().zip(given) {
            let count = t.shape().first().copied().unwrap_or(0);
            if count != n {
                return Err(Error::new(ErrorKind::Shape, "there must be one weight per sample")
                    .expected(n)
                    .received(count));
            }
            *slot = Some(t.cast(DType::F32));
        }
    }
    if !class_weight.is_empty() {
        for (slot, t) in sample_weights.iter_mut().zip(&ys) {
            *slot = Some(weigh_classes(t, class_weight, slot.as_ref())?);
        }
    }
    Ok(Samples { x, y: ys, weights: sample_weights })
}

/// Class numbers of a sparse loss must exist.
fn check_labels(rule: &OutputRules, t: &Tensor, classes: Option<usize>) -> Result<()> {
    let Some(loss) = &rule.loss else { return Ok(()) };
    let (true, Some(classes)) = (loss.get()?.is_sparse(), classes) else { return Ok(()) };
    let ignored = loss.get()?.ignored_class();
    let bad = t
        .to_f64_vec()
        .into_iter()
        .enumerate()
        .find(|(_, v)| Some(*v as i64) != ignored && (*v < 0.0 || *v >= classes as f64 || v.fract() != 0.0));
    match bad {
        None => Ok(()),
        Some((i, v)) => {
            let row = i / (t.len() / t.shape()[0].max(1)).max(1);
            Err(Error::new(ErrorKind::Data, format!("a label of output `{}` is out of range", rule.name))
                .expected(format!("whole numbers 0 to {}, for {classes} classes", classes - 1))
                .received(v)
                .fact("row", row)
                .repair("labels count from 0; give the last layer one unit per class"))
        }
    }
}

/// One weight per sample from its class: the number itself, or the place of the largest of a one-hot row.
fn weigh_classes(t: &Tensor, classes: &[(i64, f64)], before: Option<&Tensor>) -> Result<Tensor> {
    let n = t.shape()[0];
    let row = t.len() / n.max(1);
    let values = t.to_f64_vec();
    let given = before.map(Tensor::to_f64_vec);
    let weight = |i: usize| {
        let r = &values[i * row..(i + 1) * row];
        let class = match r {
            [v] => *v as i64,
            _ => (0..row).fold(0, |best, k| if r[k] > r[best] { k } else { best }) as i64,
        };
        let w = classes.iter().find(|(c, _)| *c == class).map_or(1.0, |(_, w)| *w);
        w * given.as_ref().map_or(1.0, |g| g[i])
    };
    Tensor::new(&[n], &(0..n).map(|i| weight(i) as f32).collect::<Vec<_>>())
}

/// The order of samples of one epoch.
pub(crate) fn order(n: usize, shuffle: bool, seed: u64, epoch: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..n).collect();
    if shuffle {
        // Streams from 2^31 on are for shuffles; weights draw from hashes of their paths under the same seed.
        Stream::new(seed, 0x8000_0000 | epoch as u32).shuffle(&mut all);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_were_clean_are_looked_through_again_when_they_change() {
        let mut t = Tensor::zeros(DType::F32, &[3, 100_000]).expect("memory");
        assert!(!seen(&t));
        refuse_nan(&t, "x").expect("clean");
        assert!(seen(&t) && seen(&t.clone()));
        t.as_mut_slice::<f32>().expect("f32")[200_007] = f32::NAN;
        assert!(!seen(&t));
        let error = refuse_nan(&t, "x").expect_err("NaN");
        assert_eq!(error.get("row"), Some("2"), "{error}");
    }
}
