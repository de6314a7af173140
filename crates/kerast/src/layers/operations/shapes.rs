//! Operations that move elements about.

use super::{Given, axis, is_tensor, list, operations};
use crate::config::wrong;
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_graph::{Type, Var};
use serde_json::Value;

operations! {
    "Reshape" => |g| reshape(g)?;
    "Ravel" => |g| { let x = g.x()?; x.reshape(&[x.shape().iter().product()]) };
    "Transpose" => |g| transpose(g)?;
    "Swapaxes" => |g| swap(g)?;
    "Moveaxis" => |g| move_axis(g)?;
    "ExpandDims" => |g| expand(g)?;
    "Squeeze" => |g| squeeze(g)?;
    "Concatenate" => |g| join(g, "axis")?;
    "Hstack" => |g| Var::concatenate(&refs(g)?, 1.min(g.inputs()[0].rank() - 1));
    "Vstack" => |g| Var::concatenate(&refs(g)?, 0);
    "Stack" => |g| stack(g)?;
    "Unstack" => |g| unstack(g)?;
    "Split" => |g| split(g)?;
    "Flip" => |g| { let x = g.x()?; x.reverse(&g.axes(x.rank())?) };
    "Roll" => |g| roll(g)?;
    "Repeat" => |g| repeat(g)?;
    "Tile" => |g| tile(g)?;
    "Pad" => |g| pad(g)?;
    "Take" => |g| take(g)?;
    "TakeAlongAxis" => |g| { let x = g.x()?; let a = g.axis_of("axis", x.rank())?; x.take_along_axis(&g.var(1)?, a) };
    "Tril" => |g| triangle(g, true)?;
    "Triu" => |g| triangle(g, false)?;
    "Diff" => |g| diff(g)?;
    "BroadcastTo" => |g| broadcast(g)?;
    "GetItem" => |g| get_item(g)?;
}

/// The inputs, of which there must be one.
fn refs<'a>(g: &'a Given<'_>) -> Result<Vec<&'a Var>> {
    match g.inputs() {
        [] => Err(Error::new(ErrorKind::Config, "the operation has no inputs")),
        all => Ok(all.iter().collect()),
    }
}

fn reshape(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    let wanted = g.setting("newshape", 1).map(shape_list).unwrap_or_default();
    let known: usize = wanted.iter().filter(|d| **d > 0).map(|d| *d as usize).product();
    let rest = x.shape().iter().product::<usize>() / known.max(1);
    let dims: Vec<usize> = wanted.iter().map(|d| usize::try_from(*d).unwrap_or(rest)).collect();
    Ok(x.reshape(&dims))
}

/// A shape in which `null` stands for what is left.
fn shape_list(v: &Value) -> Vec<i64> {
    v.as_array().into_iter().flatten().map(|d| d.as_i64().unwrap_or(-1)).collect()
}

fn transpose(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    match g.setting("axes", 1) {
        None => Ok(x.transpose(&(0..x.rank()).rev().collect::<Vec<_>>())),
        Some(v) => Ok(x.transpose(&list(v).iter().map(|a| axis(*a, x.rank())).collect::<Result<Vec<_>>>()?)),
    }
}

fn swap(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    let mut order: Vec<usize> = (0..x.rank()).collect();
    order.swap(g.axis_of("axis1", x.rank())?, g.axis_of("axis2", x.rank())?);
    Ok(x.transpose(&order))
}

fn move_axis(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    let places = |name: &str| -> Result<Vec<usize>> {
        list(g.setting(name, usize::MAX).unwrap_or(&Value::Null)).iter().map(|a| axis(*a, x.rank())).collect()
    };
    let (from, to) = (places("source")?, places("destination")?);
    let mut order: Vec<usize> = (0..x.rank()).filter(|a| !from.contains(a)).collect();
    let mut moves: Vec<(usize, usize)> = to.into_iter().zip(from).collect();
    moves.sort();
    moves.into_iter().for_each(|(to, from)| order.insert(to.min(order.len()), from));
    Ok(x.transpose(&order))
}

fn expand(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    let wanted = list(g.setting("axis", 1).unwrap_or(&Value::Null));
    let rank = x.rank() + wanted.len();
    let mut axes: Vec<usize> = wanted.iter().map(|a| axis(*a, rank)).collect::<Result<_>>()?;
    axes.sort();
    Ok(axes.into_iter().fold(x, |x, a| x.expand_dims(a)))
}

fn squeeze(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    let axes = match g.setting("axis", 1) {
        Some(_) => g.axes(x.rank())?,
        None => (0..x.rank()).filter(|&a| x.shape()[a] == 1).collect(),
    };
    let left: Vec<usize> = (0..x.rank()).filter(|a| !axes.contains(a)).map(|a| x.shape()[a]).collect();
    Ok(x.reshape(&left))
}

fn join(g: &Given<'_>, name: &str) -> Result<Var> {
    let all = refs(g)?;
    Ok(Var::concatenate(&all, g.axis_of(name, all[0].rank())?))
}

fn stack(g: &Given<'_>) -> Result<Var> {
    let a = g.axis_of("axis", refs(g)?[0].rank() + 1)?;
    let all: Vec<Var> = g.inputs().iter().map(|x| x.expand_dims(a)).collect();
    Ok(Var::concatenate(&all.iter().collect::<Vec<_>>(), a))
}

fn unstack(g: &Given<'_>) -> Result<Vec<Var>> {
    let x = g.x()?;
    let a = g.axis_of("axis", x.rank())?;
    Ok((0..x.shape()[a]).map(|i| x.index_axis(a, i)).collect())
}

fn split(g: &Given<'_>) -> Result<Vec<Var>> {
    let x = g.x()?;
    let a = g.axis_of("axis", x.rank())?;
    let n = x.shape()[a];
    let sections = g.setting("indices_or_sections", 1).cloned().unwrap_or(Value::Null);
    let ends: Vec<usize> = match sections.as_u64() {
        Some(parts) if parts > 0 && n.is_multiple_of(parts as usize) => {
            (1..=parts as usize).map(|p| p * n / parts as usize).collect()
        }
        Some(_) => return Err(wrong("a number of parts that divides the axis", &sections)),
        None => list(&sections)
            .iter()
            .map(|i| (if *i < 0 { i + n as i64 } else { *i }).clamp(0, n as i64) as usize)
            .chain([n])
            .collect(),
    };
    let starts = std::iter::once(0).chain(ends.iter().copied());
    Ok(starts.zip(&ends).map(|(from, to)| x.slice_axis(a, from, (*to).max(from))).collect())
}

fn roll(g: &Given<'_>) -> Result<Var> {
    let mut x = g.x()?;
    let shifts = list(g.setting("shift", usize::MAX).unwrap_or(&Value::Null));
    for (shift, a) in shifts.iter().zip(g.axes(x.rank())?) {
        let n = x.shape()[a] as i64;
        let cut = (n - shift.rem_euclid(n.max(1))) as usize;
        x = Var::concatenate(&[&x.slice_axis(a, cut, n as usize), &x.slice_axis(a, 0, cut)], a);
    }
    Ok(x)
}

fn repeat(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    let a = g.axis_of("axis", x.rank())?;
    let times = g.whole("repeats")?.max(0) as usize;
    let mut shape = x.shape().to_vec();
    shape.insert(a + 1, times);
    let dims: Vec<usize> = (0..x.rank()).map(|i| if i > a { i + 1 } else { i }).collect();
    let wide = x.broadcast_in_dim(&shape, &dims);
    shape.remove(a + 1);
    shape[a] *= times;
    Ok(wide.reshape(&shape))
}

fn tile(g: &Given<'_>) -> Result<Var> {
    let mut x = g.x()?;
    let repeats = list(g.setting("repeats", 1).unwrap_or(&Value::Null));
    while x.rank() < repeats.len() {
        x = x.expand_dims(0);
    }
    let skip = x.rank() - repeats.len();
    for (a, times) in repeats.iter().enumerate().filter(|(_, t)| **t != 1) {
        let copies: Vec<&Var> = (0..(*times).clamp(1, 1 << 20)).map(|_| &x).collect();
        x = Var::concatenate(&copies, a + skip);
    }
    Ok(x)
}

fn pad(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    let widths: Vec<Vec<i64>> =
        g.setting("pad_width", 1).and_then(Value::as_array).into_iter().flatten().map(list).collect();
    let side = |i: usize| widths.iter().map(|w| w.get(i).copied().unwrap_or(0)).collect::<Vec<i64>>();
    let (low, high) = (side(0), side(1));
    let mode = g.setting("mode", usize::MAX).and_then(Value::as_str).unwrap_or("constant");
    if mode == "constant" {
        let value = x.constant_like(g.number("constant_values", 0.0));
        return Ok(x.pad(&value, &low, &high, &vec![0; x.rank()]));
    }
    // Elements picked by number along each axis.
    let mut y = x;
    for a in 0..low.len() {
        let n = y.shape()[a] as i64;
        let numbers = (-low[a]..n + high[a]).map(|i| match mode {
            "reflect" => (i.abs() - 2 * (i.abs() - n + 1).max(0)).clamp(0, n - 1),
            "symmetric" => (if i < 0 {
                -i - 1
            } else if i >= n {
                2 * n - 1 - i
            } else {
                i
            })
            .clamp(0, n - 1),
            "wrap" => i.rem_euclid(n),
            _ => i.clamp(0, n - 1),
        });
        let numbers: Vec<i32> = numbers.map(|i| i as i32).collect();
        y = y.take(&y.trace().constant(Tensor::new(&[numbers.len()], &numbers)?), a);
    }
    Ok(y)
}

fn take(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    let indices = match g.setting("indices", 1) {
        Some(v) if !is_tensor(v) => {
            let numbers: Vec<i32> = list(v).iter().map(|i| *i as i32).collect();
            let shape: &[usize] = if v.is_array() { &[numbers.len()] } else { &[] };
            x.trace().constant(Tensor::new(shape, &numbers)?)
        }
        _ => g.var(1)?,
    };
    let (x, a) = match g.setting("axis", usize::MAX).and_then(Value::as_i64) {
        Some(a) => (x.clone(), axis(a, x.rank())?),
        None => (x.reshape(&[x.shape().iter().product()]), 0),
    };
    let n = x.constant_like(0.0).convert(indices.dtype()).constant_like(x.shape()[a] as f64);
    let counted = indices.lt(0.0).select(&(&indices + n.broadcast_to(indices.shape())), &indices);
    Ok(x.take(&counted, a))
}

fn triangle(g: &Given<'_>, lower: bool) -> Result<Var> {
    let x = g.x()?;
    let k = g.number("k", 0.0);
    let rank = x.rank();
    let number = |a: usize| x.trace().iota(&Type::new(DType::I32, x.shape().to_vec()), a);
    let (row, column) = (number(rank - 2), number(rank - 1));
    let limit = &row + row.constant_like(k);
    let kept = if lower { column.less_equal(&limit) } else { column.greater_equal(&limit) };
    Ok(kept.select(&x, &x.full_like(0.0)))
}

fn diff(g: &Given<'_>) -> Result<Var> {
    let mut x = g.x()?;
    let a = g.axis_of("axis", x.rank())?;
    for _ in 0..g.number("n", 1.0) as usize {
        let n = x.shape()[a];
        x = x.slice_axis(a, 1.min(n), n) - x.slice_axis(a, 0, n.saturating_sub(1));
    }
    Ok(x)
}

fn broadcast(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    let wanted = g.setting("shape", 1).map(shape_list).unwrap_or_default();
    let skip = wanted.len().saturating_sub(x.rank());
    let own = |i: usize| i.checked_sub(skip).and_then(|a| x.shape().get(a)).copied().unwrap_or(1);
    let dims: Vec<usize> = wanted.iter().enumerate().map(|(i, d)| usize::try_from(*d).unwrap_or(own(i))).collect();
    Ok(x.broadcast_to(&dims))
}

/// `x[a, :, 1:3, ::-1, None, ...]`.
fn get_item(g: &Given<'_>) -> Result<Var> {
    let mut x = g.x()?;
    let key = g.setting("key", 1).cloned().unwrap_or(Value::Null);
    let parts = match key {
        Value::Array(all) => all,
        one => vec![one],
    };
    let class = |v: &Value| v.get("class_name").and_then(Value::as_str).map(str::to_string);
    let real = parts.iter().filter(|p| !p.is_null() && class(p).as_deref() != Some("__ellipsis__")).count();
    let mut at = 0;
    for part in &parts {
        match (part, class(part).as_deref()) {
            (Value::Null, _) => {
                x = x.expand_dims(at);
                at += 1;
            }
            (_, Some("__ellipsis__")) => at += (x.rank() - at).saturating_sub(real.saturating_sub(at)),
            (Value::Number(i), _) => {
                let n = x.shape().get(at).copied().unwrap_or(0) as i64;
                let i = i.as_i64().map(|i| if i < 0 { i + n } else { i }).filter(|i| (0..n).contains(i));
                let i = i.ok_or_else(|| wrong("an index within the axis", part))?;
                x = x.index_axis(at, i as usize);
            }
            (_, Some("__slice__")) => {
                x = sliced(&x, at, &part["config"])?;
                at += 1;
            }
            _ => return Err(wrong("a number, a slice, None or an ellipsis", part)),
        }
    }
    Ok(x)
}

/// Python's `start:stop:step` along one axis.
fn sliced(x: &Var, a: usize, config: &Value) -> Result<Var> {
    let n = x.shape().get(a).copied().ok_or_else(|| wrong("an axis that exists", config))? as i64;
    let step = config["step"].as_i64().unwrap_or(1);
    let bound = |key: &str, default: i64| match config[key].as_i64() {
        None => default,
        Some(v) => {
            (if v < 0 { v + n } else { v }).clamp(if step < 0 { -1 } else { 0 }, if step < 0 { n - 1 } else { n })
        }
    };
    let strides = |s: i64| (0..x.rank()).map(|i| if i == a { s as usize } else { 1 }).collect::<Vec<_>>();
    let range = |from: i64, to: i64| {
        let (mut start, mut limit) = (vec![0; x.rank()], x.shape().to_vec());
        (start[a], limit[a]) = (from.max(0) as usize, to.max(from).max(0) as usize);
        (start, limit)
    };
    match step {
        0 => Err(wrong("a step that is not 0", config)),
        s if s > 0 => {
            let (start, limit) = range(bound("start", 0), bound("stop", n));
            Ok(x.slice(&start, &limit, &strides(s)))
        }
        s => {
            // Backwards: the same elements forwards, turned around.
            let (first, last) = (bound("start", n - 1), bound("stop", -1));
            let (from, to) = (n - 1 - first, n - 1 - last);
            let (start, limit) = range(from, to);
            Ok(x.reverse(&[a]).slice(&start, &limit, &strides(-s)))
        }
    }
}
