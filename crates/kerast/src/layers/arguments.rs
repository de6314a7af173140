//! What a call of a layer is given beside its inputs: Keras' keyword arguments.

use crate::config::Json;
use serde_json::Value;

/// Keyword arguments of one call: fixed values, and values of the network of type `T`.
#[derive(Clone, Debug)]
pub struct Arguments<T> {
    /// `use_causal_mask=True`.
    pub fixed: Json,
    /// `attention_mask=m`, in order.
    pub tensors: Vec<(String, T)>,
}

impl<T> Default for Arguments<T> {
    fn default() -> Self {
        Arguments { fixed: Json::new(), tensors: vec![] }
    }
}

impl<T> Arguments<T> {
    /// The same arguments with other values of the network.
    pub fn map<U>(&self, f: impl Fn(&T) -> U) -> Arguments<U> {
        Arguments { fixed: self.fixed.clone(), tensors: self.tensors.iter().map(|(n, t)| (n.clone(), f(t))).collect() }
    }

    /// The values of the network.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.tensors.iter().map(|(_, t)| t)
    }

    /// The value of the network under a name.
    pub fn tensor(&self, name: &str) -> Option<&T> {
        self.tensors.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    /// Whether a fixed argument is true.
    pub fn flag(&self, name: &str) -> bool {
        self.fixed.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
}

/// One keyword argument in a program.
#[derive(Clone, Debug)]
pub enum Argument<T> {
    /// A fixed value.
    Fixed(Value),
    /// A value of the network.
    Tensor(T),
}

impl<T> From<bool> for Argument<T> {
    fn from(v: bool) -> Self {
        Argument::Fixed(v.into())
    }
}

impl<T> FromIterator<(String, Argument<T>)> for Arguments<T> {
    fn from_iter<I: IntoIterator<Item = (String, Argument<T>)>>(all: I) -> Self {
        let mut made = Arguments::default();
        for (name, argument) in all {
            match argument {
                Argument::Fixed(v) => _ = made.fixed.insert(name, v),
                Argument::Tensor(t) => made.tensors.push((name, t)),
            }
        }
        made
    }
}
