//! The arrays of legacy files: by layer, by name, rearranged to today's form.

use super::Age;
use crate::layers::{LayerRef, Variable};
use crate::saving::hdf5::Hdf5;
use crate::{Error, ErrorKind, Result, Tensor};

/// A layer's variables as legacy files list them: those that training updates first.
pub(super) fn listed(cell: &LayerRef) -> Vec<Variable> {
    let all = cell.variables().into_iter().filter(|v| !v.spec().seed);
    let (mut first, last): (Vec<_>, Vec<_>) = all.partition(|v| v.spec().trainable);
    first.extend(last);
    first
}

/// The layers of a group, and the arrays of each.
fn groups(file: &Hdf5, group: &str) -> Result<Vec<(String, Vec<String>)>> {
    let names = file.texts(group, "layer_names")?.ok_or_else(|| {
        Error::new(ErrorKind::File, "the file holds no weights of a model").expected("an attribute layer_names")
    })?;
    let place = |name: &str| if group.is_empty() { name.to_string() } else { format!("{group}/{name}") };
    let mut out = vec![];
    for name in names {
        let path = place(&name);
        let weights = file.texts(&path, "weight_names")?.unwrap_or_default();
        out.push((name, weights.into_iter().map(|w| format!("{path}/{w}")).collect()));
    }
    Ok(out)
}

/// Sets every variable: layers by name where all names are there, else by place.
pub(in super::super) fn assign(cells: &[LayerRef], file: &Hdf5, group: &str, age: Age) -> Result<()> {
    let held: Vec<(String, Vec<String>)> = groups(file, group)?.into_iter().filter(|(_, w)| !w.is_empty()).collect();
    let wanting: Vec<&LayerRef> = cells.iter().filter(|c| !listed(c).is_empty()).collect();
    let named = wanting.iter().all(|c| held.iter().any(|(n, _)| n == c.name()));
    if !named && held.len() != wanting.len() {
        let names = |v: &[String]| v.join(", ");
        return Err(Error::new(ErrorKind::File, "the file has weights for another number of layers")
            .expected(format!("{}: {}", wanting.len(), names(&wanting.iter().map(|c| c.title()).collect::<Vec<_>>())))
            .received(format!("{}: {}", held.len(), names(&held.iter().map(|h| h.0.clone()).collect::<Vec<_>>()))));
    }
    for (i, cell) in wanting.into_iter().enumerate() {
        let found = if named { held.iter().find(|(n, _)| n == cell.name()) } else { held.get(i) };
        if let Some((_, paths)) = found {
            set(cell, file, paths, age)?;
        }
    }
    Ok(())
}

/// Sets the layers that the file has by name; the others keep what they have. Returns the names of those that were set.
pub(in super::super) fn by_name(
    cells: &[LayerRef],
    file: &Hdf5,
    group: &str,
    age: Age,
    skip: bool,
) -> Result<Vec<String>> {
    let mut done = vec![];
    for (name, paths) in groups(file, group)? {
        if let Some(cell) = cells.iter().find(|c| c.name() == name && !paths.is_empty()) {
            match set(cell, file, &paths, age) {
                Err(e) if skip && e.kind() == ErrorKind::Shape => {}
                other => {
                    other?;
                    done.push(name);
                }
            }
        }
    }
    Ok(done)
}

fn set(cell: &LayerRef, file: &Hdf5, paths: &[String], age: Age) -> Result<()> {
    let arrays = paths.iter().map(|p| file.tensor(p)).collect::<Result<Vec<_>>>().map_err(|e| e.layer(cell.title()))?;
    let variables = listed(cell);
    let arrays = today(cell, arrays, age).map_err(|e| e.layer(cell.title()))?;
    if arrays.len() != variables.len() {
        let text: Vec<String> = variables.iter().map(|v| format!("{} {:?}", v.name(), v.spec().shape)).collect();
        return Err(Error::new(
            ErrorKind::Shape,
            format!("the file has another number of arrays for `{}`", cell.name()),
        )
        .layer(cell.title())
        .expected(text.join(", "))
        .received(arrays.iter().map(|a| format!("{:?}", a.shape())).collect::<Vec<_>>().join(", ")));
    }
    for ((v, a), path) in variables.iter().zip(arrays).zip(paths) {
        v.set(a).map_err(|e| e.layer(cell.title()).fact("entry", path))?;
    }
    Ok(())
}

/// Arrays of their time in today's form, for the layer and what it is made of.
fn today(cell: &LayerRef, arrays: Vec<Tensor>, age: Age) -> Result<Vec<Tensor>> {
    let class = cell.rule().class_name();
    let config = cell.rule().config();
    let variables = listed(cell);
    let shape = variables.first().map(|v| v.spec().shape.as_slice());
    let inner = config.get("layer").and_then(|l| l.get("class_name")).and_then(serde_json::Value::as_str);
    match (class, inner) {
        ("Bidirectional", Some(inner)) => {
            let mut arrays = arrays;
            let second = arrays.split_off(arrays.len() / 2);
            let mut all = rearranged(inner, arrays, None, age)?;
            all.extend(rearranged(inner, second, None, age)?);
            Ok(all)
        }
        ("TimeDistributed", Some(inner)) => rearranged(inner, arrays, shape, age),
        _ if cell.rule().as_model().is_some() => Ok(arrays),
        _ => rearranged(class, arrays, shape, age),
    }
}

fn rearranged(class: &str, arrays: Vec<Tensor>, shape: Option<&[usize]>, age: Age) -> Result<Vec<Tensor>> {
    match (class, arrays.len()) {
        // Keras 1: W, U, b of each gate.
        ("LSTM" | "ConvLSTM2D", 12) => gates(&arrays, &[0, 2, 1, 3]),
        ("GRU", 9) => gates(&arrays, &[0, 1, 2]),
        ("LSTM", 3) => cudnn(arrays, 4),
        ("GRU", 3) => cudnn(arrays, 3),
        ("Conv1D" | "Conv2D" | "Conv3D" | "Conv2DTranspose" | "ConvLSTM2D", _) if !arrays.is_empty() => {
            let mut arrays = arrays;
            arrays[0] = kernel(class, &arrays[0], shape, age)?;
            Ok(arrays)
        }
        _ => Ok(arrays),
    }
}

/// One kernel, one recurrent kernel and one bias from those of the gates, in this order of gates.
fn gates(arrays: &[Tensor], order: &[usize]) -> Result<Vec<Tensor>> {
    (0..3).map(|part| joined(&order.iter().map(|g| &arrays[3 * g + part]).collect::<Vec<_>>())).collect()
}

/// Arrays side by side along their last axis.
fn joined(parts: &[&Tensor]) -> Result<Tensor> {
    let rows: usize = parts[0].shape().iter().rev().skip(1).product();
    let widths: Vec<usize> = parts.iter().map(|p| p.shape().last().copied().unwrap_or(1)).collect();
    let values: Vec<Vec<f64>> = parts.iter().map(|p| p.to_f64_vec()).collect();
    let mut out = Vec::with_capacity(rows * widths.iter().sum::<usize>());
    for r in 0..rows {
        for (v, w) in values.iter().zip(&widths) {
            let row = v
                .get(r * w..(r + 1) * w)
                .ok_or_else(|| Error::new(ErrorKind::File, "the gates' arrays differ in shape"))?;
            out.extend(row.iter().map(|x| *x as f32));
        }
    }
    let mut shape = parts[0].shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = widths.iter().sum();
    }
    Tensor::new(&shape, &out)
}

/// Cells of cuDNN: the bias has two halves (input and recurrent), and the kernels of the gates lie transposed.
fn cudnn(arrays: Vec<Tensor>, gates: usize) -> Result<Vec<Tensor>> {
    let units = arrays[1].shape().first().copied().unwrap_or(0);
    let bias = arrays[2].shape().to_vec();
    if bias != [2 * gates * units] || units == 0 {
        return Ok(arrays);
    }
    let turned = |t: &Tensor| -> Result<Tensor> {
        let (rows, v) = (t.shape()[0], t.to_f64_vec());
        let mut out = vec![0f32; v.len()];
        for g in 0..gates {
            for r in 0..rows {
                for u in 0..units {
                    // Gate g lies column by column, but is declared row by row.
                    let flat = r * units + u;
                    let (i, j) = (flat % rows, flat / rows);
                    out[i * gates * units + g * units + j] = v[r * gates * units + g * units + u] as f32;
                }
            }
        }
        Tensor::new(t.shape(), &out)
    };
    let halves = arrays[2].to_f64_vec();
    let n = gates * units;
    let bias = match gates {
        4 => {
            let sum: Vec<f32> = (0..n).map(|i| (halves[i] + halves[n + i]) as f32).collect();
            Tensor::new(&[n], &sum)?
        }
        _ => Tensor::new(&[2, n], &halves.iter().map(|v| *v as f32).collect::<Vec<_>>())?,
    };
    Ok(vec![turned(&arrays[0])?, turned(&arrays[1])?, bias])
}

/// A convolution's kernel: Keras 1's layouts, and Theano's, which convolves with the kernel turned around.
fn kernel(class: &str, k: &Tensor, wanted: Option<&[usize]>, age: Age) -> Result<Tensor> {
    let shape = k.shape().to_vec();
    let mut k = k.clone();
    if age.major < 2 && class == "Conv1D" && shape.len() == 4 {
        // (length, 1, in, out), before 1.2 (out, in, length, 1)
        k = match (shape[1], shape[3]) {
            (1, _) => k.reshape(&[shape[0], shape[2], shape[3]])?,
            (_, 1) => permuted(&k, &[2, 1, 0, 3])?.reshape(&[shape[2], shape[1], shape[0]])?,
            _ => k,
        };
    }
    // Keras 1 with `dim_ordering="th"`: (out, in, rows, columns).
    if age.major < 2 && k.shape().len() == 4 && wanted.is_some_and(|w| w != k.shape()) {
        let other = permuted(&k, &[2, 3, 1, 0])?;
        if wanted == Some(other.shape()) {
            k = other;
        }
    }
    if age.theano && k.shape().len() > 2 {
        k = turned(&k)?;
    }
    Ok(k)
}

/// Every axis but the last two reversed.
fn turned(k: &Tensor) -> Result<Tensor> {
    let block: usize = k.shape().iter().rev().take(2).product();
    let v = k.to_f64_vec();
    let out: Vec<f32> = v.chunks(block.max(1)).rev().flatten().map(|x| *x as f32).collect();
    Tensor::new(k.shape(), &out)
}

pub(super) fn permuted(t: &Tensor, order: &[usize]) -> Result<Tensor> {
    let shape: Vec<usize> = order.iter().map(|&a| t.shape()[a]).collect();
    let strides: Vec<usize> = (0..t.shape().len()).map(|a| t.shape()[a + 1..].iter().product()).collect();
    let v = t.to_f64_vec();
    let out: Vec<f32> = (0..v.len())
        .map(|flat| {
            let mut rest = flat;
            let mut at = 0;
            for (i, &a) in order.iter().enumerate() {
                let below: usize = shape[i + 1..].iter().product();
                at += rest / below * strides[a];
                rest %= below;
            }
            v[at] as f32
        })
        .collect();
    Tensor::new(&shape, &out)
}
