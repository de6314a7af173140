//! Element by element: add, multiply, average, largest, smallest, difference.

use crate::layers::{Call, LayerRule, layer, layer_base};
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

/// Inputs of lower rank get unit axes after the batch, as in Keras; shapes must then broadcast.
fn aligned(inputs: &[Var], class: &str) -> Result<Vec<Var>> {
    if inputs.len() < 2 {
        return Err(
            Error::new(ErrorKind::Argument, format!("{class} needs at least two inputs")).received(inputs.len())
        );
    }
    let rank = inputs.iter().map(Var::rank).max().unwrap_or(0);
    let widened: Vec<Var> = inputs
        .iter()
        .map(|x| {
            let mut shape = x.shape().to_vec();
            while shape.len() < rank {
                shape.insert(1.min(shape.len()), 1);
            }
            x.reshape(&shape)
        })
        .collect();
    let fits = (0..rank).all(|i| {
        let mut lengths: Vec<usize> = widened.iter().map(|x| x.shape()[i]).filter(|&n| n != 1).collect();
        lengths.dedup();
        lengths.len() <= 1
    });
    if !fits {
        let all: Vec<String> = inputs.iter().map(|x| format!("{:?}", x.shape())).collect();
        return Err(Error::new(ErrorKind::Shape, format!("the inputs of {class} do not fit together"))
            .expected("equal shapes (or axes of length 1)")
            .received(all.join(", ")));
    }
    Ok(widened)
}

/// A step counts if it counts in any input without a mask, or in all masks.
pub(super) fn joined_mask(cx: &Call<'_>) -> Option<Var> {
    if cx.masks.iter().any(Option::is_none) {
        return None;
    }
    cx.masks.iter().flatten().cloned().reduce(|a, b| a.or(&b))
}

macro_rules! merges {
    ($($(#[$meta:meta])* $name:ident($class:literal) |$inputs:ident| $body:expr;)*) => {$(
        layer! {
            $(#[$meta])*
            ///
            /// **Shape** equal shapes → that shape; axes of length 1 are repeated.
            pub struct $name($class) {}
        }

        impl LayerRule for $name {
            layer_base!();

            fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
                let $inputs = aligned(inputs, $class)?;
                let mask = joined_mask(cx);
                cx.set_mask(mask);
                Ok(vec![$body])
            }
        }
    )*};
}

/// All inputs through a function of two.
fn fold(inputs: Vec<Var>, f: impl Fn(&Var, &Var) -> Var) -> Result<Var> {
    let none = || Error::new(ErrorKind::Argument, "no inputs");
    inputs.into_iter().reduce(|a, b| f(&a, &b)).ok_or_else(none)
}

merges! {
    /// The sum of all inputs.
    Add("Add") |x| fold(x, Var::add)?;
    /// The product of all inputs.
    Multiply("Multiply") |x| fold(x, Var::mul)?;
    /// The mean of all inputs.
    Average("Average") |x| {
        let n = x.len() as f64;
        let float = |v: &Var| if v.dtype().is_float() { v.clone() } else { v.convert(crate::DType::F32) };
        let x: Vec<Var> = x.iter().map(float).collect();
        fold(x, Var::add)? * (1.0 / n)
    };
    /// The largest of all inputs.
    Maximum("Maximum") |x| fold(x, Var::max)?;
    /// The smallest of all inputs.
    Minimum("Minimum") |x| fold(x, Var::min)?;
    /// The first input minus the second.
    Subtract("Subtract") |x| {
        if x.len() != 2 {
            return Err(Error::new(ErrorKind::Argument, "Subtract takes two inputs").received(x.len()));
        }
        &x[0] - &x[1]
    };
}
