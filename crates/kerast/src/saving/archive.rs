//! Zip archives: a list of entries, read whole and bounded, written whole.

use crate::data::malformed;
use crate::{Error, ErrorKind, Result};
use std::io::{Cursor, Read, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// No entry may unpack to more.
const LARGEST: u64 = 4 << 30;
/// Deflate cannot pack tighter than about 1032 : 1; a larger claim is a lie.
const TIGHTEST: u64 = 1100;

/// An open archive.
pub struct Archive {
    zip: ZipArchive<Cursor<Vec<u8>>>,
    names: Vec<String>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archive({:?})", self.names)
    }
}

impl Archive {
    /// Opens an archive in memory; names that leave the archive or occur twice are refused.
    pub fn open(bytes: Vec<u8>) -> Result<Archive> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| malformed("zip", e))?;
        let mut names: Vec<String> = vec![];
        for i in 0..zip.len() {
            let name = zip.name_for_index(i).and_then(|n| n.ok()).unwrap_or_default().replace('\\', "/");
            let escapes =
                name.is_empty() || name.starts_with('/') || name.contains(':') || name.split('/').any(|p| p == "..");
            if escapes || names.contains(&name) {
                let why = if escapes { "leaves the archive" } else { "occurs twice" };
                return Err(
                    Error::new(ErrorKind::File, format!("an entry's name {why}")).fact("entry", format!("{name:?}"))
                );
            }
            names.push(name);
        }
        Ok(Archive { zip, names })
    }

    /// The names of the entries in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// An entry, unpacked. Its declared size is checked before, its real size while it is unpacked.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>> {
        let about = |e: Error| e.fact("entry", name);
        let index = self.names.iter().position(|n| n == name);
        let index = index.ok_or_else(|| {
            about(
                Error::new(ErrorKind::File, format!("the archive has no entry `{name}`"))
                    .expected(self.names.join(", ")),
            )
        })?;
        let entry = self.zip.by_index(index).map_err(|e| about(malformed("zip", e)))?;
        let (size, packed) = (entry.size(), entry.compressed_size());
        if size > LARGEST || size > packed.saturating_mul(TIGHTEST) + 1024 {
            return Err(about(malformed("zip", format!("{packed} packed bytes claim to be {size}"))));
        }
        let mut out = vec![];
        entry.take(size + 1).read_to_end(&mut out).map_err(|e| about(malformed("zip", e)))?;
        match out.len() as u64 == size {
            true => Ok(out),
            false => Err(about(malformed("zip", format!("it declares {size} bytes and holds {}", out.len())))),
        }
    }
}

/// Writes an archive into memory, entries stored as they are.
pub struct Builder {
    zip: ZipWriter<Cursor<Vec<u8>>>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// An empty archive.
    pub fn new() -> Builder {
        Builder { zip: ZipWriter::new(Cursor::new(vec![])) }
    }

    /// Adds an entry.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let failed =
            |e: String| Error::new(ErrorKind::Io, format!("cannot write the entry `{name}`")).fact("reason", e);
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        self.zip.start_file(name, options).map_err(|e| failed(e.to_string()))?;
        self.zip.write_all(bytes).map_err(|e| failed(e.to_string()))
    }

    /// The archive's bytes.
    pub fn finish(self) -> Result<Vec<u8>> {
        let done =
            self.zip.finish().map_err(|e| Error::new(ErrorKind::Io, "cannot finish the archive").fact("reason", e))?;
        Ok(done.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_and_strange_names_are_refused() {
        let mut b = Builder::new();
        b.add("a/b.txt", b"hello").expect("memory");
        let mut a = Archive::open(b.finish().expect("memory")).expect("valid");
        assert_eq!(a.read("a/b.txt").expect("there"), b"hello");
        assert!(a.read("c").is_err());
        for name in ["../x", "/etc/passwd", "a/../../b", "c:\\x"] {
            let mut b = Builder::new();
            b.add(name, b"x").expect("memory");
            assert!(Archive::open(b.finish().expect("memory")).is_err(), "{name}");
        }
        assert!(Archive::open(b"PK\x03\x04 nothing".to_vec()).is_err());
    }
}
