//! Passes: graph in, graph out, in this order. Portable; what needs a machine belongs to that backend.

mod absorb;
mod dedupe;
mod fold;
mod join_losses;
mod join_scans;
mod legalize;
pub(crate) mod prune;
mod simplify;
mod trim_scans;

use crate::error::Result;
use crate::ir::graph::Graph;
use crate::ir::verify::verify;

type Pass = fn(Graph) -> Result<Graph>;

/// The passes in order. Scans are joined while their operands are still as traced; then `prune` and `trim_scans`, so that nobody works on
/// what nobody reads; `legalize` before `simplify` and `dedupe`, since it adds nodes; the second `simplify` sees what `dedupe` joined.
const PASSES: &[(&str, Pass)] = &[
    ("join scans", |g| join_scans::join_scans(&g)),
    ("join losses", |g| join_losses::join_losses(&g)),
    ("prune", |g| prune::prune(&g)),
    ("trim scans", |g| trim_scans::trim_scans(&g)),
    ("legalize", |g| legalize::legalize(&g)),
    ("absorb", |g| absorb::absorb(&g)),
    ("fold", fold::fold),
    ("simplify", |g| simplify::simplify(&g)),
    ("dedupe", |g| dedupe::dedupe(&g)),
    ("simplify again", |g| simplify::simplify(&g)),
    ("prune again", |g| prune::prune(&g)),
];

/// Runs all passes; verifies after each in debug builds.
pub fn run(mut graph: Graph) -> Result<Graph> {
    for (name, pass) in PASSES {
        graph = pass(graph)?;
        if cfg!(debug_assertions) {
            verify(&graph).map_err(|e| e.fact("after pass", name))?;
        }
    }
    dump("passes", || graph.to_string());
    Ok(graph)
}

/// Runs one pass by name, for tests.
pub fn run_one(name: &str, graph: Graph) -> Option<Result<Graph>> {
    PASSES.iter().find(|(n, _)| *n == name).map(|(_, pass)| pass(graph))
}

/// Prints a stage to stderr if the environment variable `KERAST_DUMP` (a comma-separated list of `trace`, `grad`, `passes`,
/// `plan`) asks for it.
pub fn dump(stage: &str, text: impl FnOnce() -> String) {
    let wanted = std::env::var("KERAST_DUMP").unwrap_or_default();
    if wanted.split(',').any(|w| w.trim() == stage) {
        eprintln!("--- {stage} ---\n{}", text());
    }
}
