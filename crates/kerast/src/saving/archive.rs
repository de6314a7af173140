//! Zip archives: a list of entries, read whole and bounded, written whole. Nothing is ever unpacked into the file system.

use crate::data::malformed;
use crate::{Error, ErrorKind, Result};
use std::collections::HashSet;
use std::io::{Cursor, Read, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Deflate cannot pack tighter than about 1032 : 1; a larger claim is a lie.
const TIGHTEST: u64 = 1100;
/// So much memory is taken at once for an entry that is packed; more only as its bytes really come.
const FIRST: u64 = 1 << 24;

/// An open archive.
pub struct Archive {
    zip: ZipArchive<Cursor<Vec<u8>>>,
    names: Vec<String>,
    length: u64,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archive({:?})", self.names)
    }
}

impl Archive {
    /// Opens an archive in memory; names that leave the archive or occur twice are refused.
    pub fn open(bytes: Vec<u8>) -> Result<Archive> {
        let length = bytes.len() as u64;
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| malformed("zip", e))?;
        let mut names: Vec<String> = vec![];
        let mut known = HashSet::new();
        for i in 0..zip.len() {
            let name = zip.name_for_index(i).and_then(|n| n.ok()).unwrap_or_default().replace('\\', "/");
            let escapes =
                name.is_empty() || name.starts_with('/') || name.contains(':') || name.split('/').any(|p| p == "..");
            if escapes || !known.insert(name.clone()) {
                let why = if escapes { "leaves the archive" } else { "occurs twice" };
                return Err(
                    Error::new(ErrorKind::File, format!("an entry's name {why}")).fact("entry", format!("{name:?}"))
                );
            }
            names.push(name);
        }
        Ok(Archive { zip, names, length })
    }

    /// The names of the entries in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether there is an entry of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    /// An entry, unpacked. The size it declares is checked before memory is taken, its real size while it is unpacked.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>> {
        self.read_at_most(name, u64::MAX)
    }

    /// An entry, unpacked; refused if it has more than `most` bytes.
    pub fn read_at_most(&mut self, name: &str, most: u64) -> Result<Vec<u8>> {
        self.unpack(name, most).map_err(|e| e.fact("entry", name))
    }

    fn unpack(&mut self, name: &str, most: u64) -> Result<Vec<u8>> {
        let index = self.names.iter().position(|n| n == name);
        let index = index.ok_or_else(|| {
            Error::new(ErrorKind::File, format!("the archive has no entry `{name}`")).expected(listed(&self.names))
        })?;
        let entry = self.zip.by_index(index).map_err(|e| malformed("zip", e))?;
        let (size, packed) = (entry.size(), entry.compressed_size());
        if size > most {
            return Err(Error::new(ErrorKind::File, "an entry is too large")
                .expected(format!("at most {most} bytes"))
                .received(size)
                .repair("if this is no attack, pack the archive anew without compression"));
        }
        let stored = entry.compression() == CompressionMethod::Stored;
        let there = if stored { self.length } else { packed.min(self.length).saturating_mul(TIGHTEST) + 1024 };
        if size > there {
            return Err(malformed("zip", format!("{packed} packed bytes claim to be {size}")));
        }
        let first = if stored { size } else { size.min(FIRST) };
        let mut out = Vec::with_capacity(usize::try_from(first).unwrap_or(0));
        entry.take(size + 1).read_to_end(&mut out).map_err(|e| malformed("zip", e))?;
        match out.len() as u64 == size {
            true => Ok(out),
            false => Err(malformed("zip", format!("it declares {size} bytes and holds {}", out.len()))),
        }
    }
}

/// Names for a message, the first few of many.
fn listed(names: &[String]) -> String {
    let first = names.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 8 { format!("one of {first}, … ({} entries)", names.len()) } else { format!("one of {first}") }
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
        assert!(a.contains("a/b.txt") && !a.contains("c"));
        assert!(a.read("c").expect_err("not there").get("expected").is_some_and(|e| e.contains("a/b.txt")));
        assert!(a.read_at_most("a/b.txt", 4).is_err());
        for name in ["../x", "/etc/passwd", "a/../../b", "c:\\x"] {
            let mut b = Builder::new();
            b.add(name, b"x").expect("memory");
            assert!(Archive::open(b.finish().expect("memory")).is_err(), "{name}");
        }
        assert!(Archive::open(b"PK\x03\x04 nothing".to_vec()).is_err());
    }
}
