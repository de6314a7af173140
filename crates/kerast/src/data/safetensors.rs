//! safetensors: a JSON header with names, types, shapes and places, then the numbers.

use super::{malformed, read_file};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use serde_json::{Map, Value, json};
use std::path::Path;

/// No header is longer.
const LARGEST_HEADER: usize = 100 << 20;

const NAMES: [(DType, &str); 12] = [
    (DType::F64, "F64"),
    (DType::F32, "F32"),
    (DType::F16, "F16"),
    (DType::BF16, "BF16"),
    (DType::I64, "I64"),
    (DType::I32, "I32"),
    (DType::I16, "I16"),
    (DType::I8, "I8"),
    (DType::U64, "U64"),
    (DType::U32, "U32"),
    (DType::U16, "U16"),
    (DType::U8, "U8"),
];

/// The tensors of a file, in the order of its header.
pub fn open(path: impl AsRef<Path>) -> Result<Vec<(String, Tensor)>> {
    let path = path.as_ref();
    parse(&read_file(path)?).map_err(|e| e.fact("file", path.display()))
}

/// Whether bytes may be a safetensors file: a length, then the brace of a header that fits.
pub fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.len() > 8 && bytes[8] == b'{' && header_length(bytes).is_some()
}

fn header_length(bytes: &[u8]) -> Option<usize> {
    let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    usize::try_from(length).ok().filter(|n| *n <= LARGEST_HEADER && *n <= bytes.len() - 8)
}

/// The tensors of a file in memory. Every place is checked against the file before it is read.
pub fn parse(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let broken = |why: String| malformed("safetensors", why);
    let length = header_length(bytes).ok_or_else(|| broken("the header is longer than the file".into()))?;
    let (header, data) = (&bytes[8..8 + length], &bytes[8 + length..]);
    let header: Map<String, Value> = serde_json::from_slice(header).map_err(|e| broken(e.to_string()))?;
    let mut out = vec![];
    for (name, v) in header.iter().filter(|(n, _)| *n != "__metadata__") {
        let unfit = |why: &str| broken(why.into()).fact("entry", name);
        let dtype = v["dtype"].as_str().unwrap_or("?");
        let dtype = match dtype {
            "BOOL" => DType::Bool,
            _ => NAMES
                .iter()
                .find(|n| n.1 == dtype)
                .map(|n| n.0)
                .ok_or_else(|| unfit("an element type is unknown").received(dtype))?,
        };
        let whole = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let list = |key: &str| -> Option<Vec<usize>> { v[key].as_array()?.iter().map(whole).collect() };
        let (shape, place) = (list("shape"), list("data_offsets"));
        let (Some(shape), Some([from, to])) = (shape, place.as_deref()) else {
            return Err(unfit("a shape or place is missing"));
        };
        let size = shape.iter().try_fold(dtype.size(), |n, d| n.checked_mul(*d));
        let slice = data.get(*from..*to).filter(|s| size == Some(s.len()));
        let slice = slice.ok_or_else(|| {
            unfit("a place does not fit the shape or the file").received(format!("{shape:?} at {from}..{to}"))
        })?;
        out.push((name.clone(), Tensor::from_le_bytes(dtype, &shape, slice)?));
    }
    Ok(out)
}

/// A file's bytes.
pub fn write(tensors: &[(String, Tensor)]) -> Result<Vec<u8>> {
    let mut header = Map::new();
    let mut at = 0;
    for (name, t) in tensors {
        let dtype = match t.dtype() {
            DType::Bool => "BOOL",
            d => NAMES.iter().find(|n| n.0 == d).map(|n| n.1).unwrap_or("U8"),
        };
        let end = at + t.bytes().len();
        if header.insert(name.clone(), json!({"dtype": dtype, "shape": t.shape(), "data_offsets": [at, end]})).is_some()
        {
            return Err(Error::new(ErrorKind::Argument, format!("two tensors have the name `{name}`")));
        }
        at = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    // Numbers begin at a multiple of 8.
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut out = Vec::with_capacity(8 + text.len() + at);
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
    tensors.iter().for_each(|(_, t)| out.extend_from_slice(t.bytes()));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_lies_are_refused() {
        let a = Tensor::new(&[2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]).expect("fits");
        let b = Tensor::new(&[2], &[7i64, -8]).expect("fits");
        let tensors = vec![("a/b".to_string(), a), ("c".to_string(), b)];
        let bytes = write(&tensors).expect("memory");
        assert!(is_safetensors(&bytes));
        let back = parse(&bytes).expect("valid");
        assert!(
            back.iter()
                .zip(&tensors)
                .all(|(x, y)| x.0 == y.0 && x.1.shape() == y.1.shape() && x.1.bytes() == y.1.bytes())
        );
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let lie = br#"{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}"#;
        let mut bytes = (lie.len() as u64).to_le_bytes().to_vec();
        bytes.extend(lie);
        bytes.extend([0; 16]);
        assert!(parse(&bytes).is_err());
    }
}
