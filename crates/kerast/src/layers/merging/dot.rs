//! Products of two inputs summed over an axis of each.

use crate::layers::{Call, LayerRule, layer, layer_base};
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

layer! {
    /// The product of two inputs summed over one axis of each, sample by sample.
    ///
    /// **Shape** `[batch, a, k]` and `[batch, b, k]` with axes `[2, 2]` → `[batch, a, b]`; vectors give `[batch, 1]`.
    pub struct Dot("Dot") {
        /// The axis of both, or one of each.
        axes: Vec<i64>,
        ;
        /// Scale both to length 1 along the axis first: the cosine.
        normalize: bool = false,
    }
}

impl LayerRule for Dot {
    layer_base!();

    fn call_many(&self, _: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
        let [a, b] = inputs else {
            return Err(Error::new(ErrorKind::Argument, "Dot takes two inputs").received(inputs.len()));
        };
        let (p, q) = match self.axes[..] {
            [one] => (one, one),
            [p, q] => (p, q),
            _ => {
                return Err(Error::new(ErrorKind::Argument, "`axes` must be one or two axes")
                    .received(format!("{:?}", self.axes)));
            }
        };
        let place = |v: i64, x: &Var| (if v < 0 { v + x.rank() as i64 } else { v }) as usize;
        let (p, q) = (place(p, a), place(q, b));
        if p == 0 || q == 0 || a.shape().get(p) != b.shape().get(q) || a.shape().get(p).is_none() {
            return Err(Error::new(ErrorKind::Shape, "the inputs of Dot do not fit together")
                .expected("equal lengths along the chosen axes")
                .received(format!("{:?} and {:?}, axes {:?}", a.shape(), b.shape(), self.axes)));
        }
        let unit = |x: &Var, axis: usize| {
            let square = x.square().reduce_sum(&[axis]).expand_dims(axis);
            x * square.max(&square.full_like(1e-12)).rsqrt()
        };
        let (a, b) = if self.normalize { (unit(a, p), unit(b, q)) } else { (a.clone(), b.clone()) };
        let y = a.dot_general(&b, (&[0], &[0]), (&[p], &[q]));
        Ok(vec![if y.rank() == 1 { y.expand_dims(1) } else { y }])
    }
}
