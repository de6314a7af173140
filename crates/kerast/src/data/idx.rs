//! The idx format of MNIST: two zero bytes, element type, rank, big-endian lengths, elements; plain or gzipped.

use super::{gunzip, malformed, read_file};
use crate::{DType, Result, Tensor};
use std::path::Path;

/// Reads an idx or idx.gz file.
pub fn read(path: impl AsRef<Path>) -> Result<Tensor> {
    let path = path.as_ref();
    parse(&read_file(path)?).map_err(|e| e.fact("file", path.display()))
}

/// Reads idx from memory, gzipped or not.
pub fn parse(bytes: &[u8]) -> Result<Tensor> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return parse(&gunzip(bytes, 1 << 31)?);
    }
    let bad = |why: &str| malformed("idx", why);
    let [0, 0, kind, rank, rest @ ..] = bytes else { return Err(bad("it does not begin with two zero bytes")) };
    let dtype = match kind {
        0x08 => DType::U8,
        0x09 => DType::I8,
        0x0b => DType::I16,
        0x0c => DType::I32,
        0x0d => DType::F32,
        0x0e => DType::F64,
        _ => return Err(bad("its element type is unknown")),
    };
    let head = 4 * usize::from(*rank);
    let (lengths, data) = rest.split_at_checked(head).ok_or_else(|| bad("it ends within its header"))?;
    let shape: Vec<usize> =
        lengths.chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]]) as usize).collect();
    let want = shape.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d));
    if want != Some(data.len()) {
        return Err(malformed("idx", format!("{} bytes of elements do not fill {shape:?}", data.len())));
    }
    let mut little = data.to_vec();
    little.chunks_exact_mut(dtype.size()).for_each(|c| c.reverse());
    Tensor::from_le_bytes(dtype, &shape, &little)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_elements_and_refuses_lies() {
        let t = parse(&[0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]).expect("valid");
        assert_eq!(t.as_slice::<u8>(), Some(&[7, 8, 9][..]));
        assert!(parse(&[0, 0, 8, 2, 255, 255, 255, 255, 255, 255, 255, 255, 1]).is_err());
        assert!(parse(&[0, 0, 8]).is_err());
        assert!(parse(b"hello").is_err());
    }
}
