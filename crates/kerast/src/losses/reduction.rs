//! What all losses share: ranks brought together, sample weights, masks, and the reduction to one number.

use super::LossRule;
use crate::config::Word;
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

/// The loss of a batch: a scalar, or per-sample values when the reduction is `"none"`.
///
/// `sample_weight` has the shape of the per-sample values or leading axes of it; `mask` likewise (bool). Masked samples count
/// nothing, in the numerator and (for means) in the denominator, as in Keras 3.
pub fn apply(
    loss: &dyn LossRule,
    y_true: &Var,
    y_pred: &Var,
    sample_weight: Option<&Var>,
    mask: Option<&Var>,
) -> Result<Var> {
    // Losses are computed in f32 at least.
    let y_pred = &if y_pred.dtype().size() < 4 { y_pred.convert(crate::DType::F32) } else { y_pred.clone() };
    let y_true = match loss.is_sparse() {
        true => y_true.clone(),
        false => align(&y_true.convert(y_pred.dtype()), y_pred)?,
    };
    let values = loss.call(&y_true, y_pred)?;
    let valid = loss.validity(&y_true, y_pred)?;
    let mask = match (mask, &valid) {
        (Some(m), Some(v)) => Some(m.and(v)),
        (m, v) => m.or(v.as_ref()).cloned(),
    };
    reduce(&values, sample_weight, mask.as_ref(), &loss.reduction())
}

/// Targets and predictions of equal rank: a last axis of length 1 is added or dropped on the targets' side.
fn align(y_true: &Var, y_pred: &Var) -> Result<Var> {
    let (t, p) = (y_true.shape(), y_pred.shape());
    let fitted = match t.len() as isize - p.len() as isize {
        0 => y_true.clone(),
        -1 if p.last() == Some(&1) => y_true.expand_dims(t.len()),
        1 if t.last() == Some(&1) => y_true.reshape(&t[..t.len() - 1]),
        _ => y_true.clone(),
    };
    let same = fitted.shape() == p;
    let broadcasts =
        fitted.rank() == p.len() && fitted.shape().iter().zip(p).all(|(a, b)| a == b || *a == 1 || *b == 1);
    match same || broadcasts {
        true => Ok(fitted),
        false => Err(Error::new(ErrorKind::Shape, "targets and predictions do not fit together")
            .expected(format!("targets of shape {p:?}, as the model predicts"))
            .received(format!("{t:?}"))),
    }
}

/// Puts per-sample values together.
pub fn reduce(values: &Var, sample_weight: Option<&Var>, mask: Option<&Var>, reduction: &Word) -> Result<Var> {
    let kinds = ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"];
    let kind = reduction.one_of("reduction", &kinds)?;
    let weight = sample_weight.map(|w| w.convert(values.dtype()));
    let mask = mask.map(|m| m.convert(values.dtype()));
    // What each sample counts in a mean: everything it is broadcast to.
    let spread = |v: &Var| lead(v, values.rank()).broadcast_to(values.shape());
    let mask_all = mask.as_ref().map(spread);
    let weight_all = match (weight.as_ref().map(spread), &mask_all) {
        (Some(w), Some(m)) => Some(w * m),
        (Some(w), None) => Some(w),
        (None, Some(m)) => Some(m.clone()),
        (None, None) => None,
    };
    // Keras divides by the weights as they came, not as they were repeated.
    let given = match (weight.as_ref().map(|w| lead(w, values.rank())), mask.as_ref().map(|m| lead(m, values.rank()))) {
        (Some(w), Some(m)) => Some(w * m),
        (w, m) => w.or(m),
    };
    let weighted = weight_all.as_ref().map_or_else(|| values.clone(), |w| values * w);
    Ok(match kind {
        "none" => weighted,
        "sum" => weighted.sum_all(),
        "mean_with_sample_weight" => match &given {
            Some(w) => divide(weighted.sum_all(), w.sum_all()),
            None => weighted.mean_all(),
        },
        _ => match &mask_all {
            Some(m) => divide(weighted.sum_all(), m.sum_all()),
            None => weighted.mean_all(),
        },
    })
}

/// `a / b`, 0 where `b` is 0.
fn divide(a: Var, b: Var) -> Var {
    let zero = b.full_like(0.0);
    let empty = b.equal(&zero);
    empty.select(&zero, &(a / empty.select(&b.full_like(1.0), &b)))
}

/// Leading axes: `[batch]` seen as `[batch, 1, 1]`; a last axis of length 1 too many is dropped.
fn lead(v: &Var, rank: usize) -> Var {
    let mut shape = v.shape().to_vec();
    while shape.len() > rank && shape.last() == Some(&1) {
        shape.pop();
    }
    while shape.len() < rank {
        shape.push(1);
    }
    v.reshape(&shape)
}
