//! Cases in files: layers, models, training runs.

use super::support::{Case, Outcome, close, folder, judge, registered};
use kerast::callbacks::ReduceLrOnPlateau;
use kerast::data::npz::Npz;
use kerast::models::Model;
use kerast::optimizers::Sgd;
use kerast::saving::load_model;
use kerast::train::Arrays;
use kerast::{Error, Tensor};

fn path(case: &Case, key: &str) -> Option<std::path::PathBuf> {
    case.index["files"][key].as_str().map(|f| folder().join(f))
}

fn has(case: &Case, tag: &str) -> bool {
    case.index["tags"].as_array().is_some_and(|t| t.iter().any(|x| x == tag))
}

fn open(case: &Case) -> Result<(Model, Npz), Outcome> {
    for tag in ["quantized", "lora"] {
        if has(case, tag) {
            return Err(Outcome::Skipped(format!("{tag} layers")));
        }
    }
    let fail = |e: Error| registered(&e, &case.class);
    let model = load_model(path(case, "model").unwrap_or_default()).map_err(|e| {
        if e.message().starts_with("bounding boxes") {
            return Outcome::Skipped("bounding boxes".into());
        }
        match e.message().starts_with("there is no layer") {
            true => Outcome::Skipped(e.message().trim_start_matches("there is no layer named ").to_string()),
            false => registered(&e, &case.class),
        }
    })?;
    let arrays = Npz::open(path(case, "arrays").unwrap_or_default()).map_err(fail)?;
    Ok((model, arrays))
}

/// `x0, x1, …` or `t0, t1, …`.
fn series(npz: &mut Npz, letter: &str) -> Result<Vec<Tensor>, String> {
    let names = npz.names();
    let mut out = vec![];
    while names.contains(&format!("{letter}{}", out.len())) {
        let name = format!("{letter}{}", out.len());
        out.push(npz.tensor(&name).map_err(|e| e.to_string())?);
    }
    Ok(out)
}

fn named(tensors: &[Tensor]) -> Arrays {
    Arrays(tensors.iter().map(|t| (None, t.clone())).collect())
}

fn tolerance(case: &Case, part: &str) -> f64 {
    case.index["tolerance"][part].as_f64().unwrap_or(1e-5)
}

fn same(got: &Tensor, want: &Tensor, tolerance: f64, what: &str) -> Result<(), String> {
    if got.shape() != want.shape() {
        return Err(format!("{what}: shape {:?}, Keras has {:?}", got.shape(), want.shape()));
    }
    let want: Vec<Option<f64>> = want.to_f64_vec().into_iter().map(Some).collect();
    close(&got.to_f64_vec(), &want, tolerance).map_err(|e| format!("{what}: {e}"))
}

/// Keras' layers also take one sample beside several; its models, as ours, do not.
fn repeated(t: &mut Tensor, n: usize) -> Result<(), String> {
    if t.shape().first() == Some(&1) && n > 1 {
        let shape = [&[n], &t.shape()[1..]].concat();
        *t = Tensor::from_le_bytes(t.dtype(), &shape, &t.bytes().repeat(n)).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn predict(case: &Case, model: &mut Model, npz: &mut Npz) -> Result<(), String> {
    let mut x = series(npz, "x")?;
    let n = x.first().map_or(1, |t| t.shape()[0]);
    x.iter_mut().try_for_each(|t| repeated(t, n))?;
    let got = model.predict(named(&x)).batch_size(n).all().map_err(|e| e.to_string())?;
    for (i, y) in series(npz, "y")?.iter().enumerate() {
        let g = got.get(i).ok_or_else(|| format!("there is no output {i}"))?;
        same(g, y, tolerance(case, "predict"), &format!("y{i}"))?;
    }
    if npz.names().iter().any(|n| n == "y0_second") {
        let again = model.predict(named(&x)).batch_size(n).all().map_err(|e| e.to_string())?;
        let want = npz.tensor("y0_second").map_err(|e| e.to_string())?;
        same(&again[0], &want, tolerance(case, "predict"), "second call")?;
    }
    Ok(())
}

fn weights(model: &Model, npz: &mut Npz, tolerance: f64) -> Result<(), String> {
    let have = model.weights_by_dataset().map_err(|e| e.to_string())?;
    for name in npz.names() {
        let Some(dataset) = name.strip_prefix("w/") else { continue };
        let want = npz.tensor(&name).map_err(|e| e.to_string())?;
        let got = have.iter().find(|(p, _)| p == dataset).ok_or_else(|| format!("there is no weight {dataset}"))?;
        same(&got.1, &want, tolerance, dataset)?;
    }
    Ok(())
}

fn train(case: &Case, model: &mut Model, npz: &mut Npz) -> Result<(), String> {
    let (x, t) = (series(npz, "x")?, series(npz, "t")?);
    let text = |e: Error| e.to_string();
    model.compile(Sgd::new(0.1), "mean_squared_error").build().map_err(text)?;
    let scores = model.train_on_batch(named(&x), named(&t)).map_err(text)?;
    let loss = npz.tensor("loss").map_err(text)?.item().unwrap_or(f64::NAN);
    close(&[scores.loss()], &[Some(loss)], tolerance(case, "train")).map_err(|e| format!("loss: {e}"))?;
    weights(model, npz, tolerance(case, "train"))
}

pub(crate) fn layer(case: &Case) -> Outcome {
    let (mut model, mut npz) = match open(case) {
        Ok(m) => m,
        Err(o) => return o,
    };
    judge(predict(case, &mut model, &mut npz).and_then(|()| {
        match has(case, "train") && !has(case, "random_in_training") {
            true => train(case, &mut model, &mut npz),
            false => Ok(()),
        }
    }))
}

/// The model as `.keras`, and the same as legacy `.h5` and as JSON with `.weights.h5`.
pub(crate) fn model(case: &Case) -> Outcome {
    let plain = layer(case);
    if !matches!(plain, Outcome::Passed) {
        return plain;
    }
    judge(other_formats(case))
}

fn other_formats(case: &Case) -> Result<(), String> {
    let mut npz = Npz::open(path(case, "arrays").unwrap_or_default()).map_err(|e| e.to_string())?;
    if let Some(h5) = path(case, "legacy_h5").filter(|p| p.exists()) {
        let mut model = load_model(h5).map_err(|e| format!("legacy h5: {e}"))?;
        predict(case, &mut model, &mut npz).map_err(|e| format!("legacy h5: {e}"))?;
    }
    if let (Some(json), Some(weights)) = (path(case, "architecture_json"), path(case, "weights_h5"))
        && json.exists()
    {
        let mut model = load_model(json).map_err(|e| format!("JSON: {e}"))?;
        model.load_weights(weights).map_err(|e| format!("weights.h5: {e}"))?;
        predict(case, &mut model, &mut npz).map_err(|e| format!("JSON and weights.h5: {e}"))?;
    }
    Ok(())
}

/// Peak memory of this process so far, in MB.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM"));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Files that do harm to a trusting reader: an error that names the cause, or the right outputs; quick, and without much memory.
pub(crate) fn hostile(case: &Case) -> Outcome {
    let limit = |key: &str, default: f64| case.index["limits"][key].as_f64().unwrap_or(default);
    let (begin, before) = (std::time::Instant::now(), peak_mb());
    let opened = load_model(path(case, "model").unwrap_or_default());
    let expect = case.index["expect"].as_str().unwrap_or("error");
    let outcome = match (opened, expect) {
        (Err(e), "error" | "ok_or_error") => named_cause(case, &e),
        (Err(e), _) if e.message().starts_with("there is no") => return Outcome::Skipped(e.message().to_string()),
        (Err(e), _) => Err(format!("refused: {e}")),
        (Ok(_), "error") => Err("it was opened".into()),
        (Ok(_), _) if case.index["compare_outputs"].as_bool() == Some(false) => Ok(()),
        (Ok(mut model), _) => Npz::open(path(case, "arrays").unwrap_or_default())
            .map_err(|e| e.to_string())
            .and_then(|mut npz| predict(case, &mut model, &mut npz)),
    };
    judge(outcome.and_then(|()| {
        let (seconds, memory) = (begin.elapsed().as_secs_f64(), peak_mb() - before);
        match seconds <= limit("seconds", 5.0) && memory <= limit("extra_memory_mb", 256.0) {
            true => Ok(()),
            false => Err(format!("it took {seconds:.1} s and {memory:.0} MB")),
        }
    }))
}

fn named_cause(case: &Case, e: &Error) -> Result<(), String> {
    let text = e.to_string().to_lowercase();
    let words: Vec<&str> =
        case.index["error_should_mention"].as_array().into_iter().flatten().filter_map(|w| w.as_str()).collect();
    match words.is_empty() || words.iter().any(|w| text.contains(&w.to_lowercase())) {
        true => Ok(()),
        false => Err(format!("the error names none of {words:?}: {}", text.replace('\n', " | "))),
    }
}

pub(crate) fn fit(case: &Case) -> Outcome {
    let (mut model, mut npz) = match open(case) {
        Ok(m) => m,
        Err(o) => return o,
    };
    let f = &case.index["fit"];
    let mut run = || -> Result<(), String> {
        let text = |e: Error| e.to_string();
        let (x, mut t) = (series(&mut npz, "x")?, named(&series(&mut npz, "t")?));
        for name in npz.names() {
            if let Some(output) = name.strip_prefix("t/") {
                t.0.push((Some(output.to_string()), npz.tensor(&name).map_err(text)?));
            }
        }
        let targets = t.clone();
        let batch = f["batch_size"].as_u64().unwrap_or(32) as usize;
        let epochs = f["epochs"].as_u64().unwrap_or(1) as usize;
        let mut fit = model.fit(named(&x), t.clone()).batch_size(batch).epochs(epochs).shuffle(false).verbose(0);
        if let Some(part) = f["validation_split"].as_f64() {
            fit = fit.validation_split(part);
        }
        if let Some(weights) = f["class_weight"].as_object() {
            let pairs = weights.iter().filter_map(|(k, v)| Some((k.parse().ok()?, v.as_f64()?)));
            fit = fit.class_weight(pairs);
        }
        for c in f["callbacks"].as_array().into_iter().flatten() {
            let number = |key: &str| c["config"][key].as_f64().unwrap_or(0.0);
            match c["class"].as_str() {
                Some("ReduceLROnPlateau") => {
                    let plateau = ReduceLrOnPlateau::new(c["config"]["monitor"].as_str().unwrap_or("val_loss"));
                    let plateau = plateau.factor(number("factor")).patience(number("patience") as usize);
                    fit = fit.callback(plateau.cooldown(number("cooldown") as usize).min_lr(number("min_lr")));
                }
                other => return Err(format!("callback {other:?} is not known to this test")),
            }
        }
        let history = fit.run().map_err(text)?;
        for name in npz.names() {
            let Some(key) = name.strip_prefix("hist/") else { continue };
            let want: Vec<Option<f64>> = npz.tensor(&name).map_err(text)?.to_f64_vec().into_iter().map(Some).collect();
            close(history.get(key), &want, tolerance(case, "fit")).map_err(|e| format!("history {key}: {e}"))?;
        }
        let batch = f["evaluate_batch_size"].as_u64().unwrap_or(32) as usize;
        let scores = model.evaluate(named(&x), t).batch_size(batch).run().map_err(text)?;
        for name in npz.names() {
            let Some(key) = name.strip_prefix("eval/") else { continue };
            let want = npz.tensor(&name).map_err(text)?.item();
            let got = scores.get(key).ok_or_else(|| format!("evaluate gives no {key}"))?;
            close(&[got], &[want], tolerance(case, "fit")).map_err(|e| format!("evaluate {key}: {e}"))?;
        }
        weights(&model, &mut npz, tolerance(case, "fit"))?;
        if has(case, "resume") { resume(case, &mut npz, targets) } else { Ok(()) }
    };
    judge(run())
}

/// Goes on from the file that was saved in the middle, with its optimizer's state.
fn resume(case: &Case, npz: &mut Npz, t: Arrays) -> Result<(), String> {
    let text = |e: Error| e.to_string();
    let f = &case.index["fit"];
    let middle = f["mid_after_epochs"].as_u64().or(case.index["mid_after_epochs"].as_u64()).unwrap_or(0) as usize;
    let mut model = load_model(path(case, "mid_model").unwrap_or_default()).map_err(text)?;
    let x = series(npz, "x")?;
    let (batch, epochs) = (f["batch_size"].as_u64().unwrap_or(32), f["epochs"].as_u64().unwrap_or(1));
    let fit = model.fit(named(&x), t).batch_size(batch as usize).epochs(epochs as usize).initial_epoch(middle);
    let history = fit.shuffle(false).verbose(0).run().map_err(text)?;
    let want: Vec<Option<f64>> =
        npz.tensor("hist/loss").map_err(text)?.to_f64_vec()[middle..].iter().map(|v| Some(*v)).collect();
    close(history.get("loss"), &want, tolerance(case, "fit")).map_err(|e| format!("after going on: {e}"))?;
    weights(&model, npz, tolerance(case, "fit")).map_err(|e| format!("after going on: {e}"))
}
