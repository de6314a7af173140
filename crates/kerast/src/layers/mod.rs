//! Layers, in Keras' folders. [`LayerRule`] says what one is; [`layer!`] declares one.

mod call;
pub mod cell;
pub mod core;
pub(crate) mod layer;
pub mod names;
mod registry;
mod shapes;
mod weights;

pub use call::Call;
pub use cell::{LayerRef, Variable};
pub use core::{ActivationLayer, Dense, Dropout, Input, Masking};
pub use layer::{Base, LayerObject, LayerRule, Policy, Shape, layer, layer_base};
pub use names::{auto_name, clear_session, snake_case};
pub use shapes::{expect_last_axis, expect_rank, known, last_axis};
pub use weights::{WeightSpec, Weights};

pub(crate) use layer::layer_json;
pub(crate) use shapes::show;
