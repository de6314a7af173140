//! A penalty on vectors that are not orthogonal.

use super::RegularizerRule;
use crate::config::{Word, config};
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::{Type, Var};

config! {
    /// `factor · mean |cos|` over the pairs of rows (or columns) of a matrix.
    pub struct OrthogonalRegularizer("OrthogonalRegularizer") {
        ;
        /// The factor.
        factor: f64 = 0.01,
        /// `"rows"` or `"columns"`: which vectors are to be orthogonal.
        mode: Word = "rows".into(),
    }
}

impl RegularizerRule for OrthogonalRegularizer {
    fn call(&self, x: &Var) -> Result<Var> {
        if x.rank() != 2 {
            return Err(Error::new(ErrorKind::Shape, "OrthogonalRegularizer takes a matrix")
                .expected("2 axes")
                .received(format!("{:?}", x.shape())));
        }
        let axis = if self.mode.one_of("mode", &["rows", "columns"])? == "rows" { 1 } else { 0 };
        let n = x.shape()[1 - axis];
        let norm = x.square().reduce_sum(&[axis]).sqrt();
        let norm = norm.max(&norm.full_like(1e-7)).expand_dims(axis);
        let unit = x / norm.broadcast_to(x.shape());
        let cosines = unit.dot_general(&unit, (&[], &[]), (&[axis], &[axis]));
        let [row, column] = [0, 1].map(|a| x.trace().iota(&Type::new(DType::I32, [n, n]), a));
        let apart = row.not_equal(&column).select(&cosines.abs(), &cosines.full_like(0.0));
        let pairs = n as f64 * (n as f64 - 1.0) / 2.0;
        Ok(apart.sum_all() * (self.factor * 0.5 / pairs))
    }
}
