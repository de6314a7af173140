//! A model made ready for serving: shapes fixed, weights part of the program, callable from many threads at once.

use super::arrays::IntoArrays;
use super::batches;
use super::step::{self, Mode, Recipe, Signature};
use crate::models::{Expected, Model};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_graph::backend::cpu::{self, Executable, Run, StepInfo};
use kerast_graph::{Graph, Type};
use kerast_kernels::pool::Pool;
use std::fmt;
use std::sync::{Arc, Mutex};

/// A model's forward pass with its present weights, compiled for batches of one size. Calls take microseconds above the arithmetic, need
/// `&self` only, and [`Predictor::run`] allocates nothing.
///
/// ```
/// # use kerast::prelude::*;
/// # let mut model = Sequential::new().add(Dense::new(3).activation("softmax").input_dim(4));
/// let predictor = model.predictor(1)?;
/// let mut scores = [0f32; 3];
/// std::thread::scope(|s| s.spawn(|| predictor.run(&[0.1, 0.2, 0.3, 0.4], &mut scores)).join()).unwrap()?;
/// assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
/// # Ok::<(), Error>(())
/// ```
pub struct Predictor {
    inputs: Vec<Expected>,
    executable: Executable,
    pool: Arc<Pool>,
    /// Number of the first input among the parameters, and the inputs' types.
    x: (usize, Vec<Type>),
    outputs: Vec<usize>,
    /// Programs in their memory that nobody is using.
    idle: Mutex<Vec<Run>>,
}

impl Model {
    /// This model made ready to predict batches of `batch` samples. Later changes of the model's weights do not reach it.
    pub fn predictor(&mut self, batch: usize) -> Result<Predictor> {
        self.served(batch)?.ready()
    }

    /// [`Model::predictor`] for a model that is not needed any more: its weights go while the predictor's are made, so that there are never
    /// two of each in memory, unless another model has the same layers.
    ///
    /// ```
    /// # use kerast::prelude::*;
    /// # let model = Sequential::new().add(Dense::new(3).activation("softmax").input_dim(4));
    /// let predictor = model.into_predictor(1)?;
    /// assert_eq!(predictor.output_len(), 3);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn into_predictor(mut self, batch: usize) -> Result<Predictor> {
        let served = self.served(batch)?;
        drop(self);
        served.ready()
    }

    /// The graph for batches of one size, with the weights as constants.
    fn served(&mut self, batch: usize) -> Result<Served> {
        let network = self.network()?;
        let variables = self.variables()?;
        let fixed = |(shape, dtype): &(Vec<Option<usize>>, DType)| {
            let dims: Option<Vec<usize>> = std::iter::once(Some(batch)).chain(shape.iter().skip(1).copied()).collect();
            dims.map(|d| Type::new(*dtype, d)).ok_or_else(|| {
                Error::new(ErrorKind::Shape, "a predictor needs inputs of known size")
                    .received(crate::models::describe(&(shape.clone(), *dtype)))
                    .repair("give the input its full shape, or use `predict`")
            })
        };
        let x = network.inputs.iter().map(|p| fixed(network.ty(*p))).collect::<Result<Vec<_>>>()?;
        let signature = Signature { mode: Mode::Serve, x: x.clone(), y: vec![], weights: vec![] };
        let trainable = vec![false; variables.len()];
        let graph = step::build(&Recipe {
            network: &network,
            name: self.name(),
            variables: &variables,
            trainable: &trainable,
            compiled: None,
            signature: &signature,
        })?;
        Ok(Served {
            inputs: network.expected(),
            x: (graph.at.x, x),
            outputs: graph.outputs,
            graph: graph.graph,
            threads: self.threads,
        })
    }
}

/// What a predictor is made of.
struct Served {
    inputs: Vec<Expected>,
    graph: Graph,
    x: (usize, Vec<Type>),
    outputs: Vec<usize>,
    threads: usize,
}

impl Served {
    fn ready(self) -> Result<Predictor> {
        let Served { inputs, graph, x, outputs, threads } = self;
        let executable = cpu::compile(graph, &[])?;
        let pool = cpu::pool(threads);
        let first = executable.run(pool.clone())?;
        Ok(Predictor { inputs, executable, pool, x, outputs, idle: Mutex::new(vec![first]) })
    }
}

impl Predictor {
    /// Predicts with a model of one input and one output, both f32, row-major.
    pub fn run(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let ([input], [output]) = (&self.x.1[..], &self.outputs[..]) else {
            return Err(
                Error::new(ErrorKind::Argument, "the model has several inputs or outputs").repair("`.predict(…)`")
            );
        };
        let made = &self.executable.result_type(*output);
        for (what, ty, len) in [("input", input, x.len()), ("output", made, y.len())] {
            if ty.dtype != DType::F32 || ty.len() != len {
                return Err(Error::new(ErrorKind::Shape, format!("the slice does not fit the model's {what}"))
                    .expected(format!("{} elements: {ty}", ty.len()))
                    .received(format!("{len} elements: f32")));
            }
        }
        self.with_run(|run| {
            if let Some(memory) = run.parameter_mut(self.x.0) {
                memory.as_mut_slice::<f32>()[..x.len()].copy_from_slice(x);
            }
            run.run();
            y.copy_from_slice(&run.result_buffer(*output)?.as_slice::<f32>()[..y.len()]);
            Ok(())
        })
    }

    /// Elements of the first output for one batch.
    pub fn output_len(&self) -> usize {
        self.outputs.first().map_or(0, |&o| self.executable.result_type(o).len())
    }

    /// The time of every kernel over so many calls on zeros.
    pub(crate) fn profiled(&self, turns: usize) -> Result<Vec<StepInfo>> {
        self.with_run(|run| {
            run.run();
            run.profile();
            (0..turns).for_each(|_| run.run());
            Ok(run.steps())
        })
    }

    /// Predicts one batch; every output.
    pub fn predict(&self, x: impl IntoArrays) -> Result<Vec<Tensor>> {
        let x = batches::inputs(&self.inputs, &x.arrays()?)?;
        self.with_run(|run| {
            x.iter().enumerate().try_for_each(|(i, t)| run.set(self.x.0 + i, t))?;
            run.run();
            let made = self.outputs.iter().map(|&o| run.result(o)).collect();
            (0..x.len()).try_for_each(|i| run.own(self.x.0 + i))?;
            made
        })
    }

    /// Lends a program to `work`: an idle one, or a new one when all are busy.
    fn with_run<T>(&self, work: impl FnOnce(&mut Run) -> Result<T>) -> Result<T> {
        let idle = || self.idle.lock().unwrap_or_else(|e| e.into_inner());
        let found = idle().pop();
        let mut run = match found {
            Some(run) => run,
            None => self.executable.run(self.pool.clone())?,
        };
        let made = work(&mut run);
        idle().push(run);
        made
    }
}

impl fmt::Debug for Predictor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predictor({} bytes of working memory)", self.executable.arena_bytes())
    }
}
