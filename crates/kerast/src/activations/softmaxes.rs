//! Activations over an axis.

use super::activation;
use kerast_graph::{Type, Var};

/// An axis counted from either end.
fn place(x: &Var, axis: i64) -> usize {
    let a = if axis < 0 { axis + x.rank() as i64 } else { axis };
    usize::try_from(a).unwrap_or(usize::MAX)
}

activation! {
    /// `eˣ / Σ eˣ` along an axis.
    Softmax("softmax") {
        /// The axis.
        axis: i64 = -1
    } |a, x| x.softmax(place(x, a.axis));

    /// `x - ln Σ eˣ` along an axis.
    LogSoftmax("log_softmax") {
        /// The axis.
        axis: i64 = -1
    } |a, x| x.log_softmax(place(x, a.axis));

    /// `max(x - τ, 0)` along an axis, after Martins and Astudillo 2016. `τ` is what Keras computes: it adds up the running sums of the
    /// support, where the paper takes the last of them, so that the results sum to 1 only where a single element is left.
    Sparsemax("sparsemax") {
        /// The axis.
        axis: i64 = -1
    } |a, x| {
        let axis = place(x, a.axis);
        let sorted = x.sort(axis, true);
        let sums = sorted.cumulative_sum(axis);
        let rank = x.trace().iota(&Type::new(x.dtype(), x.shape()), axis) + 1.0;
        let support = (&sorted - (&sums - 1.0) / rank).gt(0.0);
        let size = support.convert(x.dtype()).reduce_sum(&[axis]).expand_dims(axis);
        let total = support.select(&sums, &sums.full_like(0.0)).reduce_sum(&[axis]).expand_dims(axis);
        (x - ((total - 1.0) / size).broadcast_to(x.shape())).relu()
    };

    /// The first half times the sigmoid of the second half, along an axis.
    Glu("glu") {
        /// The axis.
        axis: i64 = -1
    } |a, x| {
        let axis = place(x, a.axis);
        let n = x.dim(axis as isize) / 2;
        let part = |from: usize| {
            let mut start = vec![0; x.rank()];
            let mut limit = x.shape().to_vec();
            if axis < x.rank() {
                start[axis] = from;
                limit[axis] = from + n;
            }
            x.slice(&start, &limit, &vec![1; x.rank()])
        };
        part(0) * part(n).logistic()
    };
}
