//! Vectors for whole numbers.

use crate::config::Object;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::{Call, LayerRule, Shape, Weights, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{DType, Result};
use kerast_graph::Var;

layer! {
    /// A row of a table for every number.
    ///
    /// **Shape** `[batch, …]` of whole numbers below `input_dim` → `[batch, …, output_dim]`.
    pub struct Embedding("Embedding") {
        /// Number of rows: one more than the largest number.
        input_dim: usize,
        /// Length of a row.
        output_dim: usize,
        ;
        /// First values of the table.
        embeddings_initializer: Initializer = Object::named("uniform"),
        /// Penalty on the table.
        embeddings_regularizer: Option<Regularizer> = None,
        /// Penalty on the output.
        activity_regularizer: Option<Regularizer> = None,
        /// Projection of the table.
        embeddings_constraint: Option<Constraint> = None,
        /// The number 0 marks steps that are not there.
        mask_zero: bool = false,
        /// Length of the input, in old files.
        input_length: Option<usize> = None,
    }
}

impl LayerRule for Embedding {
    layer_base!();

    fn build(&self, _: &[Shape], weights: &mut Weights) -> Result<()> {
        weights
            .add("embeddings", &[self.input_dim, self.output_dim], &self.embeddings_initializer)?
            .regularizer(&self.embeddings_regularizer)
            .constraint(&self.embeddings_constraint);
        Ok(())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let table = cx.weight("embeddings")?;
        let numbers = if x.dtype() == DType::I64 { x.clone() } else { x.convert(DType::I32) };
        if self.mask_zero {
            cx.set_mask(Some(x.ne(0.0)));
        }
        let y = table.take(&numbers, 0);
        cx.penalize(&self.activity_regularizer, &y)?;
        Ok(y)
    }
}
