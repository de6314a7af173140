//! One after the other along an axis.

use crate::layers::{Call, LayerRule, layer, layer_base};
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

layer! {
    /// Inputs one after the other along an axis.
    ///
    /// **Shape** shapes equal but for the axis → the axis' lengths added.
    pub struct Concatenate("Concatenate") {
        ;
        /// The axis.
        axis: i64 = -1,
    }
}

impl LayerRule for Concatenate {
    layer_base!();

    fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
        let rank = inputs.first().map_or(0, Var::rank);
        let axis = if self.axis < 0 { self.axis + rank as i64 } else { self.axis } as usize;
        let fits = inputs.iter().all(|x| {
            x.rank() == rank && axis < rank && (0..rank).all(|i| i == axis || x.shape()[i] == inputs[0].shape()[i])
        });
        if !fits || inputs.is_empty() {
            let all: Vec<String> = inputs.iter().map(|x| format!("{:?}", x.shape())).collect();
            return Err(Error::new(ErrorKind::Shape, "the inputs of Concatenate do not fit together")
                .expected(format!("shapes that are equal but for axis {}", self.axis))
                .received(all.join(", ")));
        }
        let refs: Vec<&Var> = inputs.iter().collect();
        let mask = mask(cx, inputs, axis);
        cx.set_mask(mask);
        Ok(vec![Var::concatenate(&refs, axis)])
    }
}

/// Masks along the joined axis follow each other; along any other axis a step counts if it counts everywhere.
fn mask(cx: &Call<'_>, inputs: &[Var], axis: usize) -> Option<Var> {
    if cx.masks.iter().all(Option::is_none) {
        return None;
    }
    let all: Vec<Var> = inputs
        .iter()
        .zip(&cx.masks)
        .map(|(x, m)| match m {
            Some(m) => m.clone(),
            None => cx.full(crate::DType::Bool, &x.shape()[..2.min(x.rank())], 1.0),
        })
        .collect();
    if axis == 1 {
        return Some(Var::concatenate(&all.iter().collect::<Vec<_>>(), 1));
    }
    all.into_iter().reduce(|a, b| a.and(&b))
}
