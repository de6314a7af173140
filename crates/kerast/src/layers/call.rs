//! What `call` sees: its weights, whether it trains, masks, random numbers.

use super::arguments::Arguments;
use super::cell::{LayerCell, Step};
use crate::regularizers::Regularizer;
use crate::{Error, ErrorKind, Result};
use kerast_graph::{DType, Trace, Type, Var};

/// A mask for each of several values; `None`: everything counts.
pub type Masks = Vec<Option<Var>>;

/// The surroundings of one call of a layer.
pub struct Call<'a> {
    pub(crate) cell: &'a LayerCell,
    pub(crate) step: &'a mut Step,
    pub(crate) prefix: String,
    pub(crate) masks: Vec<Option<Var>>,
    pub(crate) arguments: Arguments<Var>,
    pub(crate) out_masks: Option<Masks>,
}

impl Call<'_> {
    /// Whether this is a training step; false in `evaluate` and `predict`.
    pub fn training(&self) -> bool {
        self.step.training
    }

    /// Whether this layer is not frozen.
    pub fn trains(&self) -> bool {
        self.cell.trainable()
    }

    /// Whether a part of this layer has statistics that training moves.
    pub(crate) fn moves(&self, part: &str) -> bool {
        let prefix = format!("{}{part}", self.prefix);
        self.cell.own_variables().iter().any(|v| {
            let s = v.spec();
            s.key.starts_with(&prefix) && !s.trainable && !s.seed
        })
    }

    /// The graph under construction.
    pub fn trace(&self) -> &Trace {
        &self.step.trace
    }

    /// The compute type of this layer.
    pub fn dtype(&self) -> Result<DType> {
        self.cell.rule().base().dtype.compute()
    }

    /// The weight declared under this name, in the layer's compute type.
    pub fn weight(&self, name: &str) -> Result<Var> {
        let w = self.raw_weight(name)?;
        Ok(if w.dtype().is_float() { w.convert(self.dtype()?) } else { w })
    }

    /// The weight declared under this name, in the type that it is stored in.
    pub fn raw_weight(&self, name: &str) -> Result<Var> {
        let key = format!("{}{name}", self.prefix);
        let variable = self
            .cell
            .variable(&key)
            .ok_or_else(|| Error::new(ErrorKind::Internal, format!("`build` declared no weight named `{key}`")))?;
        self.step.value(&variable)
    }

    /// Whether a weight of this name was declared.
    pub fn has_weight(&self, name: &str) -> bool {
        self.cell.variable(&format!("{}{name}", self.prefix)).is_some()
    }

    /// Gives a weight that is not trained (moving statistics, recurrent state) a new value after this step.
    pub fn update(&mut self, name: &str, value: &Var) -> Result<()> {
        let key = format!("{}{name}", self.prefix);
        let unknown = || Error::new(ErrorKind::Internal, format!("`build` declared no weight named `{key}`"));
        let variable = self.cell.variable(&key).ok_or_else(unknown)?;
        self.step.update(&variable, value.convert(variable.ty().dtype));
        Ok(())
    }

    /// Adds a scalar to the loss.
    pub fn add_loss(&mut self, value: Var) {
        self.step.losses.push(value.convert(DType::F32));
    }

    /// Adds the penalty of an output (an activity regularizer) to the loss, divided by the batch size as Keras does.
    pub fn penalize(&mut self, regularizer: &Option<Regularizer>, y: &Var) -> Result<()> {
        if let Some(r) = regularizer {
            let batch = y.shape().first().copied().unwrap_or(1).max(1);
            let penalty = r.get()?.call(y)? * (1.0 / batch as f64);
            self.add_loss(penalty);
        }
        Ok(())
    }

    /// Uniform f32 numbers in [0, 1), new at every step.
    pub fn uniform(&mut self, shape: &[usize]) -> Var {
        let stream = self.step.next_stream();
        self.step.key().random_uniform(stream, shape)
    }

    /// Random u32 bits, new at every step.
    pub fn bits(&mut self, shape: &[usize]) -> Var {
        let stream = self.step.next_stream();
        self.step.key().random_bits(stream, shape)
    }

    /// Standard normal f32 numbers, new at every step.
    pub fn normal(&mut self, shape: &[usize]) -> Var {
        let stream = self.step.next_stream();
        self.step.key().random_normal(stream, shape)
    }

    /// What the call was given beside its inputs.
    pub fn arguments(&self) -> &Arguments<Var> {
        &self.arguments
    }

    /// The mask of input `i`: bool, true where the data count; `None`: everything counts.
    pub fn mask(&self, i: usize) -> Option<&Var> {
        self.masks.get(i).and_then(Option::as_ref)
    }

    /// Sets the mask of the (first) output; `None`: everything counts.
    pub fn set_mask(&mut self, mask: Option<Var>) {
        self.out_masks = Some(vec![mask]);
    }

    /// Sets the masks of all outputs.
    pub fn set_masks(&mut self, masks: Vec<Option<Var>>) {
        self.out_masks = Some(masks);
    }

    /// Calls a part of the layer whose weights were declared with [`super::Weights::part`]; returns its outputs and their masks.
    pub fn part(
        &mut self,
        attribute: &str,
        masks: Masks,
        call: impl FnOnce(&mut Call<'_>) -> Result<Vec<Var>>,
    ) -> Result<(Vec<Var>, Option<Masks>)> {
        let prefix = format!("{}{attribute}/", self.prefix);
        let mut inner =
            Call { cell: self.cell, step: self.step, prefix, masks, arguments: Arguments::default(), out_masks: None };
        let outputs = call(&mut inner)?;
        Ok((outputs, inner.out_masks))
    }

    /// The last axis of an input must fit the first of a weight.
    pub fn expect_last_axis(&self, x: &Var, weight: &Var) -> Result<()> {
        let features = weight.shape()[0];
        if x.rank() > 1 && x.dim(-1) == features {
            return Ok(());
        }
        let name = self.cell.name();
        Err(Error::new(ErrorKind::Shape, format!("the input of `{name}` does not fit its weights"))
            .expected(format!("last axis {features} (kernel is {:?})", weight.shape()))
            .repair(format!(
                "give {name} an input of {features} features, or build the model anew: weights are created for the first shape seen"
            )))
    }

    /// `value` everywhere.
    pub fn full(&self, dtype: DType, shape: &[usize], value: f64) -> Var {
        self.step.trace.full(&Type::new(dtype, shape), value)
    }
}
