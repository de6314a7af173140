//! Readers and writers of data files: NumPy's npy and npz, MNIST's idx, CSV.

pub mod csv;
pub mod idx;
pub mod npy;
pub mod npz;
pub mod safetensors;

use crate::{Error, ErrorKind, Result};
use std::fs::File;
use std::path::Path;

/// Reads a whole file; the error says what lies near when there is no such file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let (mut file, length) = open_file(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    let read = std::io::Read::read_to_end(&mut file, &mut bytes);
    read.map_err(|e| Error::new(ErrorKind::Io, format!("cannot read {}", path.display())).fact("reason", e))?;
    Ok(bytes)
}

/// Opens a file and tells its length, with the same error.
pub(crate) fn open_file(path: &Path) -> Result<(File, u64)> {
    let opened = File::open(path).and_then(|f| f.metadata().map(|m| (f, m.len())));
    opened.map_err(|e| {
        let error = Error::new(ErrorKind::Io, format!("cannot read {}", path.display())).fact("reason", &e);
        if e.kind() != std::io::ErrorKind::NotFound {
            return error;
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let name = path.file_name().map(|n| n.to_string_lossy().to_string()).unwrap_or_default();
        let there: Vec<String> = std::fs::read_dir(folder)
            .map(|d| d.flatten().map(|e| e.file_name().to_string_lossy().to_string()).collect())
            .unwrap_or_default();
        let near = kerast_graph::error::nearest(&name, there.iter().map(String::as_str));
        match (near.is_empty(), there.is_empty()) {
            (false, _) => error.repair(format!("did you mean {}?", near.join(", "))),
            (true, false) => error,
            (true, true) => error.repair(format!("the folder {} does not exist or is empty", folder.display())),
        }
    })
}

/// The first four bytes of a file, which tell its format; zeros where it ends before.
pub(crate) fn mark(file: &mut File, path: &Path) -> Result<[u8; 4]> {
    let failed =
        |e: std::io::Error| Error::new(ErrorKind::Io, format!("cannot read {}", path.display())).fact("reason", e);
    let mut first = [0; 4];
    let mut at = 0;
    while at < first.len() {
        match std::io::Read::read(file, &mut first[at..]).map_err(failed)? {
            0 => break,
            n => at += n,
        }
    }
    Ok(first)
}

/// The number of this process, which temporary files are named after; on WebAssembly there is one process without a number.
pub(crate) fn process_id() -> u32 {
    if cfg!(target_family = "wasm") { 0 } else { std::process::id() }
}

/// Writes a file whole: under a temporary name in the same folder, then renamed, so that a reader never sees half of it.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |f| {
        std::io::Write::write_all(f, bytes).map_err(|e| Error::new(ErrorKind::Io, "cannot write").fact("reason", e))
    })
}

/// The same for a file that is written piece by piece.
pub(crate) fn write_with(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let failed =
        |e: std::io::Error| Error::new(ErrorKind::Io, format!("cannot write {}", path.display())).fact("reason", e);
    let name =
        path.file_name().ok_or_else(|| Error::new(ErrorKind::Io, format!("{} is no file name", path.display())))?;
    let temporary = path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), process_id()));
    let written = File::create(&temporary).map_err(failed).and_then(|mut f| {
        write(&mut f).map_err(|e| e.fact("file", path.display()))?;
        f.sync_all().map_err(failed)
    });
    let renamed = written.and_then(|()| std::fs::rename(&temporary, path).map_err(failed));
    renamed.inspect_err(|_| _ = std::fs::remove_file(&temporary))
}

/// JSON as Python writes it: `NaN`, `Infinity` and `-Infinity` become strings, as which configs read numbers, too.
pub(crate) fn python_json(text: &[u8]) -> Result<serde_json::Value> {
    if let Ok(v) = serde_json::from_slice(text) {
        return Ok(v);
    }
    let (mut out, mut at, mut inside) = (Vec::with_capacity(text.len() + 64), 0, false);
    while at < text.len() {
        let word = [&b"-Infinity"[..], b"Infinity", b"NaN"].into_iter().find(|w| !inside && text[at..].starts_with(w));
        if let Some(word) = word {
            out.extend([b"\"", word, b"\""].concat());
            at += word.len();
            continue;
        }
        if inside && text[at] == b'\\' && at + 1 < text.len() {
            out.extend(&text[at..at + 2]);
            at += 2;
            continue;
        }
        inside ^= text[at] == b'"';
        out.push(text[at]);
        at += 1;
    }
    serde_json::from_slice(&out).map_err(|e| malformed("JSON", e))
}

/// A malformed file.
pub(crate) fn malformed(what: &str, reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::File, format!("this is not a valid {what} file")).fact("reason", reason)
}

/// Unpacks gzip, to at most `limit` bytes.
pub(crate) fn gunzip(bytes: &[u8], limit: u64) -> Result<Vec<u8>> {
    let mut out = vec![];
    let mut reader = std::io::Read::take(flate2::read::GzDecoder::new(bytes), limit + 1);
    std::io::Read::read_to_end(&mut reader, &mut out).map_err(|e| malformed("gzip", e))?;
    match out.len() as u64 > limit {
        true => Err(malformed("gzip", format!("it unpacks to more than {limit} bytes"))),
        false => Ok(out),
    }
}
