//! Zip archives: a list of entries, read whole and bounded, written whole. Nothing is ever unpacked into the file system.

use crate::data::malformed;
use crate::{Error, ErrorKind, Result};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Deflate cannot pack tighter than about 1032 : 1; a larger claim is a lie.
const TIGHTEST: u64 = 1100;
/// Entries that may pass 4 GiB need wider fields.
const LARGE: u64 = 3 << 30;
/// So much memory is taken at once for an entry that is packed; more only as its bytes really come.
const FIRST: u64 = 1 << 24;

/// Where an archive lies.
trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// A part of a source, read from a place of its own: several readers of one file do not disturb each other.
#[derive(Clone)]
pub struct Part {
    source: Arc<Mutex<dyn Source>>,
    begin: u64,
    length: u64,
    at: u64,
}

impl Part {
    fn whole(mut source: impl Source + 'static) -> io::Result<Part> {
        let length = source.seek(SeekFrom::End(0))?;
        Ok(Part { source: Arc::new(Mutex::new(source)), begin: 0, length, at: 0 })
    }
}

impl Read for Part {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.at).min(out.len() as u64) as usize;
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        source.seek(SeekFrom::Start(self.begin + self.at))?;
        let read = source.read(&mut out[..left])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.length.checked_add_signed(n),
            SeekFrom::Current(n) => self.at.checked_add_signed(n),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// An open archive.
pub struct Archive {
    zip: ZipArchive<BufReader<Part>>,
    names: Vec<String>,
    whole: Part,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens an archive in memory; names that leave the archive or occur twice are refused.
    pub fn open(bytes: Vec<u8>) -> Result<Archive> {
        Archive::new(Part::whole(Cursor::new(bytes)))
    }

    /// Opens an archive in a file, of which only what is read comes into memory.
    pub fn open_file(file: File) -> Result<Archive> {
        Archive::new(Part::whole(file))
    }

    fn new(whole: io::Result<Part>) -> Result<Archive> {
        let whole = whole.map_err(|e| malformed("zip", e))?;
        let zip = ZipArchive::new(BufReader::new(whole.clone())).map_err(|e| match e {
            ZipError::InvalidArchive(_) => malformed("zip", e).repair("if it is cut off, copy or download it again"),
            e => malformed("zip", e),
        })?;
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
        Ok(Archive { zip, names, whole })
    }

    /// Bytes of the whole archive.
    pub(crate) fn len(&self) -> u64 {
        self.whole.length
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

    /// An entry to read piece by piece: where it lies if it is stored as it is, once its checksum is found right; otherwise unpacked.
    /// Refused if it has more than `most` bytes.
    pub fn entry(&mut self, name: &str, most: u64) -> Result<Part> {
        self.part(name, most).map_err(|e| e.fact("entry", name))
    }

    fn part(&mut self, name: &str, most: u64) -> Result<Part> {
        let whole = self.whole.clone();
        let mut entry = self.find(name, most)?;
        if entry.compression() == CompressionMethod::Stored
            && let Some(begin) = entry.data_start()
        {
            let length = io::copy(&mut entry, &mut io::sink()).map_err(|e| malformed("zip", e))?;
            return Ok(Part { begin, length, ..whole });
        }
        drop(entry);
        Part::whole(Cursor::new(self.unpack(name, most)?)).map_err(|e| malformed("zip", e))
    }

    fn unpack(&mut self, name: &str, most: u64) -> Result<Vec<u8>> {
        let entry = self.find(name, most)?;
        let size = entry.size();
        let first = if entry.compression() == CompressionMethod::Stored { size } else { size.min(FIRST) };
        let mut out = Vec::with_capacity(usize::try_from(first).unwrap_or(0));
        entry.take(size + 1).read_to_end(&mut out).map_err(|e| malformed("zip", e))?;
        match out.len() as u64 == size {
            true => Ok(out),
            false => Err(malformed("zip", format!("it declares {size} bytes and holds {}", out.len()))),
        }
    }

    /// An entry whose declared size is possible and allowed.
    fn find(&mut self, name: &str, most: u64) -> Result<ZipFile<'_, BufReader<Part>>> {
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
        let (stored, length) = (entry.compression() == CompressionMethod::Stored, self.whole.length);
        let there = if stored { length } else { packed.min(length).saturating_mul(TIGHTEST) + 1024 };
        match size > there {
            true => Err(malformed("zip", format!("{packed} packed bytes claim to be {size}"))),
            false => Ok(entry),
        }
    }
}

/// Names for a message, the first few of many.
fn listed(names: &[String]) -> String {
    let first = names.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 8 { format!("one of {first}, … ({} entries)", names.len()) } else { format!("one of {first}") }
}

/// Writes an archive, into memory unless told otherwise, entries stored as they are.
pub struct Builder<W: Write + Seek = Cursor<Vec<u8>>> {
    zip: ZipWriter<W>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// An empty archive.
    pub fn new() -> Builder {
        Builder::over(Cursor::new(vec![]))
    }

    /// The archive's bytes.
    pub fn finish(self) -> Result<Vec<u8>> {
        Ok(self.close()?.into_inner())
    }
}

impl<W: Write + Seek> Builder<W> {
    /// An empty archive that goes where `w` leads.
    pub fn over(w: W) -> Builder<W> {
        Builder { zip: ZipWriter::new(w) }
    }

    /// Adds an entry.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.add_written(name, bytes.len() as u64, |w| {
            w.write_all(bytes).map_err(|e| Error::new(ErrorKind::Io, "cannot write").fact("reason", e))
        })
    }

    /// Adds an entry of about so many bytes that `write` writes piece by piece.
    pub fn add_written(
        &mut self,
        name: &str,
        about: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let options =
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(about > LARGE);
        let started = self.zip.start_file(name, options);
        started.map_err(|e| Error::new(ErrorKind::Io, "cannot write").fact("reason", e).fact("entry", name))?;
        write(&mut self.zip).map_err(|e| e.fact("entry", name))
    }

    /// Writes the list of entries; gives back where the archive went.
    pub fn close(self) -> Result<W> {
        self.zip.finish().map_err(|e| Error::new(ErrorKind::Io, "cannot finish the archive").fact("reason", e))
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
