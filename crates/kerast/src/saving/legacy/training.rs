//! How a legacy file says that its model was compiled.

use super::Age;
use crate::models::Model;
use crate::saving::compile_config;
use crate::saving::hdf5::Hdf5;
use crate::{Result, Tensor};
use serde_json::{Value, json};

/// Compiles the model as the file says. A file whose loss or optimizer nobody knows here still opens: to predict it needs neither.
pub(super) fn compile(model: &mut Model, file: &Hdf5, age: Age) -> Result<()> {
    let Some(text) = file.text("", "training_config")? else { return Ok(()) };
    let Ok(v) = serde_json::from_str::<Value>(&text) else { return Ok(()) };
    let Some(optimizer) = v.get("optimizer_config").or_else(|| v.get("optimizer")).cloned() else { return Ok(()) };
    let recipe = json!({
        "optimizer": if age.is_new() { optimizer } else { modern_optimizer(optimizer) },
        "loss": v.get("loss"),
        "loss_weights": v.get("loss_weights"),
        "metrics": v.get("metrics"),
        "weighted_metrics": v.get("weighted_metrics"),
    });
    // An unknown metric, say, leaves the model uncompiled.
    let recipe = compile_config::read(&recipe).and_then(|r| r.ok());
    match recipe.map(|r| model.compile_with(r)) {
        Some(Ok(())) => optimizer_state(model, file, age),
        _ => Ok(()),
    }
}

const OPTIMIZER: &str = "optimizer_weights";

/// The optimizer's variables. Where they are other ones than this optimizer has, it begins anew.
fn optimizer_state(model: &mut Model, file: &Hdf5, age: Age) -> Result<()> {
    if !file.has_group(OPTIMIZER) {
        return Ok(());
    }
    let names = file.texts(OPTIMIZER, "weight_names")?.unwrap_or_default();
    let arrays = names.iter().map(|n| file.tensor(&format!("{OPTIMIZER}/{n}"))).collect::<Result<Vec<_>>>()?;
    let wanted = model.optimizer_slots()?;
    let weights = wanted.iter().filter_map(|(_, w)| *w).max().map_or(0, |w| w + 1);
    let values = match age.is_new() {
        true => Some(arrays),
        // Keras 2: the iteration, then the first slots of all weights, then the second ones, and so on.
        false => {
            let mut seen = vec![0; weights];
            let value = |(v, w): &(Tensor, Option<usize>), i: usize| match w {
                None if i == 0 => arrays.first().cloned(),
                None => Some(v.clone()),
                Some(w) => {
                    seen[*w] += 1;
                    arrays.get(1 + (seen[*w] - 1) * weights + w).cloned()
                }
            };
            let mut value = value;
            let all: Option<Vec<Tensor>> = wanted.iter().enumerate().map(|(i, v)| value(v, i)).collect();
            all.filter(|_| arrays.len() == 1 + wanted.iter().filter(|v| v.1.is_some()).count())
        }
    };
    if let Some(values) =
        values.filter(|v| v.len() == wanted.len() && v.iter().zip(&wanted).all(|(a, b)| a.shape() == b.0.shape()))
    {
        model.set_optimizer_variables(values)?;
    }
    Ok(())
}

fn modern_optimizer(mut v: Value) -> Value {
    if let Some(Value::Object(c)) = v.get_mut("config") {
        if let Some(rate) = c.remove("lr") {
            c.entry("learning_rate").or_insert(rate);
        }
        let decay = c.remove("decay").and_then(|d| d.as_f64()).unwrap_or(0.0);
        if let (true, Some(rate)) = (decay > 0.0, c.get("learning_rate").and_then(Value::as_f64)) {
            let schedule = json!({"class_name": "InverseTimeDecay",
                "config": {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay, "staircase": false}});
            c.insert("learning_rate".into(), schedule);
        }
        if c.get("epsilon").is_some_and(Value::is_null) {
            c.remove("epsilon");
        }
        for key in ["schedule_decay", "is_legacy_optimizer", "jit_compile"] {
            c.remove(key);
        }
        // tf.keras' clipping is there only when it is used.
        c.retain(|_, v| !v.is_null());
    }
    v
}
