//! NumPy's npz: a zip of npy files.

use super::npy::{self, Array};
use super::{open_file, write_file};
use crate::saving::archive::{Archive, Builder};
use crate::{Error, ErrorKind, Result, Tensor};
use kerast_graph::error::nearest;
use std::path::Path;

/// An open npz; arrays are unpacked when asked for.
#[derive(Debug)]
pub struct Npz {
    archive: Archive,
}

impl Npz {
    /// Opens a file.
    pub fn open(path: impl AsRef<Path>) -> Result<Npz> {
        let path = path.as_ref();
        let archive = Archive::open_file(open_file(path)?.0).map_err(|e| e.fact("file", path.display()))?;
        Ok(Npz { archive })
    }

    /// Opens npz in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Npz> {
        Ok(Npz { archive: Archive::open(bytes)? })
    }

    /// The names of the arrays in order.
    pub fn names(&self) -> Vec<String> {
        self.archive.names().iter().filter_map(|n| n.strip_suffix(".npy")).map(str::to_string).collect()
    }

    /// An array.
    pub fn get(&mut self, name: &str) -> Result<Array> {
        let names = self.names();
        if !names.iter().any(|n| n == name) {
            let near = nearest(name, names.iter().map(String::as_str)).join(", ");
            let e = Error::new(ErrorKind::File, format!("there is no array named `{name}`"));
            return Err(if near.is_empty() {
                e.expected(names.join(", "))
            } else {
                e.repair(format!("did you mean {near}?"))
            });
        }
        npy::parse(&self.archive.read(&format!("{name}.npy"))?).map_err(|e| e.fact("array", name))
    }

    /// An array of numbers.
    pub fn tensor(&mut self, name: &str) -> Result<Tensor> {
        self.get(name)?.numbers().map_err(|e| e.fact("array", name))
    }
}

/// Writes arrays as npz, atomically.
pub fn write(path: impl AsRef<Path>, arrays: &[(&str, &Tensor)]) -> Result<()> {
    let mut builder = Builder::new();
    for (name, t) in arrays {
        builder.add(&format!("{name}.npy"), &npy::write(t))?;
    }
    write_file(path.as_ref(), &builder.finish()?)
}
