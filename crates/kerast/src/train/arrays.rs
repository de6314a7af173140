//! What users may give as data: `ndarray` arrays of any number type and layout, tensors, several of them, by name.

use crate::{Element, Error, ErrorKind, Result, Tensor};
use ndarray::{ArrayBase, Data, Dimension};

/// One array.
pub trait IntoTensor {
    /// As a tensor.
    fn tensor(self) -> Result<Tensor>;
}

impl<T: Element, S: Data<Elem = T>, D: Dimension> IntoTensor for &ArrayBase<S, D> {
    fn tensor(self) -> Result<Tensor> {
        match self.as_slice() {
            Some(values) => Tensor::new(self.shape(), values),
            None => Tensor::new(self.shape(), &self.iter().copied().collect::<Vec<T>>()),
        }
    }
}

impl IntoTensor for &Tensor {
    fn tensor(self) -> Result<Tensor> {
        Ok(self.clone())
    }
}

impl IntoTensor for Tensor {
    fn tensor(self) -> Result<Tensor> {
        Ok(self)
    }
}

impl<T: Element> IntoTensor for &Vec<T> {
    fn tensor(self) -> Result<Tensor> {
        Tensor::new(&[self.len()], self)
    }
}

/// Arrays in order, some with names.
#[derive(Clone, Debug, Default)]
pub struct Arrays(pub Vec<(Option<String>, Tensor)>);

/// One or several arrays.
pub trait IntoArrays {
    /// The arrays, or why there are none.
    fn arrays(self) -> Result<Arrays>;
}

impl<T: IntoTensor> IntoArrays for T {
    fn arrays(self) -> Result<Arrays> {
        Ok(Arrays(vec![(None, self.tensor()?)]))
    }
}

impl<T: IntoTensor, const N: usize> IntoArrays for [T; N] {
    fn arrays(self) -> Result<Arrays> {
        self.into_iter().map(|t| Ok((None, t.tensor()?))).collect::<Result<_>>().map(Arrays)
    }
}

impl<T: IntoTensor, const N: usize> IntoArrays for [(&str, T); N] {
    fn arrays(self) -> Result<Arrays> {
        self.into_iter().map(|(n, t)| Ok((Some(n.to_string()), t.tensor()?))).collect::<Result<_>>().map(Arrays)
    }
}

impl<A: IntoTensor, B: IntoTensor> IntoArrays for (A, B) {
    fn arrays(self) -> Result<Arrays> {
        Ok(Arrays(vec![(None, self.0.tensor()?), (None, self.1.tensor()?)]))
    }
}

impl IntoArrays for &[Tensor] {
    fn arrays(self) -> Result<Arrays> {
        Ok(Arrays(self.iter().map(|t| (None, t.clone())).collect()))
    }
}

impl IntoArrays for Arrays {
    fn arrays(self) -> Result<Arrays> {
        Ok(self)
    }
}

impl Arrays {
    /// The arrays in the order of these names; arrays without a name stand in order already.
    pub(crate) fn in_order(&self, names: &[String], what: &str) -> Result<Vec<Tensor>> {
        let wrong = |received: String| {
            Error::new(
                ErrorKind::Argument,
                format!("the model takes {} {what}{}", names.len(), if names.len() == 1 { "" } else { "s" }),
            )
            .expected(names.join(", "))
            .received(received)
        };
        if self.0.len() != names.len() {
            return Err(wrong(format!("{} arrays", self.0.len())));
        }
        if self.0.iter().all(|(n, _)| n.is_none()) {
            return Ok(self.0.iter().map(|(_, t)| t.clone()).collect());
        }
        names
            .iter()
            .map(|name| {
                let found = self.0.iter().find(|(n, _)| n.as_deref() == Some(name));
                found.map(|(_, t)| t.clone()).ok_or_else(|| {
                    wrong(self.0.iter().map(|(n, _)| n.as_deref().unwrap_or("?")).collect::<Vec<_>>().join(", "))
                })
            })
            .collect()
    }
}
