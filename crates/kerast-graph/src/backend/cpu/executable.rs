//! The result of compiling: a program with names for its memory, and a way to run it.

use crate::error::{Error, ErrorKind, Result};
use crate::ir::types::Type;
use crate::tensor::Tensor;
use kerast_kernels::buffer::Buffer;
use kerast_kernels::machine::{Cost, Program, Session};
use kerast_kernels::pool::Pool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A parameter that a result replaces in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Donation {
    /// Index of the parameter.
    pub parameter: usize,
    /// Index of the result.
    pub result: usize,
}

/// A compiled graph.
#[derive(Clone, Debug)]
pub struct Executable {
    pub(super) program: Arc<Program>,
    pub(super) parameters: Vec<(usize, Type)>,
    pub(super) results: Vec<(usize, Type)>,
    pub(super) constants: Vec<(usize, Tensor)>,
    pub(super) donations: Vec<Donation>,
}

/// One step of a program as the profile shows it.
#[derive(Clone, Debug)]
pub struct StepInfo {
    /// Who asked for it: layer path and op.
    pub label: String,
    /// The kernel.
    pub kernel: &'static str,
    /// Arithmetic and traffic.
    pub cost: Cost,
    /// Time so far; zero unless profiled.
    pub time: Duration,
}

impl Executable {
    /// Bytes of working memory: everything but parameters and results.
    pub fn arena_bytes(&self) -> usize {
        self.program.arena()
    }

    /// The types of the parameters.
    pub fn parameter_types(&self) -> impl Iterator<Item = &Type> {
        self.parameters.iter().map(|p| &p.1)
    }

    /// The type of a result.
    pub fn result_type(&self, result: usize) -> &Type {
        &self.results[result].1
    }

    /// The program as text.
    pub fn dump(&self) -> String {
        self.program.dump()
    }

    /// Memory to run in, with constants bound; parameters still to be set.
    pub fn run(&self, pool: Arc<Pool>) -> Result<Run> {
        let refuse = || {
            let mb = self.program.arena() / 1_000_000;
            Error::new(ErrorKind::Argument, "not enough memory for this program")
                .received(format!("{mb} MB of working memory"))
        };
        let mut session = Session::new(self.program.clone(), pool).ok_or_else(refuse)?;
        for (slot, t) in &self.constants {
            session.share(*slot, t.buffer().clone());
        }
        Ok(Run { executable: self.clone(), session })
    }
}

/// A program in its memory.
#[derive(Debug)]
pub struct Run {
    executable: Executable,
    session: Session,
}

impl Run {
    fn expect(&self, what: &str, ty: &Type, t: &Tensor) -> Result<()> {
        match ty.dtype == t.dtype() && ty.shape == t.shape() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Shape, format!("{what} has another type"))
                .expected(ty)
                .received(Type::new(t.dtype(), t.shape()))),
        }
    }

    fn donated(&self, parameter: usize) -> bool {
        self.executable.donations.iter().any(|d| d.parameter == parameter)
    }

    /// Sets a parameter; the data are shared, or copied if the program keeps state there.
    pub fn set(&mut self, parameter: usize, value: &Tensor) -> Result<()> {
        let (slot, ty) = &self.executable.parameters[parameter];
        self.expect(&format!("parameter {parameter}"), ty, value)?;
        match self.donated(parameter) {
            true => self.session.put(*slot, (**value.buffer()).clone()),
            false => self.session.share(*slot, value.buffer().clone()),
        }
        Ok(())
    }

    /// Gives a parameter's memory to the program without copying.
    pub fn put(&mut self, parameter: usize, value: Tensor) -> Result<()> {
        let (slot, ty) = &self.executable.parameters[parameter];
        self.expect(&format!("parameter {parameter}"), ty, &value)?;
        self.session.put(*slot, value.into_buffer());
        Ok(())
    }

    /// Takes the memory of a parameter (after runs: of the result that replaces it) out of the program.
    pub fn take(&mut self, parameter: usize) -> Result<Tensor> {
        let (slot, ty) = self.executable.parameters[parameter].clone();
        let missing = || Error::new(ErrorKind::Internal, format!("parameter {parameter} is not in the program"));
        let buffer = self.session.take(slot).ok_or_else(missing)?;
        Tensor::from_buffer(ty.dtype, &ty.shape, buffer)
    }

    /// The memory of a parameter that the program owns, to be filled by the caller.
    pub fn parameter_mut(&mut self, parameter: usize) -> Option<&mut Buffer> {
        self.session.buffer_mut(self.executable.parameters[parameter].0)
    }

    /// The memory of a parameter.
    pub fn parameter(&self, parameter: usize) -> Option<&Buffer> {
        self.session.buffer(self.executable.parameters[parameter].0)
    }

    /// Gives a parameter memory of the program's own, to be filled by the caller, in place of shared memory.
    pub fn own(&mut self, parameter: usize) -> Result<()> {
        let (slot, ty) = &self.executable.parameters[parameter];
        let refuse = || Error::new(ErrorKind::Argument, format!("not enough memory for {ty}"));
        let buffer = Buffer::try_zeroed(ty.bytes()).ok_or_else(refuse)?;
        self.session.put(*slot, buffer);
        Ok(())
    }

    /// Swaps the memory of a parameter that the program owns with another of the same length.
    pub fn exchange(&mut self, parameter: usize, other: &mut Buffer) -> Result<()> {
        let slot = self.executable.parameters[parameter].0;
        let unfit = || Error::new(ErrorKind::Internal, format!("parameter {parameter} cannot be exchanged"));
        let own = self.session.take(slot).filter(|b| b.len() == other.len()).ok_or_else(unfit)?;
        self.session.put(slot, std::mem::replace(other, own));
        Ok(())
    }

    /// Runs the program. Every donated parameter must have been set.
    pub fn run(&mut self) {
        self.session.run();
    }

    /// A copy of a result.
    pub fn result(&self, result: usize) -> Result<Tensor> {
        let (_, ty) = &self.executable.results[result];
        Tensor::from_buffer(ty.dtype, &ty.shape, self.result_buffer(result)?.clone())
    }

    /// The results of a program without donations, in its own memory.
    pub(super) fn into_results(self) -> Result<Vec<Tensor>> {
        let Run { executable, mut session } = self;
        let missing = || Error::new(ErrorKind::Internal, "a result is not in the program");
        let take = |(slot, ty): &(usize, Type)| {
            Tensor::from_buffer(ty.dtype, &ty.shape, session.take(*slot).ok_or_else(missing)?)
        };
        executable.results.iter().map(take).collect()
    }

    /// The memory of a result.
    pub fn result_buffer(&self, result: usize) -> Result<&Buffer> {
        let missing = || Error::new(ErrorKind::Internal, format!("result {result} is not in the program"));
        self.session.buffer(self.executable.results[result].0).ok_or_else(missing)
    }

    /// The threads that it runs on.
    pub fn pool(&self) -> &Arc<Pool> {
        self.session.pool()
    }

    /// The compiled graph.
    pub fn executable(&self) -> &Executable {
        &self.executable
    }

    /// Starts to measure every step.
    pub fn profile(&mut self) {
        self.session.profile();
    }

    /// The steps with their times.
    pub fn steps(&self) -> Vec<StepInfo> {
        let times = self.session.times().unwrap_or(&[]);
        let steps = self.executable.program.steps().enumerate();
        steps
            .map(|(i, (label, kernel, cost))| StepInfo {
                label: label.to_string(),
                kernel,
                cost,
                time: times.get(i).copied().unwrap_or_default(),
            })
            .collect()
    }
}

/// How many threads are used unless told otherwise: `KERAST_THREADS`, else what the machine offers.
pub fn default_threads() -> usize {
    let wish = std::env::var("KERAST_THREADS").ok().and_then(|v| v.parse().ok()).filter(|&n: &usize| n > 0);
    wish.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
}

/// The process's pool of this many threads; made at first use, shared by all programs.
pub fn pool(threads: usize) -> Arc<Pool> {
    static POOLS: Mutex<Vec<Arc<Pool>>> = Mutex::new(Vec::new());
    let mut pools = POOLS.lock().unwrap_or_else(|e| e.into_inner());
    match pools.iter().find(|p| p.threads() == threads) {
        Some(p) => p.clone(),
        None => {
            pools.push(Arc::new(Pool::new(threads)));
            pools[pools.len() - 1].clone()
        }
    }
}
