//! What training at a batch size takes, known before it starts: the step is compiled, not run.

use super::step::{self, Mode, Recipe, Signature};
use crate::models::{Model, bytes_text};
use crate::{DType, Result};
use kerast_graph::Type;
use kerast_graph::backend::cpu;

impl Model {
    /// [`Model::summary`], and the memory that training at this batch size takes: parameters, the optimizer's state, and what the
    /// compiled step holds besides (activations, gradients). A model that is not compiled yet is measured for prediction.
    pub fn summary_at(&self, batch_size: usize) -> Result<String> {
        let bytes = self.memory_at(batch_size)?;
        let all = bytes_text(bytes.iter().sum());
        let [parameters, optimizer, rest] = bytes.map(bytes_text);
        Ok(match self.compiled.is_some() {
            true => format!(
                "{} training at batch {batch_size}: {all} (parameters {parameters}, optimizer {optimizer}, activations {rest})\n",
                self.summary()?
            ),
            false => format!(
                "{} predicting at batch {batch_size}: {all} (parameters {parameters}, activations {rest})\n",
                self.summary()?
            ),
        })
    }

    /// The bytes behind [`Model::summary_at`]: parameters, optimizer, activations.
    pub fn memory_at(&self, batch_size: usize) -> Result<[usize; 3]> {
        let network = self.built()?;
        let fixed = |shape: &[Option<usize>]| shape.iter().map(|d| d.unwrap_or(batch_size)).collect::<Vec<usize>>();
        let port = |p: &crate::models::Port| &network.uses[p.node].outputs[p.index];
        let x = network.inputs.iter().map(|p| Type::new(port(p).1, fixed(&port(p).0))).collect();
        let mode = if self.compiled.is_some() { Mode::Train } else { Mode::Predict };
        let mut y = vec![];
        if let Some(compiled) = &self.compiled {
            for (rule, p) in compiled.outputs(&network.output_names())?.iter().zip(&network.outputs) {
                let mut ty = Type::new(DType::F32, fixed(&port(p).0));
                if let Some(loss) = &rule.loss
                    && loss.get()?.is_sparse()
                {
                    ty = Type::new(DType::I32, &ty.shape[..ty.shape.len().saturating_sub(1)]);
                }
                y.push(ty);
            }
        }
        let weights = vec![None; y.len()];
        let variables = self.variables()?;
        let trainable = self.are_trainable(&variables);
        let graph = step::build(&Recipe {
            network: &network,
            name: self.name(),
            variables: &variables,
            trainable: &trainable,
            compiled: self.compiled.as_ref(),
            signature: &Signature { mode, x, y, weights },
        })?;
        let parameters: usize = variables.iter().filter(|v| !v.spec().seed).map(|v| v.ty().bytes()).sum();
        let optimizer: usize = graph.optimizer.iter().map(|s| s.ty.bytes()).sum();
        let rest = cpu::compile(graph.graph, &graph.donations)?.arena_bytes();
        Ok([parameters, optimizer, rest])
    }
}
