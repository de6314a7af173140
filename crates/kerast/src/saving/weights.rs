//! Where variables lie in `model.weights.h5`: `layers/<snake case of the class>[_n]/…/vars/i`, models inside models alike.

use crate::layers::{LayerRef, Variable, snake_case};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use std::collections::HashMap;

/// The dataset of every variable of these layers, in order.
pub(super) fn datasets(cells: &[LayerRef], prefix: &str) -> Vec<(String, Variable)> {
    let mut used: HashMap<String, usize> = HashMap::new();
    let mut out = vec![];
    for cell in cells {
        let base = snake_case(cell.rule().class_name());
        let n = used.entry(base.clone()).or_insert(0);
        let name = if *n == 0 { base } else { format!("{base}_{n}") };
        *n += 1;
        let place = format!("{prefix}layers/{name}/");
        out.extend(cell.own_variables().into_iter().map(|v| (format!("{place}{}", v.spec().file), v)));
        if let Some(model) = cell.rule().as_model() {
            out.extend(datasets(&model.cells(), &place));
        }
    }
    out
}

/// Sets every variable from the datasets of a file.
pub(super) fn assign(cells: &[LayerRef], sets: Vec<(String, Tensor)>) -> Result<()> {
    let mut by_path: HashMap<String, Tensor> = sets.into_iter().collect();
    for (path, variable) in datasets(cells, "") {
        // Random generators draw by counter here; their state in files says nothing.
        if variable.spec().seed {
            by_path.remove(&path);
            continue;
        }
        let about = |e: Error| {
            e.fact("entry", format!("model.weights.h5: {path}")).layer(variable.path().split('/').next().unwrap_or(""))
        };
        let value = by_path.remove(&path).ok_or_else(|| {
            about(Error::new(ErrorKind::File, format!("the file has no value for `{}`", variable.path())))
        })?;
        // HDF5 has no bfloat16: files hold its two bytes under a nameless type.
        let value = match (variable.ty().dtype, value.dtype()) {
            (DType::BF16, DType::F16) => {
                Tensor::from_le_bytes(DType::BF16, value.shape(), value.bytes()).map_err(about)?
            }
            _ => value,
        };
        variable.set(value).map_err(about)?;
    }
    Ok(())
}
