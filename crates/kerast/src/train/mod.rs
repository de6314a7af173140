//! Training, evaluation, prediction: data in batches, one compiled program per shape of a batch.

mod arrays;
mod backup;
mod batches;
mod dataset;
mod evaluate;
mod fit;
mod history;
mod memory;
mod optimizer_state;
mod predictor;
mod profile;
mod program;
mod step;

pub use arrays::{Arrays, IntoArrays, IntoTensor};
pub use backup::Backup;
pub use dataset::{Dataset, Sample};
pub use evaluate::{Evaluate, Predict, Scores};
pub use fit::Fit;
pub use history::{History, Logs};
pub use predictor::Predictor;
pub use profile::Profile;

pub(crate) use program::Programs;
