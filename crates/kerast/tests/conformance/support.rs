//! Cases, comparisons, small graphs.

use kerast::{DType, Error, Tensor};
use kerast_graph::backend::cpu::evaluate;
use kerast_graph::{Trace, Type, Var};
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;

/// How a case ended.
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// One case of the index.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) class: String,
    pub(crate) index: Value,
    /// The line of a small kind's file.
    pub(crate) data: Value,
}

pub(crate) fn folder() -> PathBuf {
    std::env::var_os("KERAST_CONFORMANCE_DIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/conformance"))
}

pub(crate) fn cases() -> Vec<Case> {
    let read = |p: PathBuf| std::fs::read_to_string(&p).unwrap_or_else(|e| panic!("{}: {e}", p.display()));
    let mut files: HashMap<String, Vec<Value>> = HashMap::new();
    let lines =
        |text: &str| -> Vec<Value> { text.lines().map(|l| serde_json::from_str(l).expect("JSON lines")).collect() };
    let mut out = vec![];
    for index in lines(&read(folder().join("cases.jsonl"))) {
        let text = |key: &str| index[key].as_str().unwrap_or("").to_string();
        let data = match index["files"]["data"].as_str() {
            Some(f) => {
                let all = files.entry(f.to_string()).or_insert_with(|| lines(&read(folder().join(f))));
                let name = index["name"].as_str();
                all.iter().find(|v| v["name"].as_str() == name).cloned().unwrap_or(Value::Null)
            }
            None => Value::Null,
        };
        out.push(Case { name: text("name"), kind: text("kind"), class: text("class"), data, index });
    }
    out
}

/// Numbers of nested lists, flattened; `null` becomes `None`.
pub(crate) fn numbers(v: &Value) -> Vec<Option<f64>> {
    match v {
        Value::Array(a) => a.iter().flat_map(numbers).collect(),
        Value::Number(n) => vec![n.as_f64()],
        Value::Bool(b) => vec![Some(f64::from(u8::from(*b)))],
        Value::String(s) => vec![match s.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        }],
        _ => vec![None],
    }
}

/// The shape of nested lists.
pub(crate) fn shape(v: &Value) -> Vec<usize> {
    match v {
        Value::Array(a) => std::iter::once(a.len()).chain(a.first().map_or_else(Vec::new, shape)).collect(),
        _ => vec![],
    }
}

pub(crate) fn tensor(v: &Value, dtype: DType) -> Tensor {
    let values: Vec<f64> = numbers(v).into_iter().map(|x| x.unwrap_or(0.0)).collect();
    Tensor::new(&shape(v), &values).expect("regular lists").cast(dtype)
}

/// `|got - want| <= tolerance * (1 + |want|)`, non-finite values alike.
pub(crate) fn close(got: &[f64], want: &[Option<f64>], tolerance: f64) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} values, {} wanted", got.len(), want.len()));
    }
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let Some(w) = w else { continue };
        let same = if w.is_finite() {
            (g - w).abs() <= tolerance * (1.0 + w.abs())
        } else {
            g == w || (g.is_nan() && w.is_nan())
        };
        if !same {
            return Err(format!("value {i} is {g}, Keras has {w}"));
        }
    }
    Ok(())
}

/// Evaluates a function of constants.
pub(crate) fn compute(
    inputs: &[Tensor],
    f: impl FnOnce(&Trace, &[Var]) -> kerast::Result<Vec<Var>>,
) -> Result<Vec<Tensor>, String> {
    let trace = Trace::new();
    let vars: Vec<Var> = inputs.iter().map(|t| trace.parameter(Type::new(t.dtype(), t.shape()))).collect();
    let text = |e: Error| e.to_string();
    let outputs = f(&trace, &vars).map_err(text)?;
    let graph = trace.finish(&outputs).map_err(text)?;
    evaluate(graph.clone(), inputs).map_err(text)
}

/// Skips classes that are not in a registry; other errors are failures.
pub(crate) fn registered(e: &Error, class: &str) -> Outcome {
    let missing = e.kind() == kerast_graph::ErrorKind::Unsupported || e.message().starts_with("there is no ");
    if missing { Outcome::Skipped(class.to_string()) } else { Outcome::Failed(e.to_string()) }
}

pub(crate) fn judge(r: Result<(), String>) -> Outcome {
    r.map_or_else(Outcome::Failed, |()| Outcome::Passed)
}
