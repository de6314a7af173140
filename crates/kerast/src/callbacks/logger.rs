//! Writes the numbers of every epoch into a CSV file.

use super::{Callback, CallbackState, Control};
use crate::models::Model;
use crate::train::Logs;
use crate::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One row per epoch: `epoch`, then the numbers in the order of the history.
#[derive(Debug)]
pub struct CsvLogger {
    path: PathBuf,
    append: bool,
    file: Option<File>,
    names: Vec<String>,
    /// The lines written in this training.
    lines: Vec<String>,
}

impl CsvLogger {
    /// Into this file, which is written anew.
    pub fn new(path: impl AsRef<Path>) -> CsvLogger {
        CsvLogger { path: path.as_ref().to_path_buf(), append: false, file: None, names: vec![], lines: vec![] }
    }

    /// Keep what is in the file.
    pub fn append(mut self, append: bool) -> Self {
        self.append = append;
        self
    }

    fn write(&mut self, line: &str) -> Result<()> {
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("cannot write {}", self.path.display())).fact("reason", e)
        };
        let mut options = File::options();
        options.create(true);
        if self.append || self.file.is_some() {
            options.append(true)
        } else {
            options.write(true).truncate(true)
        };
        let mut file = match self.file.take() {
            Some(f) => f,
            None => options.open(&self.path).map_err(failed)?,
        };
        writeln!(file, "{line}").map_err(failed)?;
        self.lines.push(line.to_string());
        self.file = Some(file);
        Ok(())
    }
}

impl Callback for CsvLogger {
    fn on_train_begin(&mut self, _: &mut Model) -> Result<()> {
        self.file = None;
        self.names.clear();
        self.lines.clear();
        Ok(())
    }

    fn state(&self) -> CallbackState {
        CallbackState { words: self.lines.clone(), ..CallbackState::default() }
    }

    /// The file has the lines of the run up to here again, and no line of epochs that are to be run once more.
    fn restore(&mut self, state: CallbackState) -> Result<()> {
        let mut lines = state.words.into_iter();
        if let Some(header) = lines.next() {
            self.names = header.split(',').skip(1).map(str::to_string).collect();
            self.write(&header)?;
        }
        lines.try_for_each(|l| self.write(&l))
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &mut Logs, _: &mut Model, _: &mut Control) -> Result<()> {
        if self.names.is_empty() {
            self.names = logs.iter().map(|(n, _)| n.clone()).collect();
            let already = self.append && std::fs::metadata(&self.path).is_ok_and(|m| m.len() > 0);
            if !already {
                let header =
                    std::iter::once("epoch").chain(self.names.iter().map(String::as_str)).collect::<Vec<_>>().join(",");
                self.write(&header)?;
            }
        }
        let mut row = vec![epoch.to_string()];
        for name in &self.names {
            let value = logs.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
            row.push(value.map_or_else(|| "NA".into(), |v| v.to_string()));
        }
        self.write(&row.join(","))
    }
}
