//! Architectures as JSON: `to_json`, `model_from_json`.

use super::compile_config;
use super::legacy::{self, Age};
use crate::data::python_json;
use crate::models::{Model, model_json, parse_model};
use crate::{Error, ErrorKind, Result};
use serde_json::Value;

/// A model from the JSON of any Keras, with new weights.
pub fn model_from_json(text: &str) -> Result<Model> {
    let v: Value = python_json(text.as_bytes())?;
    if v.get("class_name").is_none() {
        return Err(Error::new(ErrorKind::File, "the JSON is no model's").expected("an object with a `class_name`"));
    }
    // Keras 3 writes modules; Keras 1 and 2 write their version.
    let version = match (v.get("keras_version").and_then(Value::as_str), v.get("module")) {
        (Some(version), _) => version.to_string(),
        (None, Some(_)) => "3.0".into(),
        (None, None) => "1.2".into(),
    };
    let age = Age::of(Some(&version), v.get("backend").and_then(Value::as_str));
    let v = legacy::modernize(v, age)?;
    let parsed = parse_model(&v, 0)?;
    let mut model = Model::of_network(parsed.name, parsed.sequential, parsed.network);
    if let Some(recipe) = v.get("compile_config").and_then(compile_config::read).transpose()? {
        model.compile_with(recipe)?;
    }
    Ok(model)
}

impl Model {
    /// The architecture, and how it is compiled, as Keras 3's `to_json()` writes it.
    pub fn to_json(&self) -> Result<String> {
        Ok(self.json()?.to_string())
    }

    /// How the model is compiled, as Keras' `compile_config` says it; `None` if it is not.
    pub fn compile_config(&self) -> Result<Option<Value>> {
        let names = self.built()?.output_names();
        self.compiled.as_ref().map(|c| compile_config::write(c, &names)).transpose()
    }

    /// Compiles as Keras' `compile_config` says; the optimizer starts anew.
    pub fn compile_from_config(&mut self, config: &Value) -> Result<()> {
        let missing = || Error::new(ErrorKind::Config, "the compile config has no optimizer");
        self.compile_with(compile_config::read(config).ok_or_else(missing)??)
    }

    pub(super) fn json(&self) -> Result<Value> {
        let network = self.built()?;
        let mut v = model_json(self.name(), self.is_sequential(), &network);
        if let (Some(compiled), Some(map)) = (&self.compiled, v.as_object_mut()) {
            map.insert("compile_config".into(), compile_config::write(compiled, &network.output_names())?);
        }
        Ok(v)
    }
}
