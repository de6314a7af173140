//! Objects as data: a struct whose fields are Keras' config keys, with builder methods, `get_config` and `from_config`.
//!
//! [`config!`] writes all of that from the list of fields; [`Object`] is "a name, a typed value or a config of some family", as
//! Keras takes `"relu"`, `Relu` and `{"class_name": …}` alike.

use crate::{Error, ErrorKind, Result};
use kerast_graph::error::nearest;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::{Arc, RwLock};

/// A JSON object with its order kept.
pub type Json = Map<String, Value>;

/// A value that a config can hold.
pub trait Field: Sized {
    /// As Keras writes it.
    fn to_json(&self) -> Value;
    /// As Keras (any version) writes it.
    fn from_json(value: &Value) -> Result<Self>;
}

/// Anything that a builder method takes for a field of type `T`: strings, numbers, typed values.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given where `{T}` is wanted",
    label = "wants a value for `{T}`"
)]
pub trait Arg<T> {
    /// The field's value.
    fn arg(self) -> T;
}

impl<T> Arg<T> for T {
    fn arg(self) -> T {
        self
    }
}

/// A configuration value that makes no sense.
pub(crate) fn wrong(expected: &str, received: &Value) -> Error {
    let mut text = received.to_string();
    if text.chars().count() > 200 {
        text = text.chars().take(200).chain("…".chars()).collect();
    }
    Error::new(ErrorKind::Config, "a configuration value has the wrong form").expected(expected).received(text)
}

macro_rules! plain_fields {
    ($($t:ty, $expected:literal, $read:expr, $write:expr;)*) => {$(
        impl Field for $t {
            fn to_json(&self) -> Value { $write(self) }
            fn from_json(v: &Value) -> Result<Self> { $read(v).ok_or_else(|| wrong($expected, v)) }
        }
    )*};
}
plain_fields! {
    bool, "true or false", Value::as_bool, |v: &bool| Value::from(*v);
    usize, "a whole number >= 0", whole, |v: &usize| Value::from(*v as u64);
    i64, "a whole number", |v: &Value| v.as_i64().or_else(|| v.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64)), |v: &i64| Value::from(*v);
    f64, "a number", number, number_to_json;
    String, "a string", |v: &Value| v.as_str().map(str::to_string), |v: &String| Value::from(v.as_str());
}

fn whole(v: &Value) -> Option<usize> {
    let n = v.as_u64().or_else(|| v.as_f64().filter(|f| f.fract() == 0.0 && (0.0..9e15).contains(f)).map(|f| f as u64));
    n.and_then(|n| usize::try_from(n).ok())
}

fn number(v: &Value) -> Option<f64> {
    match v {
        Value::String(s) => match s.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        // NumPy scalars in old files: {"type": "ndarray", "value": 1.0}
        Value::Object(o) => o.get("value").and_then(Value::as_f64),
        _ => v.as_f64(),
    }
}

fn number_to_json(v: &f64) -> Value {
    serde_json::Number::from_f64(*v).map_or_else(|| Value::from(v.to_string()), Value::Number)
}

impl<T: Field> Field for Option<T> {
    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_json)
    }
    fn from_json(v: &Value) -> Result<Self> {
        if v.is_null() { Ok(None) } else { T::from_json(v).map(Some) }
    }
}

impl<T: Field> Field for Vec<T> {
    fn to_json(&self) -> Value {
        Value::Array(self.iter().map(T::to_json).collect())
    }
    /// A list, or a single value for a list of one.
    fn from_json(v: &Value) -> Result<Self> {
        match v {
            Value::Array(items) => items.iter().map(T::from_json).collect(),
            // Tuples as Keras 2 and 3 sometimes write them.
            Value::Object(o) if o.get("class_name").and_then(Value::as_str) == Some("__tuple__") => {
                o.get("items").map_or_else(|| Err(wrong("items", v)), Self::from_json)
            }
            one => Ok(vec![T::from_json(one)?]),
        }
    }
}

impl Arg<String> for &str {
    fn arg(self) -> String {
        self.to_string()
    }
}
impl Arg<Option<String>> for &str {
    fn arg(self) -> Option<String> {
        Some(self.to_string())
    }
}
impl Arg<Option<f64>> for f64 {
    fn arg(self) -> Option<f64> {
        Some(self)
    }
}
impl Arg<Option<usize>> for usize {
    fn arg(self) -> Option<usize> {
        Some(self)
    }
}
impl Arg<Option<i64>> for i64 {
    fn arg(self) -> Option<i64> {
        Some(self)
    }
}

macro_rules! lists {
    ($($t:ty),*) => {$(
        impl Arg<Vec<$t>> for $t { fn arg(self) -> Vec<$t> { vec![self] } }
        impl Arg<Vec<$t>> for &[$t] { fn arg(self) -> Vec<$t> { self.to_vec() } }
        impl<const N: usize> Arg<Vec<$t>> for [$t; N] { fn arg(self) -> Vec<$t> { self.to_vec() } }
        impl<const N: usize> Arg<Vec<$t>> for &[$t; N] { fn arg(self) -> Vec<$t> { self.to_vec() } }
        impl<const N: usize> Arg<Option<Vec<$t>>> for [$t; N] { fn arg(self) -> Option<Vec<$t>> { Some(self.to_vec()) } }
        impl Arg<Vec<$t>> for ($t, $t) { fn arg(self) -> Vec<$t> { vec![self.0, self.1] } }
        impl Arg<Vec<$t>> for ($t, $t, $t) { fn arg(self) -> Vec<$t> { vec![self.0, self.1, self.2] } }
        impl Arg<Option<Vec<$t>>> for Vec<$t> { fn arg(self) -> Option<Vec<$t>> { Some(self) } }
    )*};
}
lists!(usize, i64, f64);

/// One of a few words (`"same"`, `"channels_last"`); checked when it is used, so that builder methods need no `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(pub String);

impl Word {
    /// The word, if it is one of `allowed`.
    pub fn one_of(&self, argument: &str, allowed: &[&'static str]) -> Result<&'static str> {
        allowed.iter().copied().find(|a| *a == self.0).ok_or_else(|| {
            let listed: Vec<String> = allowed.iter().map(|a| format!("{a:?}")).collect();
            Error::new(ErrorKind::Argument, format!("`{argument}` has an unknown value"))
                .expected(listed.join(" or "))
                .received(format!("{:?}", self.0))
        })
    }
}

impl Field for Word {
    fn to_json(&self) -> Value {
        Value::from(self.0.as_str())
    }
    fn from_json(v: &Value) -> Result<Self> {
        String::from_json(v).map(Word)
    }
}
impl Arg<Word> for &str {
    fn arg(self) -> Word {
        Word(self.to_string())
    }
}
impl Arg<Option<Word>> for &str {
    fn arg(self) -> Option<Word> {
        Some(Word(self.to_string()))
    }
}
impl From<&str> for Word {
    fn from(s: &str) -> Word {
        Word(s.to_string())
    }
}

/// Any JSON, kept as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw(pub Value);

impl Field for Raw {
    fn to_json(&self) -> Value {
        self.0.clone()
    }
    fn from_json(v: &Value) -> Result<Self> {
        Ok(Raw(v.clone()))
    }
}

/// A struct that Keras would describe by class name and config.
pub trait Config: fmt::Debug + Send + Sync {
    /// Keras' class name.
    fn class_name(&self) -> &'static str;
    /// Keras' `get_config()`.
    fn config(&self) -> Json;
}

/// A struct that can be made from Keras' config.
pub trait FromConfig: Config + Sized + 'static {
    /// Keras' `from_config()`: missing keys take their defaults, unknown keys are refused.
    fn from_config(config: &Json) -> Result<Self>;
}

/// Reads one key; the key's name is added to an error.
pub(crate) fn read<T: Field>(class: &str, config: &Json, key: &str) -> Result<Option<T>> {
    match config.get(key) {
        Some(v) => T::from_json(v).map(Some).map_err(|e| e.fact("argument", format!("`{key}` of {class}"))),
        None => Ok(None),
    }
}

/// Refuses keys that the class does not have.
pub(crate) fn refuse_unknown(class: &str, config: &Json, known: &[&str]) -> Result<()> {
    match config.keys().find(|k| !known.contains(&k.as_str())) {
        None => Ok(()),
        Some(k) => {
            let near = nearest(k, known.iter().copied());
            let hint = if near.is_empty() { known.join(", ") } else { near.join(", ") };
            Err(Error::new(ErrorKind::Config, format!("{class} has no argument `{k}`")).expected(hint))
        }
    }
}

/// Declares a configurable struct: required fields, then `;`, then optional fields with Keras' defaults.
///
/// Writes the struct, `new(required…)`, a builder method per optional field, [`Config`] and [`FromConfig`].
#[macro_export]
macro_rules! config {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($class:literal) {
            $( $(#[$rmeta:meta])* $req:ident: $rty:ty, )*
            $(; $( $(#[$ometa:meta])* $opt:ident: $oty:ty = $default:expr, )* )?
        }
    ) => {
        $crate::config_fields! {
            $(#[$meta])*
            $vis struct $name($class) {
                $( $(#[$rmeta])* $req: $rty, )*
                $(; $( $(#[$ometa])* $opt: $oty = $default, )* )?
            }
        }

        impl $name {
            /// With Keras' defaults for everything else.
            #[allow(clippy::new_without_default)]
            pub fn new($($req: impl $crate::config::Arg<$rty>),*) -> Self {
                $name::with_defaults($($crate::config::Arg::arg($req)),*)
            }
        }
    };
}
pub use config;

/// [`config!`] without the constructor `new`, for families whose constructors take an optional argument.
#[macro_export]
macro_rules! config_fields {
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
            $( $(#[$rmeta])* pub $req: $rty, )*
            $($( $(#[$ometa])* pub $opt: $oty, )*)?
        }

        impl $name {
            fn with_defaults($($req: $rty),*) -> Self {
                $name { $($req,)* $($($opt: $default,)*)? }
            }
            $($(
                $(#[$ometa])*
                pub fn $opt(mut self, value: impl $crate::config::Arg<$oty>) -> Self {
                    self.$opt = $crate::config::Arg::arg(value);
                    self
                }
            )*)?
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
                $crate::config::refuse_unknown_keys($class, config, &[$(stringify!($req),)* $($(stringify!($opt),)*)?])?;
                #[allow(unused_mut)]
                let mut value = $name::with_defaults($($crate::config::required($class, config, stringify!($req))?),*);
                $($(
                    if let Some(v) = $crate::config::optional($class, config, stringify!($opt))? {
                        value.$opt = v;
                    }
                )*)?
                Ok(value)
            }
        }
    };
}

/// For [`config!`]: a key that must be there.
#[doc(hidden)]
pub fn required<T: Field>(class: &str, config: &Json, key: &str) -> Result<T> {
    read(class, config, key)?
        .ok_or_else(|| Error::new(ErrorKind::Config, format!("{class} needs the argument `{key}`")))
}

/// For [`config!`]: a key that may be missing.
#[doc(hidden)]
pub fn optional<T: Field>(class: &str, config: &Json, key: &str) -> Result<Option<T>> {
    read(class, config, key)
}

/// For [`config!`]: refuses keys that the class does not have.
#[doc(hidden)]
pub fn refuse_unknown_keys(class: &str, config: &Json, known: &[&str]) -> Result<()> {
    refuse_unknown(class, config, known)
}

/// A family of objects that Keras names by string: activations, losses, layers, …
pub trait Family: Config + 'static {
    /// What one is called in messages: `"activation"`.
    const WHAT: &'static str;
    /// Keras' module: `"keras.initializers"`.
    const MODULE: &'static str;
    /// Kerast's own, in the order of Keras' documentation.
    fn registry() -> &'static [Entry<Self>];
    /// Those that a user registered.
    fn custom() -> &'static RwLock<Vec<CustomEntry<Self>>>;
    /// How one is written into a config.
    fn serialize(&self) -> Value {
        described::<Self>(self.class_name(), self.config())
    }
}

/// An object of this class as Keras writes it; one of the user's own under the name that it was registered with.
pub(crate) fn described<T: Family + ?Sized>(class: &str, config: Json) -> Value {
    // A function of the user's own: Keras names it where the config stands.
    if class == "function" {
        let name = config.get("name").cloned().unwrap_or_default();
        return serde_json::json!({"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"});
    }
    let custom = T::custom().read().unwrap_or_else(|e| e.into_inner());
    let registered = custom.iter().find(|e| bare(&e.class) == class).map(|e| e.class.as_str());
    let (module, registered) = match T::registry().iter().any(|e| e.class == class) {
        true => (Value::from(T::MODULE), Value::Null),
        false => (Value::Null, Value::from(registered.unwrap_or(class))),
    };
    let mut map = Json::new();
    map.insert("module".into(), module);
    map.insert("class_name".into(), class.into());
    map.insert("config".into(), Value::Object(config));
    map.insert("registered_name".into(), registered);
    Value::Object(map)
}

/// The name without the package that Keras puts before it: `Affine` of `Custom>Affine`.
fn bare(name: &str) -> &str {
    name.rsplit('>').next().unwrap_or(name)
}

/// What the `register_…` functions of the families do.
#[doc(hidden)]
pub fn register<T: Family + ?Sized>(name: &str, make: Maker<T>) {
    let mut custom = T::custom().write().unwrap_or_else(|e| e.into_inner());
    custom.retain(|e| e.class != name);
    custom.push(CustomEntry { class: name.to_string(), make });
}

/// A line of a registry: class name, other names, constructor.
pub struct Entry<T: ?Sized + 'static> {
    /// Keras' class name.
    pub class: &'static str,
    /// Every other name that Keras takes for it.
    pub aliases: &'static [&'static str],
    /// Makes one from a config.
    pub make: fn(&Json) -> Result<Arc<T>>,
}

/// Makes a family member from a config.
pub type Maker<T> = Arc<dyn Fn(&Json) -> Result<Arc<T>> + Send + Sync>;

/// A class that a user registered: its name and constructor.
pub struct CustomEntry<T: ?Sized> {
    /// The name in files.
    pub class: String,
    /// Makes one from a config.
    pub make: Maker<T>,
}

/// Makes a family member from its class name or another of its names, and a config.
pub fn make<T: Family + ?Sized>(name: &str, config: &Json) -> Result<Arc<T>> {
    let custom = T::custom().read().unwrap_or_else(|e| e.into_inner());
    if let Some(entry) = custom.iter().find(|e| bare(&e.class) == bare(name)) {
        return (entry.make)(config);
    }
    match T::registry().iter().find(|e| e.class == name || e.aliases.contains(&name)) {
        Some(entry) => (entry.make)(config),
        None => {
            let own = T::registry().iter().flat_map(|e| std::iter::once(e.class).chain(e.aliases.iter().copied()));
            let users = custom.iter().map(|e| e.class.as_str());
            let near = nearest(name, own.clone().chain(users.clone()));
            let e = Error::new(ErrorKind::Argument, format!("there is no {} named {name:?}", T::WHAT));
            Err(match near.is_empty() {
                false => e.repair(format!("did you mean {}?", near.join(", "))),
                true => unknown::<T>(e, bare(name), &own.chain(users).collect::<Vec<_>>()),
            })
        }
    }
}

/// What is known instead, and how a class of the user's own becomes known.
fn unknown<T: Family + ?Sized>(e: Error, name: &str, known: &[&str]) -> Error {
    const MANY: usize = 64;
    let what = T::WHAT;
    let e = match known.len() > MANY {
        true => e.fact("known", format!("{} names, {}, {}, {}, …", known.len(), known[0], known[1], known[2])),
        false => e.fact("known", known.join(", ")),
    };
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric()) && name.starts_with(|c: char| c.is_ascii_uppercase());
    match plain {
        true => e.repair(format!("for a class of your own: `register_{what}({name:?}, {name}::from_config)`")),
        false => e,
    }
}

/// A member of a family given by name, as a typed value or by config. A wrong name is reported where the object is first used.
pub struct Object<T: Family + ?Sized>(Result<Arc<T>, Error>);

impl<T: Family + ?Sized> Object<T> {
    /// The object, or why there is none.
    pub fn get(&self) -> Result<&T> {
        self.0.as_deref().map_err(Clone::clone)
    }

    /// By any of its names, with Keras' defaults.
    pub fn named(name: &str) -> Object<T> {
        Object(make(name, &Json::new()))
    }

    /// A typed value.
    pub fn from_arc(value: Arc<T>) -> Object<T> {
        Object(Ok(value))
    }

    /// The shared value itself.
    pub fn arc(&self) -> Result<Arc<T>> {
        self.0.clone()
    }
}

impl<T: Family + ?Sized> Clone for Object<T> {
    fn clone(&self) -> Self {
        Object(self.0.clone())
    }
}

impl<T: Family + ?Sized> fmt::Debug for Object<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(v) => v.fmt(f),
            Err(e) => write!(f, "{}", e.message()),
        }
    }
}

impl<T: Family + ?Sized> Field for Object<T> {
    fn to_json(&self) -> Value {
        self.0.as_ref().map_or(Value::Null, |v| v.serialize())
    }

    /// `"name"`, `{"class_name": …, "config": …}`, or a registered function `{"class_name": "function", "config": "name"}`.
    fn from_json(v: &Value) -> Result<Self> {
        let empty = Json::new();
        let made = match v {
            Value::String(name) => make::<T>(name, &empty),
            Value::Object(o) => {
                let class = o.get("class_name").and_then(Value::as_str);
                match (class, o.get("config")) {
                    (Some("function"), Some(Value::String(name))) => make::<T>(name, &empty),
                    (Some(class), Some(Value::Object(config))) => make::<T>(class, config),
                    (Some(class), None | Some(Value::Null)) => make::<T>(class, &empty),
                    _ => Err(wrong("a name, or an object with `class_name` and `config`", v)),
                }
            }
            _ => Err(wrong("a name, or an object with `class_name` and `config`", v)),
        };
        made.map(|m| Object(Ok(m)))
    }
}

impl<T: Family + ?Sized> Arg<Object<T>> for &str {
    fn arg(self) -> Object<T> {
        Object::named(self)
    }
}
impl<T: Family + ?Sized> Arg<Option<Object<T>>> for &str {
    fn arg(self) -> Option<Object<T>> {
        Some(Object::named(self))
    }
}

/// Declares a family of trait objects: the registry function, the users' list, and typed values as arguments.
#[macro_export]
macro_rules! family {
    ($(#[$meta:meta])* $alias:ident = $rule:ident, $register:ident, $what:literal, $module:literal, $registry:expr $(, serialize = $serialize:expr)?) => {
        $(#[$meta])*
        pub type $alias = $crate::config::Object<dyn $rule>;

        #[doc = concat!("Lets configs and files name ", $what, "s of your own: `", stringify!($register), "(\"Custom>Mine\", Mine::from_config)`.")]
        pub fn $register<R: $rule + 'static>(name: &str, from_config: fn(&$crate::config::Json) -> $crate::Result<R>) {
            let make: $crate::config::Maker<dyn $rule> = std::sync::Arc::new(move |config| Ok(std::sync::Arc::new(from_config(config)?)));
            $crate::config::register(name, make);
        }

        impl $crate::config::Family for dyn $rule {
            const WHAT: &'static str = $what;
            const MODULE: &'static str = $module;
            fn registry() -> &'static [$crate::config::Entry<Self>] { $registry }
            fn custom() -> &'static std::sync::RwLock<Vec<$crate::config::CustomEntry<Self>>> {
                static CUSTOM: std::sync::RwLock<Vec<$crate::config::CustomEntry<dyn $rule>>> = std::sync::RwLock::new(Vec::new());
                &CUSTOM
            }
            $(fn serialize(&self) -> serde_json::Value { $serialize(self) })?
        }

        impl<R: $rule + 'static> $crate::config::Arg<$alias> for R {
            fn arg(self) -> $alias { $crate::config::Object::from_arc(std::sync::Arc::new(self)) }
        }
        impl<R: $rule + 'static> $crate::config::Arg<Option<$alias>> for R {
            fn arg(self) -> Option<$alias> { Some($crate::config::Object::from_arc(std::sync::Arc::new(self))) }
        }
        impl $crate::config::Arg<Option<$alias>> for $alias {
            fn arg(self) -> Option<$alias> { Some(self) }
        }
    };
}
pub use family;
