//! The one error type: a headline and named facts, printed as a small table.

use std::fmt;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong, for programs; people read the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes do not fit.
    Shape,
    /// Element types do not fit.
    DType,
    /// An argument has a value that makes no sense.
    Argument,
    /// A configuration (JSON, compile settings) is wrong.
    Config,
    /// The content of a data set is wrong.
    Data,
    /// A file has wrong or hostile content.
    File,
    /// Known, but not available here.
    Unsupported,
    /// The operating system said no.
    Io,
    /// Training went numerically wrong.
    Numeric,
    /// A bug in Kerast.
    Internal,
}

/// What happened, with the facts that help: what was expected, what was received, where, and the repair.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    facts: Vec<(String, String)>,
}

impl Error {
    /// An error with a headline; facts are added with the methods below.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, message: message.into(), facts: vec![] }))
    }

    /// Adds a named fact. Facts are printed in the order they came; a second fact of the same name is left out, so that
    /// the place nearest to the cause wins.
    pub fn fact(mut self, name: impl Into<String>, value: impl fmt::Display) -> Error {
        let name = name.into();
        if !self.0.facts.iter().any(|(n, _)| *n == name) {
            self.0.facts.push((name, value.to_string()));
        }
        self
    }

    /// The layer concerned.
    pub fn layer(self, v: impl fmt::Display) -> Error {
        self.fact("layer", v)
    }

    /// What would have been right.
    pub fn expected(self, v: impl fmt::Display) -> Error {
        self.fact("expected", v)
    }

    /// What came instead.
    pub fn received(self, v: impl fmt::Display) -> Error {
        self.fact("received", v)
    }

    /// The user's source line.
    pub fn written(self, v: impl fmt::Display) -> Error {
        self.fact("written", v)
    }

    /// What to do about it.
    pub fn repair(self, v: impl fmt::Display) -> Error {
        self.fact("repair", v)
    }

    /// Takes a fact away.
    pub fn without(mut self, name: &str) -> Error {
        self.0.facts.retain(|(n, _)| n != name);
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The headline.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The named facts in order.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.facts.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The value of a fact.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.facts().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

const ORDER: [&str; 6] = ["layer", "entry", "expected", "received", "written", "repair"];

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let rank = |n: &str| match ORDER.iter().position(|o| *o == n) {
            Some(i) if i >= 2 => i + 1,
            Some(i) => i,
            None => 2,
        };
        let mut facts: Vec<_> = self.facts().collect();
        facts.sort_by_key(|(n, _)| rank(n));
        for (name, value) in facts {
            let mut lines = value.lines();
            write!(f, "\n  {name:<10} {}", lines.next().unwrap_or(""))?;
            for line in lines {
                write!(f, "\n             {line}")?;
            }
        }
        Ok(())
    }
}

/// The same text as `Display`: it is what `fn main() -> Result<()>` prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// The known names nearest to a mistyped one, nearest first, at most three.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let lower = name.to_lowercase();
    let mut scored: Vec<(usize, &str)> = known.into_iter().map(|k| (distance(&lower, &k.to_lowercase()), k)).collect();
    // Of names that differ in case only, the one written as the mistyped one stays.
    let capital = |s: &str| s.contains(char::is_uppercase);
    scored.sort_by_key(|(d, k)| (*d, k.to_lowercase(), capital(k) != capital(name)));
    scored.dedup_by_key(|(_, k)| k.to_lowercase());
    let limit = 2.max(name.chars().count() / 3);
    scored.into_iter().filter(|(d, _)| *d <= limit).take(3).map(|(_, k)| k).collect()
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(200).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let up = row[j + 1];
            row[j + 1] = (diagonal + usize::from(ca != *cb)).min(up + 1).min(row[j] + 1);
            diagonal = up;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_printed_as_a_table_with_the_repair_last() {
        let e = Error::new(ErrorKind::Shape, "the input of `dense_1` does not fit its weights")
            .repair("give it 64 features")
            .expected("last axis 64")
            .layer("dense_1 (Dense)");
        assert_eq!(
            e.to_string(),
            "the input of `dense_1` does not fit its weights\n  layer      dense_1 (Dense)\n  expected   last axis 64\n  repair     give it 64 features"
        );
    }

    #[test]
    fn nearest_names_are_found() {
        assert_eq!(nearest("adm", ["sgd", "adam", "adamw", "nadam"]), ["adam", "adamw", "nadam"]);
        assert!(nearest("zzzzzz", ["sgd", "adam"]).is_empty());
        assert_eq!(nearest("adamm", ["Adam", "AdamW", "adam", "adamw"]), ["adam", "adamw"]);
        assert_eq!(nearest("Densee", ["Dense", "dense"]), ["Dense"]);
    }
}
