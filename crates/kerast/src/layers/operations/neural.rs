//! Operations of neural networks: activations, normalisations, products.

use super::{Given, axis, operations};
use crate::activations::Activation;
use crate::config::{Json, Object, make};
use crate::layers::einsum::Einsum;
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::Var;
use serde_json::Value;

operations! {
    "Relu" => |g| activation(g, "relu", &[])?;
    "Relu6" => |g| activation(g, "relu6", &[])?;
    "Sigmoid" => |g| activation(g, "sigmoid", &[])?;
    "Softplus" => |g| activation(g, "softplus", &[])?;
    "Softsign" => |g| activation(g, "softsign", &[])?;
    "Silu" => |g| activation(g, "silu", &[])?;
    "LogSigmoid" => |g| activation(g, "log_sigmoid", &[])?;
    "LeakyRelu" => |g| activation(g, "leaky_relu", &["negative_slope"])?;
    "HardSigmoid" => |g| activation(g, "hard_sigmoid", &[])?;
    "HardSilu" => |g| activation(g, "hard_silu", &[])?;
    "HardTanh" => |g| activation(g, "hard_tanh", &[])?;
    "Elu" => |g| activation(g, "elu", &["alpha"])?;
    "Celu" => |g| activation(g, "celu", &["alpha"])?;
    "Selu" => |g| activation(g, "selu", &[])?;
    "Gelu" => |g| activation(g, "gelu", &["approximate"])?;
    "Glu" => |g| activation(g, "glu", &["axis"])?;
    "Squareplus" => |g| activation(g, "squareplus", &["b"])?;
    "TanhShrink" => |g| activation(g, "tanh_shrink", &[])?;
    "SparsePlus" => |g| activation(g, "sparse_plus", &[])?;
    "SparseSigmoid" => |g| activation(g, "sparse_sigmoid", &[])?;
    "Mish" => |g| activation(g, "mish", &[])?;
    "Softmax" => |g| { let x = g.x()?; let a = g.axis_of("axis", x.rank())?; x.softmax(a) };
    "LogSoftmax" => |g| { let x = g.x()?; let a = g.axis_of("axis", x.rank())?; x.log_softmax(a) };
    "OneHot" => |g| one_hot(g)?;
    "Normalize" => |g| normalize(g)?;
    "LayerNorm" => |g| layer_norm(g)?;
    "RMSNorm" => |g| rms_norm(g)?;
    "Matmul" => |g| matmul(g)?;
    "Dot" => |g| { let (x, y) = g.both()?; x.dot(&y) };
    "Einsum" => |g| einsum(g)?;
}

/// An activation of the registry with some of its arguments.
fn activation(g: &Given<'_>, name: &str, arguments: &[&str]) -> Result<Var> {
    let mut config = Json::new();
    for a in arguments {
        if let Some(v) = g.setting(a, usize::MAX) {
            config.insert(a.to_string(), v.clone());
        }
    }
    let made: Activation = Object::from_arc(make(name, &config)?);
    Ok(made.get()?.call(&g.float()?))
}

fn one_hot(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    let dtype = g.setting("dtype", usize::MAX).and_then(Value::as_str).and_then(DType::parse).unwrap_or(DType::F32);
    let hot = x.one_hot(g.whole("num_classes")?.max(0) as usize, dtype);
    let to = axis(g.number("axis", -1.0) as i64, hot.rank())?;
    let mut order: Vec<usize> = (0..x.rank()).collect();
    order.insert(to, x.rank());
    Ok(hot.transpose(&order))
}

/// The axes of a normalisation, and a function that spreads reduced values over them again.
fn spread(x: &Var, axes: &[usize]) -> impl Fn(Var) -> Var {
    let (shape, kept): (Vec<usize>, Vec<usize>) =
        x.shape().iter().enumerate().map(|(i, n)| (*n, if axes.contains(&i) { 1 } else { *n })).unzip();
    move |v| v.reshape(&kept).broadcast_to(&shape)
}

fn normalize(g: &Given<'_>) -> Result<Var> {
    let x = g.float()?;
    let axes = g.axes(x.rank())?;
    let (order, epsilon) = (g.number("order", 2.0), g.number("epsilon", 1e-7));
    let sum = match order {
        2.0 => {
            let square = x.square().reduce_sum(&axes);
            return Ok(&x * spread(&x, &axes)(square.max(&square.full_like(epsilon * epsilon)).rsqrt()));
        }
        p => {
            let powers = x.abs().pow(&x.full_like(p)).reduce_sum(&axes);
            powers.pow(&powers.full_like(1.0 / p))
        }
    };
    Ok(&x / spread(&x, &axes)(sum.max(&sum.full_like(epsilon))))
}

fn layer_norm(g: &Given<'_>) -> Result<Var> {
    let x = g.float()?;
    let axes = g.axes(x.rank())?;
    let wide = spread(&x, &axes);
    let centred = &x - wide(x.mean(&axes));
    let scale = (centred.square().mean(&axes) + g.number("epsilon", 1e-7)).rsqrt();
    let mut y = centred * wide(scale);
    if let [_, gamma, ..] = g.inputs() {
        y = y * gamma.broadcast_to(x.shape());
    }
    if let [_, _, beta, ..] = g.inputs() {
        y = y + beta.broadcast_to(x.shape());
    }
    Ok(y)
}

fn rms_norm(g: &Given<'_>) -> Result<Var> {
    let x = g.float()?;
    let axes = g.axes(x.rank())?;
    let y = &x * spread(&x, &axes)((x.square().mean(&axes) + g.number("epsilon", 1e-7)).rsqrt());
    Ok(match g.inputs() {
        [_, scale, ..] => y * scale.broadcast_to(x.shape()),
        _ => y,
    })
}

fn matmul(g: &Given<'_>) -> Result<Var> {
    let (x, y) = g.both()?;
    Ok(x.matmul(&y))
}

fn einsum(g: &Given<'_>) -> Result<Var> {
    let subscripts = g.setting("subscripts", usize::MAX).and_then(Value::as_str).unwrap_or("");
    let (x, y) = g.both()?;
    let e = Einsum::parse(subscripts, x.rank())?;
    match e.right.len() == y.rank() {
        true => Ok(e.call(&x, &y)),
        false => Err(Error::new(ErrorKind::Shape, format!("`{subscripts}` does not fit the operands"))
            .received(format!("{:?}, {:?}", x.shape(), y.shape()))),
    }
}
