//! A layer that could not be made: it carries its error to where the model is built.

use crate::config::{Config, Json};
use crate::layers::{Base, LayerRule, Shape, Weights};
use crate::{Error, Result};

#[derive(Clone, Debug)]
pub(crate) struct Broken {
    base: Base,
    error: Error,
}

impl Broken {
    pub(crate) fn new(error: Error) -> Broken {
        Broken { base: Base::new(), error }
    }
}

impl Config for Broken {
    fn class_name(&self) -> &'static str {
        "Layer"
    }
    fn config(&self) -> Json {
        Json::new()
    }
}

impl LayerRule for Broken {
    crate::layers::layer_base!();

    fn build(&self, _: &[Shape], _: &mut Weights) -> Result<()> {
        Err(self.error.clone())
    }
}
