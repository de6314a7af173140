//! Keras 3's `.keras`: a zip of `metadata.json`, `config.json` and `model.weights.h5`, and one entry of our own.

use super::archive::{Archive, Builder};
use super::compile_config;
use super::hdf5::Hdf5;
use super::legacy::{self, Age};
use super::{KERAS, model_from_json, weights};
use crate::data::{malformed, mark, open_file, python_json, read_file, write_file, write_with};
use crate::models::{Model, parse_model};
use crate::{Error, ErrorKind, Result, Tensor};
use serde_json::{Value, json};
use std::io::{BufWriter, Seek, Write};
use std::path::Path;

/// Opens a model file of Keras 1 to 3, told by its content: `.keras`, whole-model `.h5`, or the JSON of an architecture (with new weights).
/// The model is compiled if the file says how, and its optimizer goes on where the file's stood.
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    let path = path.as_ref();
    let (mut file, length) = open_file(path)?;
    let opened = match mark(&mut file, path)? {
        [0x89, b'H', b'D', b'F'] => Hdf5::from_reader(file).and_then(|f| legacy::load(&f)),
        [b'{' | b' ' | b'\n' | b'\r' | b'\t', ..] => {
            read_file(path).and_then(|text| model_from_json(&String::from_utf8_lossy(&text)))
        }
        [b'P', b'K', ..] => Archive::open_file(file).and_then(from_archive),
        _ => Err(Error::new(ErrorKind::File, "this is no model file")
            .expected(".keras (a zip archive), .h5 (HDF5) or .json (an architecture)")
            .received(if length == 0 { "an empty file" } else { "a file that begins as none of them" })),
    };
    opened.map_err(|e| e.fact("file", path.display()))
}

/// No model's configuration is longer.
const LARGEST_CONFIG: u64 = 64 << 20;
/// Keras stores weights as they are; packed ones may be so many times larger than the file, but not as small files may claim.
const LARGEST_RATIO: u64 = 20;
const SMALL: u64 = 64 << 20;

fn from_archive(mut archive: Archive) -> Result<Model> {
    let most = archive.len().saturating_mul(LARGEST_RATIO).max(SMALL);
    let text = archive.read_at_most("config.json", LARGEST_CONFIG)?;
    let config: Value = python_json(&text).map_err(|e| e.fact("entry", "config.json"))?;
    // Keras 2.12 to 2.15 wrote this container with the configurations of their time.
    let version =
        archive.contains("metadata.json").then(|| archive.read_at_most("metadata.json", LARGEST_CONFIG)).transpose()?;
    let version: Option<Value> = version.and_then(|text| serde_json::from_slice(&text).ok());
    let age = Age::of(version.as_ref().and_then(|v| v["keras_version"].as_str()).or(Some("3.0")), None);
    let config = legacy::modernize(config, age).map_err(|e| e.fact("entry", "config.json"))?;
    let parsed = parse_model(&config, 0).map_err(|e| e.fact("entry", "config.json"))?;
    let mut model = Model::of_network(parsed.name, parsed.sequential, parsed.network);
    let file =
        Hdf5::from_reader(archive.entry("model.weights.h5", most)?).map_err(|e| e.fact("entry", "model.weights.h5"))?;
    weights::assign(&model.layers(), &file)?;
    if let Some(recipe) = config.get("compile_config").and_then(compile_config::read).transpose()? {
        model.compile_with(recipe)?;
        weights::assign_optimizer(&mut model, &file)?;
    }
    if archive.contains(OURS) {
        resume(&mut model, &archive.read_at_most(OURS, LARGEST_CONFIG)?)?;
    }
    Ok(model)
}

/// The entry in which Kerast keeps what it needs to go on exactly and Keras does not save. Keras leaves it alone.
const OURS: &str = "kerast.json";

/// Takes up the random key where the file's training left it.
fn resume(model: &mut Model, text: &[u8]) -> Result<()> {
    let v: Value = serde_json::from_slice(text).map_err(|e| malformed("JSON", e).fact("entry", OURS))?;
    let key: Vec<u32> =
        v["random_key"].as_array().into_iter().flatten().filter_map(|n| u32::try_from(n.as_u64()?).ok()).collect();
    if let [_, _, _] = key[..] {
        model.set_random_key(Tensor::new(&[3], &key)?);
    }
    Ok(())
}

impl Model {
    /// Every variable's value under its dataset in `model.weights.h5`: `layers/dense/vars/0`.
    pub fn weights_by_dataset(&self) -> Result<Vec<(String, Tensor)>> {
        let cells = self.built()?.cells();
        weights::datasets(&cells, "").into_iter().map(|(p, v)| Ok((p, v.value()?))).collect()
    }

    /// Writes the model, whole or not at all, in the format of the ending: `.keras`; `.h5` as Keras 3 still writes it; `.json`, the
    /// architecture; `.weights.h5`, `.npz` and `.safetensors`, the weights.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let name = path.to_string_lossy();
        if name.ends_with(".weights.h5") {
            return self.save_weights(path);
        }
        match path.extension().and_then(|e| e.to_str()) {
            Some("keras") => write_with(path, |f| {
                let mut archive = Builder::over(BufWriter::new(f));
                add_model(self, &mut archive)?;
                let flushed = archive.close()?.flush();
                flushed.map_err(|e| Error::new(ErrorKind::Io, "cannot write").fact("reason", e))
            }),
            Some("h5" | "hdf5") => {
                let tree = legacy::tree(self)?;
                write_with(path, |f| tree.write(f))
            }
            Some("json") => write_file(path, self.to_json()?.as_bytes()),
            Some("npz" | "safetensors") => self.save_weights(path),
            _ => Err(Error::new(ErrorKind::Argument, "models have no format of this ending")
                .expected(".keras, .h5, .json, .weights.h5, .npz or .safetensors")
                .received(path.display())),
        }
    }
}

/// Adds the entries of a `.keras` file.
pub(crate) fn add_model<W: Write + Seek>(model: &Model, archive: &mut Builder<W>) -> Result<()> {
    let file = weights::whole_tree(model, &*model.built()?)?;
    archive.add("metadata.json", json!({"keras_version": KERAS, "date_saved": date()}).to_string().as_bytes())?;
    archive.add("config.json", model.to_json()?.as_bytes())?;
    archive.add_written("model.weights.h5", file.data_len(), |w| file.write(w))?;
    match model.random_key().and_then(|k| k.as_slice::<u32>().map(<[u32]>::to_vec)) {
        Some(key) => archive.add(OURS, json!({"version": 1, "random_key": key}).to_string().as_bytes()),
        None => Ok(()),
    }
}

/// Sets a model's weights, its optimizer's variables and its random key from the entries of a `.keras` file.
pub(crate) fn restore_model(model: &mut Model, archive: &mut Archive) -> Result<()> {
    let file = Hdf5::from_reader(archive.entry("model.weights.h5", u64::MAX)?)
        .map_err(|e| e.fact("entry", "model.weights.h5"))?;
    weights::assign(&model.layers(), &file)?;
    if model.compiled.is_some() {
        weights::assign_optimizer(model, &file)?;
    }
    match archive.contains(OURS) {
        true => resume(model, &archive.read_at_most(OURS, LARGEST_CONFIG)?),
        false => Ok(()),
    }
}

/// Today in Keras' form: `2026-11-25@06:50:00`.
fn date() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, seconds) = ((now / 86_400) as i64, now % 86_400);
    // Days since 1970 to a date of the Gregorian calendar (years begin in March, so that leap days come last).
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}@{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
