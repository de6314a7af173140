//! Keras' `compile_config`: optimizer, losses, metrics.

use crate::Result;
use crate::config::{Field, Object};
use crate::losses::LossRule;
use crate::metrics::MetricRule;
use crate::models::{CompileRecipe, Compiled, Losses, MetricArgument, Wanted};
use crate::optimizers::{Optimizer, OptimizerRule};
use serde_json::{Map, Value, json};

/// What `compile_config` says; `None` when it says nothing.
pub(super) fn read(v: &Value) -> Option<Result<CompileRecipe>> {
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
fn metrics(v: Option<&Value>) -> Result<Vec<(Option<String>, MetricArgument)>> {
    let one = |v: &Value| -> Result<MetricArgument> {
        Ok(match v {
            Value::String(s) => MetricArgument::word(s),
            _ => MetricArgument::rule(Object::<dyn MetricRule>::from_json(v)?),
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

/// As Keras writes it, for a model with these outputs.
pub(super) fn write(compiled: &Compiled, outputs: &[String]) -> Result<Value> {
    let mut optimizer = <dyn OptimizerRule as crate::config::Family>::serialize(&*compiled.optimizer);
    // Keras holds the rate in f32 and writes what that is.
    if let Some(rate) = optimizer.pointer_mut("/config/learning_rate")
        && let Some(v) = rate.as_f64()
    {
        *rate = f64::from(v as f32).into();
    }
    let loss = match &compiled.losses {
        Losses::One(l) => l.to_json(),
        Losses::List(all) => Value::Array(all.iter().map(Field::to_json).collect()),
        Losses::Named(pairs) => Value::Object(pairs.iter().map(|(n, l)| (n.clone(), l.to_json())).collect()),
    };
    let weights = &compiled.loss_weights;
    let loss_weights = match weights.first() {
        None => Value::Null,
        Some((None, _)) => Value::Array(weights.iter().map(|(_, w)| (*w).into()).collect()),
        Some(_) => Value::Object(weights.iter().filter_map(|(n, w)| Some((n.clone()?, (*w).into()))).collect()),
    };
    Ok(json!({
        "optimizer": optimizer,
        "loss": loss,
        "loss_weights": loss_weights,
        "metrics": metrics_json(&compiled.metrics, outputs),
        "weighted_metrics": metrics_json(&compiled.weighted, outputs),
        "run_eagerly": false,
        "steps_per_execution": 1,
        "jit_compile": true,
    }))
}

/// A list for one output, an object by name for several; null for none.
fn metrics_json(all: &[(Option<String>, Vec<MetricArgument>)], outputs: &[String]) -> Value {
    let one = |m: &MetricArgument| match &m.0 {
        Wanted::Word(w) => Value::from(w.as_str()),
        Wanted::Rule(r) => r.to_json(),
    };
    let of = |output: &String| -> Vec<Value> {
        let mine = all.iter().filter(|(n, _)| n.as_ref().is_none_or(|n| n == output));
        mine.flat_map(|(_, m)| m.iter().map(one)).collect()
    };
    match outputs {
        _ if all.iter().all(|(_, m)| m.is_empty()) => Value::Null,
        [only] => Value::Array(of(only)),
        many => Value::Object(many.iter().map(|o| (o.clone(), of(o).into())).collect::<Map<String, Value>>()),
    }
}
