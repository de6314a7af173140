//! The state of a running training in a file, written between two steps, so that a run that was cut goes on with the same bits.
//!
//! The file is a `.keras` archive (any Keras opens it) with entries of our own beside: where the run stood, its history, what callbacks know,
//! running metrics, and state that Keras does not save.

use super::history::History;
use crate::callbacks::{Callback, CallbackState};
use crate::data::{malformed, npy, open_file, write_file};
use crate::models::Model;
use crate::saving::archive::{Archive, Builder};
use crate::saving::{add_model, restore_model};
use crate::{Error, ErrorKind, Result, Tensor};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where the state is kept, and after how many steps it is written; at the ends of epochs in any case.
#[derive(Clone, Debug)]
pub struct Backup {
    pub(crate) file: PathBuf,
    pub(crate) every: Option<usize>,
}

/// What makes two runs the same run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) seed: u64,
    pub(crate) batch_size: usize,
    pub(crate) samples: usize,
}

/// The next step of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: usize,
    pub(crate) step: usize,
}

const RUN: &str = "kerast_run.json";

fn bits(v: f64) -> Value {
    format!("{:016x}", v.to_bits()).into()
}

fn number(v: &Value) -> Option<f64> {
    u64::from_str_radix(v.as_str()?, 16).ok().map(f64::from_bits)
}

impl Backup {
    /// Whether the training behind this step is to be written.
    pub(crate) fn due(&self, step: usize) -> bool {
        self.every.is_some_and(|n| (step + 1).is_multiple_of(n.max(1)))
    }

    /// Writes the state, whole or not at all.
    pub(crate) fn store(
        &self,
        model: &Model,
        identity: Identity,
        place: Place,
        history: &History,
        callbacks: &[Box<dyn Callback + '_>],
    ) -> Result<()> {
        let mut archive = Builder::new();
        add_model(model, &mut archive)?;
        let mut arrays = vec![];
        let states: Vec<Value> = callbacks
            .iter()
            .map(|c| {
                let s = c.state();
                let first = arrays.len();
                arrays.extend(s.tensors);
                json!({"numbers": s.numbers.into_iter().map(bits).collect::<Vec<_>>(), "words": s.words, "tensors": [first, arrays.len()]})
            })
            .collect();
        let callback_arrays = arrays.len();
        arrays.extend(model.running_metrics().iter().cloned());
        let metrics = arrays.len() - callback_arrays;
        arrays.extend(model.unsaved_state()?.into_iter().map(|(_, t)| t));
        let columns: Vec<Value> =
            history.keys().map(|k| json!([k, history.get(k).iter().map(|v| bits(*v)).collect::<Vec<_>>()])).collect();
        let run = json!({
            "version": 1,
            "seed": identity.seed.to_string(),
            "batch_size": identity.batch_size,
            "samples": identity.samples,
            "epoch": place.epoch,
            "step": place.step,
            "updates": model.updates(),
            "learning_rate": model.rate_set_outside().map(bits),
            "history": {"epoch": history.epoch, "columns": columns},
            "callbacks": states,
            "metrics": metrics,
        });
        archive.add(RUN, run.to_string().as_bytes())?;
        for (i, t) in arrays.iter().enumerate() {
            archive.add(&format!("kerast_run/{i}.npy"), &npy::write(t))?;
        }
        if let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder).map_err(|e| {
                Error::new(ErrorKind::Io, format!("cannot make the folder {}", folder.display())).fact("reason", e)
            })?;
        }
        write_file(&self.file, &archive.finish()?)
    }

    /// Takes up a run that was cut; `None` if there is none.
    pub(crate) fn restore(
        &self,
        model: &mut Model,
        identity: Identity,
        callbacks: &mut [Box<dyn Callback + '_>],
    ) -> Result<Option<(Place, History)>> {
        self.sweep();
        match self.file.exists() {
            true => self.take_up(model, identity, callbacks).map(Some).map_err(|e| e.fact("file", self.file.display())),
            false => Ok(None),
        }
    }

    fn take_up(
        &self,
        model: &mut Model,
        identity: Identity,
        callbacks: &mut [Box<dyn Callback + '_>],
    ) -> Result<(Place, History)> {
        let mut archive = Archive::open_file(open_file(&self.file)?.0)?;
        let run: Value =
            serde_json::from_slice(&archive.read(RUN)?).map_err(|e| malformed("JSON", e).fact("entry", RUN))?;
        let whole = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let field = |key: &str| {
            whole(&run[key]).ok_or_else(|| malformed("backup", format!("`{key}` is missing")).fact("entry", RUN))
        };
        let held = Identity {
            seed: run["seed"].as_str().and_then(|s| s.parse().ok()).unwrap_or(0),
            batch_size: field("batch_size")?,
            samples: field("samples")?,
        };
        if held != identity {
            return Err(Error::new(ErrorKind::Argument, "the backup is of another run")
                .expected(format!("{held:?}, as in the backup"))
                .received(format!("{identity:?}"))
                .repair("give the run its data, batch size and seed again, or delete the backup"));
        }
        restore_model(model, &mut archive)?;
        model.set_updates(field("updates")? as u64);
        if let Some(rate) = number(&run["learning_rate"]) {
            model.set_learning_rate(rate)?;
        }
        let mut array = |i: usize| -> Result<Tensor> {
            let name = format!("kerast_run/{i}.npy");
            npy::parse(&archive.read(&name)?)?.numbers().map_err(|e| e.fact("entry", name))
        };
        let states = run["callbacks"].as_array().cloned().unwrap_or_default();
        if states.len() != callbacks.len() {
            return Err(Error::new(ErrorKind::Argument, "the backup is of a run with other callbacks")
                .expected(states.len())
                .received(callbacks.len()));
        }
        let mut next = 0;
        for (callback, v) in callbacks.iter_mut().zip(&states) {
            let end = whole(&v["tensors"][1]).unwrap_or(next);
            let tensors = (next..end).map(&mut array).collect::<Result<Vec<_>>>()?;
            next = end;
            let list = |key: &str| v[key].as_array().cloned().unwrap_or_default();
            let words = list("words").iter().filter_map(|w| w.as_str().map(str::to_string)).collect();
            callback.restore(CallbackState {
                numbers: list("numbers").iter().filter_map(number).collect(),
                words,
                tensors,
            })?;
        }
        let metrics = (next..next + field("metrics")?).map(&mut array).collect::<Result<Vec<_>>>()?;
        next += metrics.len();
        model.set_running_metrics(metrics);
        for (i, (variable, _)) in model.unsaved_state()?.into_iter().enumerate() {
            variable.set(array(next + i)?)?;
        }
        let mut history = History::default();
        history.epoch = run["history"]["epoch"].as_array().into_iter().flatten().filter_map(whole).collect();
        for column in run["history"]["columns"].as_array().into_iter().flatten() {
            let values = column[1].as_array().into_iter().flatten().filter_map(number).collect();
            history.set_column(column[0].as_str().unwrap_or(""), values);
        }
        Ok((Place { epoch: field("epoch")?, step: field("step")? }, history))
    }

    /// The run is over: nothing to go on from.
    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_file(&self.file);
        self.sweep();
    }

    /// Removes what a writer that was killed left half written.
    fn sweep(&self) {
        let Some(folder) = self.file.parent() else { return };
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().to_string();
            if name.starts_with(".backup.keras.") && name.ends_with(".tmp") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    pub(crate) fn in_folder(folder: &Path) -> Backup {
        Backup { file: folder.join("backup.keras"), every: None }
    }
}
