//! The entrance of a model.

use crate::Result;
use crate::config::{Config, FromConfig, Json};
use crate::layers::layer::shape_from_json;
use crate::layers::{Base, Call, LayerRule, Shape};
use crate::models::Symbol;
use crate::{Error, ErrorKind};
use kerast_graph::Var;
use serde_json::Value;

/// The entrance of a model: the shape and element type of one of its inputs. Keras' `Input` and `InputLayer`.
///
/// **Shape** as given, the batch axis added in front.
#[derive(Clone, Debug)]
pub struct Input {
    base: Base,
    shape: Shape,
}

impl Input {
    /// An input whose samples have this shape; float32 unless said otherwise.
    pub fn new(shape: impl crate::config::Arg<Vec<usize>>) -> Input {
        let sample: Vec<usize> = shape.arg();
        Input { base: Base::new(), shape: std::iter::once(None).chain(sample.into_iter().map(Some)).collect() }
    }

    /// An input of any shape: `None` for axes that vary, the batch axis not included.
    pub fn varying(shape: &[Option<usize>]) -> Input {
        Input { base: Base::new(), shape: std::iter::once(None).chain(shape.iter().copied()).collect() }
    }

    /// Fixes the batch size, as stateful recurrent layers need.
    pub fn batch_size(mut self, batch: usize) -> Input {
        self.shape[0] = Some(batch);
        self
    }

    /// Its name.
    pub fn name(mut self, name: &str) -> Input {
        self.base.name = Some(name.to_string());
        self
    }

    /// Its element type: `"int32"` for tokens.
    pub fn dtype(mut self, name: &str) -> Input {
        self.base.dtype = crate::layers::Policy(name.to_string());
        self
    }

    /// The symbol to build a functional model from.
    #[track_caller]
    pub fn symbol(self) -> Symbol {
        crate::models::input_symbol(self)
    }

    pub(crate) fn batch_shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) fn of_batch_shape(shape: Shape) -> Input {
        Input { base: Base::new(), shape }
    }
}

impl Config for Input {
    fn class_name(&self) -> &'static str {
        "InputLayer"
    }
    fn config(&self) -> Json {
        let dims = self.shape.iter().map(|d| d.map_or(Value::Null, Value::from)).collect();
        let mut map = Json::new();
        map.insert("batch_shape".into(), Value::Array(dims));
        map.insert("dtype".into(), self.base.dtype.0.as_str().into());
        map.insert("sparse".into(), false.into());
        map.insert("ragged".into(), false.into());
        map.insert("optional".into(), false.into());
        map
    }
}

impl FromConfig for Input {
    fn from_config(config: &Json) -> Result<Self> {
        let key = ["batch_shape", "batch_input_shape"].into_iter().find(|k| config.contains_key(*k));
        let shape = match (key, config.get("shape")) {
            (Some(k), _) => shape_from_json(&config[k])?,
            (None, Some(v)) => std::iter::once(None).chain(shape_from_json(v)?).collect(),
            _ => return Err(Error::new(ErrorKind::Config, "InputLayer needs `batch_shape`")),
        };
        let mut base = config.clone();
        ["batch_shape", "batch_input_shape", "shape"].iter().for_each(|k| {
            base.shift_remove(*k);
        });
        let (base, _) = Base::split(&base)?;
        Ok(Input { base, shape })
    }
}

impl LayerRule for Input {
    crate::layers::layer_base!();

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        Ok(x.clone())
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
