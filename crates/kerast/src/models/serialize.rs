//! Networks as Keras' JSON, and back.

use super::network::{Network, Port};
use super::symbol::{self, Symbol};
use crate::config::{Field, Json, Object, wrong};
use crate::layers::operations::{Operation, is_tensor};
use crate::layers::{Arguments, Input, LayerRef, LayerRule, layer_json, show};
use crate::{DType, Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

fn dims(shape: &[Option<usize>]) -> Value {
    Value::Array(shape.iter().map(|d| d.map_or(Value::Null, Value::from)).collect())
}

/// Which use of its layer a node is: Keras' node index.
fn node_index(network: &Network, node: usize) -> usize {
    let id = network.uses[node].layer.id();
    network.uses[..node].iter().filter(|u| u.layer.id() == id).count()
}

fn history(network: &Network, p: Port) -> Value {
    json!([network.uses[p.node].layer.name(), node_index(network, p.node), p.index])
}

fn tensor(network: &Network, p: Port) -> Value {
    let (shape, dtype) = network.ty(p);
    json!({"class_name": "__keras_tensor__",
        "config": {"shape": dims(shape), "dtype": dtype.name(), "keras_history": history(network, p)}})
}

fn cell_json(layer: &LayerRef) -> Value {
    let mut v = match layer.rule().class_name() {
        "InputLayer" => {
            let mut config = layer.rule().config();
            config.insert("name".into(), layer.name().into());
            json!({"module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": null})
        }
        _ => match layer.rule().written(layer.name()) {
            Some(v) => return v,
            None => layer_json(layer.rule(), layer.name(), layer.trainable()),
        },
    };
    let shapes = layer.built_for();
    let input_shape = match shapes.as_slice() {
        [] => return v,
        [one] => dims(one),
        many => Value::Array(many.iter().map(|s| dims(s)).collect()),
    };
    if let Some(map) = v.as_object_mut() {
        map.insert("build_config".into(), json!({ "input_shape": input_shape }));
    }
    v
}

/// Puts values in the places of an argument's tensors, in order.
fn replace_tensors(v: &mut Value, next: &mut impl FnMut() -> Option<Value>) {
    if is_tensor(v) {
        if let Some(other) = next() {
            *v = other;
        }
        return;
    }
    if let Value::Array(all) = v {
        all.iter_mut().for_each(|v| replace_tensors(v, next));
    }
}

/// Keras' config of a model, without its name.
pub(crate) fn network_config(network: &Network, sequential: bool) -> Json {
    let mut map = Json::new();
    if sequential {
        let layers = network.cells().iter().map(cell_json).collect();
        map.insert("layers".into(), Value::Array(layers));
        if let Some(p) = network.inputs.first() {
            map.insert("build_input_shape".into(), dims(&network.ty(*p).0));
        }
        return map;
    }
    let mut layers = vec![];
    for layer in network.cells() {
        let mut v = cell_json(&layer);
        let nodes = network.uses.iter().filter(|u| u.layer.id() == layer.id() && !u.inputs.is_empty());
        let inbound = nodes.map(|u| {
            let tensors: Vec<Value> = u.inputs.iter().map(|p| tensor(network, *p)).collect();
            let separate = tensors.len() == 1 || layer.rule().separate_inputs();
            let args = if separate { tensors } else { vec![Value::Array(tensors)] };
            let mut kwargs = u.arguments.fixed.clone();
            // The arguments of an operation, with its inputs in their places.
            if let Some(mut given) = kwargs.remove("args") {
                let mut inputs = u.inputs.iter();
                replace_tensors(&mut given, &mut || inputs.next().map(|p| tensor(network, *p)));
                return json!({"args": given, "kwargs": kwargs});
            }
            kwargs.extend(u.arguments.tensors.iter().map(|(n, p)| (n.clone(), tensor(network, *p))));
            json!({"args": args, "kwargs": kwargs})
        });
        let inbound: Vec<Value> = inbound.collect();
        if let Some(map) = v.as_object_mut() {
            map.insert("name".into(), layer.name().into());
            map.insert("inbound_nodes".into(), Value::Array(inbound));
        }
        layers.push(v);
    }
    map.insert("layers".into(), Value::Array(layers));
    let list = |ports: &[Port]| match ports {
        [p] => history(network, *p),
        many => Value::Array(many.iter().map(|p| history(network, *p)).collect()),
    };
    map.insert("input_layers".into(), list(&network.inputs));
    map.insert("output_layers".into(), list(&network.outputs));
    map
}

/// A model read from Keras' JSON.
pub(crate) struct Parsed {
    pub(crate) name: String,
    pub(crate) sequential: bool,
    pub(crate) network: Network,
}

const MAX_DEPTH: usize = 32;

/// Reads a whole model: `{"class_name": "Sequential" | "Functional" | "Model", "config": …}`.
pub(crate) fn parse_model(v: &Value, depth: usize) -> Result<Parsed> {
    if depth > MAX_DEPTH {
        return Err(Error::new(ErrorKind::File, format!("models are nested more than {MAX_DEPTH} deep")));
    }
    let class = v.get("class_name").and_then(Value::as_str).ok_or_else(|| wrong("a model with a `class_name`", v))?;
    let config = v.get("config").and_then(Value::as_object).ok_or_else(|| wrong("a model with a `config`", v))?;
    let name = config.get("name").and_then(Value::as_str).unwrap_or("model").to_string();
    match class {
        "Sequential" => Ok(Parsed { name, sequential: true, network: sequential(config, depth)? }),
        "Functional" | "Model" => Ok(Parsed { name, sequential: false, network: functional(config, depth)? }),
        other => Err(Error::new(ErrorKind::Unsupported, format!("a model of class {other:?} cannot be read"))
            .expected("Sequential or Functional")),
    }
}

fn layers(config: &Json) -> Result<&Vec<Value>> {
    let v = config.get("layers").ok_or_else(|| Error::new(ErrorKind::Config, "the model's config has no `layers`"))?;
    v.as_array().ok_or_else(|| wrong("a list of layers", v))
}

/// A layer, or a model as a layer.
fn layer(v: &Value, depth: usize) -> Result<LayerRef> {
    let class = v.get("class_name").and_then(Value::as_str).ok_or_else(|| wrong("a layer with a `class_name`", v))?;
    let named = |e: Error| {
        let name = v.get("config").and_then(|c| c.get("name")).and_then(Value::as_str).unwrap_or("?");
        e.layer(format!("{name} ({class})"))
    };
    if matches!(class, "Sequential" | "Functional" | "Model") {
        let parsed = parse_model(v, depth + 1).map_err(named)?;
        let trainable = v.get("config").and_then(|c| c.get("trainable")).and_then(Value::as_bool).unwrap_or(true);
        return Ok(super::model_layer(parsed.name, parsed.sequential, parsed.network, trainable));
    }
    if let Some(operation) = Operation::from_json(v) {
        return Ok(LayerRef::new(Arc::new(operation.map_err(named)?)));
    }
    let object = Object::<dyn LayerRule>::from_json(v).map_err(named)?;
    let rule = object.arc().map_err(named)?;
    let mut named_rule = rule;
    if named_rule.base().name.is_none()
        && let Some(name) = v.get("name").and_then(Value::as_str)
    {
        // Old files give the name beside the config.
        let mut config = v.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        config.insert("name".into(), name.into());
        named_rule = crate::config::make::<dyn LayerRule>(class, &config)?;
    }
    Ok(LayerRef::new(named_rule))
}

fn sequential(config: &Json, depth: usize) -> Result<Network> {
    let mut cells = layers(config)?.iter().map(|v| layer(v, depth)).collect::<Result<Vec<_>>>()?;
    let given = config.get("build_input_shape").filter(|v| !v.is_null());
    let first = cells.first().ok_or_else(|| Error::new(ErrorKind::Config, "the model has no layers"))?;
    if first.rule().class_name() != "InputLayer" {
        let shape = match (&first.rule().base().input_shape, given) {
            (Some(s), _) => s.clone(),
            (None, Some(v)) => Vec::<Option<usize>>::from_json(v)?,
            (None, None) => {
                return Err(Error::new(ErrorKind::Config, "the model does not say the shape of its input")
                    .expected("an InputLayer, or `batch_shape` on the first layer"));
            }
        };
        cells.insert(0, LayerRef::new(Arc::new(Input::of_batch_shape(shape))));
    }
    super::chain(&cells)
}

/// A place in the graph as files name it: layer, use, output.
fn place(v: &Value) -> Result<(String, usize, usize)> {
    let bad = || wrong("[layer name, node index, tensor index]", v);
    let items = v.as_array().filter(|a| a.len() >= 3).ok_or_else(bad)?;
    let number = |i: usize| items[i].as_u64().map(|n| n as usize).ok_or_else(bad);
    Ok((items[0].as_str().ok_or_else(bad)?.to_string(), number(1)?, number(2)?))
}

/// A list of places, or one.
fn places(v: &Value) -> Result<Vec<(String, usize, usize)>> {
    match v {
        Value::Array(a) if a.first().is_some_and(Value::is_string) => Ok(vec![place(v)?]),
        Value::Array(a) => a.iter().map(place).collect(),
        // Keras flattens objects in the order of their keys.
        Value::Object(o) => {
            let mut sorted: Vec<(&String, &Value)> = o.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(b.0));
            sorted.into_iter().map(|(_, v)| place(v)).collect()
        }
        _ => Err(wrong("a list of places in the graph", v)),
    }
}

type Place = (String, usize, usize);

/// The places that one use of a layer reads, in order, and the arguments beside them. Masks are arguments; other values of the network
/// that are given by name (`initial_state`, `key`) are inputs as if given by place.
fn inbound(v: &Value) -> Result<(Vec<Place>, Arguments<Place>)> {
    let (mut found, mut arguments) = (vec![], Arguments::default());
    let mut named = |key: &String, v: &Value, mut here: Vec<Place>, found: &mut Vec<Place>| match here.is_empty() {
        true => _ = arguments.fixed.insert(key.clone(), v.clone()),
        false if key.ends_with("mask") => arguments.tensors.push((key.clone(), here.swap_remove(0))),
        false => found.extend(here),
    };
    match v {
        // Keras 3: {"args": […], "kwargs": {…}}
        Value::Object(o) if o.contains_key("args") => {
            collect(&o["args"], &mut found, 0)?;
            for (key, k) in o.get("kwargs").and_then(Value::as_object).into_iter().flatten() {
                let mut here = vec![];
                collect(k, &mut here, 0)?;
                named(key, k, here, &mut found);
            }
        }
        // Keras 1 and 2: [[name, node, tensor, {argument: [name, node, tensor] or a value}], …]
        Value::Array(a) => {
            found.extend(a.iter().map(place).collect::<Result<Vec<_>>>()?);
            for (key, k) in a.iter().filter_map(|p| p.get(3)?.as_object()).flatten() {
                named(key, k, place(k).into_iter().collect(), &mut found);
            }
        }
        _ => return Err(wrong("an inbound node", v)),
    }
    Ok((found, arguments))
}

fn collect(v: &Value, found: &mut Vec<(String, usize, usize)>, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::new(ErrorKind::File, "an inbound node is nested too deep"));
    }
    match v {
        Value::Array(a) => a.iter().try_for_each(|x| collect(x, found, depth + 1)),
        Value::Object(o) if o.get("class_name").and_then(Value::as_str) == Some("__keras_tensor__") => {
            let history =
                o.get("config").and_then(|c| c.get("keras_history")).ok_or_else(|| wrong("keras_history", v))?;
            found.push(place(history)?);
            Ok(())
        }
        Value::Object(o) => o.values().try_for_each(|x| collect(x, found, depth + 1)),
        _ => Ok(()),
    }
}

fn functional(config: &Json, depth: usize) -> Result<Network> {
    let mut cells: HashMap<String, LayerRef> = HashMap::new();
    let mut made: HashMap<(String, usize), Vec<Symbol>> = HashMap::new();
    let mut pending: Vec<(String, usize, Vec<Place>, Arguments<Place>)> = vec![];
    for v in layers(config)? {
        let cell = layer(v, depth)?;
        let name = v.get("name").and_then(Value::as_str).unwrap_or_else(|| cell.name()).to_string();
        let nodes = v.get("inbound_nodes").and_then(Value::as_array).cloned().unwrap_or_default();
        if cell.rule().class_name() == "InputLayer" {
            made.insert((name.clone(), 0), vec![super::input_of(&cell)?]);
        } else {
            for (i, n) in nodes.iter().enumerate() {
                let (from, mut arguments) = inbound(n).map_err(|e| e.layer(cell.title()))?;
                if cell.rule().written("").is_some() {
                    arguments.fixed.insert("args".into(), n["args"].clone());
                }
                pending.push((name.clone(), i, from, arguments));
            }
        }
        if cells.insert(name.clone(), cell).is_some() {
            return Err(Error::new(ErrorKind::File, format!("two layers have the name `{name}`")));
        }
    }
    while !pending.is_empty() {
        let before = pending.len();
        let mut rest = vec![];
        for (name, index, from, arguments) in pending {
            if let Some(missing) = from.iter().chain(arguments.values()).find(|f| !cells.contains_key(&f.0)) {
                return Err(Error::new(
                    ErrorKind::File,
                    format!("`{name}` reads from the layer `{}`, which does not exist", missing.0),
                ));
            }
            let ready = from.iter().chain(arguments.values()).all(|f| made.contains_key(&(f.0.clone(), f.1)));
            // Uses of one layer are numbered in order.
            let in_order = index == 0 || made.contains_key(&(name.clone(), index - 1));
            if !ready || !in_order {
                rest.push((name, index, from, arguments));
                continue;
            }
            let inputs = from.iter().map(|f| symbol_at(&made, f)).collect::<Result<Vec<_>>>()?;
            let mut given = Arguments { fixed: arguments.fixed, tensors: vec![] };
            for (argument, p) in arguments.tensors {
                given.tensors.push((argument, symbol_at(&made, &p)?));
            }
            let outputs = symbol::call(&cells[&name], &inputs, given);
            if let Some(e) = outputs.first().and_then(|s| s.node.fault.clone()) {
                return Err(e);
            }
            made.insert((name, index), outputs);
        }
        if rest.len() == before {
            let stuck: Vec<&str> = rest.iter().map(|r| r.0.as_str()).take(5).collect();
            return Err(Error::new(
                ErrorKind::File,
                "the layers wait for each other: the graph has a cycle, or a use that does not exist",
            )
            .received(stuck.join(", ")));
        }
        pending = rest;
    }
    let ends = |key: &str| -> Result<Vec<Symbol>> {
        let v = config
            .get(key)
            .ok_or_else(|| Error::new(ErrorKind::Config, format!("the model's config has no `{key}`")))?;
        places(v)?.iter().map(|p| symbol_at(&made, p)).collect()
    };
    Network::between(&ends("input_layers")?, &ends("output_layers")?)
}

fn symbol_at(made: &HashMap<(String, usize), Vec<Symbol>>, p: &(String, usize, usize)) -> Result<Symbol> {
    let missing = || {
        Error::new(ErrorKind::File, "a place in the graph does not exist")
            .received(format!("output {} of use {} of `{}`", p.2, p.1, p.0))
    };
    made.get(&(p.0.clone(), p.1)).and_then(|s| s.get(p.2)).cloned().ok_or_else(missing)
}

/// A whole model as Keras writes it into `config.json`.
pub(crate) fn model_json(name: &str, sequential: bool, network: &Network) -> Value {
    let mut config = Json::new();
    config.insert("name".into(), name.into());
    config.insert("trainable".into(), true.into());
    if sequential {
        let policy = crate::layers::Policy::default();
        config.insert("dtype".into(), policy.to_json());
    }
    config.extend(network_config(network, sequential));
    let (module, class) =
        if sequential { ("keras", "Sequential") } else { ("keras.src.models.functional", "Functional") };
    json!({"module": module, "class_name": class, "config": config, "registered_name": class,
        "build_config": {"input_shape": network.inputs.first().map(|p| dims(&network.ty(*p).0))}})
}

/// For messages: `(None, 784) float32`.
pub(crate) fn describe(ty: &(Vec<Option<usize>>, DType)) -> String {
    format!("{} {}", show(&ty.0), ty.1)
}
