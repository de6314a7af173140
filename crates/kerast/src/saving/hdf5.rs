//! Our own small view of HDF5 over the crate `hdf5-pure`: a file is a list of dataset paths and tensors.

use crate::data::malformed;
use crate::{DType, Error, ErrorKind, Result, Tensor};
use hdf5_pure as h5;
use std::collections::BTreeMap;

const MAX_DEPTH: usize = 32;
const MAX_ENTRIES: usize = 200_000;

/// Every numeric dataset of a file: path without leading slash, and value.
pub(super) fn read(bytes: Vec<u8>) -> Result<Vec<(String, Tensor)>> {
    let limit = bytes.len().saturating_mul(1100).saturating_add(1 << 20);
    let file = h5::File::from_bytes(bytes).map_err(|e| malformed("HDF5", e))?;
    let mut out = vec![];
    let mut left = MAX_ENTRIES;
    walk(&file.root(), "", 0, limit, &mut left, &mut out)?;
    Ok(out)
}

fn walk(
    group: &h5::Group,
    path: &str,
    depth: usize,
    limit: usize,
    left: &mut usize,
    out: &mut Vec<(String, Tensor)>,
) -> Result<()> {
    let about = |e: &dyn std::fmt::Display, name: &str| malformed("HDF5", e).fact("entry", format!("{path}{name}"));
    if depth > MAX_DEPTH {
        return Err(about(&format!("groups are nested more than {MAX_DEPTH} deep"), ""));
    }
    for name in group.datasets().map_err(|e| about(&e, ""))? {
        *left = left.checked_sub(1).ok_or_else(|| about(&"it has too many entries", ""))?;
        let set = group.dataset(&name).map_err(|e| about(&e, &name))?;
        if let Some(t) = tensor(&set, limit).map_err(|e| e.fact("entry", format!("{path}{name}")))? {
            out.push((format!("{path}{name}"), t));
        }
    }
    for name in group.groups().map_err(|e| about(&e, ""))? {
        *left = left.checked_sub(1).ok_or_else(|| about(&"it has too many entries", ""))?;
        let inner = group.group(&name).map_err(|e| about(&e, &name))?;
        walk(&inner, &format!("{path}{name}/"), depth + 1, limit, left, out)?;
    }
    Ok(())
}

/// A dataset of numbers; `None` for strings and other kinds.
fn tensor(set: &h5::Dataset, limit: usize) -> Result<Option<Tensor>> {
    let failed = |e: &dyn std::fmt::Display| malformed("HDF5", e);
    let shape: Vec<usize> = set.shape().map_err(|e| failed(&e))?.iter().map(|&d| d as usize).collect();
    let dtype = match set.dtype().map_err(|e| failed(&e))? {
        h5::DType::F32 => DType::F32,
        h5::DType::F64 => DType::F64,
        h5::DType::I8 => DType::I8,
        h5::DType::I16 => DType::I16,
        h5::DType::I32 => DType::I32,
        h5::DType::I64 => DType::I64,
        h5::DType::U8 => DType::U8,
        h5::DType::U16 => DType::U16,
        h5::DType::U32 => DType::U32,
        h5::DType::U64 => DType::U64,
        h5::DType::Enum(_) => DType::Bool,
        h5::DType::Other(_) => DType::F16,
        _ => return Ok(None),
    };
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if count.and_then(|n| n.checked_mul(dtype.size())).is_none_or(|n| n > limit) {
        return Err(
            malformed("HDF5", "a dataset is larger than the file can hold").received(format!("{dtype}{shape:?}"))
        );
    }
    let raw = set.read_raw().map_err(|e| failed(&e))?;
    let want = count.unwrap_or(0) * dtype.size();
    // Two bytes of an unnamed kind are half floats; anything else unnamed is not a number that models have.
    if raw.len() != want {
        return match dtype {
            DType::F16 => Ok(None),
            _ => Err(malformed("HDF5", format!("a dataset holds {} bytes, {want} were declared", raw.len()))),
        };
    }
    Tensor::from_le_bytes(dtype, &shape, &raw).map(Some)
}

#[derive(Default)]
struct Tree<'a> {
    sets: Vec<(&'a str, &'a Tensor)>,
    groups: BTreeMap<&'a str, Tree<'a>>,
}

/// A file of these datasets.
pub(super) fn write(sets: &[(String, Tensor)]) -> Result<Vec<u8>> {
    let mut root = Tree::default();
    for (path, t) in sets {
        let mut parts: Vec<&str> = path.split('/').collect();
        let name = parts.pop().unwrap_or_default();
        let mut at = &mut root;
        for p in parts {
            at = at.groups.entry(p).or_default();
        }
        at.sets.push((name, t));
    }
    let mut file = h5::FileBuilder::new();
    for (name, t) in &root.sets {
        fill(file.create_dataset(name), t)?;
    }
    for (name, tree) in &root.groups {
        let mut group = file.create_group(name);
        add(&mut group, tree)?;
        file.add_group(group.finish());
    }
    file.finish().map_err(|e| Error::new(ErrorKind::Io, "cannot write HDF5").fact("reason", e))
}

fn add(group: &mut h5::GroupBuilder, tree: &Tree<'_>) -> Result<()> {
    for (name, t) in &tree.sets {
        fill(group.create_dataset(name), t)?;
    }
    for (name, inner) in &tree.groups {
        let mut sub = group.create_group(name);
        add(&mut sub, inner)?;
        group.add_group(sub.finish());
    }
    Ok(())
}

fn fill(set: &mut h5::DatasetBuilder, t: &Tensor) -> Result<()> {
    let shape: Vec<u64> = t.shape().iter().map(|&d| d as u64).collect();
    let none = || Error::new(ErrorKind::Internal, "a tensor is not of its own type");
    match t.dtype() {
        DType::F64 => set.with_f64_data(t.as_slice().ok_or_else(none)?),
        DType::I32 => set.with_i32_data(t.as_slice().ok_or_else(none)?),
        DType::I64 => set.with_i64_data(t.as_slice().ok_or_else(none)?),
        DType::U32 => set.with_u32_data(t.as_slice().ok_or_else(none)?),
        DType::U64 => set.with_u64_data(t.as_slice().ok_or_else(none)?),
        DType::U8 | DType::Bool => set.with_u8_data(t.as_slice().ok_or_else(none)?),
        DType::I8 => set.with_i8_data(t.as_slice().ok_or_else(none)?),
        DType::I16 => set.with_i16_data(t.as_slice().ok_or_else(none)?),
        DType::U16 => set.with_u16_data(t.as_slice().ok_or_else(none)?),
        // Half floats are stored as float32, which every reader knows.
        DType::F32 | DType::F16 | DType::BF16 => set.with_f32_data(t.cast(DType::F32).as_slice().ok_or_else(none)?),
    };
    set.with_shape(&shape);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datasets_read_back_by_path() {
        let t = Tensor::new(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]).expect("four");
        let s = Tensor::scalar(7i64);
        let sets = vec![("layers/dense/vars/0".to_string(), t), ("vars/0".to_string(), s)];
        let mut read = read(write(&sets).expect("written")).expect("read");
        read.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(read, sets);
    }

    #[test]
    fn garbage_is_refused() {
        assert!(read(b"\x89HDF\r\n\x1a\n and then nothing".to_vec()).is_err());
        assert!(read(vec![]).is_err());
    }
}
