//! Whole-model `.h5`, as Keras 3 still writes it.

use crate::layers::LayerRef;
use crate::models::Model;
use crate::saving::hdf5::Group;
use crate::{Result, Tensor};

/// The file of a model: architecture, weights, how it is compiled, the optimizer's variables.
pub(in super::super) fn tree(model: &Model) -> Result<Group> {
    let mut root = Group::new();
    let mut config = model.json()?;
    let training = config.as_object_mut().and_then(|o| o.shift_remove("compile_config"));
    root.text("keras_version", crate::saving::KERAS);
    root.text("backend", "jax");
    root.text("model_config", &config.to_string());
    if let Some(mut training) = training {
        if let Some(o) = training.as_object_mut()
            && let Some(optimizer) = o.shift_remove("optimizer")
        {
            o.insert("optimizer_config".into(), optimizer);
        }
        root.text("training_config", &training.to_string());
        let variables = model.optimizer_variables()?;
        arrays(root.at("optimizer_weights"), &variables);
    }
    // To Keras, a Sequential's input is not among its layers.
    let layers: Vec<LayerRef> = model.layers();
    let group = root.at("model_weights");
    group.text("keras_version", crate::saving::KERAS);
    group.text("backend", "jax");
    group.texts("layer_names", &layers.iter().map(|l| l.name().to_string()).collect::<Vec<_>>());
    for layer in &layers {
        let values: Vec<(String, Tensor)> = super::weights::listed(layer)
            .iter()
            .map(|v| Ok((v.path().to_string(), v.value()?)))
            .collect::<Result<_>>()?;
        arrays(group.at(layer.name()), &values);
    }
    root.at("model_weights/top_level_model_weights").texts("weight_names", &[]);
    Ok(root)
}

/// Arrays under their names, and the list of these.
fn arrays(group: &mut Group, values: &[(String, Tensor)]) {
    group.texts("weight_names", &values.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>());
    values.iter().for_each(|(n, t)| group.add(n, t));
}
