//! Optimizers: one pure function from weight, gradient and slots to new weight and slots, traced into the training step.
//!
//! What all optimizers share (clipping, weight decay, moving averages, accumulation) is in `shared`; an optimizer's own file has
//! its formula only.

mod common;
pub mod schedules;
mod sgd;

pub use common::{LearningRate, Update};
pub use sgd::Sgd;

use crate::config::{Config, Entry, FromConfig, family};
use common::Common;
use kerast_graph::{Type, Var};
use std::sync::{Arc, LazyLock};

/// One slot of a weight: a state variable of its shape (or another).
#[derive(Clone, Debug, PartialEq)]
pub struct SlotSpec {
    /// The end of Keras' name of it: `"momentum"`.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// Its first value.
    pub initial: f64,
}

impl SlotSpec {
    /// A slot of the weight's type that starts with `initial`.
    pub fn like(name: &'static str, weight: &Type, initial: f64) -> SlotSpec {
        SlotSpec { name, ty: weight.clone(), initial }
    }
}

/// An optimizer.
pub trait OptimizerRule: Config {
    /// The arguments that every optimizer has.
    fn common(&self) -> Common;

    /// The slots of a weight.
    fn slots(&self, weight: &Type) -> Vec<SlotSpec>;

    /// State that is not any weight's: names and first values of f32 scalars.
    fn globals(&self) -> Vec<(&'static str, f64)> {
        vec![]
    }

    /// The globals after this update, computed once per step.
    fn update_globals(&self, update: &Update) -> Vec<Var> {
        update.globals.clone()
    }

    /// The new weight and the new slots.
    fn update(&self, update: &Update, weight: &Var, gradient: &Var, slots: &[Var]) -> (Var, Vec<Var>);
}

family! {
    /// An optimizer: `"adam"`, [`Sgd`], or a config.
    Optimizer = OptimizerRule, "optimizer", "keras.optimizers", &REGISTRY
}

fn entry<O: OptimizerRule + FromConfig>(
    class: &'static str,
    aliases: &'static [&'static str],
) -> Entry<dyn OptimizerRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(O::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn OptimizerRule>>> = LazyLock::new(|| vec![entry::<Sgd>("SGD", &["sgd"])]);
