//! The `kerast` command: a thin layer over the public API of the `kerast` crate.
#![forbid(unsafe_code)]

fn main() {
    println!("kerast {}", env!("CARGO_PKG_VERSION"));
}
