//! Weights alone: `.weights.h5` (also sharded), weights of legacy `.h5`, `.keras`, `.npz`, `.safetensors`. The format is told by the
//! content when reading, by the ending when writing.

use super::archive::Archive;
use super::hdf5::Hdf5;
use super::legacy::{self, Age};
use super::weights;
use crate::data::{malformed, mark, npz, open_file, read_file, safetensors, write_file, write_with};
use crate::models::Model;
use crate::{Error, ErrorKind, Result, Tensor};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// How weights are loaded; [`Model::load_weights`] is the plain way.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadWeights {
    by_name: bool,
    skip_mismatch: bool,
}

impl LoadWeights {
    /// Every weight, by its place.
    pub fn new() -> LoadWeights {
        LoadWeights::default()
    }

    /// Legacy files only: layers are found by name; those that the file lacks keep what they have.
    pub fn by_name(mut self, by_name: bool) -> Self {
        self.by_name = by_name;
        self
    }

    /// Weights whose shapes do not fit, or that the file lacks, keep what they have.
    pub fn skip_mismatch(mut self, skip: bool) -> Self {
        self.skip_mismatch = skip;
        self
    }

    /// Loads into a model.
    pub fn load(self, model: &Model, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.open(model, path).map_err(|e| e.fact("file", path.display()))
    }

    fn open(self, model: &Model, path: &Path) -> Result<()> {
        let (mut file, _) = open_file(path)?;
        match mark(&mut file, path)? {
            [0x89, b'H', b'D', b'F'] => self.hdf5(model, &Hdf5::from_reader(file)?),
            [b'P', b'K', ..] => {
                let mut archive = Archive::open_file(file)?;
                match archive.contains("model.weights.h5") {
                    true => self.hdf5(model, &Hdf5::from_reader(archive.entry("model.weights.h5", u64::MAX)?)?),
                    false => self.named(model, named_of_npz(path)?),
                }
            }
            mark => {
                let bytes = read_file(path)?;
                match mark[0] {
                    _ if safetensors::is_safetensors(&bytes) => self.named(model, safetensors::parse(&bytes)?),
                    b'{' => self.shards(model, &bytes, path),
                    _ => Err(malformed("weights", "it is no HDF5, npz, safetensors or .keras file")),
                }
            }
        }
    }

    fn hdf5(self, model: &Model, file: &Hdf5) -> Result<()> {
        let layers = model.layers();
        let group = if file.has_group("model_weights") { "model_weights" } else { "" };
        if file.texts(group, "layer_names")?.is_some() {
            let (version, backend) = legacy::version_of(file, group)?;
            let age = Age::of(version.as_deref(), backend.as_deref());
            return match self.by_name || self.skip_mismatch {
                true => legacy::by_name(&layers, file, group, age, self.skip_mismatch).map(|_| ()),
                false => legacy::assign(&layers, file, group, age),
            };
        }
        weights::assign_with(&layers, |path| file.tensor(path), weights::is_old(file), self.skip_mismatch)
    }

    fn named(self, model: &Model, tensors: Vec<(String, Tensor)>) -> Result<()> {
        let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
        let find = |path: &str| {
            let missing = || Error::new(ErrorKind::File, format!("the file has no array `{path}`"));
            tensors.get(path).cloned().ok_or_else(missing)
        };
        weights::assign_with(&model.layers(), find, false, self.skip_mismatch)
    }

    /// `X.weights.json`: which file holds which group.
    fn shards(self, model: &Model, text: &[u8], path: &Path) -> Result<()> {
        let v: Value = serde_json::from_slice(text).map_err(|e| malformed("JSON", e))?;
        let map = v["weight_map"].as_object().ok_or_else(|| malformed("weights", "the JSON has no `weight_map`"))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut files: HashMap<String, Hdf5> = HashMap::new();
        for name in map.values().flat_map(|v| v.as_array().map_or_else(|| vec![v], |a| a.iter().collect())) {
            let name = name.as_str().unwrap_or("");
            // A shard lies beside its map; anything else is a way out of the folder.
            if name.is_empty() || name.contains(['/', '\\', ':']) {
                return Err(Error::new(ErrorKind::File, "a shard's name leaves the folder").received(name));
            }
            if !files.contains_key(name) {
                files.insert(name.to_string(), Hdf5::open(folder.join(name))?);
            }
        }
        let find = |path: &str| {
            let missing = || Error::new(ErrorKind::File, format!("no shard holds `{path}`"));
            files.values().find(|f| f.has_dataset(path)).ok_or_else(missing)?.tensor(path)
        };
        weights::assign_with(&model.layers(), find, false, self.skip_mismatch)
    }
}

fn named_of_npz(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let mut file = npz::Npz::open(path)?;
    let names = file.names();
    names.into_iter().map(|n| Ok((n.clone(), file.tensor(&n)?))).collect()
}

impl Model {
    /// Loads weights from a file: `.weights.h5`, `.weights.json` with its shards, a legacy `.h5`, `.keras`, `.npz` or `.safetensors`.
    /// [`LoadWeights`] has the options.
    pub fn load_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        LoadWeights::new().load(self, path)
    }

    /// Writes the weights: `.h5` as Keras' `.weights.h5`, `.npz` and `.safetensors` under the names of their datasets there.
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let network = self.built()?;
        match path.extension().and_then(|e| e.to_str()) {
            Some("h5") => {
                let tree = weights::whole_tree(self, &network)?;
                write_with(path, |f| tree.write(f))
            }
            Some("npz") => {
                let all = self.saved_weights()?;
                npz::write(path, &all.iter().map(|(n, t)| (n.as_str(), t)).collect::<Vec<_>>())
            }
            Some("safetensors") => write_file(path, &safetensors::write(&self.saved_weights()?)?),
            _ => Err(Error::new(ErrorKind::Argument, "weights have no format of this ending")
                .expected(".weights.h5, .npz or .safetensors")
                .received(path.display())),
        }
    }

    /// Every saved variable: Keras' path, its dataset in `model.weights.h5`, its value.
    pub fn named_weights(&self) -> Result<Vec<(String, String, Tensor)>> {
        let cells = self.built()?.cells();
        let saved = weights::datasets(&cells, "").into_iter().filter(|(_, v)| !v.spec().seed);
        saved.map(|(p, v)| Ok((v.path().to_string(), p, v.value()?))).collect()
    }

    /// Every saved variable's value under its dataset in `model.weights.h5`; states of random generators are none.
    fn saved_weights(&self) -> Result<Vec<(String, Tensor)>> {
        Ok(self.named_weights()?.into_iter().map(|(_, dataset, value)| (dataset, value)).collect())
    }
}
