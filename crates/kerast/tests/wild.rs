//! Keras files by other hands: `KERAST_WILD_DIR=/path cargo test --release -p kerast --test wild -- --nocapture`.
//!
//! Every HDF5 file with an architecture below the folder is loaded; where the output of the Keras that wrote it lies beside it
//! (`NAME.tfk.npz`, `NAME.npz`, `*_inputs_and_outputs.h5`), the prediction must equal it. A few such files are in the repository.

use kerast::data::npz::Npz;
use kerast::prelude::*;
use kerast::saving::hdf5::Hdf5;
use kerast::train::Arrays;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    std::env::var_os("KERAST_WILD_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wild"), PathBuf::from)
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    all.sort();
    for path in all {
        match path.is_dir() {
            true => files(&path, out),
            false if path.extension().is_some_and(|e| e == "h5" || e == "hdf5" || e == "keras") => out.push(path),
            false => {}
        }
    }
}

/// Files whose record cannot be met, and why.
const EXCEPTIONS: [(&str, &str); 3] = [
    ("_theano_2.h5", "recorded by tf-keras, which does not turn Theano's kernels around as Keras 2 did"),
    ("activations/", "recorded on data with one axis more than the model's input has"),
    ("simple_sparse_xent_mlp_keras_2_model.h5", "recorded on data with one axis more than the model's input has"),
];

/// The inputs and outputs that the Keras of the file gave, in order.
fn recorded(path: &Path) -> Option<(Vec<Tensor>, Vec<Tensor>)> {
    let beside = |ending: &str, letter: &str| -> Vec<Tensor> {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        let Ok(mut npz) = Npz::open(&name) else { return vec![] };
        let names = npz.names();
        let series = (0..).map(|i| format!("{letter}{i}")).take_while(|n| names.contains(n));
        series.filter_map(|n| npz.tensor(&n).ok()).collect()
    };
    let first = |letter: &str| {
        Some(beside(".tfk.npz", letter)).filter(|v| !v.is_empty()).unwrap_or_else(|| beside(".npz", letter))
    };
    let (x, y) = (first("x"), first("y"));
    if !x.is_empty() && !y.is_empty() {
        return Some((x, y));
    }
    let text = path.to_str()?;
    let file =
        Hdf5::open(text.replace("_model.h5", "_inputs_and_outputs.h5").replace("_model_", "_inputs_and_outputs_"))
            .ok()?;
    let all = |group: &str| -> Vec<Tensor> {
        let names = file.datasets(group).unwrap_or_default();
        names.iter().filter_map(|n| file.tensor(&format!("{group}/{n}")).ok()).collect()
    };
    let (x, y) = (all("inputs"), all("predictions"));
    (!x.is_empty() && !y.is_empty()).then_some((x, y))
}

enum Outcome {
    Equal,
    Loaded,
    Missing(String),
    Wrong(String),
}

fn check(path: &Path) -> Option<Outcome> {
    let holds = |file: &Hdf5| file.text("", "model_config").is_ok_and(|t| t.is_some());
    if Hdf5::open(path).is_ok_and(|f| !holds(&f)) {
        return None;
    }
    let mut model = match load_model(path) {
        Ok(m) => m,
        Err(e) => {
            let known = ["there is no", "holds Python code", "cannot be read", "is not supported", "leaves nothing"];
            return Some(match known.iter().find(|k| e.message().contains(**k)) {
                Some(_) => Outcome::Missing(e.message().to_string()),
                None => Outcome::Wrong(e.to_string()),
            });
        }
    };
    let Some((x, want)) = recorded(path) else { return Some(Outcome::Loaded) };
    let n = x[0].shape().first().copied().unwrap_or(1).max(1);
    let x = Arrays(x.into_iter().map(|t| (None, t)).collect());
    let got = match model.predict(x).batch_size(n).all() {
        Ok(got) => got,
        Err(e) => return Some(Outcome::Wrong(format!("predict: {e}"))),
    };
    for (g, w) in got.iter().zip(&want) {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-4 * (1.0 + b.abs()) || a.is_nan() && b.is_nan();
        let (a, b) = (g.to_f64_vec(), w.to_f64_vec());
        if a.len() != b.len() || !a.iter().zip(&b).all(near) {
            let first = a.iter().zip(&b).find(|p| !near((p.0, p.1)));
            return Some(Outcome::Wrong(format!("shape {:?} for {:?}; {first:?}", g.shape(), w.shape())));
        }
    }
    Some(Outcome::Equal)
}

#[test]
fn wild_files_predict_what_their_keras_predicted() {
    let folder = folder();
    let mut all = vec![];
    files(&folder, &mut all);
    let (mut passed, mut loaded, mut failed) = (0, 0, 0);
    let mut missing: BTreeMap<String, usize> = BTreeMap::new();
    for path in all {
        let outcome = std::panic::catch_unwind(|| check(&path)).unwrap_or(Some(Outcome::Wrong("panicked".into())));
        match outcome {
            None => {}
            Some(Outcome::Equal) => passed += 1,
            Some(Outcome::Loaded) => loaded += 1,
            Some(Outcome::Missing(why)) => *missing.entry(why).or_default() += 1,
            Some(Outcome::Wrong(why)) => {
                let name = path.to_string_lossy();
                if let Some((_, reason)) = EXCEPTIONS.iter().find(|(part, _)| name.contains(part)) {
                    *missing.entry(reason.to_string()).or_default() += 1;
                    continue;
                }
                failed += 1;
                println!("FAILED {}: {why}", path.strip_prefix(&folder).unwrap_or(&path).display());
            }
        }
    }
    missing.iter().for_each(|(why, n)| println!("skipped {n:>4}  {why}"));
    println!(
        "{passed} passed, {loaded} loaded without a record, {failed} failed, {} skipped",
        missing.values().sum::<usize>()
    );
    assert_eq!(failed, 0, "files differ from their Keras");
}
