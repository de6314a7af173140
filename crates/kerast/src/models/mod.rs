//! Models: networks of layers that can be compiled, trained, saved.

mod compile;
mod model;
mod network;
mod serialize;
mod summary;
mod symbol;

pub use compile::{Compile, IntoLosses, IntoMetrics, Losses, MetricArgument};
pub use model::{Model, Sequential};
pub use symbol::{Apply, IntoLayer, Symbol, Symbols};

pub(crate) use compile::{CompileRecipe, Compiled, OutputRules, Wanted};
pub(crate) use network::{Expected, Network, Port, input_symbol};
pub(crate) use serialize::{describe, model_json, parse_model};
pub(crate) use summary::bytes_text;

use crate::layers::{Arguments, Base, LayerRef};
use crate::{Error, ErrorKind, Result};
use network::NetworkLayer;
use std::sync::Arc;

/// The network of layers one after the other; the first is an input layer.
pub(crate) fn chain(cells: &[LayerRef]) -> Result<Network> {
    let Some((first, rest)) = cells.split_first() else {
        return Err(Error::new(ErrorKind::Argument, "the model has no layers"));
    };
    let input = input_of(first)?;
    let mut at = input.clone();
    for cell in rest {
        let mut outputs = symbol::call(cell, &[at], Arguments::default());
        if let Some(e) = &outputs[0].node.fault {
            return Err(e.clone());
        }
        if outputs.len() != 1 {
            return Err(cell.locate(
                Error::new(ErrorKind::Argument, "a layer with several outputs cannot stand in a Sequential"),
                "",
            ));
        }
        at = outputs.swap_remove(0);
    }
    Network::between(&[input], &[at])
}

/// The symbol of an input layer in use.
pub(crate) fn input_of(cell: &LayerRef) -> Result<Symbol> {
    let config = cell.rule().config();
    let shape = match config.get("batch_shape") {
        Some(v) => <Vec<Option<usize>> as crate::config::Field>::from_json(v)?,
        None => return Err(cell.locate(Error::new(ErrorKind::Config, "not an input layer"), "")),
    };
    let dtype = cell.rule().base().dtype.compute()?;
    let node = symbol::Node {
        layer: cell.clone(),
        inputs: vec![],
        arguments: Arguments::default(),
        outputs: vec![(shape, dtype)],
        fault: None,
    };
    Ok(Symbol { node: Arc::new(node), index: 0 })
}

/// A network as a layer in use.
#[track_caller]
pub(crate) fn model_layer(name: String, sequential: bool, network: Network, trainable: bool) -> LayerRef {
    let base = Base { name: Some(name), trainable, ..Base::new() };
    LayerRef::new(Arc::new(NetworkLayer { base, network: Arc::new(network), sequential }))
}
