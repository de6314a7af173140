//! Optimizers: one pure function from weight, gradient and slots to new weight and slots, traced into the training step.
//!
//! What all optimizers share (clipping, weight decay, moving averages, accumulation) is in `apply`; an optimizer's own file has
//! its formula only.

mod adagrad;
mod adam;
mod adamax;
mod apply;
mod common;
mod ftrl;
mod lion;
mod rmsprop;
pub mod schedules;
mod sgd;

pub use adagrad::{Adadelta, Adagrad};
pub use adam::{Adam, AdamW};
pub use adamax::{Adamax, Nadam};
pub use apply::{StateVariable, WeightInfo, apply, file_order, state_variables};
pub use common::{Common, LearningRate, Update};
pub use ftrl::Ftrl;
pub use lion::{Lamb, Lion};
pub use rmsprop::RmsProp;
pub use sgd::Sgd;

use crate::config::{Config, Entry, FromConfig, family};
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
    /// Starts with the weight's value instead.
    pub from_weight: bool,
    /// In files, slots of one group follow each other weight by weight, and group 0 comes before group 1.
    pub group: usize,
}

impl SlotSpec {
    /// A slot of the weight's type that starts with `initial`.
    pub fn like(name: &'static str, weight: &Type, initial: f64) -> SlotSpec {
        SlotSpec { name, ty: weight.clone(), initial, from_weight: false, group: 0 }
    }

    /// The same slot in another group.
    pub fn in_group(self, group: usize) -> SlotSpec {
        SlotSpec { group, ..self }
    }
}

/// An optimizer.
pub trait OptimizerRule: Config {
    /// The arguments that every optimizer has.
    fn common(&self) -> Common;

    /// The slots of a weight.
    fn slots(&self, weight: &Type) -> Vec<SlotSpec>;

    /// Whether weight decay is applied by the shell; optimizers that decay inside their formula say no.
    fn decays(&self) -> bool {
        true
    }

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
    Optimizer = OptimizerRule, register_optimizer, "optimizer", "keras.optimizers", &REGISTRY
}

fn entry<O: OptimizerRule + FromConfig>(
    class: &'static str,
    aliases: &'static [&'static str],
) -> Entry<dyn OptimizerRule> {
    Entry { class, aliases, make: |c| Ok(Arc::new(O::from_config(c)?)) }
}

static REGISTRY: LazyLock<Vec<Entry<dyn OptimizerRule>>> = LazyLock::new(|| {
    vec![
        entry::<Sgd>("SGD", &["sgd"]),
        entry::<RmsProp>("RMSprop", &["rmsprop"]),
        entry::<Adam>("Adam", &["adam"]),
        entry::<AdamW>("AdamW", &["adamw"]),
        entry::<Adadelta>("Adadelta", &["adadelta"]),
        entry::<Adagrad>("Adagrad", &["adagrad"]),
        entry::<Adamax>("Adamax", &["adamax"]),
        entry::<Nadam>("Nadam", &["nadam"]),
        entry::<Ftrl>("Ftrl", &["ftrl"]),
        entry::<Lion>("Lion", &["lion"]),
        entry::<Lamb>("Lamb", &["lamb"]),
    ]
});
