//! Means, variances, one-hot vectors and other small composites.

use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::ops::Moments;
use kerast_kernels::dtype::DType;
use kerast_kernels::map::reduction;

impl Var {
    /// The mean along `axes`, which disappear; in f32 at least.
    #[track_caller]
    pub fn mean(&self, axes: &[usize]) -> Var {
        let n: usize = axes.iter().map(|&a| self.shape().get(a).copied().unwrap_or(1)).product();
        self.reduce_sum(axes) * (1.0 / n as f64)
    }

    /// Mean and variance along `axes`, which disappear; of f32 or f64.
    #[track_caller]
    pub fn moments(&self, axes: &[usize]) -> (Var, Var) {
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        let mut x = self.clone();
        if reduction(self.shape(), &axes).is_none() {
            // The axes together, behind the others.
            let order: Vec<usize> = (0..x.rank()).filter(|a| !axes.contains(a)).chain(axes.iter().copied()).collect();
            x = x.transpose(&order);
            axes = (x.rank() - axes.len()..x.rank()).collect();
        }
        let mut made = x.trace().push_many(Moments { axes }.into(), &[&x], x.ty(), 2);
        let variance = made.remove(1);
        (made.remove(0), variance)
    }

    /// The mean of everything.
    #[track_caller]
    pub fn mean_all(&self) -> Var {
        self.mean(&(0..self.rank()).collect::<Vec<_>>())
    }

    /// The sum of everything.
    #[track_caller]
    pub fn sum_all(&self) -> Var {
        self.reduce_sum(&(0..self.rank()).collect::<Vec<_>>())
    }

    /// The square.
    #[track_caller]
    pub fn square(&self) -> Var {
        self * self
    }

    /// `max(x, 0)`, whose slope at 0 is 0; NaN stays NaN.
    #[track_caller]
    pub fn relu(&self) -> Var {
        let zero = self.full_like(0.0);
        self.less_equal(&zero).select(&zero, self)
    }

    /// Whether each of these integers numbers one of `count` things.
    #[track_caller]
    pub(crate) fn is_below(&self, count: usize) -> Var {
        let last = self.full_like(count as f64 - 1.0);
        self.greater_equal(&self.full_like(0.0)).and(&self.less_equal(&last))
    }

    /// 1 where `self` (integers of any shape) equals the index along a new last axis of length `classes`, else 0.
    #[track_caller]
    pub fn one_hot(&self, classes: usize, dtype: DType) -> Var {
        let mut shape = self.shape().to_vec();
        shape.push(classes);
        let last = shape.len() - 1;
        let index = self.trace().iota(&Type::new(self.dtype(), shape.clone()), last);
        self.expand_dims(last).equal(&index).convert(dtype)
    }
}
