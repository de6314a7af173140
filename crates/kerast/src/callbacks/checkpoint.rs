//! Saves the model at the ends of epochs.

use super::{Better, Callback, CallbackState, Control, monitored};
use crate::Result;
use crate::models::Model;
use crate::train::Logs;

/// Saves the model after every epoch, or only when a number improved. `{epoch}` and `{name}` (with `:02d`, `:.4f`, …) in the
/// path are replaced by the epoch (counted from 1) and the epoch's numbers.
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    path: String,
    monitor: String,
    save_best_only: bool,
    mode: String,
    best: f64,
}

impl ModelCheckpoint {
    /// Into this file.
    pub fn new(path: &str) -> ModelCheckpoint {
        ModelCheckpoint {
            path: path.into(),
            monitor: "val_loss".into(),
            save_best_only: false,
            mode: "auto".into(),
            best: f64::INFINITY,
        }
    }

    /// The number that says which epoch is best.
    pub fn monitor(mut self, name: &str) -> Self {
        self.monitor = name.to_string();
        self
    }

    /// Save only when the number improved.
    pub fn save_best_only(mut self, best_only: bool) -> Self {
        self.save_best_only = best_only;
        self
    }

    /// `"min"`, `"max"` or `"auto"`.
    pub fn mode(mut self, mode: &str) -> Self {
        self.mode = mode.to_string();
        self
    }
}

/// Fills `{epoch:02d}` and `{val_loss:.4f}` in.
fn filled(pattern: &str, epoch: usize, logs: &Logs) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(start) = rest.find('{') {
        let Some(len) = rest[start..].find('}') else { break };
        out += &rest[..start];
        let inside = &rest[start + 1..start + len];
        let (name, format) = inside.split_once(':').unwrap_or((inside, ""));
        let digits = |f: &str| f.trim_matches(|c: char| !c.is_ascii_digit()).parse::<usize>().unwrap_or(0);
        if name == "epoch" {
            out += &format!("{:0width$}", epoch + 1, width = digits(format));
        } else if let Some((_, v)) = logs.iter().find(|(n, _)| n == name) {
            let places = format.split_once('.').map_or(4, |(_, p)| digits(p));
            out += &format!("{v:.places$}");
        } else {
            out += &rest[start..=start + len];
        }
        rest = &rest[start + len + 1..];
    }
    out + rest
}

impl Callback for ModelCheckpoint {
    fn state(&self) -> CallbackState {
        CallbackState { numbers: vec![self.best], ..CallbackState::default() }
    }

    fn restore(&mut self, state: CallbackState) -> Result<()> {
        self.best = state.numbers.first().copied().unwrap_or(self.best);
        Ok(())
    }

    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        self.best = Better::of(&self.mode, &self.monitor)?.worst();
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, model: &mut Model, _: &mut Control) -> Result<()> {
        if self.save_best_only {
            let now = monitored(logs, &self.monitor, "ModelCheckpoint")?;
            if !Better::of(&self.mode, &self.monitor)?.improves(now, self.best, 0.0) {
                return Ok(());
            }
            self.best = now;
        }
        model.save(filled(&self.path, epoch, logs))
    }
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn paths_are_filled_in() {
        let logs = vec![("val_loss".to_string(), 0.123456)];
        assert_eq!(filled("m-{epoch:02d}-{val_loss:.3f}.keras", 4, &logs), "m-05-0.123.keras");
        assert_eq!(filled("plain.keras", 0, &logs), "plain.keras");
        assert_eq!(filled("{unknown}.keras", 0, &logs), "{unknown}.keras");
    }
}
