//! Every reader of files, as a function of bytes: what the mutants of `tests/mutated.rs` and the fuzz targets in `fuzz/` go through.

use kerast::ErrorKind;
use kerast::data::{csv, idx, npy, npz, safetensors};
use kerast::prelude::*;
use kerast::saving::archive::{Archive, Builder};
use kerast::saving::hdf5::Hdf5;
use kerast::saving::model_from_json;

/// A kind of file.
pub(crate) struct Reader {
    /// Its name: that of the fuzz target and of the corpus.
    pub(crate) name: &'static str,
    /// Reads everything in such a file.
    pub(crate) read: fn(&[u8]) -> Result<()>,
}

/// All of them.
pub(crate) const READERS: &[Reader] = &[
    Reader { name: "keras", read: |b| load(b, "keras") },
    Reader { name: "legacy_h5", read: |b| load(b, "h5") },
    Reader { name: "config", read: |b| model_from_json(&String::from_utf8_lossy(b)).map(|_| ()) },
    Reader { name: "keras_config", read: |b| load(&with_config(b)?, "keras") },
    Reader { name: "hdf5", read: hdf5 },
    Reader { name: "npz", read: npz },
    Reader { name: "npy", read: |b| npy::parse(b).map(|_| ()) },
    Reader { name: "idx", read: |b| idx::parse(b).map(|_| ()) },
    Reader { name: "csv", read: |b| csv::Csv::new().parse(&String::from_utf8_lossy(b)).map(|_| ()) },
    Reader { name: "safetensors", read: |b| safetensors::parse(b).map(|_| ()) },
];

/// Through a file of this thread's own: models are opened by their path.
fn load(bytes: &[u8], ending: &str) -> Result<()> {
    let name = format!("kerast-mutant-{}-{:?}.{ending}", std::process::id(), std::thread::current().id());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).map_err(|e| Error::new(ErrorKind::File, e.to_string()))?;
    let loaded = load_model(&path).map(|_| ());
    let _ = std::fs::remove_file(&path);
    loaded
}

/// A model with layers of several kinds.
pub(crate) fn small() -> Model {
    Sequential::new().add(Conv1D::new(2, 3).input_shape([5, 3])).add(Lstm::new(2)).add(Dense::new(1))
}

/// A sound archive around this `config.json`.
fn with_config(config: &[u8]) -> Result<Vec<u8>> {
    let name = format!("kerast-sound-{}.keras", std::process::id());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !path.exists() {
        small().save(&path)?;
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::new(ErrorKind::File, e.to_string()))?;
    let mut sound = Archive::open(bytes)?;
    let mut made = Builder::new();
    for name in sound.names().to_vec() {
        let entry = sound.read(&name)?;
        made.add(&name, if name == "config.json" { config } else { &entry })?;
    }
    made.finish()
}

fn hdf5(bytes: &[u8]) -> Result<()> {
    let file = Hdf5::from_bytes(bytes.to_vec())?;
    let _ = file.text("", "model_config");
    let _ = file.texts("", "layer_names");
    for name in file.all_datasets()? {
        let _ = file.tensor(&name);
    }
    Ok(())
}

fn npz(bytes: &[u8]) -> Result<()> {
    let mut file = npz::Npz::from_bytes(bytes.to_vec())?;
    for name in file.names() {
        let _ = file.get(&name);
    }
    Ok(())
}
