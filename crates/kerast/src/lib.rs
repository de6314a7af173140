//! Kerast: Keras for Rust.
#![forbid(unsafe_code)]

pub mod activations;
pub mod callbacks;
pub mod config;
pub mod constraints;
pub mod data;
pub mod datasets;
pub mod initializers;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod models;
pub mod optimizers;
#[cfg(not(target_family = "wasm"))]
pub mod plot;
pub mod prelude;
pub mod progress;
pub mod regularizers;
pub mod saving;
mod sha256;
pub mod train;

pub use kerast_graph::{DType, Element, Error, ErrorKind, Result, Tensor};

use std::sync::atomic::{AtomicU64, Ordering};

static SEED: AtomicU64 = AtomicU64::new(0);

/// Sets the seed of everything random from here on: first weights, dropout, shuffles. It is 0 unless set, so that a program
/// gives the same numbers whenever it runs. Automatic layer names start anew, since a weight's first values depend on its name:
/// the same layers built after the same call are the same.
pub fn set_random_seed(seed: u64) {
    layers::clear_session();
    SEED.store(seed, Ordering::Relaxed);
}

/// The seed.
pub fn seed() -> u64 {
    SEED.load(Ordering::Relaxed)
}

/// One line about this build and this machine: `Kerast 0.1.0 · cpu, 2 threads, avx512`.
pub fn banner() -> String {
    let threads = kerast_graph::backend::cpu::default_threads();
    let plural = if threads == 1 { "" } else { "s" };
    format!("Kerast {} · cpu, {threads} thread{plural}, {}", env!("CARGO_PKG_VERSION"), kerast_kernels::isa::isa())
}
