//! Models in files: Keras 3's `.keras`. Reading is parsing only: nothing in a file can run.

pub mod archive;
mod compile_config;
pub mod hdf5;
mod model_file;
mod weights;

pub use model_file::load_model;
pub use weights::container_names;
