//! The `kerast` command: a thin layer over the public API of the `kerast` crate.
#![forbid(unsafe_code)]

use kerast::saving::load_model;
use kerast::{Error, ErrorKind, Result};
use std::process::ExitCode;

const USAGE: &str = "\
kerast: Keras for Rust

  kerast summary FILE [--batch-size N]   layers, shapes, parameters; with a batch size also the memory it takes
  kerast version                         this build and this machine
  kerast help                            this text";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(text) => {
            println!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<String> {
    match args {
        [] | ["help" | "--help" | "-h"] => Ok(USAGE.to_string()),
        ["version" | "--version" | "-V"] => Ok(kerast::banner()),
        ["summary", file] => load_model(file)?.summary(),
        ["summary", file, "--batch-size", n] => {
            let samples = n.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                Error::new(ErrorKind::Argument, "`--batch-size` takes a whole number from 1 on").received(n)
            })?;
            load_model(file)?.summary_at(samples)
        }
        other => Err(Error::new(ErrorKind::Argument, "no such command")
            .received(other.join(" "))
            .repair("`kerast help` lists what there is")),
    }
}
