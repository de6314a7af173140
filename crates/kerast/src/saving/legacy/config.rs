//! Old configurations in today's form: classes and arguments renamed, forms straightened, defaults of their time written down.

use super::{Age, tensorflow};
use crate::config::{Json, wrong};
use crate::{Error, ErrorKind, Result};
use serde_json::{Value, json};

const DEEPEST: usize = 32;

/// A model's configuration as today's Keras would write it.
pub(in super::super) fn modernize(v: Value, age: Age) -> Result<Value> {
    if age.is_new() { Ok(v) } else { object(v, age, 0) }
}

/// Classes that have another name today.
const CLASSES: &[(&str, &str)] = &[
    ("Convolution1D", "Conv1D"),
    ("Convolution2D", "Conv2D"),
    ("Convolution3D", "Conv3D"),
    ("AtrousConvolution1D", "Conv1D"),
    ("AtrousConvolution2D", "Conv2D"),
    ("AtrousConv1D", "Conv1D"),
    ("AtrousConv2D", "Conv2D"),
    ("Deconvolution2D", "Conv2DTranspose"),
    ("Deconvolution3D", "Conv3DTranspose"),
    ("SeparableConvolution2D", "SeparableConv2D"),
    ("Model", "Functional"),
    ("BatchNormalizationV1", "BatchNormalization"),
    ("BatchNormalizationV2", "BatchNormalization"),
    ("CuDNNLSTM", "LSTM"),
    ("CuDNNGRU", "GRU"),
    ("MaxPool1D", "MaxPooling1D"),
    ("MaxPool2D", "MaxPooling2D"),
    ("MaxPool3D", "MaxPooling3D"),
    ("AvgPool1D", "AveragePooling1D"),
    ("AvgPool2D", "AveragePooling2D"),
    ("AvgPool3D", "AveragePooling3D"),
    ("Convolution2DTranspose", "Conv2DTranspose"),
];

/// Arguments that have another name today, for all classes that have them.
const ARGUMENTS: &[(&str, &str)] = &[
    ("nb_filter", "filters"),
    ("border_mode", "padding"),
    ("subsample", "strides"),
    ("subsample_length", "strides"),
    ("stride", "strides"),
    ("filter_length", "kernel_size"),
    ("pool_length", "pool_size"),
    ("atrous_rate", "dilation_rate"),
    ("init", "kernel_initializer"),
    ("inner_init", "recurrent_initializer"),
    ("inner_activation", "recurrent_activation"),
    ("bias", "use_bias"),
    ("W_regularizer", "kernel_regularizer"),
    ("U_regularizer", "recurrent_regularizer"),
    ("b_regularizer", "bias_regularizer"),
    ("W_constraint", "kernel_constraint"),
    ("U_constraint", "recurrent_constraint"),
    ("b_constraint", "bias_constraint"),
    ("dropout_W", "dropout"),
    ("dropout_U", "recurrent_dropout"),
    ("p", "rate"),
    ("sigma", "stddev"),
    ("beta_init", "beta_initializer"),
    ("gamma_init", "gamma_initializer"),
    ("depthwise_init", "depthwise_initializer"),
    ("pointwise_init", "pointwise_initializer"),
];

/// Arguments that say nothing about what is computed.
const DROPPED: &[&str] = &[
    "input_dtype",
    "consume_less",
    "implementation",
    "input_length",
    "time_major",
    "ragged",
    "sparse",
    "batch_size",
    "experimental_autocast",
    "autocast",
    "dynamic",
    "mode_legacy",
    "optional",
    "renorm",
    "fused",
    "virtual_batch_size",
    "adjustment",
    "ragged_rank",
    "node_def",
    "jit_compile",
];

fn object(v: Value, age: Age, depth: usize) -> Result<Value> {
    if depth > DEEPEST {
        return Err(Error::new(ErrorKind::File, format!("the configuration is nested more than {DEEPEST} deep")));
    }
    let Value::Object(mut o) = v else { return Err(wrong("an object with `class_name` and `config`", &v)) };
    if let Some(operation) = tensorflow::operation(&o) {
        return operation.map(Value::Object).map_err(|e| e.layer(name_of(&o, "an operation of TensorFlow")));
    }
    let Some(old) = o.get("class_name").and_then(Value::as_str).map(str::to_string) else {
        return Err(wrong("an object with a `class_name`", &Value::Object(o)));
    };
    let class = CLASSES.iter().find(|(from, _)| *from == old).map_or(old.as_str(), |(_, to)| to).to_string();
    o.insert("class_name".into(), class.as_str().into());
    let config = match o.remove("config") {
        // Up to Keras 2.2.2 a Sequential's config is its list of layers.
        Some(Value::Array(layers)) => json!({"name": "sequential", "layers": layers}),
        Some(other) => other,
        None => json!({}),
    };
    let Value::Object(config) = config else { return Err(wrong("a config", &config)) };
    let config = match class.as_str() {
        "Sequential" | "Functional" => model(config, age, depth)?,
        _ => layer(&old, &class, config, age, depth).map_err(|e| e.layer(name_of(&o, &class)))?,
    };
    o.insert("config".into(), Value::Object(config));
    Ok(Value::Object(o))
}

fn name_of(o: &Json, class: &str) -> String {
    let name = o.get("config").and_then(|c| c.get("name")).or_else(|| o.get("name")).and_then(Value::as_str);
    format!("{} ({class})", name.unwrap_or("?"))
}

fn model(mut config: Json, age: Age, depth: usize) -> Result<Json> {
    let layers = match config.remove("layers") {
        Some(Value::Array(all)) => all,
        other => return Err(wrong("a list of layers", &other.unwrap_or_default())),
    };
    let layers: Vec<Value> = layers.into_iter().map(|v| object(v, age, depth + 1)).collect::<Result<_>>()?;
    config.insert("layers".into(), layers.into());
    config.remove("build_input_shape");
    count_uses_from_zero(&mut config);
    Ok(config)
}

/// Keras 2 counts a model's own making as its first use, so that places name uses from 1 on. Brings the numbers down to the uses listed.
fn count_uses_from_zero(config: &mut Json) {
    let layers = config.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
    for layer in layers.iter().filter(|l| matches!(l["class_name"].as_str(), Some("Sequential" | "Functional"))) {
        let Some(name) = layer["name"].as_str().or_else(|| layer["config"]["name"].as_str()) else { continue };
        let uses = layer["inbound_nodes"].as_array().map_or(0, Vec::len) as u64;
        let mut highest = None;
        each_place(config, name, &mut |i| highest = highest.max(i.as_u64()));
        if let Some(excess) = highest.and_then(|h| (h + 1).checked_sub(uses)).filter(|e| *e > 0 && uses > 0) {
            each_place(config, name, &mut |i| *i = i.as_u64().map_or(Value::Null, |n| n.saturating_sub(excess).into()));
        }
    }
}

/// The use number of every place `[name, use, output, …]` that reads this layer.
fn each_place(config: &mut Json, name: &str, f: &mut dyn FnMut(&mut Value)) {
    fn walk(v: &mut Value, name: &str, f: &mut dyn FnMut(&mut Value)) {
        if let Value::Array(items) = v {
            match &mut items[..] {
                [Value::String(n), number @ Value::Number(_), Value::Number(_), ..] if n == name => f(number),
                items => items.iter_mut().for_each(|i| walk(i, name, f)),
            }
        }
    }
    for layer in config.get_mut("layers").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(nodes) = layer.get_mut("inbound_nodes") {
            walk(nodes, name, f);
        }
    }
    for key in ["output_layers", "input_layers"] {
        if let Some(ends) = config.get_mut(key) {
            walk(ends, name, f);
        }
    }
}

fn layer(old: &str, class: &str, mut c: Json, age: Age, depth: usize) -> Result<Json> {
    for key in DROPPED {
        c.shift_remove(*key);
    }
    // Keras 1 called the number of units `output_dim`, but an embedding's is called so still.
    if class != "Embedding" {
        rename(&mut c, "output_dim", "units");
    }
    if class != "Embedding"
        && let Some(n) = c.shift_remove("input_dim").filter(Value::is_number)
        && !c.contains_key("batch_input_shape")
    {
        let shape = if is_recurrent(class) { json!([null, null, n]) } else { json!([null, n]) };
        c.insert("batch_input_shape".into(), shape);
    }
    for (from, to) in ARGUMENTS {
        rename(&mut c, from, to);
    }
    joined(&mut c, &["nb_row", "nb_col"], "kernel_size");
    joined(&mut c, &["kernel_dim1", "kernel_dim2", "kernel_dim3"], "kernel_size");
    if let Some(order) = c.shift_remove("dim_ordering") {
        let format = if order.as_str() == Some("th") { "channels_first" } else { "channels_last" };
        c.insert("data_format".into(), format.into());
    }
    if age.major < 2 {
        embedding_weights(class, &mut c);
    }
    for (_, v) in c.iter_mut() {
        straighten(v);
    }
    match class {
        "InputLayer" => keep(&mut c, &["batch_input_shape", "batch_shape", "dtype", "name"]),
        "LSTM" | "GRU" | "SimpleRNN" | "ConvLSTM2D" => recurrent(old, class, &mut c, age),
        "BatchNormalization" => batch_normalization(&mut c)?,
        "SpatialDropout1D" | "SpatialDropout2D" | "SpatialDropout3D" => _ = c.shift_remove("noise_shape"),
        "LeakyReLU" => rename(&mut c, "alpha", "negative_slope"),
        "DepthwiseConv2D" | "DepthwiseConv1D" => {
            for key in ["kernel_initializer", "kernel_regularizer", "kernel_constraint", "filters", "groups"] {
                c.shift_remove(key);
            }
        }
        "SeparableConv2D" | "SeparableConv1D" => {
            for key in ["kernel_initializer", "kernel_regularizer", "kernel_constraint", "groups"] {
                c.shift_remove(key);
            }
        }
        "Bidirectional" | "TimeDistributed" => {
            for key in ["layer", "backward_layer"] {
                if let Some(inner) = c.shift_remove(key).filter(|v| !v.is_null()) {
                    c.insert(key.into(), object(inner, age, depth + 1)?);
                }
            }
        }
        "Conv2DTranspose" | "Conv3DTranspose" | "Conv1DTranspose" => _ = c.shift_remove("groups"),
        "MultiHeadAttention" => {
            for key in ["query_shape", "key_shape", "value_shape", "softmax_robust_masking"] {
                c.shift_remove(key);
            }
        }
        "ZeroPadding1D" | "Cropping1D" => {
            if let Some(Value::Object(o)) = c.get("padding").cloned() {
                c.insert("padding".into(), o.values().cloned().collect::<Vec<_>>().into());
            }
        }
        _ => {}
    }
    if let Some(Value::Array(axis)) = c.get("axis")
        && axis.len() == 1
        && class != "LayerNormalization"
    {
        c["axis"] = axis[0].clone();
    }
    Ok(c)
}

fn is_recurrent(class: &str) -> bool {
    matches!(class, "LSTM" | "GRU" | "SimpleRNN")
}

fn rename(c: &mut Json, from: &str, to: &str) {
    if let Some(v) = c.shift_remove(from) {
        c.entry(to.to_string()).or_insert(v);
    }
}

/// Several numbers as one list.
fn joined(c: &mut Json, parts: &[&str], to: &str) {
    if parts.iter().all(|p| c.contains_key(*p)) {
        let all: Vec<Value> = parts.iter().filter_map(|p| c.shift_remove(*p)).collect();
        c.insert(to.into(), all.into());
    }
}

fn keep(c: &mut Json, keys: &[&str]) {
    c.retain(|k, _| keys.contains(&k.as_str()));
}

/// Keras 1 says of an embedding's table what it says of a kernel.
fn embedding_weights(class: &str, c: &mut Json) {
    if class == "Embedding" {
        rename(c, "init", "embeddings_initializer");
        rename(c, "kernel_initializer", "embeddings_initializer");
        rename(c, "kernel_regularizer", "embeddings_regularizer");
        rename(c, "kernel_constraint", "embeddings_constraint");
        for key in ["dropout", "weights"] {
            c.shift_remove(key);
        }
    }
    for key in ["weights", "trainable_weights"] {
        c.shift_remove(key);
    }
}

/// Old initializers, regularizers and activations.
fn straighten(v: &mut Value) {
    if v.as_str() == Some("hard_sigmoid") {
        *v = "hard_sigmoid_keras2".into();
        return;
    }
    let Value::Object(o) = v else { return };
    // {"name": "WeightRegularizer", "l1": …, "l2": …}
    if o.contains_key("l1") && o.contains_key("l2") && !o.contains_key("class_name") {
        let (l1, l2) = (o["l1"].clone(), o["l2"].clone());
        *v = json!({"class_name": "L1L2", "config": {"l1": l1, "l2": l2}});
        return;
    }
    if let (Some(Value::String(_)), Some(Value::Object(config))) = (o.get("class_name").cloned(), o.get_mut("config")) {
        config.shift_remove("dtype");
        config.shift_remove("partition_info");
        config.iter_mut().for_each(|(_, inner)| straighten(inner));
    }
}

fn recurrent(old: &str, class: &str, c: &mut Json, age: Age) {
    rename(c, "forget_bias_init", "unit_forget_bias");
    if let Some(v) = c.get_mut("unit_forget_bias")
        && let Some(s) = v.as_str()
    {
        *v = (s == "one" || s == "ones").into();
    }
    let cudnn = old.starts_with("CuDNN");
    if class != "SimpleRNN" && !c.contains_key("recurrent_activation") {
        let gates = if cudnn || !age.hard_gates() { "sigmoid" } else { "hard_sigmoid_keras2" };
        c.insert("recurrent_activation".into(), gates.into());
    }
    if class == "GRU" && !c.contains_key("reset_after") {
        c.insert("reset_after".into(), cudnn.into());
    }
    if class != "GRU" {
        c.shift_remove("reset_after");
    }
}

fn batch_normalization(c: &mut Json) -> Result<()> {
    if let Some(mode) = c.shift_remove("mode")
        && mode.as_u64() == Some(1)
    {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "batch normalisation of each sample by itself (`mode=1`) is not supported",
        ));
    }
    for key in ["gamma_regularizer", "beta_regularizer"] {
        if c.get(key).is_some_and(Value::is_null) {
            c.shift_remove(key);
        }
    }
    for key in ["trainable_statistics", "renorm_clipping", "renorm_momentum"] {
        c.shift_remove(key);
    }
    Ok(())
}
