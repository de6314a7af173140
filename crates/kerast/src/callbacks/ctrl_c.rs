//! Ctrl-C ends training, not the process.

use super::Callback;
use crate::models::Model;
use crate::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// On Ctrl-C, training ends after the step it is in, the model is saved, and a line says how to go on. A second Ctrl-C ends the
/// process at once.
///
/// ```
/// # use kerast::prelude::*;
/// # let data = datasets::digits()?.normalize()?.flatten()?.one_hot(10)?;
/// # let mut model = Sequential::new().add(Dense::new(10).activation("softmax").input_dim(64));
/// # model.compile("adam", "categorical_crossentropy").build()?;
/// let fit = model.fit(&data.train.x, &data.train.y).epochs(2).verbose(0);
/// fit.callback(StopOnCtrlC::new().save("long_run.keras")).run()?;
/// # Ok::<(), kerast::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct StopOnCtrlC {
    path: Option<PathBuf>,
}

impl StopOnCtrlC {
    /// Without saving.
    pub fn new() -> StopOnCtrlC {
        StopOnCtrlC::default()
    }

    /// Saves the model to this file when training was stopped.
    pub fn save(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }
}

/// False while a training watches for Ctrl-C and none came. The signal sets it, and ends the process where it was set before.
fn pressed() -> Result<&'static AtomicBool> {
    static PRESSED: OnceLock<Result<Arc<AtomicBool>, String>> = OnceLock::new();
    let installed = PRESSED.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(true));
        #[cfg(not(target_family = "wasm"))]
        {
            use signal_hook::{consts::SIGINT, flag};
            flag::register_conditional_default(SIGINT, flag.clone()).map_err(|e| e.to_string())?;
            flag::register(SIGINT, flag.clone()).map_err(|e| e.to_string())?;
        }
        Ok(flag)
    });
    installed.as_deref().map_err(|e| Error::new(ErrorKind::Io, format!("Ctrl-C cannot be watched: {e}")))
}

impl Callback for StopOnCtrlC {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        pressed()?.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn stop_now(&mut self, epoch: usize) -> Option<String> {
        let file = self.path.as_ref().map(|p| p.display());
        pressed().is_ok_and(|p| p.load(Ordering::Relaxed)).then(|| match file {
            Some(f) => format!(
                "Ctrl-C; the model is in {f}, `load_model({f:?})` and `.initial_epoch({epoch})` go on from there"
            ),
            None => "Ctrl-C".to_string(),
        })
    }

    fn on_train_end(&mut self, model: &mut Model) -> Result<()> {
        match (pressed()?.swap(true, Ordering::Relaxed), &self.path) {
            (true, Some(path)) => model.save(path),
            _ => Ok(()),
        }
    }
}
