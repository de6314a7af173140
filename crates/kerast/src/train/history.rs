//! What training reports: named numbers per epoch.

use std::fmt;

/// Named numbers of one epoch or step, in the order they are printed.
pub type Logs = Vec<(String, f64)>;

/// The numbers of every epoch, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The epochs, counted from 0.
    pub epoch: Vec<usize>,
    columns: Vec<(String, Vec<f64>)>,
    pub(crate) stopped: Option<String>,
}

impl History {
    /// Adds an epoch.
    pub fn push(&mut self, epoch: usize, logs: &Logs) {
        self.epoch.push(epoch);
        for (name, value) in logs {
            match self.columns.iter_mut().find(|(n, _)| n == name) {
                Some((_, values)) => values.push(*value),
                None => self.columns.push((name.clone(), vec![*value])),
            }
        }
    }

    /// Sets the values of a name.
    pub(crate) fn set_column(&mut self, name: &str, values: Vec<f64>) {
        self.columns.push((name.to_string(), values));
    }

    /// Why training ended before its last epoch, as it was printed.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// One value per epoch; empty when there is no such name.
    pub fn get(&self, name: &str) -> &[f64] {
        self.columns.iter().find(|(n, _)| n == name).map_or(&[], |(_, v)| v)
    }

    /// The last value of a name.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name).last().copied()
    }

    /// The names.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(n, _)| n.as_str())
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, values) in &self.columns {
            writeln!(f, "{name}: {values:?}")?;
        }
        Ok(())
    }
}
