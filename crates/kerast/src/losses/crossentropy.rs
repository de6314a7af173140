//! Crossentropies: binary, categorical, sparse categorical.
//!
//! From probabilities they are clipped to [1e-7, 1 - 1e-7] as Keras does; from logits they are computed in the stable form.

use super::LossRule;
use crate::config::{Word, config};
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::{Type, Var};

/// Keras' `epsilon()`.
pub(crate) const EPSILON: f64 = 1e-7;

pub(super) fn place(y: &Var, axis: i64) -> usize {
    let a = if axis < 0 { axis + y.rank() as i64 } else { axis };
    usize::try_from(a).unwrap_or(usize::MAX)
}

config! {
    /// `-(t ln p + (1-t) ln(1-p))`, averaged over the last axis.
    pub struct BinaryCrossentropy("BinaryCrossentropy") {
        ;
        /// The name in a history.
        name: String = "binary_crossentropy".into(),
        /// How samples are put together.
        reduction: Word = "sum_over_batch_size".into(),
        /// Predictions are logits rather than probabilities.
        from_logits: bool = false,
        /// Moves targets towards ½.
        label_smoothing: f64 = 0.0,
        /// The axis that is averaged.
        axis: i64 = -1,
    }
}

/// The elements of the binary crossentropy.
pub(crate) fn binary(t: &Var, p: &Var, from_logits: bool) -> Var {
    if from_logits {
        // max(z, 0) - z t + ln(1 + e^-|z|)
        return p.relu() - p * t + p.abs().neg().exp().log1p();
    }
    let p = p.clamp(EPSILON, 1.0 - EPSILON);
    (t * p.log() + (1.0 - t) * (1.0 - &p).log()).neg()
}

impl LossRule for BinaryCrossentropy {
    fn call(&self, y_true: &Var, y_pred: &Var) -> Result<Var> {
        let t = match self.label_smoothing {
            0.0 => y_true.clone(),
            s => y_true * (1.0 - s) + 0.5 * s,
        };
        Ok(binary(&t, y_pred, self.from_logits).mean(&[place(y_pred, self.axis)]))
    }

    fn reduction(&self) -> Word {
        self.reduction.clone()
    }
}

config! {
    /// `-Σ t ln p` over the class axis, targets one-hot.
    pub struct CategoricalCrossentropy("CategoricalCrossentropy") {
        ;
        /// The name in a history.
        name: String = "categorical_crossentropy".into(),
        /// How samples are put together.
        reduction: Word = "sum_over_batch_size".into(),
        /// Predictions are logits rather than probabilities.
        from_logits: bool = false,
        /// Moves targets towards the uniform distribution.
        label_smoothing: f64 = 0.0,
        /// The axis of the classes.
        axis: i64 = -1,
    }
}

/// `ln p` of clipped probabilities.
fn log_clipped(p: &Var) -> Var {
    p.clamp(EPSILON, 1.0 - EPSILON).log()
}

fn same_classes(t: &Var, y: &Var, axis: usize) -> Result<()> {
    match t.shape() == y.shape() && axis < y.rank() {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Shape, "categorical_crossentropy wants one-hot targets")
            .expected(format!("targets of shape {:?}, as the model predicts", y.shape()))
            .received(format!("{:?}", t.shape()))
            .repair("make the labels one-hot, or use sparse_categorical_crossentropy")),
    }
}

impl LossRule for CategoricalCrossentropy {
    fn call(&self, y_true: &Var, y_pred: &Var) -> Result<Var> {
        let axis = place(y_pred, self.axis);
        same_classes(y_true, y_pred, axis)?;
        let t = match self.label_smoothing {
            0.0 => y_true.clone(),
            s => y_true * (1.0 - s) + s / y_pred.shape()[axis] as f64,
        };
        let log = match self.from_logits {
            true => y_pred.log_softmax(axis),
            false => log_clipped(&(y_pred / y_pred.reduce_sum(&[axis]).expand_dims(axis))),
        };
        Ok((t * log).reduce_sum(&[axis]).neg())
    }

    fn reduction(&self) -> Word {
        self.reduction.clone()
    }
}

config! {
    /// `-ln p` of the class whose number is the target.
    pub struct SparseCategoricalCrossentropy("SparseCategoricalCrossentropy") {
        ;
        /// The name in a history.
        name: String = "sparse_categorical_crossentropy".into(),
        /// How samples are put together.
        reduction: Word = "sum_over_batch_size".into(),
        /// Predictions are logits rather than probabilities.
        from_logits: bool = false,
        /// A class number that counts nothing.
        ignore_class: Option<i64> = None,
        /// The axis of the classes.
        axis: i64 = -1,
    }
}

/// Class numbers of shape `y` without its class axis.
pub(crate) fn class_numbers(t: &Var, y: &Var, axis: usize) -> Result<Var> {
    let mut shape = y.shape().to_vec();
    if axis < shape.len() {
        shape.remove(axis);
    }
    let n: usize = shape.iter().product();
    let count: usize = t.shape().iter().product();
    match n == count {
        true => Ok(t.reshape(&shape)),
        false => Err(Error::new(ErrorKind::Shape, "sparse targets hold one class number per prediction")
            .expected(format!("targets of shape {shape:?} (predictions are {:?})", y.shape()))
            .received(format!("{:?}", t.shape()))),
    }
}

impl LossRule for SparseCategoricalCrossentropy {
    fn call(&self, y_true: &Var, y_pred: &Var) -> Result<Var> {
        let axis = place(y_pred, self.axis);
        let labels = class_numbers(y_true, y_pred, axis)?.convert(DType::I32);
        let loss = if self.from_logits && axis + 1 == y_pred.rank() && y_pred.dtype() == DType::F32 {
            y_pred.sparse_cross_entropy(&labels)
        } else {
            let index = y_pred.trace().iota(&Type::new(DType::I32, y_pred.shape()), axis);
            let hit = labels.expand_dims(axis).equal(&index);
            let of_class = |y: &Var| hit.select(y, &y.full_like(0.0)).reduce_sum(&[axis]);
            match self.from_logits {
                true => of_class(&y_pred.log_softmax(axis)).neg(),
                // The class first: one logarithm per sample, and none where there is no such class.
                false => {
                    let loss = log_clipped(&(of_class(y_pred) / y_pred.reduce_sum(&[axis]))).neg();
                    let exists = labels.gt(-1.0).and(&labels.lt(y_pred.shape()[axis] as f64));
                    exists.select(&loss, &loss.full_like(0.0))
                }
            }
        };
        Ok(match self.ignore_class {
            Some(c) => labels.eq(c as f64).select(&loss.full_like(0.0), &loss),
            None => loss,
        })
    }

    fn reduction(&self) -> Word {
        self.reduction.clone()
    }

    fn is_sparse(&self) -> bool {
        true
    }

    fn ignored_class(&self) -> Option<i64> {
        self.ignore_class
    }

    fn validity(&self, y_true: &Var, y_pred: &Var) -> Result<Option<Var>> {
        let axis = place(y_pred, self.axis);
        match self.ignore_class {
            Some(c) => Ok(Some(class_numbers(y_true, y_pred, axis)?.ne(c as f64))),
            None => Ok(None),
        }
    }
}
