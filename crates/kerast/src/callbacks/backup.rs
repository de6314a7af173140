//! Goes on with a training that was cut.

use super::{Backup, Callback};
use std::path::Path;

/// Keeps the state of the training in a folder; `fit`, called again with the same model, data and settings, goes on from there and ends
/// with the same bits as a run that was never cut. The state is written at the ends of epochs, and after every so many steps if wished; a
/// finished run leaves none.
///
/// ```no_run
/// # use kerast::prelude::*;
/// # let data = datasets::digits()?.normalize()?.flatten()?.one_hot(10)?;
/// # let mut model = Sequential::new().add(Dense::new(10).activation("softmax").input_dim(64));
/// # model.compile("adam", "categorical_crossentropy").build()?;
/// let fit = model.fit(&data.train.x, &data.train.y).epochs(1000);
/// fit.callback(BackupAndRestore::new("run").every_steps(500)).run()?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BackupAndRestore(Backup);

impl BackupAndRestore {
    /// In this folder, which is made if it is not there.
    pub fn new(folder: impl AsRef<Path>) -> BackupAndRestore {
        BackupAndRestore(Backup::in_folder(folder.as_ref()))
    }

    /// Also after every so many steps of an epoch.
    pub fn every_steps(mut self, steps: usize) -> Self {
        self.0.every = Some(steps);
        self
    }
}

impl Callback for BackupAndRestore {
    fn backup(&self) -> Option<Backup> {
        Some(self.0.clone())
    }
}
