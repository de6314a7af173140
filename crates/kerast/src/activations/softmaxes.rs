//! Activations over an axis.

use super::activation;
use kerast_graph::Var;

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
