//! Writing.

use crate::{DType, Error, ErrorKind, Result, Tensor};
use hdf5_pure::{self as h5, AttrValue, Datatype, DatatypeByteOrder, FloatingPointLayout};
use std::io::Write;

/// An attribute larger than this does not fit into an object's header; Keras splits such lists.
const LARGEST_ATTRIBUTE: usize = 64_512;

/// A group of a file that is to be written; the root is a group, too.
#[derive(Clone, Debug, Default)]
pub struct Group {
    texts: Vec<(String, Text)>,
    datasets: Vec<(String, Tensor)>,
    groups: Vec<(String, Group)>,
}

#[derive(Clone, Debug)]
enum Text {
    One(String),
    List(Vec<String>),
    EmptyList,
}

impl Group {
    /// An empty group.
    pub fn new() -> Group {
        Group::default()
    }

    /// The group at a path below this one, made if it is not there. The empty path is this group.
    pub fn at(&mut self, path: &str) -> &mut Group {
        path.split('/').filter(|p| !p.is_empty()).fold(self, |group, part| {
            let found = group.groups.iter().position(|(n, _)| n == part);
            let index = found.unwrap_or_else(|| {
                group.groups.push((part.to_string(), Group::new()));
                group.groups.len() - 1
            });
            &mut group.groups[index].1
        })
    }

    /// Adds a dataset at a path below this group. bfloat16 is stored as Keras does: two nameless bytes, and the type's name in the
    /// attribute `dtype`; booleans as h5py does.
    pub fn add(&mut self, path: &str, value: &Tensor) {
        let (group, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.at(group).datasets.push((name.to_string(), value.clone()));
    }

    /// Adds an attribute: one text.
    pub fn text(&mut self, name: &str, text: &str) {
        self.texts.push((name.to_string(), Text::One(text.to_string())));
    }

    /// Adds an attribute: a list of texts, split into `name0`, `name1`, … as Keras does if it is long.
    pub fn texts(&mut self, name: &str, texts: &[String]) {
        if texts.is_empty() {
            return self.texts.push((name.to_string(), Text::EmptyList));
        }
        let width = texts.iter().map(String::len).max().unwrap_or(0).max(1);
        let most = (LARGEST_ATTRIBUTE / width).max(1);
        if texts.len() <= most {
            return self.texts.push((name.to_string(), Text::List(texts.to_vec())));
        }
        for (i, part) in texts.chunks(most).enumerate() {
            self.texts.push((format!("{name}{i}"), Text::List(part.to_vec())));
        }
    }

    /// Bytes of all datasets.
    pub(crate) fn data_len(&self) -> u64 {
        let own: usize = self.datasets.iter().map(|(_, t)| t.bytes().len()).sum();
        own as u64 + self.groups.iter().map(|(_, g)| g.data_len()).sum::<u64>()
    }

    /// Writes a file whose root is this group.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let mut file = h5::FileBuilder::new();
        for (name, t) in &self.texts {
            file.set_attr(name, attribute(t));
        }
        for (name, t) in &self.datasets {
            fill(file.create_dataset(name), t)?;
        }
        for (name, group) in &self.groups {
            let mut builder = file.create_group(name);
            group.build(&mut builder)?;
            file.add_group(builder.finish());
        }
        file.finish_to(out).map_err(|e| Error::new(ErrorKind::Io, "cannot write HDF5").fact("reason", e))
    }

    fn build(&self, out: &mut h5::GroupBuilder) -> Result<()> {
        for (name, t) in &self.texts {
            out.set_attr(name, attribute(t));
        }
        for (name, t) in &self.datasets {
            fill(out.create_dataset(name), t)?;
        }
        for (name, group) in &self.groups {
            let mut builder = out.create_group(name);
            group.build(&mut builder)?;
            out.add_group(builder.finish());
        }
        Ok(())
    }
}

fn attribute(text: &Text) -> AttrValue {
    match text {
        Text::One(t) => AttrValue::VarLenString(t.clone()),
        Text::List(l) => AttrValue::AsciiStringArray(l.clone()),
        // What h5py makes of an empty list, and Keras reads as one.
        Text::EmptyList => AttrValue::F64Array(vec![]),
    }
}

fn fill(set: &mut h5::DatasetBuilder, t: &Tensor) -> Result<()> {
    let mut bytes = t.bytes().to_vec();
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(t.dtype().size()).for_each(|c| c.reverse());
    }
    let shape: Vec<u64> = t.shape().iter().map(|&d| d as u64).collect();
    set.with_raw_data(datatype(t.dtype())?, bytes, t.len() as u64).with_shape(&shape);
    if t.dtype() == DType::BF16 {
        set.set_attr("dtype", AttrValue::VarLenString("bfloat16".into()));
    }
    Ok(())
}

fn datatype(dtype: DType) -> Result<Datatype> {
    let float = |d: DType| {
        float_layout(d).map(|layout| Datatype::FloatingPoint {
            size: d.size() as u32,
            byte_order: DatatypeByteOrder::LittleEndian,
            layout,
        })
    };
    Ok(match dtype {
        DType::I8 => h5::make_i8_type(),
        DType::I16 => h5::make_i16_type(),
        DType::I32 => h5::make_i32_type(),
        DType::I64 => h5::make_i64_type(),
        DType::U8 => h5::make_u8_type(),
        DType::U16 => h5::make_u16_type(),
        DType::U32 => h5::make_u32_type(),
        DType::U64 => h5::make_u64_type(),
        DType::Bool => h5::EnumTypeBuilder::with_base(h5::make_i8_type())
            .value("FALSE", 0)
            .value("TRUE", 1)
            .build()
            .map_err(|e| Error::new(ErrorKind::Internal, "HDF5 has no type for booleans").fact("reason", e))?,
        DType::BF16 => Datatype::Opaque { size: 2, tag: vec![] },
        DType::F16 | DType::F32 | DType::F64 => {
            float(dtype).ok_or_else(|| Error::new(ErrorKind::Internal, format!("HDF5 has no type for {dtype}")))?
        }
    })
}

/// Where the bits of a float lie; `None` for other types.
pub(super) fn float_layout(dtype: DType) -> Option<FloatingPointLayout> {
    let (bits, exponent, mantissa) = match dtype {
        DType::F16 => (16, 5, 10),
        DType::BF16 => (16, 8, 7),
        DType::F32 => (32, 8, 23),
        DType::F64 => (64, 11, 52),
        _ => return None,
    };
    Some(FloatingPointLayout {
        bit_offset: 0,
        bit_precision: bits,
        exponent_location: mantissa,
        exponent_size: exponent,
        mantissa_location: 0,
        mantissa_size: mantissa,
        exponent_bias: (1 << (exponent - 1)) - 1,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Hdf5;
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let six = Tensor::new(&[2, 3], &[0.0f64, 1.0, 2.0, 3.0, 4.0, 5.0]).expect("six");
        let mut root = Group::new();
        for d in DType::ALL {
            root.add(&format!("a/b/{d}"), &six.cast(d));
        }
        root.add("scalar", &Tensor::scalar(7i64));
        root.add("a/none", &Tensor::zeros(DType::F32, &[0, 3]).expect("nothing"));
        root.text("config", "{\"é\": 1}");
        let long: Vec<String> = (0..9000).map(|i| format!("layer_{i:05}")).collect();
        root.at("a").texts("names", &long);
        root.at("a/empty").texts("names", &[]);
        let mut bytes = vec![];
        root.write(&mut bytes).expect("written");
        let file = Hdf5::from_bytes(bytes).expect("read");
        for d in DType::ALL {
            assert_eq!(file.tensor(&format!("a/b/{d}")).expect("there"), six.cast(d));
        }
        assert_eq!(file.tensor("scalar").expect("there"), Tensor::scalar(7i64));
        assert_eq!(file.tensor("a/none").expect("there").shape(), [0, 3]);
        assert_eq!(file.text("", "config").expect("read").as_deref(), Some("{\"é\": 1}"));
        assert_eq!(file.texts("a", "names").expect("read"), Some(long));
        assert_eq!(file.texts("a/empty", "names").expect("read"), Some(vec![]));
        assert_eq!(file.texts("a", "nothing").expect("read"), None);
        assert_eq!(file.all_datasets().expect("read").len(), DType::ALL.len() + 2);
        assert!(file.has_group("a/b") && !file.has_group("a/none") && file.has_dataset("a/none"));
        assert!(file.tensor("a/b/f99").expect_err("not there").message().contains("a/b/f99"));
    }

    #[test]
    fn garbage_is_refused() {
        for bytes in [&b"\x89HDF\r\n\x1a\n and then nothing"[..], b"", b"hello"] {
            assert!(Hdf5::from_bytes(bytes.to_vec()).is_err());
        }
    }
}
