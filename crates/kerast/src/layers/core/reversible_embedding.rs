//! A table that gives vectors for numbers, and back: scores of all numbers for a vector.

use crate::config::{Object, Word};
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::{Call, LayerRule, Shape, Weights, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::Var;

layer! {
    /// A row of a table for every number; called with the argument `reverse` (see [`apply_with`](crate::models::Apply::apply_with)), the
    /// product of vectors with all rows, as language models end (Press and Wolf 2017).
    ///
    /// **Shape** `[batch, …]` of whole numbers below `input_dim` → `[batch, …, output_dim]`; reversed `[batch, …, output_dim]` →
    /// `[batch, …, input_dim]`.
    pub struct ReversibleEmbedding("ReversibleEmbedding") {
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
        /// Whether the way back uses the same table, rather than one of its own.
        tie_weights: bool = true,
        /// The type that the way back computes in; the layer's unless given.
        reverse_dtype: Option<Word> = None,
        /// Scores are bounded softly: `cap · tanh(score / cap)`.
        logit_soft_cap: Option<f64> = None,
    }
}

impl LayerRule for ReversibleEmbedding {
    layer_base!();

    fn build(&self, _: &[Shape], weights: &mut Weights) -> Result<()> {
        weights
            .add("embeddings", &[self.input_dim, self.output_dim], &self.embeddings_initializer)?
            .regularizer(&self.embeddings_regularizer)
            .constraint(&self.embeddings_constraint);
        if !self.tie_weights {
            weights.add("reverse_embeddings", &[self.output_dim, self.input_dim], &self.embeddings_initializer)?;
        }
        Ok(())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let table = cx.weight("embeddings")?;
        if !cx.arguments().flag("reverse") {
            let numbers = if x.dtype() == DType::I64 { x.clone() } else { x.convert(DType::I32) };
            if self.mask_zero {
                cx.set_mask(Some(x.ne(0.0)));
            }
            let y = table.take(&numbers, 0);
            cx.penalize(&self.activity_regularizer, &y)?;
            return Ok(y);
        }
        let kernel = if self.tie_weights { table.transpose(&[1, 0]) } else { cx.weight("reverse_embeddings")? };
        cx.expect_last_axis(x, &kernel)?;
        let dtype = match &self.reverse_dtype {
            None => kernel.dtype(),
            Some(name) => DType::parse(&name.0).ok_or_else(|| {
                Error::new(ErrorKind::Argument, "`reverse_dtype` is no element type").received(&name.0)
            })?,
        };
        let scores = x.convert(dtype).dot(&kernel.convert(dtype));
        let scores = match self.logit_soft_cap {
            Some(cap) => (scores / cap).tanh() * cap,
            None => scores,
        };
        cx.penalize(&self.activity_regularizer, &scores)?;
        Ok(scores)
    }
}
