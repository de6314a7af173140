//! What a model is: `summary`, `weights`.

use kerast::data::npz;
use kerast::models::Model;
use kerast::train::Profile;
use kerast::{Result, Tensor};
use serde_json::json;
use std::path::Path;

pub(crate) fn summary(mut model: Model, batch_size: Option<usize>, as_json: bool, profile: bool) -> Result<()> {
    if as_json {
        let layers: Vec<serde_json::Value> = model
            .layers()
            .iter()
            .map(|l| {
                let parameters: usize = l.variables().iter().filter(|v| !v.spec().seed).map(|v| v.ty().len()).sum();
                json!({"name": l.name(), "class_name": l.rule().class_name(), "parameters": parameters, "trainable": l.trainable()})
            })
            .collect();
        let ends = |all: Vec<(String, Vec<Option<usize>>, kerast::DType)>| -> Vec<serde_json::Value> {
            all.into_iter()
                .map(|(name, shape, dtype)| json!({"name": name, "shape": shape, "dtype": dtype.name()}))
                .collect()
        };
        let mut all = json!({
            "name": model.name(),
            "inputs": ends(model.inputs()?),
            "outputs": ends(model.outputs()?),
            "layers": layers,
            "parameters": model.count_params()?,
            "compiled": model.is_compiled(),
        });
        if let Some(n) = batch_size {
            let [parameters, optimizer, activations] = model.memory_at(n)?;
            all["bytes"] =
                json!({"batch_size": n, "parameters": parameters, "optimizer": optimizer, "activations": activations});
        }
        say!("{all:#}");
        return Ok(());
    }
    let text = match batch_size {
        Some(n) => model.summary_at(n)?,
        None => model.summary()?,
    };
    say!("{}", text.trim_end());
    if profile {
        say!("\n{}", Profile::of_serving(&mut model, batch_size.unwrap_or(1), 50)?);
    }
    Ok(())
}

pub(crate) fn weights(model: &Model, output: Option<&Path>) -> Result<()> {
    let mut all: Vec<(String, Tensor)> = vec![];
    for (path, dataset, value) in model.named_weights()? {
        say!("{path:<48} {dataset:<48} {:?} {}", value.shape(), value.dtype());
        all.push((dataset, value));
    }
    match output {
        Some(file) => npz::write(file, &all.iter().map(|(n, t)| (n.as_str(), t)).collect::<Vec<_>>()),
        None => Ok(()),
    }
}
