//! Keras 3's `.keras`: a zip of `metadata.json`, `config.json` and `model.weights.h5`.

use super::archive::{Archive, Builder};
use super::hdf5::Hdf5;
use super::weights;
use crate::config::{Field, Object};
use crate::data::{malformed, read_file, write_file};
use crate::losses::LossRule;
use crate::metrics::MetricRule;
use crate::models::{CompileRecipe, Model, model_json, parse_model};
use crate::optimizers::Optimizer;
use crate::{Error, ErrorKind, Result, Tensor};
use serde_json::{Value, json};
use std::path::Path;

/// Opens a `.keras` file: the network with its weights, compiled if the file says how.
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    let path = path.as_ref();
    from_bytes(read_file(path)?).map_err(|e| e.fact("file", path.display()))
}

/// No model's configuration is longer.
const LARGEST_CONFIG: u64 = 64 << 20;
/// Keras stores weights as they are; packed ones may be so many times larger than the file, but not as small files may claim.
const LARGEST_RATIO: u64 = 20;
const SMALL: u64 = 64 << 20;

fn from_bytes(bytes: Vec<u8>) -> Result<Model> {
    let most = (bytes.len() as u64).saturating_mul(LARGEST_RATIO).max(SMALL);
    let mut archive = Archive::open(bytes)?;
    let text = archive.read_at_most("config.json", LARGEST_CONFIG)?;
    let config: Value = serde_json::from_slice(&text).map_err(|e| malformed("JSON", e).fact("entry", "config.json"))?;
    let parsed = parse_model(&config, 0).map_err(|e| e.fact("entry", "config.json"))?;
    let mut model = Model::of_network(parsed.name, parsed.sequential, parsed.network);
    let file = Hdf5::from_bytes(archive.read_at_most("model.weights.h5", most)?)
        .map_err(|e| e.fact("entry", "model.weights.h5"))?;
    weights::assign(&model.layers(), &file)?;
    if let Some(recipe) = config.get("compile_config").and_then(compile_recipe).transpose()? {
        model.compile_with(recipe)?;
    }
    Ok(model)
}

/// What `compile_config` says; `None` when it says nothing.
fn compile_recipe(v: &Value) -> Option<Result<CompileRecipe>> {
    let optimizer = v.get("optimizer").filter(|o| !o.is_null())?;
    Some(Optimizer::from_json(optimizer).and_then(|optimizer| {
        Ok(CompileRecipe {
            optimizer,
            losses: outputs(v.get("loss"), &|v| Object::<dyn LossRule>::from_json(v))?,
            loss_weights: outputs(v.get("loss_weights"), &f64::from_json)?,
            metrics: metrics(v.get("metrics"))?,
            weighted_metrics: metrics(v.get("weighted_metrics"))?,
        })
    }))
}

/// One value, a list in the order of the outputs, or an object by output name: pairs of name (if any) and value.
fn outputs<T>(v: Option<&Value>, read: &dyn Fn(&Value) -> Result<T>) -> Result<Vec<(Option<String>, T)>> {
    match v {
        None | Some(Value::Null) => Ok(vec![]),
        Some(Value::Object(o)) if !o.contains_key("class_name") => {
            o.iter().filter(|(_, v)| !v.is_null()).map(|(n, v)| Ok((Some(n.clone()), read(v)?))).collect()
        }
        Some(Value::Array(a)) => a.iter().map(|v| Ok((None, read(v)?))).collect(),
        Some(one) => Ok(vec![(None, read(one)?)]),
    }
}

/// Metrics of all outputs, or by output.
fn metrics(v: Option<&Value>) -> Result<Vec<(Option<String>, crate::models::MetricArgument)>> {
    let one = |v: &Value| -> Result<crate::models::MetricArgument> {
        Ok(match v {
            Value::String(s) => crate::models::MetricArgument::word(s),
            _ => crate::models::MetricArgument::rule(Object::<dyn MetricRule>::from_json(v)?),
        })
    };
    let list = |name: Option<&String>, v: &Value| -> Result<Vec<_>> {
        let items = match v {
            Value::Null => vec![],
            Value::Array(a) => a.iter().filter(|v| !v.is_null()).collect(),
            one => vec![one],
        };
        items.into_iter().map(|v| Ok((name.cloned(), one(v)?))).collect()
    };
    match v {
        None | Some(Value::Null) => Ok(vec![]),
        Some(Value::Object(o)) if !o.contains_key("class_name") => {
            let all: Result<Vec<Vec<_>>> = o.iter().map(|(n, v)| list(Some(n), v)).collect();
            Ok(all?.into_iter().flatten().collect())
        }
        Some(v) => list(None, v),
    }
}

impl Model {
    /// Every variable's value under its dataset in `model.weights.h5`: `layers/dense/vars/0`.
    pub fn weights_by_dataset(&self) -> Result<Vec<(String, Tensor)>> {
        let cells = self.built()?.cells();
        weights::datasets(&cells, "").into_iter().map(|(p, v)| Ok((p, v.value()?))).collect()
    }

    /// Writes the network and its weights as a `.keras` file, whole or not at all.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if path.extension().is_none_or(|e| e != "keras") {
            return Err(Error::new(ErrorKind::Argument, "models are saved as `.keras` files").received(path.display()));
        }
        let network = self.built()?;
        let config = model_json(self.name(), self.is_sequential(), &network);
        let metadata = json!({"keras_version": "3.15.1", "date_saved": date()});
        let file = weights::tree(self.name(), self.is_sequential(), &network.cells())?;
        let mut archive = Builder::new();
        archive.add("metadata.json", metadata.to_string().as_bytes())?;
        archive.add("config.json", config.to_string().as_bytes())?;
        archive.add("model.weights.h5", &file.to_bytes()?)?;
        write_file(path, &archive.finish()?)
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
