//! Operations that put axes together.

use super::{Given, axis, operations};
use crate::{DType, Result};
use kerast_graph::Var;
use serde_json::Value;

operations! {
    "Sum" => |g| reduce(g, Var::reduce_sum)?;
    "Prod" => |g| reduce(g, Var::reduce_product)?;
    "Max" => |g| reduce(g, Var::reduce_max)?;
    "Amax" => |g| reduce(g, Var::reduce_max)?;
    "Min" => |g| reduce(g, Var::reduce_min)?;
    "Amin" => |g| reduce(g, Var::reduce_min)?;
    "Mean" => |g| reduce(g, |x, axes| floats(x).mean(axes))?;
    "Var" => |g| reduce(g, variance)?;
    "Std" => |g| reduce(g, |x, axes| variance(x, axes).sqrt())?;
    "Any" => |g| reduce(g, |x, axes| x.convert(DType::Bool).reduce_any(axes))?;
    "All" => |g| reduce(g, |x, axes| x.convert(DType::Bool).reduce_all(axes))?;
    "Logsumexp" => |g| reduce(g, log_sum_exp)?;
    "Median" => |g| reduce(g, median)?;
    "CountNonzero" => |g| reduce(g, |x, axes| x.ne(0.0).convert(DType::I32).reduce_sum(axes))?;
    "Average" => |g| average(g)?;
    "Argmax" => |g| place(g, Var::arg_max)?;
    "Argmin" => |g| place(g, Var::arg_min)?;
    "Cumsum" => |g| { let x = g.x()?; let a = g.axis_of("axis", x.rank())?; x.cumulative_sum(a) };
    "Cumprod" => |g| { let x = g.x()?; let a = g.axis_of("axis", x.rank())?; x.cumulative_product(a) };
    "Sort" => |g| { let x = g.x()?; let a = g.axis_of("axis", x.rank())?; x.sort(a, false) };
    "Argsort" => |g| { let x = g.x()?; let a = g.axis_of("axis", x.rank())?; x.arg_sort(a, false) };
    "TopK" => |g| { let (values, places) = g.x()?.top_k(g.whole("k")?.max(0) as usize); vec![values, places] };
    "Norm" => |g| reduce(g, |x, axes| floats(x).square().reduce_sum(axes).sqrt())?;
}

fn floats(x: &Var) -> Var {
    if x.dtype().is_float() { x.clone() } else { x.convert(DType::F32) }
}

/// The shape of `x` with these axes of length 1.
fn kept(x: &Var, axes: &[usize]) -> Vec<usize> {
    x.shape().iter().enumerate().map(|(i, n)| if axes.contains(&i) { 1 } else { *n }).collect()
}

fn reduce(g: &Given<'_>, f: impl Fn(&Var, &[usize]) -> Var) -> Result<Var> {
    let x = g.x()?;
    let axes = g.axes(x.rank())?;
    let y = f(&x, &axes);
    Ok(if g.flag("keepdims") { y.reshape(&kept(&x, &axes)) } else { y })
}

fn variance(x: &Var, axes: &[usize]) -> Var {
    let x = &floats(x);
    let mean = x.mean(axes).reshape(&kept(x, axes)).broadcast_to(x.shape());
    (x - mean).square().mean(axes)
}

fn log_sum_exp(x: &Var, axes: &[usize]) -> Var {
    let x = &floats(x);
    let high = x.reduce_max(axes).stop_gradient();
    let spread = high.reshape(&kept(x, axes)).broadcast_to(x.shape());
    (x - spread).exp().reduce_sum(axes).log() + high
}

/// The middle element along one axis, or the mean of the two in the middle.
fn median(x: &Var, axes: &[usize]) -> Var {
    let others: Vec<usize> = (0..x.rank()).filter(|a| !axes.contains(a)).collect();
    let order: Vec<usize> = others.iter().chain(axes).copied().collect();
    let mut shape: Vec<usize> = others.iter().map(|&a| x.shape()[a]).collect();
    let n: usize = axes.iter().map(|&a| x.shape()[a]).product();
    let last = shape.len();
    shape.push(n);
    let sorted = floats(x).transpose(&order).reshape(&shape).sort(last, false);
    let at = |i: usize| sorted.index_axis(last, i.min(n.saturating_sub(1)));
    (at(n.saturating_sub(1) / 2) + at(n / 2)) * 0.5
}

fn average(g: &Given<'_>) -> Result<Var> {
    let weighted = g.inputs().len() > 1;
    if !weighted {
        return reduce(g, |x, axes| floats(x).mean(axes));
    }
    let weights = g.inputs()[1].clone();
    reduce(g, |x, axes| {
        let w = weights.broadcast_to(x.shape());
        (x * &w).reduce_sum(axes) / w.reduce_sum(axes)
    })
}

fn place(g: &Given<'_>, f: impl Fn(&Var, usize) -> Var) -> Result<Var> {
    let x = g.x()?;
    let Some(a) = g.setting("axis", usize::MAX).and_then(Value::as_i64) else {
        return Ok(f(&x.reshape(&[x.shape().iter().product()]), 0));
    };
    let a = axis(a, x.rank())?;
    let y = f(&x, a);
    Ok(if g.flag("keepdims") { y.expand_dims(a) } else { y })
}
