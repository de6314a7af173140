//! The type of a value: element type and shape.

use kerast_kernels::dtype::DType;
use std::fmt;

/// Element type and length along each axis. Every value in a graph has one, fully known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// The element type.
    pub dtype: DType,
    /// Length along each axis; empty for a scalar.
    pub shape: Vec<usize>,
}

impl Type {
    /// A type.
    pub fn new(dtype: DType, shape: impl Into<Vec<usize>>) -> Type {
        Type { dtype, shape: shape.into() }
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// No elements at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.len() * self.dtype.size()
    }

    /// Whether a machine could address a value of this type at all.
    pub fn is_addressable(&self) -> bool {
        let bytes = self.shape.iter().try_fold(self.dtype.size(), |n, d| n.checked_mul(*d));
        self.shape.contains(&0) || bytes.is_some_and(|n| n <= isize::MAX as usize)
    }

    /// Reads `f32[2,3]`.
    pub fn parse(text: &str) -> Option<Type> {
        let (dtype, dims) = text.strip_suffix(']')?.split_once('[')?;
        let shape = match dims {
            "" => vec![],
            _ => dims.split(',').map(|d| d.trim().parse().ok()).collect::<Option<_>>()?,
        };
        Some(Type { dtype: DType::parse(dtype)?, shape })
    }
}

/// `f32[2,3]`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        write!(f, "{}[{}]", self.dtype.hlo(), dims.join(","))
    }
}

/// Row-major strides of a shape, in elements.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut out = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        out[i - 1] = out[i] * shape[i];
    }
    out
}
