//! Arguments that are a number or an array of numbers.

use crate::config::{Arg, Field, wrong};
use crate::{DType, Result, Tensor};
use serde_json::{Value, json};

/// A number, or numbers of any shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers(pub Tensor);

impl Arg<Numbers> for f64 {
    fn arg(self) -> Numbers {
        Numbers(Tensor::scalar(self))
    }
}

impl Arg<Option<Numbers>> for f64 {
    fn arg(self) -> Option<Numbers> {
        Some(self.arg())
    }
}

impl<const N: usize> Arg<Numbers> for [f64; N] {
    fn arg(self) -> Numbers {
        Numbers(Tensor::new(&[N], &self).unwrap_or_else(|_| Tensor::scalar(0.0)))
    }
}

impl<const N: usize> Arg<Option<Numbers>> for [f64; N] {
    fn arg(self) -> Option<Numbers> {
        Some(self.arg())
    }
}

impl Field for Numbers {
    fn to_json(&self) -> Value {
        fn nested(shape: &[usize], values: &[f64]) -> Value {
            match shape {
                [] => json!(values[0]),
                [n, rest @ ..] => {
                    values.chunks((values.len() / n.max(&1)).max(1)).map(|part| nested(rest, part)).collect()
                }
            }
        }
        nested(self.0.shape(), &self.0.to_f64_vec())
    }

    /// Numbers, lists of them, and arrays as Keras 3 writes them.
    fn from_json(v: &Value) -> Result<Self> {
        fn walk(v: &Value, depth: usize, shape: &mut Vec<usize>, out: &mut Vec<f64>) -> Option<()> {
            let Value::Array(items) = v else {
                out.push(v.as_f64()?);
                return (depth == shape.len()).then_some(());
            };
            match shape.get(depth) {
                Some(n) if *n != items.len() => return None,
                Some(_) => {}
                None if out.is_empty() && depth < 8 => shape.push(items.len()),
                None => return None,
            }
            items.iter().try_for_each(|i| walk(i, depth + 1, shape, out))
        }
        let class = v.get("class_name").and_then(Value::as_str);
        let list = match class {
            Some("__numpy__" | "__tensor__") => &v["config"]["value"],
            _ => v,
        };
        let (mut shape, mut values) = (vec![], vec![]);
        walk(list, 0, &mut shape, &mut values).ok_or_else(|| wrong("a number or a regular array of numbers", v))?;
        Ok(Numbers(Tensor::new(&shape, &values)?.cast(DType::F64)))
    }
}
