//! A function of the user's own as a layer.

use crate::config::{Config, FromConfig, Json};
use crate::layers::{Base, Call, LayerRule};
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;
use std::fmt;
use std::sync::{Arc, RwLock};

type Function = Arc<dyn Fn(&Var) -> Var + Send + Sync>;

static FUNCTIONS: RwLock<Vec<(String, Function)>> = RwLock::new(Vec::new());

/// Registers a function under a name, so that files which name it can be loaded.
pub fn register_function(name: &str, f: impl Fn(&Var) -> Var + Send + Sync + 'static) {
    let mut all = FUNCTIONS.write().unwrap_or_else(|e| e.into_inner());
    all.retain(|(n, _)| n != name);
    all.push((name.to_string(), Arc::new(f)));
}

/// A layer without weights made of a Rust function, known in files by its registered name.
///
/// **Shape** whatever the function makes of it.
#[derive(Clone)]
pub struct Lambda {
    base: Base,
    function: String,
}

impl Lambda {
    /// The function registered under this name.
    pub fn named(function: &str) -> Lambda {
        Lambda { base: Base::new(), function: function.to_string() }
    }

    /// Registers the function under a name and makes a layer of it.
    pub fn new(name: &str, f: impl Fn(&Var) -> Var + Send + Sync + 'static) -> Lambda {
        register_function(name, f);
        Lambda::named(name)
    }

    /// The layer's name.
    pub fn name(mut self, name: &str) -> Lambda {
        self.base.name = Some(name.to_string());
        self
    }
}

impl fmt::Debug for Lambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lambda({})", self.function)
    }
}

impl Config for Lambda {
    fn class_name(&self) -> &'static str {
        "Lambda"
    }
    fn config(&self) -> Json {
        let mut map = Json::new();
        map.insert("function".into(), self.function.as_str().into());
        map.insert("arguments".into(), serde_json::json!({}));
        map
    }
}

impl FromConfig for Lambda {
    fn from_config(config: &Json) -> Result<Self> {
        let (base, own) = Base::split(config)?;
        match own.get("function") {
            Some(serde_json::Value::String(name)) => Ok(Lambda { base, function: name.clone() }),
            other => {
                let name = base.name.unwrap_or_else(|| "lambda".into());
                let bytes = other.map_or(0, |v| v.to_string().len());
                Err(Error::new(ErrorKind::Unsupported, "the file holds Python code, which Kerast never runs")
                    .layer(format!("{name} (Lambda)"))
                    .received(format!("a Python function of {bytes} bytes"))
                    .repair(format!(
                        "register a Rust function under the name {name:?}, or have the model saved without Lambda"
                    )))
            }
        }
    }
}

impl LayerRule for Lambda {
    crate::layers::layer_base!();

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        let all = FUNCTIONS.read().unwrap_or_else(|e| e.into_inner());
        let found = all.iter().find(|(n, _)| *n == self.function).map(|(_, f)| f.clone());
        drop(all);
        let f = found.ok_or_else(|| {
            Error::new(ErrorKind::Argument, format!("no function is registered under the name {:?}", self.function))
                .repair("kerast::layers::register_function(name, |x| …)")
        })?;
        Ok(f(x))
    }
}
