//! What `build` declares: weights with their names, shapes and rules.

use crate::config::Object;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::regularizers::Regularizer;
use crate::{DType, Error, ErrorKind, Result};
use std::collections::HashMap;

/// One declared weight.
#[derive(Clone, Debug)]
pub struct WeightSpec {
    /// How `call` asks for it: `kernel`, in a part of the layer `cell/kernel`.
    pub key: String,
    /// Keras' path below the layer: `kernel`, `lstm_cell/kernel`.
    pub path: String,
    /// The dataset below the layer in `model.weights.h5`: `vars/0`, `cell/vars/0`.
    pub file: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its element type.
    pub dtype: DType,
    /// Its first values.
    pub initializer: Initializer,
    /// Whether training updates it by gradient.
    pub trainable: bool,
    /// The penalty on it.
    pub regularizer: Option<Regularizer>,
    /// The projection after each update.
    pub constraint: Option<Constraint>,
    /// State that is no weight to Keras' users: of random generators, of recurrent layers.
    pub seed: bool,
}

impl WeightSpec {
    /// Not updated by gradient: moving statistics, recurrent state.
    pub fn not_trainable(&mut self) -> &mut Self {
        self.trainable = false;
        self
    }

    /// Of another element type than the layer's weights.
    pub fn of_type(&mut self, dtype: DType) -> &mut Self {
        self.dtype = dtype;
        self
    }

    /// With a penalty.
    pub fn regularizer(&mut self, r: &Option<Regularizer>) -> &mut Self {
        self.regularizer = r.clone();
        self
    }

    /// With a projection.
    pub fn constraint(&mut self, c: &Option<Constraint>) -> &mut Self {
        self.constraint = c.clone();
        self
    }
}

/// Collects the weights of a layer while it is built.
#[derive(Debug)]
pub struct Weights {
    specs: Vec<WeightSpec>,
    dtype: DType,
    key: String,
    path: String,
    file: String,
    counts: HashMap<String, usize>,
}

impl Weights {
    /// No weights yet; they will have this element type.
    pub fn new(dtype: DType) -> Weights {
        Weights {
            specs: vec![],
            dtype,
            key: String::new(),
            path: String::new(),
            file: String::new(),
            counts: HashMap::new(),
        }
    }

    /// The element type of weights.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Declares a weight. Keras' order of weights is the order of these calls.
    pub fn add(&mut self, name: &str, shape: &[usize], initializer: &Initializer) -> Result<&mut WeightSpec> {
        initializer.get().map_err(|e| e.fact("argument", format!("initializer of `{name}`")))?;
        if shape.contains(&0) {
            return Err(Error::new(ErrorKind::Shape, format!("the weight `{name}` would have no elements"))
                .received(format!("{shape:?}")));
        }
        let n = self.counts.entry(self.file.clone()).or_insert(0);
        let file = format!("{}vars/{n}", self.file);
        *n += 1;
        self.specs.push(WeightSpec {
            key: format!("{}{name}", self.key),
            path: format!("{}{name}", self.path),
            file,
            shape: shape.to_vec(),
            dtype: self.dtype,
            initializer: initializer.clone(),
            trainable: true,
            regularizer: None,
            constraint: None,
            seed: false,
        });
        let last = self.specs.len() - 1;
        let ty = kerast_graph::Type::new(self.dtype, shape);
        if !ty.is_addressable() {
            return Err(Error::new(ErrorKind::Shape, format!("the weight `{name}` is larger than any memory"))
                .received(ty.to_string()));
        }
        Ok(&mut self.specs[last])
    }

    /// Declares the seed state that Keras keeps for a layer with random numbers (in files only; Kerast draws by counter).
    pub fn add_seed(&mut self, attribute: &str) -> Result<()> {
        let zeros: Initializer = Object::named("zeros");
        let (dtype, file) = (self.dtype, self.file.clone());
        self.dtype = DType::U32;
        self.file = format!("{file}{attribute}/");
        let made = self.add(&format!("{attribute}/seed_generator_state"), &[2], &zeros);
        made.map(|s| {
            s.trainable = false;
            s.seed = true;
        })?;
        self.dtype = dtype;
        self.file = file;
        Ok(())
    }

    /// Declares state that lasts from call to call but is not in files: recurrent states.
    pub fn add_state(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        let zeros: Initializer = Object::named("zeros");
        let state = self.add(name, shape, &zeros)?;
        state.trainable = false;
        state.seed = true;
        let file = self.file.clone();
        self.counts.entry(file).and_modify(|n| *n -= 1);
        Ok(())
    }

    /// Declares the weights of a part of the layer: `attribute` names it in files and keys, `name` in Keras' variable paths.
    pub fn part<R>(
        &mut self,
        attribute: &str,
        name: &str,
        declare: impl FnOnce(&mut Weights) -> Result<R>,
    ) -> Result<R> {
        let before = (self.key.clone(), self.path.clone(), self.file.clone());
        self.key += &format!("{attribute}/");
        self.path += &format!("{name}/");
        self.file += &format!("{attribute}/");
        let result = declare(self);
        (self.key, self.path, self.file) = before;
        result
    }

    /// What was declared.
    pub fn into_specs(self) -> Vec<WeightSpec> {
        self.specs
    }
}
