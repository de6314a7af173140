//! The command lines of the examples: `--name VALUE` and `--flag`; anything else is an error.

use kerast::{Error, ErrorKind, Result};

/// What was written after the example's name.
pub(crate) struct Options(Vec<(String, String)>);

impl Options {
    /// Reads the command line: `names` are options with a value, `flags` stand alone.
    pub(crate) fn read(names: &[&str], flags: &[&str]) -> Result<Options> {
        let mut given = vec![];
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = if flags.contains(&word.as_str()) {
                String::new()
            } else if names.contains(&word.as_str()) {
                words.next().ok_or_else(|| refused(format!("`{word}` needs a value")))?
            } else {
                let known: Vec<&str> = names.iter().chain(flags).copied().collect();
                return Err(refused("unknown option").expected(known.join(", ")).received(word));
            };
            given.push((word, value));
        }
        Ok(Options(given))
    }

    /// The value of an option.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The value of an option that is a positive whole number.
    pub(crate) fn number(&self, name: &str, default: usize) -> Result<usize> {
        let Some(text) = self.value(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|n| *n > 0);
        number.ok_or_else(|| refused(format!("`{name}` needs a number")).expected("1, 2, 3, ...").received(text))
    }
}

/// The error for a command line that says nothing sensible.
pub(crate) fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Argument, message)
}
