//! NumPy's npy format, versions 1 to 3: numbers of any kind, byte and unicode strings.

use super::malformed;
use crate::{DType, Error, ErrorKind, Result, Tensor};

/// An array of an npy file.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Numbers or booleans.
    Numbers(Tensor),
    /// Strings.
    Strings {
        /// Length along each axis.
        shape: Vec<usize>,
        /// The strings in row-major order.
        values: Vec<String>,
    },
}

impl Array {
    /// The numbers, or an error.
    pub fn numbers(self) -> Result<Tensor> {
        match self {
            Array::Numbers(t) => Ok(t),
            Array::Strings { shape, .. } => {
                Err(Error::new(ErrorKind::DType, "numbers were expected")
                    .received(format!("strings of shape {shape:?}")))
            }
        }
    }
}

enum Kind {
    Number(DType),
    Bytes(usize),
    Unicode(usize),
}

struct Header {
    kind: Kind,
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
}

/// The value behind `'key':` in the header's dictionary.
fn entry<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let at = text.find(&format!("'{key}'"))?;
    let rest = text[at + key.len() + 2..].trim_start().strip_prefix(':')?;
    Some(rest.trim_start())
}

fn header(text: &str) -> Result<Header> {
    let bad = |why: &str| malformed("npy", format!("{why}: {text:.120}"));
    let descr = entry(text, "descr").and_then(|v| v.strip_prefix('\'')).and_then(|v| v.split('\'').next());
    let descr = descr.ok_or_else(|| bad("its header names no element type"))?;
    let (order, code) = descr.split_at_checked(1).ok_or_else(|| bad("its element type is unknown"))?;
    let (order, code) = if "<>|=".contains(order) { (order, code) } else { ("<", descr) };
    let size = || {
        code.get(1..)
            .and_then(|n| n.parse::<usize>().ok())
            .filter(|n| *n < 1 << 20)
            .ok_or_else(|| bad("its element type is unknown"))
    };
    let kind = match code {
        "b1" | "?" => Kind::Number(DType::Bool),
        "i1" => Kind::Number(DType::I8),
        "i2" => Kind::Number(DType::I16),
        "i4" => Kind::Number(DType::I32),
        "i8" => Kind::Number(DType::I64),
        "u1" => Kind::Number(DType::U8),
        "u2" => Kind::Number(DType::U16),
        "u4" => Kind::Number(DType::U32),
        "u8" => Kind::Number(DType::U64),
        "f2" => Kind::Number(DType::F16),
        "f4" => Kind::Number(DType::F32),
        "f8" => Kind::Number(DType::F64),
        _ if code.starts_with('S') => Kind::Bytes(size()?),
        _ if code.starts_with('U') => Kind::Unicode(size()?),
        _ => return Err(bad("its element type is not supported")),
    };
    let fortran = entry(text, "fortran_order").is_some_and(|v| v.starts_with("True"));
    let shape = entry(text, "shape").and_then(|v| v.strip_prefix('(')).and_then(|v| v.split(')').next());
    let shape = shape.ok_or_else(|| bad("its header names no shape"))?;
    let dims = shape.split(',').map(str::trim).filter(|d| !d.is_empty());
    let shape: Option<Vec<usize>> = dims.map(|d| d.trim_end_matches('L').parse().ok()).collect();
    let shape = shape.filter(|s| s.len() <= 32).ok_or_else(|| bad("its shape makes no sense"))?;
    Ok(Header { kind, big_endian: order == ">", fortran, shape })
}

/// Reads npy from memory.
pub fn parse(bytes: &[u8]) -> Result<Array> {
    let bad = |why: &str| malformed("npy", why);
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(|| bad("it does not begin with NumPy's mark"))?;
    let (major, rest) = match rest {
        [major, _, rest @ ..] => (*major, rest),
        _ => return Err(bad("it ends within its header")),
    };
    let (length, rest) = match (major, rest) {
        (1, [a, b, rest @ ..]) => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        (2 | 3, [a, b, c, d, rest @ ..]) => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(bad("its version is unknown")),
    };
    let (text, data) = rest.split_at_checked(length).ok_or_else(|| bad("it ends within its header"))?;
    let h = header(std::str::from_utf8(text).map_err(|_| bad("its header is no text"))?)?;
    let count = h.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(|| bad("its shape is absurd"))?;
    let size = match h.kind {
        Kind::Number(d) => d.size(),
        Kind::Bytes(n) => n,
        Kind::Unicode(n) => 4 * n,
    };
    if count.checked_mul(size).is_none_or(|n| n > data.len()) {
        return Err(malformed("npy", format!("{} bytes of elements do not fill {:?}", data.len(), h.shape)));
    }
    let mut data = data[..count * size].to_vec();
    let unit = if matches!(h.kind, Kind::Unicode(_)) { 4 } else { size };
    if h.big_endian && !matches!(h.kind, Kind::Bytes(_)) && unit > 1 {
        data.chunks_exact_mut(unit).for_each(|c| c.reverse());
    }
    if h.fortran && h.shape.len() > 1 && size > 0 {
        data = row_major(&data, &h.shape, size);
    }
    match h.kind {
        Kind::Number(dtype) => {
            if dtype == DType::Bool {
                data.iter_mut().for_each(|b| *b = u8::from(*b != 0));
            }
            Tensor::from_le_bytes(dtype, &h.shape, &data).map(Array::Numbers)
        }
        Kind::Bytes(n) => {
            let text = |c: &[u8]| String::from_utf8_lossy(c).trim_end_matches('\0').to_string();
            Ok(Array::Strings { values: pieces(&data, n, count).map(text).collect(), shape: h.shape })
        }
        Kind::Unicode(n) => {
            let text = |c: &[u8]| -> String {
                let codes = c.chunks_exact(4).map(|u| u32::from_le_bytes([u[0], u[1], u[2], u[3]]));
                codes.take_while(|&u| u != 0).map(|u| char::from_u32(u).unwrap_or('\u{fffd}')).collect()
            };
            Ok(Array::Strings { values: pieces(&data, 4 * n, count).map(text).collect(), shape: h.shape })
        }
    }
}

/// `count` pieces of `size` bytes; empty pieces when the size is 0.
fn pieces(data: &[u8], size: usize, count: usize) -> impl Iterator<Item = &[u8]> {
    (0..count).map(move |i| &data[i * size..(i + 1) * size])
}

/// Column-major bytes as row-major.
fn row_major(data: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut at = vec![0usize; shape.len()];
    for _ in 0..data.len() / size {
        let (mut index, mut stride) = (0, 1);
        for (i, &n) in at.iter().zip(shape) {
            index += i * stride;
            stride *= n;
        }
        out.extend_from_slice(&data[index * size..(index + 1) * size]);
        for i in (0..shape.len()).rev() {
            at[i] += 1;
            if at[i] < shape[i] {
                break;
            }
            at[i] = 0;
        }
    }
    out
}

/// A tensor as npy (version 1, row-major, little-endian). bfloat16, which NumPy does not know, is written as float32.
pub fn write(t: &Tensor) -> Vec<u8> {
    let t = if t.dtype() == DType::BF16 { t.cast(DType::F32) } else { t.clone() };
    let code = match t.dtype() {
        DType::Bool => "|b1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::F16 => "<f2",
        DType::F32 | DType::BF16 => "<f4",
        DType::F64 => "<f8",
    };
    let dims: Vec<String> = t.shape().iter().map(usize::to_string).collect();
    let shape = if dims.len() == 1 { format!("({},)", dims[0]) } else { format!("({})", dims.join(", ")) };
    let mut text = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': {shape}, }}");
    // The elements begin at a multiple of 64.
    let total = (10 + text.len() + 1).next_multiple_of(64);
    text += &" ".repeat(total - 10 - text.len() - 1);
    text.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text.as_bytes());
    out.extend(t.bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    #[test]
    fn written_arrays_read_back() {
        for dtype in DType::ALL.into_iter().filter(|d| *d != DType::BF16) {
            let t = Tensor::new(&[2, 3], &[0.0f64, 1.0, 2.0, 3.0, 4.0, 5.0]).expect("six").cast(dtype);
            assert_eq!(parse(&write(&t)).expect("valid"), Array::Numbers(t));
        }
    }

    #[test]
    fn column_major_and_big_endian_are_turned() {
        let f = file("{'descr': '>i2', 'fortran_order': True, 'shape': (2, 2), }", &[0, 1, 0, 3, 0, 2, 0, 4]);
        assert_eq!(parse(&f).expect("valid").numbers().expect("numbers").as_slice::<i16>(), Some(&[1, 2, 3, 4][..]));
    }

    #[test]
    fn strings_are_read() {
        let f = file("{'descr': '|S3', 'fortran_order': False, 'shape': (2,), }", b"abcde\0");
        assert_eq!(
            parse(&f).expect("valid"),
            Array::Strings { shape: vec![2], values: vec!["abc".into(), "de".into()] }
        );
    }

    #[test]
    fn absurd_sizes_are_refused() {
        for shape in ["(99999999999, 99999999999)", "(3,)", "(-1,)"] {
            let f = file(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"), &[0; 8]);
            assert!(parse(&f).is_err(), "{shape}");
        }
        assert!(parse(b"\x93NUMPY\x01\x00\xff\xff").is_err());
    }
}
