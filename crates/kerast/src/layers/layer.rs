//! What a layer is: data (Keras' config keys), `build` (declares weights) and `call` (plain maths over `Var`).

use super::call::Call;
use super::weights::Weights;
use crate::config::{Arg, Config, Entry, Field, FromConfig, Json, described, family, wrong};
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::Var;
use serde_json::Value;
use std::sync::Arc;

/// A shape with unknown axes (`None`), the batch axis first.
pub type Shape = Vec<Option<usize>>;

/// A layer.
///
/// Weights are not in here: the model keeps them; `call` asks for them by the names that `build` gave them.
pub trait LayerRule: Config {
    /// Name, dtype and whether it trains.
    fn base(&self) -> &Base;

    /// The same, to be set.
    fn base_mut(&mut self) -> &mut Base;

    /// Declares the weights for inputs of these shapes, and refuses shapes that cannot be.
    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let _ = (inputs, weights);
        Ok(())
    }

    /// The output for a single input.
    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let _ = (cx, x);
        Err(Error::new(ErrorKind::Argument, format!("{} does not take a single input", self.class_name())))
    }

    /// The outputs for any number of inputs; layers with one input and one output need only [`LayerRule::call`].
    fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
        match inputs {
            [x] => Ok(vec![self.call(cx, x)?]),
            _ => Err(one_input(self, inputs)),
        }
    }

    /// Whether a mask that arrives leaves unchanged; layers that make or change masks say so with [`Call::set_mask`].
    fn supports_masking(&self) -> bool {
        false
    }

    /// Whether several inputs are arguments of Keras' `call` one by one (query, value, key), not one list.
    fn separate_inputs(&self) -> bool {
        false
    }

    /// Whether masks of the inputs end here: layers called later with the same values see none.
    fn consumes_masks(&self) -> bool {
        false
    }

    /// Whether float inputs are brought to the layer's compute type.
    fn autocasts(&self) -> bool {
        true
    }

    /// How a file holds it, where that is not a class of `keras.layers` with its config.
    fn written(&self, name: &str) -> Option<Value> {
        let _ = name;
        None
    }

    /// The layers that this one is made of, if it is a model.
    fn as_model(&self) -> Option<&dyn super::cell::SubModel> {
        None
    }
}

/// The error of a layer that was given several inputs and takes one.
pub(crate) fn one_input<L: LayerRule + ?Sized>(layer: &L, inputs: &[Var]) -> Error {
    Error::new(ErrorKind::Argument, format!("{} takes one input", layer.class_name()))
        .received(format!("{} inputs", inputs.len()))
}

family! {
    /// A layer as an argument of another: a typed value or a config.
    LayerObject = LayerRule, register_layer, "layer", "keras.layers", super::registry::registry(), serialize = serialize
}

fn serialize(layer: &dyn LayerRule) -> Value {
    let name = layer.base().name.clone().unwrap_or_else(|| super::names::snake_case(layer.class_name()));
    layer_json(layer, &name, layer.base().trainable)
}

/// A layer as Keras writes it, under the name that the model gave it.
pub(crate) fn layer_json(layer: &dyn LayerRule, name: &str, trainable: bool) -> Value {
    let mut config = Json::new();
    config.insert("name".into(), name.into());
    config.insert("trainable".into(), trainable.into());
    config.insert("dtype".into(), layer.base().dtype.to_json());
    config.extend(layer.config());
    described::<dyn LayerRule>(layer.class_name(), config)
}

/// What every layer has.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// The name given by the user; models name the others.
    pub name: Option<String>,
    /// Compute and variable types.
    pub dtype: Policy,
    /// The input shape given by the user, batch axis included.
    pub input_shape: Option<Shape>,
    /// Whether training updates its weights.
    pub trainable: bool,
}

impl Base {
    /// A layer without a name that trains in float32.
    pub fn new() -> Base {
        Base { trainable: true, ..Base::default() }
    }

    /// Splits Keras' config into what every layer has and the layer's own.
    pub fn split(config: &Json) -> Result<(Base, Json)> {
        let mut own = config.clone();
        let mut base = Base::new();
        let mut take = |key: &str| own.shift_remove(key).filter(|v| !v.is_null());
        if let Some(v) = take("name") {
            base.name = Some(String::from_json(&v)?);
        }
        if let Some(v) = take("trainable") {
            base.trainable = bool::from_json(&v)?;
        }
        if let Some(v) = take("dtype") {
            base.dtype = Policy::from_json(&v)?;
        }
        for key in ["batch_shape", "batch_input_shape"] {
            if let Some(v) = take(key) {
                base.input_shape = Some(shape_from_json(&v)?);
            }
        }
        take("autocast");
        take("quantization_config");
        own.shift_remove("quantization_config");
        Ok((base, own))
    }
}

/// Reads `[null, 28, 28, 1]`.
pub(crate) fn shape_from_json(v: &Value) -> Result<Shape> {
    Vec::<Option<usize>>::from_json(v)
}

/// Keras' dtype policy: what variables are stored in and what is computed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(pub String);

impl Default for Policy {
    fn default() -> Self {
        Policy("float32".into())
    }
}

impl Policy {
    /// The type of the maths.
    pub fn compute(&self) -> Result<DType> {
        match self.0.as_str() {
            "mixed_float16" => Ok(DType::F16),
            "mixed_bfloat16" => Ok(DType::BF16),
            name => DType::parse(name).ok_or_else(|| {
                Error::new(ErrorKind::Config, format!("there is no dtype {name:?}"))
                    .expected("float32, float64, float16, bfloat16, mixed_float16, mixed_bfloat16, or an integer type")
            }),
        }
    }

    /// The type of the variables.
    pub fn variable(&self) -> Result<DType> {
        if self.0.starts_with("mixed_") { Ok(DType::F32) } else { self.compute() }
    }
}

impl Field for Policy {
    fn to_json(&self) -> Value {
        let mut config = Json::new();
        config.insert("name".into(), self.0.as_str().into());
        let mut map = Json::new();
        map.insert("module".into(), "keras".into());
        map.insert("class_name".into(), "DTypePolicy".into());
        map.insert("config".into(), Value::Object(config));
        map.insert("registered_name".into(), Value::Null);
        Value::Object(map)
    }

    fn from_json(v: &Value) -> Result<Self> {
        let name = match v {
            Value::String(s) => Some(s.as_str()),
            Value::Object(o) => o.get("config").and_then(|c| c.get("name")).and_then(Value::as_str),
            _ => None,
        };
        let policy = Policy(name.ok_or_else(|| wrong("a dtype name or a DTypePolicy", v))?.to_string());
        policy.compute()?;
        Ok(policy)
    }
}

impl Arg<Policy> for &str {
    fn arg(self) -> Policy {
        Policy(self.to_string())
    }
}

/// A line of the layer registry.
pub(crate) fn entry<L: LayerRule + FromConfig>(class: &'static str) -> Entry<dyn LayerRule> {
    Entry { class, aliases: &[], make: |c| Ok(Arc::new(L::from_config(c)?)) }
}

/// Declares a layer: as [`config!`](crate::config!), with name, dtype, `trainable` and the input shape added.
#[macro_export]
macro_rules! layer {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($class:literal) {
            $( $(#[$rmeta:meta])* $req:ident: $rty:ty, )*
            $(; $( $(#[$ometa:meta])* $opt:ident: $oty:ty = $default:expr, )* )?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            /// Name, dtype, and whether it trains.
            pub base: $crate::layers::Base,
            $( $(#[$rmeta])* pub $req: $rty, )*
            $($( $(#[$ometa])* pub $opt: $oty, )*)?
        }

        impl $name {
            /// With Keras' defaults for everything else.
            #[allow(clippy::new_without_default)]
            pub fn new($($req: impl $crate::config::Arg<$rty>),*) -> Self {
                $name { base: $crate::layers::Base::new(), $($req: $crate::config::Arg::arg($req),)* $($($opt: $default,)*)? }
            }
            $($(
                $(#[$ometa])*
                pub fn $opt(mut self, value: impl $crate::config::Arg<$oty>) -> Self {
                    self.$opt = $crate::config::Arg::arg(value);
                    self
                }
            )*)?
            /// Its name; without one the model numbers it (`dense`, `dense_1`, …).
            pub fn name(mut self, name: &str) -> Self {
                self.base.name = Some(name.to_string());
                self
            }
            /// Whether training updates its weights.
            pub fn trainable(mut self, trainable: bool) -> Self {
                self.base.trainable = trainable;
                self
            }
            /// Its dtype policy: `"float32"`, `"mixed_bfloat16"`, …
            pub fn dtype(mut self, policy: impl $crate::config::Arg<$crate::layers::Policy>) -> Self {
                self.base.dtype = $crate::config::Arg::arg(policy);
                self
            }
            /// The shape of one sample, for the first layer of a `Sequential`.
            pub fn input_shape(mut self, shape: impl $crate::config::Arg<Vec<usize>>) -> Self {
                let sample: Vec<usize> = $crate::config::Arg::arg(shape);
                self.base.input_shape = Some(std::iter::once(None).chain(sample.into_iter().map(Some)).collect());
                self
            }
            /// The number of features of one sample, for the first layer of a `Sequential`.
            pub fn input_dim(self, features: usize) -> Self {
                self.input_shape([features])
            }
        }

        impl $crate::config::Config for $name {
            fn class_name(&self) -> &'static str { $class }
            fn config(&self) -> $crate::config::Json {
                #[allow(unused_mut)]
                let mut map = $crate::config::Json::new();
                $(map.insert(stringify!($req).to_string(), $crate::config::Field::to_json(&self.$req));)*
                $($(map.insert(stringify!($opt).to_string(), $crate::config::Field::to_json(&self.$opt));)*)?
                map
            }
        }

        impl $crate::config::FromConfig for $name {
            fn from_config(config: &$crate::config::Json) -> $crate::Result<Self> {
                let (base, config) = $crate::layers::Base::split(config)?;
                let config = &config;
                $crate::config::refuse_unknown_keys($class, config, &[$(stringify!($req),)* $($(stringify!($opt),)*)?])?;
                Ok($name {
                    base,
                    $($req: $crate::config::required($class, config, stringify!($req))?,)*
                    $($($opt: $crate::config::optional($class, config, stringify!($opt))?.unwrap_or_else(|| $default),)*)?
                })
            }
        }
    };
}
pub use layer;

/// Writes the two [`LayerRule`] methods that reach the layer's base.
#[macro_export]
macro_rules! layer_base {
    () => {
        fn base(&self) -> &$crate::layers::Base {
            &self.base
        }
        fn base_mut(&mut self) -> &mut $crate::layers::Base {
            &mut self.base
        }
    };
}
pub use layer_base;
