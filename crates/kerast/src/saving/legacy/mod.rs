//! HDF5 files and configurations of Keras 1, 2 and 3 and of tf.keras: what came before `.keras`.
//!
//! `config` brings an old configuration to today's form, `weights` finds and rearranges the arrays, `training` reads how a model was
//! compiled. What a name meant when a file was written is what it means here: see [`Age`].

mod config;
mod tensorflow;
mod training;
mod weights;
mod write;

pub(super) use config::modernize;
pub(super) use weights::{assign, by_name};
pub(super) use write::tree;

use super::hdf5::Hdf5;
use crate::data::python_json;
use crate::models::{Model, parse_model};
use crate::{Error, ErrorKind, Result};
use serde_json::Value;

/// Who wrote a file: the version of Keras and the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// tf.keras: `2.2.4-tf` and everything from 2.5 on.
    pub(crate) tensorflow: bool,
    /// Theano convolves with kernels turned around.
    pub(crate) theano: bool,
}

impl Age {
    /// From the texts in a file; without a version it is from before Keras wrote one.
    pub(crate) fn of(version: Option<&str>, backend: Option<&str>) -> Age {
        let version = version.unwrap_or("1.0");
        let number = |i: usize| version.split(['.', '-']).nth(i).and_then(|n| n.parse().ok()).unwrap_or(0);
        let (major, minor) = (number(0), number(1));
        let tensorflow = version.contains("tf") || major == 2 && minor >= 5;
        Age { major, minor, tensorflow, theano: backend == Some("theano") }
    }

    /// Written by Keras 3.
    pub(crate) fn is_new(self) -> bool {
        self.major >= 3
    }

    /// From before recurrent layers changed their activation from `hard_sigmoid` to `sigmoid`.
    pub(crate) fn hard_gates(self) -> bool {
        self.major < 2 || self.major == 2 && self.minor < 3 && !self.tensorflow
    }
}

/// A model from an HDF5 file that holds its architecture.
pub(super) fn load(file: &Hdf5) -> Result<Model> {
    let text = file.text("", "model_config")?.ok_or_else(|| {
        Error::new(ErrorKind::File, "the file holds weights, but no architecture")
            .repair("build the model and call `load_weights`, or give the architecture's JSON file")
    })?;
    let version = version_of(file, "model_weights")?;
    let age = Age::of(version.0.as_deref(), version.1.as_deref());
    let entry = |e: Error| e.fact("entry", "attribute model_config");
    let v: Value = python_json(text.as_bytes()).map_err(entry)?;
    let parsed = parse_model(&modernize(v, age).map_err(entry)?, 0).map_err(entry)?;
    let mut model = Model::of_network(parsed.name, parsed.sequential, parsed.network);
    let group = if file.has_group("model_weights") { "model_weights" } else { "" };
    assign(&model.layers(), file, group, age)?;
    training::compile(&mut model, file, age)?;
    Ok(model)
}

/// Version and backend: at the root, or at the group of the weights.
pub(super) fn version_of(file: &Hdf5, group: &str) -> Result<(Option<String>, Option<String>)> {
    let find = |name: &str| -> Result<Option<String>> {
        match file.text("", name)? {
            Some(v) => Ok(Some(v)),
            None if file.has_group(group) => file.text(group, name),
            None => Ok(None),
        }
    };
    Ok((find("keras_version")?, find("backend")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_tell_what_names_meant() {
        assert!(Age::of(None, None).hard_gates() && Age::of(Some("2.2.4"), None).hard_gates());
        assert!(!Age::of(Some("2.2.4-tf"), None).hard_gates() && !Age::of(Some("2.3.1"), None).hard_gates());
        assert!(Age::of(Some("3.15.1"), None).is_new() && Age::of(Some("2.1.3"), Some("theano")).theano);
    }
}
