//! Where variables lie in `model.weights.h5`: `layers/<snake case of the class>[_n]/…/vars/i`, models inside models alike.

use super::hdf5::{Group, Hdf5};
use crate::layers::{LayerRef, Variable, snake_case};
use crate::models::{Model, Network};
use crate::{ErrorKind, Result, Tensor};
use std::collections::HashMap;

/// Where Keras 2.12 to 2.15 put what is in `layers` today.
const OLD_LAYERS: &str = "_layer_checkpoint_dependencies";

/// The names that the members of a list have in a file, from their classes in order: snake case, and from the second of a kind
/// on its number: `dense`, `dropout`, `dense_1`. The names of the layers play no part, so that renaming a layer loses nothing.
///
/// Below a member lie its own variables in `vars/0`, `vars/1`, … in the order in which it declares them, and its parts under
/// the names of their attributes: `lstm/cell/vars/0`, `bidirectional/forward_layer/cell/vars/0`, `time_distributed/layer/vars/0`,
/// `multi_head_attention/query_dense/vars/0`, `sequential/layers/dense/vars/0`.
pub fn container_names<'a>(classes: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut used: HashMap<String, usize> = HashMap::new();
    let name = |class: &str| {
        let base = snake_case(class);
        let n = used.entry(base.clone()).or_insert(0);
        *n += 1;
        if *n == 1 { base } else { format!("{base}_{}", *n - 1) }
    };
    classes.into_iter().map(name).collect()
}

/// Each of these layers with its place, `layers/dense/`.
fn places<'a>(cells: &'a [LayerRef], prefix: &str) -> impl Iterator<Item = (String, &'a LayerRef)> {
    let names = container_names(cells.iter().map(|c| c.rule().class_name()));
    names.into_iter().map(move |n| format!("{prefix}layers/{n}/")).zip(cells)
}

/// The dataset of every variable of these layers, in order.
pub(super) fn datasets(cells: &[LayerRef], prefix: &str) -> Vec<(String, Variable)> {
    let mut out = vec![];
    for (place, cell) in places(cells, prefix) {
        out.extend(cell.own_variables().into_iter().map(|v| (format!("{place}{}", v.spec().file), v)));
        if let Some(model) = cell.rule().as_model() {
            out.extend(datasets(&model.cells(), &place));
        }
    }
    out
}

/// Sets every variable of these layers from a file.
pub(super) fn assign(cells: &[LayerRef], file: &Hdf5) -> Result<()> {
    assign_with(cells, |path| file.tensor(path), is_old(file), false)
}

/// Whether a file has the layout of Keras 2.12 to 2.15.
pub(super) fn is_old(file: &Hdf5) -> bool {
    !file.has_group("layers") && file.has_group(OLD_LAYERS)
}

/// Sets every variable of these layers to what stands at its place; with `skip`, those that do not fit or are missing keep what they have.
pub(super) fn assign_with(
    cells: &[LayerRef],
    find: impl Fn(&str) -> Result<Tensor>,
    old: bool,
    skip: bool,
) -> Result<()> {
    for (path, variable) in datasets(cells, "") {
        // Random generators draw by counter here; their state in files says nothing.
        if variable.spec().seed {
            continue;
        }
        let path = if old { old_path(&path) } else { path };
        match find(&path).and_then(|v| variable.set(v)) {
            Err(e) if skip && matches!(e.kind(), ErrorKind::Shape | ErrorKind::File) => {}
            other => other.map_err(|e| {
                let layer = variable.path().split('/').next().unwrap_or("").to_string();
                e.fact("entry", format!("model.weights.h5: {path}")).layer(layer).fact("weight", variable.path())
            })?,
        }
    }
    Ok(())
}

/// Where the optimizer's variables lie.
const OPTIMIZER: &str = "optimizer/vars";

/// Sets the optimizer's variables from a file that has them. Where they are too many or too few (the file's optimizer had not begun, or had
/// other weights to train) it begins anew, as in Keras.
pub(super) fn assign_optimizer(model: &mut Model, file: &Hdf5) -> Result<()> {
    if !file.has_group(OPTIMIZER) {
        return Ok(());
    }
    let names = file.datasets(OPTIMIZER)?;
    if names.len() != model.optimizer_variables()?.len() {
        return Ok(());
    }
    let values = names.iter().map(|n| file.tensor(&format!("{OPTIMIZER}/{n}"))).collect::<Result<Vec<_>>>()?;
    model.set_optimizer_variables(values).map_err(|e| e.fact("entry", format!("model.weights.h5: {OPTIMIZER}")))
}

/// The file of a model, with its optimizer's variables if it is compiled.
pub(super) fn whole_tree(model: &Model, network: &Network) -> Result<Group> {
    let mut root = tree(model.name(), model.is_sequential(), &network.cells())?;
    if model.compiled.is_some() {
        add_optimizer(model, &mut root)?;
    }
    Ok(root)
}

/// Adds the optimizer's variables to the file of a model.
fn add_optimizer(model: &Model, root: &mut Group) -> Result<()> {
    let variables = model.optimizer_variables()?;
    let name = variables.first().and_then(|(n, _)| n.split('/').next()).unwrap_or("optimizer").to_string();
    root.at(OPTIMIZER).text("name", &name);
    for (i, (_, value)) in variables.iter().enumerate() {
        root.add(&format!("{OPTIMIZER}/{i}"), value);
    }
    Ok(())
}

fn old_path(path: &str) -> String {
    let parts = path.split('/').map(|p| if p == "layers" { OLD_LAYERS } else { p });
    parts.collect::<Vec<_>>().join("/")
}

/// The file of a model: a group `vars` for every layer, with the layer's name, even where it has no variables.
fn tree(name: &str, sequential: bool, cells: &[LayerRef]) -> Result<Group> {
    let mut root = Group::new();
    root.at("vars").text("name", name);
    fill(cells, sequential, "", &mut root)?;
    Ok(root)
}

fn fill(cells: &[LayerRef], sequential: bool, prefix: &str, root: &mut Group) -> Result<()> {
    for (place, cell) in places(cells, prefix) {
        let class = cell.rule().class_name();
        // To Keras, a Sequential has its inputs, but not among its layers.
        if sequential && class == "InputLayer" {
            continue;
        }
        root.at(&format!("{place}vars")).text("name", cell.name());
        for v in cell.own_variables().into_iter().filter(|v| !v.spec().seed) {
            root.add(&format!("{place}{}", v.spec().file), &v.value()?);
        }
        if let Some(model) = cell.rule().as_model() {
            fill(&model.cells(), class == "Sequential", &place, root)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_numbered_by_class() {
        let classes = ["InputLayer", "Dense", "BatchNormalization", "Dense", "Conv2D", "Dense", "Sequential"];
        let names = ["input_layer", "dense", "batch_normalization", "dense_1", "conv2d", "dense_2", "sequential"];
        assert_eq!(container_names(classes), names);
        assert_eq!(old_path("layers/sequential/layers/dense/vars/0").matches(OLD_LAYERS).count(), 2);
    }
}
