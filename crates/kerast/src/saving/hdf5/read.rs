//! Reading.

use super::write::float_layout;
use crate::data::{malformed, open_file};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use hdf5_pure::{self as h5, Datatype, DatatypeByteOrder as Order};
use std::io::{Cursor, Read, Seek};
use std::path::Path;

/// Groups nested deeper are not listed: no model has them, cycles of links do.
const DEEPEST: usize = 32;
/// More objects are not listed.
const MOST: usize = 100_000;
/// Deflate cannot pack tighter than about 1032 : 1; a larger claim is a lie.
const TIGHTEST: usize = 1100;
/// Datasets are read so many bytes at a time.
const BLOCK: usize = 1 << 20;
/// Datasets that were never written take no room in a file, whatever their shape. So much is allowed.
const UNWRITTEN: usize = 1 << 20;

/// An open HDF5 file. Paths have no leading slash: `layers/dense/vars/0`; the root is the empty path.
#[derive(Debug)]
pub struct Hdf5 {
    file: h5::File,
    length: usize,
}

impl Hdf5 {
    /// Opens a file, of which only what is read comes into memory.
    pub fn open(path: impl AsRef<Path>) -> Result<Hdf5> {
        let path = path.as_ref();
        Hdf5::from_reader(open_file(path)?.0).map_err(|e| e.fact("file", path.display()))
    }

    /// Opens a file in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Hdf5> {
        Hdf5::from_reader(Cursor::new(bytes))
    }

    /// Opens a file wherever it lies.
    pub(crate) fn from_reader(reader: impl Read + Seek + Send + 'static) -> Result<Hdf5> {
        let source = h5::ReadSeekSource::new(reader).map_err(|e| malformed("HDF5", e))?;
        let length = usize::try_from(h5::Source::len(&source)).unwrap_or(usize::MAX);
        let declared = declared_length(&source);
        let file = h5::File::from_source(source).map_err(|e| match e {
            _ if length == 0 => malformed("HDF5", "it is empty"),
            h5::Error::Format(h5::FormatError::SignatureNotFound) => {
                malformed("HDF5", "it does not begin with HDF5's mark")
            }
            e => malformed("HDF5", e),
        })?;
        match declared {
            Some(n) if n > length as u64 => Err(malformed("HDF5", "it is cut off")
                .expected(format!("{n} bytes, as it declares"))
                .received(format!("{length} bytes"))
                .repair("copy or download it again")),
            _ => Ok(Hdf5 { file, length }),
        }
    }

    fn group(&self, path: &str) -> Result<h5::Group> {
        let group = if path.is_empty() { Ok(self.file.root()) } else { self.file.group(path) };
        group.map_err(|e| self.missing("group", path, &e))
    }

    fn dataset(&self, path: &str) -> Result<h5::Dataset> {
        self.file.dataset(path).map_err(|e| self.missing("dataset", path, &e))
    }

    fn missing(&self, kind: &str, path: &str, e: &h5::Error) -> Error {
        match e {
            h5::Error::Format(h5::FormatError::PathNotFound(_)) => {
                Error::new(ErrorKind::File, format!("the file has no {kind} `{path}`"))
                    .fact("links", "soft and external links are not followed")
            }
            e => broken(path, e),
        }
    }

    /// Whether there is a group at this path.
    pub fn has_group(&self, path: &str) -> bool {
        self.group(path).is_ok()
    }

    /// Whether there is a dataset at this path.
    pub fn has_dataset(&self, path: &str) -> bool {
        self.file.dataset(path).is_ok()
    }

    /// The names of the groups in a group.
    pub fn groups(&self, path: &str) -> Result<Vec<String>> {
        self.group(path)?.groups().map_err(|e| broken(path, &e))
    }

    /// The names of the datasets in a group; numbers in their own order: `2` before `10`.
    pub fn datasets(&self, path: &str) -> Result<Vec<String>> {
        let mut names = self.group(path)?.datasets().map_err(|e| broken(path, &e))?;
        names.sort_by_cached_key(|n| (n.parse::<usize>().unwrap_or(usize::MAX), n.clone()));
        Ok(names)
    }

    /// The paths of all datasets, down to 32 groups deep. Fails beyond 100,000 objects.
    pub fn all_datasets(&self) -> Result<Vec<String>> {
        let (mut out, mut seen) = (vec![], 0);
        let mut open = vec![(String::new(), 0)];
        while let Some((path, depth)) = open.pop() {
            let place = |name: String| if path.is_empty() { name } else { format!("{path}/{name}") };
            let (sets, groups) = (self.datasets(&path)?, self.groups(&path)?);
            seen += sets.len() + groups.len();
            if seen > MOST {
                return Err(malformed("HDF5", format!("it has more than {MOST} objects, or a cycle of links")));
            }
            out.extend(sets.into_iter().map(place));
            if depth < DEEPEST {
                open.extend(groups.into_iter().rev().map(|g| (place(g), depth + 1)));
            }
        }
        Ok(out)
    }

    /// A dataset of numbers: any integer type, f16, f32, f64, booleans, and bfloat16 as Keras stores it.
    pub fn tensor(&self, path: &str) -> Result<Tensor> {
        let set = self.dataset(path)?;
        self.number(&set).map_err(|e| e.fact("entry", path))
    }

    fn number(&self, set: &h5::Dataset) -> Result<Tensor> {
        let failed = |e: h5::Error| malformed("HDF5", e);
        let ty = set.datatype().map_err(failed)?;
        let (dtype, order) = element(&ty).ok_or_else(|| {
            Error::new(ErrorKind::File, "a dataset's element type is no number that models have").received(&ty)
        })?;
        let shape: Vec<u64> = set.shape().map_err(failed)?;
        let shape: Option<Vec<usize>> = shape.into_iter().map(|d| usize::try_from(d).ok()).collect();
        let lie = || malformed("HDF5", "a dataset's size is larger than the file can hold");
        let shape = shape.ok_or_else(lie)?;
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(lie)?;
        let most = match set.filters().is_empty() {
            true => self.length.saturating_add(UNWRITTEN),
            false => self.length.saturating_mul(TIGHTEST),
        };
        let size = count.checked_mul(dtype.size()).filter(|n| *n <= most);
        let size = size.ok_or_else(|| lie().received(format!("{dtype}{shape:?}")))?;
        if size == 0 {
            return Tensor::zeros(dtype, &shape);
        }
        let mut out = Tensor::zeros(dtype, &shape)?;
        let rows = shape.first().copied().unwrap_or(1);
        let row = size / rows;
        let block = if set.filters().is_empty() { (BLOCK / row).clamp(1, rows) } else { rows };
        for (i, part) in out.bytes_mut().chunks_mut(block * row).enumerate() {
            let raw = set.read_raw_rows((i * block) as u64, block as u64).map_err(failed)?;
            if raw.len() != part.len() {
                return Err(malformed("HDF5", format!("a dataset holds fewer bytes than the {size} it declares")));
            }
            part.copy_from_slice(&raw);
        }
        if (order == Order::BigEndian) != cfg!(target_endian = "big") {
            out.bytes_mut().chunks_exact_mut(dtype.size()).for_each(|c| c.reverse());
        }
        if dtype == DType::Bool {
            out.bytes_mut().iter_mut().for_each(|b| *b = u8::from(*b != 0));
        }
        Ok(out)
    }

    /// The text of an attribute of a group; `None` if there is no such attribute or it is no text.
    pub fn text(&self, path: &str, name: &str) -> Result<Option<String>> {
        let attributes = self.group(path)?.attrs().map_err(|e| broken(path, &e))?;
        Ok(attributes.get(name).and_then(|a| a.as_str()).map(str::to_string))
    }

    /// The texts of an attribute of a group, with the parts `name0`, `name1`, … into which Keras splits long lists. `None` if
    /// there is no such attribute; empty also if it holds no text, as Keras writes empty lists.
    pub fn texts(&self, path: &str, name: &str) -> Result<Option<Vec<String>>> {
        let attributes = self.group(path)?.attrs().map_err(|e| broken(path, &e))?;
        let list = |a: &h5::AttrValue| a.as_strings().map(<[String]>::to_vec).unwrap_or_default();
        if let Some(whole) = attributes.get(name) {
            return Ok(Some(list(whole)));
        }
        let parts: Vec<_> = (0..).map_while(|i| attributes.get(&format!("{name}{i}"))).collect();
        Ok((!parts.is_empty()).then(|| parts.into_iter().flat_map(list).collect()))
    }
}

/// How long the file says it is, in the superblock at its begin: versions 0 and 1 have the address of its end as the third of four
/// addresses, after 24 or 28 bytes, versions 2 and 3 after 12.
fn declared_length(source: &impl h5::Source) -> Option<u64> {
    let mut head = [0; 64];
    source.read_at(0, &mut head).ok()?;
    if !h5::is_hdf5_bytes(&head) {
        return None;
    }
    let (first, width) = match head[8] {
        0 => (24, head[13]),
        1 => (28, head[13]),
        2 | 3 => (12, head[9]),
        _ => return None,
    };
    let end = head.get(first + 16..first + 24).filter(|_| width == 8)?;
    Some(u64::from_le_bytes(end.try_into().ok()?))
}

/// What is wrong at a place of a file.
fn broken(path: &str, e: &h5::Error) -> Error {
    let link = matches!(e, h5::Error::Format(h5::FormatError::UnexpectedEof { expected: usize::MAX, .. }));
    let place = if path.is_empty() { "/" } else { path };
    match link {
        true => Error::new(ErrorKind::File, "a group holds a soft link, which is not followed").fact("entry", place),
        false => malformed("HDF5", e).fact("entry", place),
    }
}

/// The element type of numbers in their usual layout; `None` for everything else.
fn element(ty: &Datatype) -> Option<(DType, Order)> {
    Some(match ty {
        Datatype::FixedPoint { size, byte_order, layout } => {
            if layout.bit_offset != 0 || u64::from(layout.bit_precision) != 8 * u64::from(*size) {
                return None;
            }
            let dtype = match (size, layout.signed) {
                (1, true) => DType::I8,
                (2, true) => DType::I16,
                (4, true) => DType::I32,
                (8, true) => DType::I64,
                (1, false) => DType::U8,
                (2, false) => DType::U16,
                (4, false) => DType::U32,
                (8, false) => DType::U64,
                _ => return None,
            };
            (dtype, *byte_order)
        }
        Datatype::FloatingPoint { size, byte_order, layout } => {
            let usual = [DType::F16, DType::F32, DType::F64, DType::BF16];
            let fits = |d: &DType| *size as usize == d.size() && float_layout(*d) == Some(*layout);
            (usual.into_iter().find(fits)?, *byte_order)
        }
        // Keras stores bfloat16 as two nameless bytes.
        Datatype::Opaque { size: 2, .. } => (DType::BF16, Order::LittleEndian),
        Datatype::Enumeration { size: 1, members, .. } if members.len() == 2 => (DType::Bool, Order::LittleEndian),
        _ => return None,
    })
    .filter(|(_, order)| *order != Order::Vax)
}
