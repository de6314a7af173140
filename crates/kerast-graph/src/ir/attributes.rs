//! Attributes of an op in text form: `{dims = [0, 1], mode = "max"}`.

use crate::error::{Error, ErrorKind, Result};
use crate::ir::graph::Graph;
use crate::tensor::Tensor;

/// One attribute value.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A whole number.
    Int(i64),
    /// A list of whole numbers.
    Ints(Vec<i64>),
    /// A word.
    Word(String),
    /// A constant tensor.
    Tensor(Tensor),
    /// A nested graph.
    Graph(Graph),
}

impl From<i64> for Attribute {
    fn from(v: i64) -> Self {
        Attribute::Int(v)
    }
}

impl From<usize> for Attribute {
    fn from(v: usize) -> Self {
        Attribute::Int(v as i64)
    }
}

impl From<bool> for Attribute {
    fn from(v: bool) -> Self {
        Attribute::Word(v.to_string())
    }
}

impl From<&str> for Attribute {
    fn from(v: &str) -> Self {
        Attribute::Word(v.to_string())
    }
}

impl From<&[usize]> for Attribute {
    fn from(v: &[usize]) -> Self {
        Attribute::Ints(v.iter().map(|&x| x as i64).collect())
    }
}

impl From<&Vec<usize>> for Attribute {
    fn from(v: &Vec<usize>) -> Self {
        v.as_slice().into()
    }
}

impl From<&Vec<i64>> for Attribute {
    fn from(v: &Vec<i64>) -> Self {
        Attribute::Ints(v.clone())
    }
}

/// The attributes of one op in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(pub Vec<(String, Attribute)>);

impl Attributes {
    /// No attributes.
    pub fn none() -> Attributes {
        Attributes::default()
    }

    /// Adds one.
    pub fn with(mut self, name: &str, value: impl Into<Attribute>) -> Attributes {
        self.0.push((name.to_string(), value.into()));
        self
    }

    /// Looks one up.
    pub fn get(&self, name: &str) -> Result<&Attribute> {
        let found = self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        found.ok_or_else(|| Error::new(ErrorKind::Config, format!("attribute `{name}` is missing")))
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> Result<i64> {
        match self.get(name)? {
            Attribute::Int(v) => Ok(*v),
            other => Err(wrong(name, "a whole number", other)),
        }
    }

    /// A whole number that is not negative.
    pub fn size(&self, name: &str) -> Result<usize> {
        usize::try_from(self.int(name)?)
            .map_err(|_| Error::new(ErrorKind::Config, format!("attribute `{name}` is negative")))
    }

    /// A list of whole numbers.
    pub fn ints(&self, name: &str) -> Result<Vec<i64>> {
        match self.get(name)? {
            Attribute::Ints(v) => Ok(v.clone()),
            other => Err(wrong(name, "a list", other)),
        }
    }

    /// A list of whole numbers that are not negative.
    pub fn sizes(&self, name: &str) -> Result<Vec<usize>> {
        let negative = |_| Error::new(ErrorKind::Config, format!("attribute `{name}` holds a negative number"));
        self.ints(name)?.into_iter().map(|v| usize::try_from(v).map_err(negative)).collect()
    }

    /// A word.
    pub fn word(&self, name: &str) -> Result<&str> {
        match self.get(name)? {
            Attribute::Word(v) => Ok(v),
            other => Err(wrong(name, "a word", other)),
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.word(name)? == "true")
    }

    /// A constant tensor.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        match self.get(name)? {
            Attribute::Tensor(v) => Ok(v),
            other => Err(wrong(name, "a tensor", other)),
        }
    }

    /// A nested graph.
    pub fn graph(&self, name: &str) -> Result<&Graph> {
        match self.get(name)? {
            Attribute::Graph(v) => Ok(v),
            other => Err(wrong(name, "a graph", other)),
        }
    }
}

fn wrong(name: &str, want: &str, got: &Attribute) -> Error {
    Error::new(ErrorKind::Config, format!("attribute `{name}` must be {want}")).received(format!("{got:?}"))
}
