//! The CPU compiler: graph → passes → units → order → jobs → memory → program.
//!
//! Files in the order of the pipeline: `units` (what is fused with what), `remake` (what is computed twice), `order` (a schedule), `jobs` (kernels with the values
//! they read and write), `memory` (who lies where), `executable` (the result and how to run it). Beside it: `rows` (loops cut along
//! their batch).

mod executable;
mod jobs;
mod memory;
mod order;
mod remake;
mod rows;
mod units;

pub use executable::{Donation, Executable, Run, StepInfo, default_threads, pool};

use crate::error::{Error, ErrorKind, Result};
use crate::ir::graph::{Graph, ValueId};
use crate::passes;
use crate::tensor::Tensor;
use jobs::Job;
use kerast_kernels::control::{self, Part};
use kerast_kernels::machine::{Packing, Place, Program, Step};
use kerast_kernels::map::{Access, MapBuilder};
use std::sync::Arc;

/// Compiles a graph, which lets go of constants on the way. `donations` pair a parameter with the result that replaces it in place: state that
/// is kept from run to run.
pub fn compile(graph: Graph, donations: &[Donation]) -> Result<Executable> {
    Ok(lower(passes::run(graph)?, donations, 0)?.0)
}

/// What follows the passes, for a graph whose first `fixed` parameters stay the same for many runs; with those that the program wants packed.
fn lower(mut graph: Graph, donations: &[Donation], fixed: usize) -> Result<(Executable, Vec<(usize, Packing)>)> {
    let mut units = units::partition(&graph, &[])?;
    if let Some((better, again)) = remake::remake(&graph, &units)? {
        units = units::partition(&better, &again)?;
        graph = better;
    }
    let units = order::schedule(&graph, units)?;
    let results: Vec<ValueId> = graph.results.iter().map(|&v| units.root(&graph, v)).collect();
    let mut jobs = jobs::jobs(&graph, units);
    let packings = jobs::prepack(&mut graph, &mut jobs, fixed)?;
    let mut memory = memory::plan(&graph, &jobs, &results, donations, &packings);
    let copies = std::mem::take(&mut memory.copies);
    let mut steps = vec![];
    for (job, scratch) in jobs.into_iter().zip(&memory.scratch) {
        steps.push(step(job, *scratch, &memory.places)?);
    }
    for (v, to) in copies {
        let from = place(&memory.places, v)?;
        let mut copy = MapBuilder::new(graph.ty(v).len());
        let x = copy.input(graph.ty(v).dtype, Access::Direct);
        copy.store(x);
        let scratch = Place { slot: 0, offset: 0, bytes: 0 };
        let kernel = Box::new(copy.finish());
        steps.push(Step {
            kernel,
            inputs: vec![from],
            outputs: vec![to],
            scratch,
            label: "copy of a result".to_string(),
        });
    }
    let invalid =
        |e: String| Error::new(ErrorKind::Internal, format!("the CPU compiler planned an invalid program: {e}"));
    let program = Arc::new(Program::new(memory.arena, memory.slots, steps).map_err(invalid)?);
    let typed =
        |slots: &[usize], ids: &[ValueId]| slots.iter().zip(ids).map(|(&s, &v)| (s, graph.ty(v).clone())).collect();
    let executable = Executable {
        program,
        parameters: typed(&memory.parameters, graph.parameters()),
        results: typed(&memory.results, &graph.results),
        constants: memory.constants,
        donations: donations.to_vec(),
    };
    passes::dump("plan", || executable.dump());
    Ok((executable, packings))
}

fn place(places: &[Option<Place>], v: ValueId) -> Result<Place> {
    places[v.index()].ok_or_else(|| Error::new(ErrorKind::Internal, format!("%{} has no place in memory", v.0)))
}

fn step(job: Job, scratch: Place, places: &[Option<Place>]) -> Result<Step> {
    let all = |ids: &[ValueId]| ids.iter().map(|&v| place(places, v)).collect::<Result<Vec<_>>>();
    Ok(Step { inputs: all(&job.inputs)?, outputs: all(&job.outputs)?, kernel: job.kernel, scratch, label: job.label })
}

/// A nested graph as a part of a kernel that runs it many times with the same first `fixed` parameters.
pub(crate) fn part(graph: &Graph, fixed: usize) -> Result<Part> {
    lowered(passes::run(graph.clone())?, fixed)
}

fn lowered(graph: Graph, fixed: usize) -> Result<Part> {
    let (e, packings) = lower(graph, &[], fixed)?;
    Ok(Part {
        packings,
        parameters: e.parameters.iter().map(|p| p.0).collect(),
        results: e.results.iter().map(|r| r.0).collect(),
        constants: e.constants.iter().map(|(s, t)| (*s, t.buffer().clone())).collect(),
        program: e.program,
    })
}

/// A body repeated, its first `constants` parameters the same in every turn, the next `carries` carried along.
pub(crate) fn scan(
    body: &Graph,
    constants: usize,
    carries: usize,
    length: usize,
    reverse: bool,
) -> Result<control::Scan> {
    let whole = passes::run(body.clone())?;
    match rows::cut(&whole, constants, carries) {
        Some(c) => {
            let scan = control::Scan::new(part(&c.body, constants)?, constants, carries, length, reverse);
            Ok(scan.in_parts(c.parts, c.parameters))
        }
        None => Ok(control::Scan::new(lowered(whole, constants)?, constants, carries, length, reverse)),
    }
}

/// Runs a graph once on these arguments; for tests and for small jobs.
pub fn evaluate(graph: Graph, arguments: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut run = compile(graph, &[])?.run(pool(1))?;
    for (i, a) in arguments.iter().enumerate() {
        run.set(i, a)?;
    }
    run.run();
    run.into_results()
}
