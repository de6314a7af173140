//! Models in files: `.keras`, `.h5` and JSON of Keras 1 to 3, weights as `.weights.h5`, npz and safetensors. Reading is parsing only: nothing
//! in a file can run.

pub mod archive;
mod compile_config;
pub mod hdf5;
mod json;
pub(crate) mod legacy;
mod model_file;
mod weight_files;
mod weights;

pub use json::model_from_json;
pub use model_file::load_model;
pub(crate) use model_file::{add_model, restore_model};
pub use weight_files::LoadWeights;
pub use weights::container_names;

/// The Keras whose files these are.
const KERAS: &str = "3.15.1";
