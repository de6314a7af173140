//! Softmax and its logarithm, shifted by the maximum so that nothing overflows.

use crate::ir::var::Var;
use crate::ops::{CrossEntropy, Softmax};
use kerast_kernels::dtype::DType;

impl Var {
    /// `e^x / Σ e^x` along one axis.
    #[track_caller]
    pub fn softmax(&self, axis: usize) -> Var {
        if self.dtype() == DType::F32 && axis + 1 == self.shape().len() {
            return self.apply(Softmax, &[]);
        }
        let e = self.shifted(axis).exp();
        &e / e.keep(axis, |v| v.reduce_sum(&[axis]))
    }

    /// `x - ln Σ e^x` along one axis.
    #[track_caller]
    pub fn log_softmax(&self, axis: usize) -> Var {
        let x = self.shifted(axis);
        &x - x.exp().keep(axis, |v| v.reduce_sum(&[axis])).log()
    }

    /// `ln Σ e^x - x[class]` along the last axis of f32, which disappears; 0 where there is no such class. The classes are i32.
    #[track_caller]
    pub fn sparse_cross_entropy(&self, classes: &Var) -> Var {
        let rows = classes.ty().len();
        let x = self.reshape(&[rows, self.shape().last().copied().unwrap_or(0)]);
        let made = x.trace().push_many(CrossEntropy.into(), &[&x, &classes.reshape(&[rows])], x.ty(), 3);
        made[0].reshape(classes.shape())
    }

    /// `ln Σ e^x` along one axis, which disappears.
    #[track_caller]
    pub fn log_sum_exp(&self, axis: usize) -> Var {
        let max = self.reduce_max(&[axis]).stop_gradient();
        let finite = max.is_finite().select(&max, &max.full_like(0.0));
        let shifted = self - finite.expand_dims(axis);
        shifted.exp().reduce_sum(&[axis]).log() + finite
    }

    /// `x - max x` along one axis; the maximum is a constant to the gradient, since it cancels.
    #[track_caller]
    fn shifted(&self, axis: usize) -> Var {
        self - self.keep(axis, |v| v.reduce_max(&[axis])).stop_gradient()
    }

    /// A reduction of `self` over `axis` with that axis kept at length 1.
    #[track_caller]
    pub(crate) fn keep(&self, axis: usize, reduce: impl FnOnce(&Var) -> Var) -> Var {
        reduce(self).expand_dims(axis)
    }
}
