//! How a legacy file says that its model was compiled.

use super::Age;
use crate::Result;
use crate::models::Model;
use crate::saving::compile_config;
use crate::saving::hdf5::Hdf5;
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
    if let Some(Ok(recipe)) = compile_config::read(&recipe) {
        // An unknown metric, say, leaves the model uncompiled.
        let _ = model.compile_with(recipe);
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
