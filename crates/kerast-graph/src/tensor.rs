//! Host tensors: a dtype, a shape and row-major data, cheap to clone.

use crate::error::{Error, ErrorKind, Result};
use kerast_kernels::buffer::{Buffer, checked_bytes};
use kerast_kernels::dtype::{DType, Element};
use kerast_kernels::with_element;
use std::fmt;
use std::sync::Arc;

/// An array of any element type and rank, row-major, shared until written to.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Arc<Buffer>,
}

impl Tensor {
    /// A tensor from its elements in row-major order.
    pub fn new<T: Element>(shape: &[usize], values: &[T]) -> Result<Tensor> {
        let want = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if want != Some(values.len()) {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{} values do not fill a tensor of shape {shape:?}", values.len()),
            ));
        }
        Ok(Tensor { dtype: T::DTYPE, shape: shape.to_vec(), data: Arc::new(Buffer::from_slice(values)) })
    }

    /// A tensor of booleans.
    pub fn from_bools(shape: &[usize], values: &[bool]) -> Result<Tensor> {
        let bytes: Vec<u8> = values.iter().map(|&b| u8::from(b)).collect();
        Ok(Tensor { dtype: DType::Bool, ..Tensor::new(shape, &bytes)? })
    }

    /// A tensor without axes.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor { dtype: T::DTYPE, shape: vec![], data: Arc::new(Buffer::from_slice(&[value])) }
    }

    /// Zeros. Fails when the system has not that much memory.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let refuse =
            || Error::new(ErrorKind::Argument, format!("a {dtype} tensor of shape {shape:?} does not fit into memory"));
        let bytes = checked_bytes(dtype, shape).ok_or_else(refuse)?;
        let data = Buffer::try_zeroed(bytes).ok_or_else(refuse)?;
        Ok(Tensor { dtype, shape: shape.to_vec(), data: Arc::new(data) })
    }

    /// A tensor over a buffer of exactly the right length.
    pub fn from_buffer(dtype: DType, shape: &[usize], data: Buffer) -> Result<Tensor> {
        if checked_bytes(dtype, shape) != Some(data.len()) {
            let got = data.len();
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{got} bytes do not hold a {dtype} tensor of shape {shape:?}"),
            ));
        }
        Ok(Tensor { dtype, shape: shape.to_vec(), data: Arc::new(data) })
    }

    /// A tensor from little-endian bytes in row-major order.
    pub fn from_le_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
        let mut t = Tensor::zeros(dtype, shape)?;
        if bytes.len() != t.data.len() {
            let got = bytes.len();
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{got} bytes do not hold a {dtype} tensor of shape {shape:?}"),
            ));
        }
        t.bytes_mut().copy_from_slice(bytes);
        if cfg!(target_endian = "big") {
            t.bytes_mut().chunks_exact_mut(dtype.size()).for_each(|c| c.reverse());
        }
        Ok(t)
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Length along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// No elements at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements in row-major order, or `None` if they are of another type. Booleans are `u8`.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        let fits = T::DTYPE == self.dtype || (T::DTYPE == DType::U8 && self.dtype == DType::Bool);
        fits.then(|| &self.data.as_slice::<T>()[..self.len()])
    }

    /// The elements, writable; copies them first if they are shared.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        let fits = T::DTYPE == self.dtype || (T::DTYPE == DType::U8 && self.dtype == DType::Bool);
        let n = self.len();
        fits.then(|| &mut Arc::make_mut(&mut self.data).as_mut_slice::<T>()[..n])
    }

    /// The bytes in native order.
    pub fn bytes(&self) -> &[u8] {
        self.data.as_bytes()
    }

    /// The bytes, writable; copies them first if they are shared.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        Arc::make_mut(&mut self.data).as_mut_bytes()
    }

    /// The memory itself.
    pub fn buffer(&self) -> &Arc<Buffer> {
        &self.data
    }

    /// The memory itself, copied only if it is shared.
    pub fn into_buffer(self) -> Buffer {
        Arc::try_unwrap(self.data).unwrap_or_else(|shared| (*shared).clone())
    }

    /// The same elements under another shape.
    pub fn reshape(mut self, shape: &[usize]) -> Result<Tensor> {
        if shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(self.len()) {
            return Err(Error::new(ErrorKind::Shape, format!("shape {:?} cannot be viewed as {shape:?}", self.shape)));
        }
        self.shape = shape.to_vec();
        Ok(self)
    }

    /// The elements converted to another type (floats to integers truncate, integers wrap, anything non-zero is true).
    pub fn cast(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype {
            return self.clone();
        }
        let n = self.len();
        let mut out = Buffer::zeroed(n * dtype.size());
        with_element!(self.dtype, S => {
            let source = &self.data.as_slice::<S>()[..n];
            if dtype == DType::Bool {
                out.as_mut_slice::<u8>().iter_mut().zip(source).for_each(|(o, v)| *o = u8::from(*v != S::default()));
            } else {
                let through_int = !self.dtype.is_float() && !dtype.is_float();
                with_element!(dtype, D => {
                    for (o, v) in out.as_mut_slice::<D>().iter_mut().zip(source) {
                        *o = if through_int { D::from_i64(v.to_i64()) } else { D::from_f64(v.to_f64()) };
                    }
                });
            }
        });
        Tensor { dtype, shape: self.shape.clone(), data: Arc::new(out) }
    }

    /// Every element as f64.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        let n = self.len();
        with_element!(self.dtype, S => self.data.as_slice::<S>()[..n].iter().map(|v| v.to_f64()).collect())
    }

    /// The only element as f64; `None` when there is not exactly one.
    pub fn item(&self) -> Option<f64> {
        (self.len() == 1).then(|| self.to_f64_vec()[0])
    }
}

/// Same type, same shape, same bits.
impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.to_f64_vec();
        write!(f, "{}{:?} ", self.dtype, self.shape)?;
        match values.len() {
            0..=16 => write!(f, "{values:?}"),
            n => write!(f, "{:?} … ({n} values)", &values[..8]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_follow_rusts_as() {
        let t = Tensor::new(&[3], &[-1.5f32, 0.0, 300.7]).expect("three values");
        assert_eq!(t.cast(DType::I32).as_slice::<i32>(), Some(&[-1, 0, 300][..]));
        assert_eq!(t.cast(DType::Bool).as_slice::<u8>(), Some(&[1, 0, 1][..]));
        assert_eq!(t.cast(DType::BF16).cast(DType::F32).as_slice::<f32>(), Some(&[-1.5, 0.0, 300.0][..]));
    }

    #[test]
    fn writing_to_a_clone_leaves_the_original() {
        let a = Tensor::new(&[2], &[1i32, 2]).expect("two values");
        let mut b = a.clone();
        b.as_mut_slice::<i32>().expect("i32")[0] = 9;
        assert_eq!(a.as_slice::<i32>(), Some(&[1, 2][..]));
    }
}
