//! What Keras does, case by case: `cargo test --release conformance -- --nocapture`.
//!
//! The cases are files (`fixtures/conformance`, or the folder that `KERAST_CONFORMANCE_DIR` names): values, gradients, whole
//! models, whole training runs. Classes that are not in the registries are skipped by name.

#[path = "conformance/files.rs"]
mod files;
#[path = "conformance/small.rs"]
mod small;
#[path = "conformance/support.rs"]
mod support;

use std::collections::BTreeMap;
use support::{Case, Outcome};

fn run(case: &Case) -> Outcome {
    match case.kind.as_str() {
        "activation" => small::activation(case),
        "loss" => small::loss(case),
        "metric" => small::metric(case),
        "optimizer" => small::optimizer(case),
        "schedule" => small::schedule(case),
        "regularizer" => small::regularizer(case),
        "constraint" => small::constraint(case),
        "initializer" => small::initializer(case),
        "alias" => small::alias(case),
        "random_layer" => small::random_layer(case),
        "layer" | "op" | "keras2" => files::layer(case),
        "hostile" => files::hostile(case),
        "model" => files::model(case),
        "fit" => files::fit(case),
        other => Outcome::Skipped(format!("kind {other}")),
    }
}

#[test]
fn conformance() {
    let cases = support::cases();
    let (mut passed, mut failed) = (0, 0);
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let mut by_kind: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for case in &cases {
        let slot = by_kind.entry(case.kind.clone()).or_default();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(case)));
        match outcome.unwrap_or_else(|_| Outcome::Failed("panicked".into())) {
            Outcome::Passed => {
                passed += 1;
                slot[0] += 1;
            }
            Outcome::Failed(why) => {
                failed += 1;
                slot[1] += 1;
                println!("FAILED {}: {why}", case.name);
            }
            Outcome::Skipped(what) => {
                slot[2] += 1;
                *skipped.entry(what).or_default() += 1;
            }
        }
    }
    for (what, n) in &skipped {
        println!("skipped {n:>4}  {what}");
    }
    for (kind, [p, f, s]) in &by_kind {
        println!("{kind:<14} {p:>4} passed {f:>4} failed {s:>4} skipped");
    }
    let total: usize = skipped.values().sum();
    println!("{passed} passed, {failed} failed, {total} skipped");
    assert_eq!(failed, 0, "cases differ from Keras");
}
