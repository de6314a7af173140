//! Operations of `keras.ops` in a functional model. Keras saves each as a node whose class is the operation, between the layers.
//!
//! An operation is one line in one of the tables: class name and formula.

mod arithmetic;
mod neural;
mod reductions;
mod shapes;

use crate::config::{Config, Family, Field, Json, wrong};
use crate::layers::{Base, Call, LayerRule};
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::Var;
use kerast_graph::error::nearest;
use serde_json::Value;

/// A line of the tables.
pub(super) struct Op {
    pub(super) class: &'static str,
    pub(super) call: fn(&Given<'_>) -> Result<Vec<Var>>,
}

/// Writes a table: `"Add" => |g| g.x()? + g.y()?;`, with one result or a list of them.
macro_rules! operations {
    ($($class:literal => |$g:ident| $formula:expr;)*) => {
        pub(super) const TABLE: &[$crate::layers::operations::Op] = &[$(
            $crate::layers::operations::Op {
                class: $class,
                call: |$g| Ok($crate::layers::operations::Results::from($formula).0),
            },
        )*];
    };
}
use operations;

/// One result, or several.
pub(super) struct Results(Vec<Var>);

impl From<Var> for Results {
    fn from(y: Var) -> Self {
        Results(vec![y])
    }
}
impl From<Vec<Var>> for Results {
    fn from(all: Vec<Var>) -> Self {
        Results(all)
    }
}

/// What an operation is given: its config, and the arguments of its call, in which tensors stand for the inputs in order.
pub(super) struct Given<'a> {
    config: &'a Json,
    fixed: &'a Json,
    inputs: &'a [Var],
}

impl Given<'_> {
    fn argument(&self, i: usize) -> Option<&Value> {
        self.fixed.get("args").and_then(|a| a.get(i))
    }

    /// Argument `i` as a value of the graph; a number takes the type of the first input, or f32 if it has a fraction and that has none.
    pub(super) fn var(&self, i: usize) -> Result<Var> {
        let missing = || Error::new(ErrorKind::Config, format!("argument {i} of the operation is missing"));
        let v = self.argument(i).ok_or_else(missing)?;
        if is_tensor(v) {
            let before: usize = (0..i).filter_map(|k| self.argument(k)).map(tensors).sum();
            return self.inputs.get(before).cloned().ok_or_else(missing);
        }
        let number = v.as_bool().map(f64::from).or_else(|| f64::from_json(v).ok());
        let number = number.ok_or_else(|| wrong("a number or a value of the network", v))?;
        let like = self.inputs.first().ok_or_else(missing)?;
        let dtype = if v.is_f64() && !like.dtype().is_float() { DType::F32 } else { like.dtype() };
        Ok(like.trace().scalar(dtype, number))
    }

    /// The first argument.
    pub(super) fn x(&self) -> Result<Var> {
        self.var(0)
    }

    /// The first two arguments, brought to one element type.
    pub(super) fn both(&self) -> Result<(Var, Var)> {
        let (x, y) = (self.var(0)?, self.var(1)?);
        let wider = common(x.dtype(), y.dtype());
        Ok((x.convert(wider), y.convert(wider)))
    }

    /// Every input.
    pub(super) fn inputs(&self) -> &[Var] {
        self.inputs
    }

    /// The first argument in a float type.
    pub(super) fn float(&self) -> Result<Var> {
        let x = self.x()?;
        Ok(if x.dtype().is_float() { x } else { x.convert(DType::F32) })
    }

    /// A setting: from the config, else from the call, by name or by place.
    pub(super) fn setting(&self, name: &str, place: usize) -> Option<&Value> {
        let found = self.config.get(name).or_else(|| self.fixed.get(name)).or_else(|| self.argument(place));
        found.filter(|v| !v.is_null())
    }

    /// A number among the settings.
    pub(super) fn number(&self, name: &str, default: f64) -> f64 {
        self.setting(name, usize::MAX).and_then(Value::as_f64).unwrap_or(default)
    }

    /// A switch among the settings.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.setting(name, usize::MAX).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A whole number among the settings.
    pub(super) fn whole(&self, name: &str) -> Result<i64> {
        let missing = || Error::new(ErrorKind::Config, format!("the operation needs `{name}`"));
        self.setting(name, usize::MAX).and_then(Value::as_i64).ok_or_else(missing)
    }

    /// The axis under a name, of a value with `rank` axes.
    pub(super) fn axis_of(&self, name: &str, rank: usize) -> Result<usize> {
        axis(self.whole(name)?, rank)
    }

    /// The setting `axis`: one, several, or all.
    pub(super) fn axes(&self, rank: usize) -> Result<Vec<usize>> {
        match self.setting("axis", usize::MAX) {
            None => Ok((0..rank).collect()),
            Some(v) => list(v).iter().map(|a| axis(*a, rank)).collect(),
        }
    }
}

/// The type that values of two types have in common.
fn common(a: DType, b: DType) -> DType {
    let rank = |d: DType| (d != DType::Bool, d.is_float(), d.size());
    if rank(b) > rank(a) { b } else { a }
}

/// An axis counted from either end.
pub(super) fn axis(a: i64, rank: usize) -> Result<usize> {
    let place = if a < 0 { a + rank as i64 } else { a };
    usize::try_from(place).ok().filter(|p| *p < rank).ok_or_else(|| {
        Error::new(ErrorKind::Shape, "the axis does not exist").expected(format!("one of {rank} axes")).received(a)
    })
}

/// Whole numbers: a list, or one.
pub(super) fn list(v: &Value) -> Vec<i64> {
    match v {
        Value::Array(all) => all.iter().filter_map(Value::as_i64).collect(),
        one => one.as_i64().into_iter().collect(),
    }
}

pub(crate) fn is_tensor(v: &Value) -> bool {
    v.get("class_name").and_then(Value::as_str) == Some("__keras_tensor__")
}

/// How many tensors stand in an argument.
fn tensors(v: &Value) -> usize {
    match v {
        _ if is_tensor(v) => 1,
        Value::Array(all) => all.iter().map(tensors).sum(),
        _ => 0,
    }
}

/// One operation as a node of a model.
#[derive(Clone)]
pub(crate) struct Operation {
    base: Base,
    class: &'static str,
    module: String,
    config: Json,
    call: fn(&Given<'_>) -> Result<Vec<Var>>,
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Operation({})", self.class)
    }
}

impl Operation {
    /// The operation that a node of a file names; `None` if the node is a layer.
    pub(crate) fn from_json(v: &Value) -> Option<Result<Operation>> {
        let tables = || [arithmetic::TABLE, neural::TABLE, reductions::TABLE, shapes::TABLE].into_iter().flatten();
        let class = v.get("class_name").and_then(Value::as_str)?;
        let module = match v.get("module").and_then(Value::as_str) {
            Some(m) if m.starts_with("keras.src.ops") || m.starts_with("keras.ops") => m,
            // Legacy `.h5` files of Keras 3 name classes without modules.
            None if v.get("module").is_none() && v["inbound_nodes"][0].get("args").is_some() => {
                let layer = <dyn LayerRule>::registry().iter().any(|e| e.class == class);
                if layer || !tables().any(|op| op.class == class) {
                    return None;
                }
                "keras.src.ops.numpy"
            }
            _ => return None,
        };
        let Some(op) = tables().find(|op| op.class == class) else {
            let near = nearest(class, tables().map(|op| op.class)).join(", ");
            let e = Error::new(ErrorKind::Unsupported, format!("there is no operation named {class:?}"));
            return Some(Err(if near.is_empty() { e } else { e.repair(format!("did you mean {near}?")) }));
        };
        let mut config = v.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        let name = config.remove("name").and_then(|n| n.as_str().map(str::to_string));
        let base = Base { name, ..Base::new() };
        Some(Ok(Operation { base, class: op.class, module: module.to_string(), config, call: op.call }))
    }
}

impl Config for Operation {
    fn class_name(&self) -> &'static str {
        self.class
    }
    fn config(&self) -> Json {
        self.config.clone()
    }
}

impl LayerRule for Operation {
    crate::layers::layer_base!();

    fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
        let fixed = cx.arguments().fixed.clone();
        (self.call)(&Given { config: &self.config, fixed: &fixed, inputs })
    }

    /// Operations take values as they come.
    fn autocasts(&self) -> bool {
        false
    }

    fn written(&self, name: &str) -> Option<Value> {
        let mut config = Json::new();
        config.insert("name".into(), name.into());
        config.extend(self.config.clone());
        Some(serde_json::json!({
            "module": self.module, "class_name": self.class, "config": config, "registered_name": self.class
        }))
    }
}
