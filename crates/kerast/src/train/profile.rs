//! Where the time of a training step goes, kernel by kernel.

use super::arrays::IntoArrays;
use super::batches;
use super::fit::{rules, signature};
use super::step::Mode;
use crate::Result;
use crate::models::Model;
use kerast_graph::backend::cpu::StepInfo;
use std::fmt;

/// The time of every kernel of a training step.
#[derive(Clone, Debug)]
pub struct Profile {
    steps: Vec<StepInfo>,
    turns: usize,
}

impl Profile {
    /// Trains `turns` steps on the first `batch` samples and measures each kernel.
    pub fn of_training(
        model: &mut Model,
        x: impl IntoArrays,
        y: impl IntoArrays,
        batch: usize,
        turns: usize,
    ) -> Result<Profile> {
        let (x, y) = (x.arrays()?, y.arrays()?);
        model.build_for(&x)?;
        let rules = rules(model)?;
        let network = model.network()?;
        let all = batches::samples(&network, &rules, &x, &y, None, &[])?;
        let data = all.range(0, batch.min(all.len()))?;
        let program = model.program(signature(&data, data.len(), Mode::Train))?;
        let rate = model.learning_rate()? as f32;
        model.enter(program, true)?;
        model.runner(program).step(rate, &data.x, &data.y, &data.weights)?;
        model.runner(program).run_mut().profile();
        for _ in 0..turns {
            model.runner(program).run_mut().run();
        }
        let steps = model.runner(program).run_mut().steps();
        model.leave(program)?;
        Ok(Profile { steps, turns })
    }
}

impl Profile {
    /// Predicts `turns` batches of `batch` samples, all zeros, and measures each kernel.
    pub fn of_serving(model: &mut Model, batch: usize, turns: usize) -> Result<Profile> {
        let steps = model.predictor(batch)?.profiled(turns)?;
        Ok(Profile { steps, turns })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = |s: &StepInfo| s.time.as_secs_f64() / self.turns.max(1) as f64;
        let total: f64 = self.steps.iter().map(per).sum();
        writeln!(f, "{:>9} {:>6} {:>9} {:>8}  kernel", "us", "%", "GFLOP/s", "GB/s")?;
        for s in &self.steps {
            let t = per(s);
            let rate = |v: f64| if t > 0.0 { v / t / 1e9 } else { 0.0 };
            let share = 100.0 * t / total.max(1e-12);
            writeln!(
                f,
                "{:>9.2} {share:>6.1} {:>9.1} {:>8.1}  {:<18} {}",
                t * 1e6,
                rate(s.cost.flops),
                rate(s.cost.bytes),
                s.kernel,
                s.label
            )?;
        }
        writeln!(f, "{:>9.2} {:>6} {:>9} {:>8}  whole step", total * 1e6, 100.0, "", "")
    }
}
