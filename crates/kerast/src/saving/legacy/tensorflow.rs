//! Operations of TensorFlow between the layers of tf.keras models, as operations of Keras 3. A node says which operation it is and what it
//! is given; nothing is run.

use crate::config::{Json, wrong};
use crate::{Error, ErrorKind, Result};
use serde_json::{Value, json};

/// What an argument after the values becomes.
#[derive(Clone, Copy)]
enum Rest {
    /// There is none, or it is a value, too.
    Value,
    /// A setting of this name.
    Setting(&'static str),
    /// Axes, and `keepdims` by its several names.
    Axes,
    /// The values are one list, the axis stands first or last.
    List,
}
use Rest::{Axes, List, Setting, Value as Plain};

/// TensorFlow's names in a graph and in Python, Keras' class, and the argument after the values.
const TABLE: &[(&[&str], &str, Rest)] = &[
    (&["Add", "AddV2", "math.add", "__operators__.add"], "Add", Plain),
    (&["Sub", "math.subtract"], "Subtract", Plain),
    (&["Mul", "math.multiply"], "Multiply", Plain),
    (&["RealDiv", "math.truediv", "math.divide", "compat.v1.div"], "TrueDivide", Plain),
    (&["FloorDiv", "math.floordiv"], "FloorDivide", Plain),
    (&["FloorMod", "math.floormod", "math.mod"], "Mod", Plain),
    (&["Pow", "math.pow"], "Power", Plain),
    (&["Maximum", "math.maximum"], "Maximum", Plain),
    (&["Minimum", "math.minimum"], "Minimum", Plain),
    (&["SquaredDifference", "math.squared_difference"], "SquaredDifference", Plain),
    (&["Greater", "math.greater"], "Greater", Plain),
    (&["GreaterEqual", "math.greater_equal"], "GreaterEqual", Plain),
    (&["Less", "math.less"], "Less", Plain),
    (&["LessEqual", "math.less_equal"], "LessEqual", Plain),
    (&["Equal", "math.equal"], "Equal", Plain),
    (&["NotEqual", "math.not_equal"], "NotEqual", Plain),
    (&["MatMul", "BatchMatMulV2", "linalg.matmul"], "Matmul", Plain),
    (&["Neg", "math.negative"], "Negative", Plain),
    (&["Abs", "math.abs"], "Abs", Plain),
    (&["Exp", "math.exp"], "Exp", Plain),
    (&["Log", "math.log"], "Log", Plain),
    (&["Log1p", "math.log1p"], "Log1p", Plain),
    (&["Sqrt", "math.sqrt"], "Sqrt", Plain),
    (&["Rsqrt", "math.rsqrt"], "Rsqrt", Plain),
    (&["Square", "math.square"], "Square", Plain),
    (&["Sin", "math.sin"], "Sin", Plain),
    (&["Cos", "math.cos"], "Cos", Plain),
    (&["Tanh", "math.tanh", "nn.tanh"], "Tanh", Plain),
    (&["Erf", "math.erf"], "Erf", Plain),
    (&["Floor", "math.floor"], "Floor", Plain),
    (&["Ceil", "math.ceil"], "Ceil", Plain),
    (&["Relu", "nn.relu"], "Relu", Plain),
    (&["Relu6", "nn.relu6"], "Relu6", Plain),
    (&["Elu", "nn.elu"], "Elu", Plain),
    (&["Selu", "nn.selu"], "Selu", Plain),
    (&["Sigmoid", "math.sigmoid", "nn.sigmoid"], "Sigmoid", Plain),
    (&["Softplus", "math.softplus", "nn.softplus"], "Softplus", Plain),
    (&["nn.silu", "nn.swish"], "Silu", Plain),
    (&["Softmax", "nn.softmax"], "Softmax", Setting("axis")),
    (&["Reshape", "reshape"], "Reshape", Setting("newshape")),
    (&["Transpose", "transpose"], "Transpose", Setting("axes")),
    (&["ExpandDims", "expand_dims"], "ExpandDims", Setting("axis")),
    (&["Squeeze", "squeeze"], "Squeeze", Setting("axis")),
    (&["Mean", "math.reduce_mean"], "Mean", Axes),
    (&["Sum", "math.reduce_sum"], "Sum", Axes),
    (&["Max", "math.reduce_max"], "Max", Axes),
    (&["Min", "math.reduce_min"], "Min", Axes),
    (&["Prod", "math.reduce_prod"], "Prod", Axes),
    (&["ConcatV2", "concat"], "Concatenate", List),
    (&["Pack", "stack"], "Stack", List),
];

/// The node as Keras 3 would write it; `None` if it is none of TensorFlow's operations.
pub(super) fn operation(o: &Json) -> Option<Result<Json>> {
    match o.get("class_name").and_then(Value::as_str) {
        Some("TensorFlowOpLayer") => Some(of_graph(o)),
        Some("TFOpLambda") => Some(of_python(o)),
        _ => None,
    }
}

fn find(name: &str) -> Result<(&'static str, Rest)> {
    let found = TABLE.iter().find(|(names, _, _)| names.contains(&name));
    found.map(|(_, class, rest)| (*class, *rest)).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("TensorFlow's operation `{name}` is not known here"))
            .repair("make the model with layers, or with operations of keras.ops, and save it again")
    })
}

/// Refuses products of matrices that are turned around first.
fn unturned(named: &Json) -> Result<()> {
    let flags = ["transpose_a", "transpose_b", "adjoint_a", "adjoint_b", "adj_x", "adj_y"];
    match flags.into_iter().find(|f| named.get(*f).and_then(Value::as_bool) == Some(true)) {
        None => Ok(()),
        Some(flag) => Err(Error::new(ErrorKind::Unsupported, format!("a product with `{flag}` is not known here"))),
    }
}

/// Whole numbers as protobuf writes them in JSON: texts.
fn plain_number(v: &Value) -> Value {
    match v {
        Value::Array(all) => all.iter().map(plain_number).collect(),
        Value::String(s) => s.parse::<i64>().map_or_else(|_| v.clone(), Value::from),
        _ => v.clone(),
    }
}

fn tensor(place: &Value) -> Value {
    json!({"class_name": "__keras_tensor__", "config": {"keras_history": [place[0], place[1], place[2]]}})
}

/// Whether this is the place of a value: `[layer, use, output]`.
fn is_place(v: &Value) -> bool {
    matches!(v.as_array().map(Vec::as_slice), Some([Value::String(_), Value::Number(_), Value::Number(_), ..]))
}

/// A node: `values` are arguments, `rest` what comes after them, `named` what has a name.
fn node(class: &str, rest: Rest, mut values: Vec<Value>, named: &Json, config: &mut Json) -> Value {
    let set = |config: &mut Json, key: &str, v: Option<&Value>| {
        if let Some(v) = v.filter(|v| !v.is_null()) {
            config.insert(key.into(), v.clone());
        }
    };
    let first_of = |names: &[&str]| names.iter().find_map(|n| named.get(*n)).filter(|v| !v.is_null()).cloned();
    match rest {
        Plain => values.extend(first_of(&["y", "b", "bias"])),
        Setting(key) => {
            let own = first_of(&[key, "axis", "shape", "perm", "squeeze_dims"]);
            let placed = (values.len() > 1).then(|| values.remove(1));
            set(config, key, placed.or(own).as_ref());
            values.truncate(1);
        }
        Axes => {
            let placed = (values.len() > 1).then(|| values.remove(1));
            set(config, "axis", placed.or(first_of(&["axis", "reduction_indices"])).as_ref());
            set(config, "keepdims", first_of(&["keepdims", "keep_dims"]).as_ref());
            values.truncate(1);
        }
        List => {
            let last = values.pop_if(|v| v.is_number());
            set(config, "axis", last.or(first_of(&["axis"])).as_ref());
            if class == "Stack" {
                config.entry("axis".to_string()).or_insert(json!(0));
            }
            values = vec![Value::Array(values)];
        }
    }
    json!({"args": values, "kwargs": {}})
}

fn finished(o: &Json, class: &str, mut config: Json, nodes: Vec<Value>) -> Json {
    let name = o.get("name").or_else(|| o.get("config").and_then(|c| c.get("name"))).cloned().unwrap_or_default();
    config.insert("name".into(), name.clone());
    let mut out = Json::new();
    out.insert("module".into(), "keras.src.ops.numpy".into());
    out.insert("class_name".into(), class.into());
    out.insert("config".into(), Value::Object(config));
    out.insert("name".into(), name);
    out.insert("inbound_nodes".into(), nodes.into());
    out
}

/// `{"node_def": {"op": …, "attr": …}, "constants": {place: value}}` of Keras 2.2 to 2.3 inside TensorFlow.
fn of_graph(o: &Json) -> Result<Json> {
    let (def, constants) = (&o["config"]["node_def"], &o["config"]["constants"]);
    let op = def.get("op").and_then(Value::as_str).ok_or_else(|| wrong("a node_def with an `op`", def))?;
    let (class, rest) = find(op)?;
    let mut named = Json::new();
    for (key, v) in def.get("attr").and_then(Value::as_object).into_iter().flatten() {
        let plain = ["b", "i", "f"].iter().find_map(|t| v.get(*t)).cloned();
        let list = v.get("list").and_then(|l| l.get("i")).cloned();
        named.insert(key.clone(), plain_number(&plain.or(list).unwrap_or_default()));
    }
    unturned(&named)?;
    let mut config = Json::new();
    let mut nodes = vec![];
    for n in o.get("inbound_nodes").and_then(Value::as_array).into_iter().flatten() {
        let mut places = n.as_array().into_iter().flatten();
        let count = n.as_array().map_or(0, Vec::len) + constants.as_object().map_or(0, serde_json::Map::len);
        let values =
            (0..count).filter_map(|i| constants.get(i.to_string()).cloned().or_else(|| places.next().map(tensor)));
        nodes.push(node(class, rest, values.collect(), &named, &mut config));
    }
    Ok(finished(o, class, config, nodes))
}

/// `{"function": "math.add"}` with nodes `[layer, use, output, {argument: value}]` of TensorFlow 2.4 to 2.15.
fn of_python(o: &Json) -> Result<Json> {
    let function =
        o["config"].get("function").and_then(Value::as_str).ok_or_else(|| wrong("a `function`", &o["config"]))?;
    let (class, rest) = find(function)?;
    let mut config = Json::new();
    let mut nodes = vec![];
    for n in o.get("inbound_nodes").and_then(Value::as_array).into_iter().flatten() {
        let listed = n.as_array().is_some_and(|a| a.first().is_some_and(Value::is_array));
        let uses: Vec<&Value> = if listed { n.as_array().into_iter().flatten().collect() } else { vec![n] };
        let mut named = Json::new();
        let mut values = vec![];
        for u in &uses {
            let constant = u[0].as_str() == Some("_CONSTANT_VALUE");
            values.push(if constant { u[2].clone() } else { tensor(u) });
            for (key, v) in u.get(3).and_then(Value::as_object).into_iter().flatten() {
                named.insert(key.clone(), if is_place(v) { tensor(v) } else { v.clone() });
            }
        }
        unturned(&named)?;
        nodes.push(node(class, rest, values, &named, &mut config));
    }
    Ok(finished(o, class, config, nodes))
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;
    use crate::saving::model_from_json;

    /// relu6(x + 3) · x / 6 and its mean, as MobileNetV3 of tf.keras has it.
    #[test]
    fn operations_of_tensorflow_are_keras_operations() {
        let op = |name: &str, function: &str, node: &str| {
            format!(
                r#"{{"class_name": "TFOpLambda", "config": {{"name": "{name}", "function": "{function}"}}, "name": "{name}",
                "inbound_nodes": [{node}]}}"#
            )
        };
        let layers = [
            r#"{"class_name": "InputLayer", "config": {"batch_input_shape": [null, 2], "dtype": "float32", "name": "x"},
            "name": "x", "inbound_nodes": []}"#
                .to_string(),
            op("add", "__operators__.add", r#"["x", 0, 0, {"y": 3.0, "name": null}]"#),
            r#"{"class_name": "ReLU", "config": {"name": "relu", "max_value": 6.0}, "name": "relu",
            "inbound_nodes": [[["add", 0, 0, {}]]]}"#
                .to_string(),
            op("mul", "math.multiply", r#"["relu", 0, 0, {"y": ["x", 0, 0], "name": null}]"#),
            op("div", "math.truediv", r#"["mul", 0, 0, {"y": 6.0}]"#),
            op("from_one", "math.subtract", r#"["_CONSTANT_VALUE", -1, 1.0, {"y": ["div", 0, 0]}]"#),
            op("both", "concat", r#"[["div", 0, 0, {"axis": -1}], ["from_one", 0, 0, {"axis": -1}]]"#),
            op("mean", "math.reduce_mean", r#"["both", 0, 0, {"axis": 1, "keepdims": true}]"#),
        ];
        let json = format!(
            r#"{{"class_name": "Functional", "keras_version": "2.9.0", "backend": "tensorflow", "config": {{"name": "m",
            "layers": [{}], "input_layers": [["x", 0, 0]], "output_layers": [["both", 0, 0], ["mean", 0, 0]]}}}}"#,
            layers.join(",")
        );
        let mut model = model_from_json(&json).expect("known operations");
        let x = Tensor::new(&[1, 2], &[1.0f32, -2.0]).expect("two numbers");
        let y = model.predict(&x).all().expect("runs");
        let (a, b) = (4.0 / 6.0, -2.0 / 6.0);
        for (got, want) in y[0].to_f64_vec().iter().zip([a, b, 1.0 - a, 1.0 - b]) {
            assert!((got - want).abs() < 1e-6, "{y:?}");
        }
        assert!((y[1].to_f64_vec()[0] - 0.5).abs() < 1e-6 && y[1].shape() == [1, 1]);
        let product =
            json.replace("math.subtract", "linalg.matmul").replace(r#"1.0, {"y""#, r#"1.0, {"transpose_b": true, "b""#);
        assert!(model_from_json(&product).expect_err("turned").to_string().contains("transpose_b"));
        let unknown = json.replace("math.reduce_mean", "image.resize");
        assert!(model_from_json(&unknown).expect_err("unknown").to_string().contains("image.resize"));
    }
}
