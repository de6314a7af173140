//! Checks of input shapes that layers share, with errors that say what to do.

use super::layer::Shape;
use crate::{Error, ErrorKind, Result};

/// `(None, 28, 28, 1)`.
pub(crate) fn show(shape: &[Option<usize>]) -> String {
    let dims: Vec<String> = shape.iter().map(|d| d.map_or("None".into(), |n| n.to_string())).collect();
    if dims.len() == 1 { format!("({},)", dims[0]) } else { format!("({})", dims.join(", ")) }
}

/// The length of the last axis, which must be known.
pub fn last_axis(shape: &Shape) -> Result<usize> {
    known(shape, shape.len().wrapping_sub(1), "the last axis")
}

/// The length of an axis, which must be known.
pub fn known(shape: &Shape, axis: usize, what: &str) -> Result<usize> {
    match shape.get(axis) {
        Some(Some(n)) if axis > 0 => Ok(*n),
        _ => Err(Error::new(ErrorKind::Shape, format!("{what} of the input must be known to make the weights"))
            .received(show(shape))
            .repair("give the input's shape: `.input_shape(…)` on the first layer, or an `Input`")),
    }
}

/// The input must have this many axes, the batch axis included.
pub fn expect_rank(shape: &Shape, rank: usize, layout: &str) -> Result<()> {
    match shape.len() == rank {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Shape, "the input has another number of axes")
            .expected(format!("{rank} axes: {layout}"))
            .received(format!("{} axes: {}", shape.len(), show(shape)))),
    }
}
