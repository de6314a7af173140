//! The `kerast` command: a thin layer over the public API of the `kerast` crate. Results go to stdout, messages to stderr.
#![forbid(unsafe_code)]

/// Prints a line of results. A reader that has seen enough (`| head`) is no error.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        if writeln!(std::io::stdout(), $($text)*).is_err() {
            std::process::exit(0);
        }
    }};
}

mod data;
mod fit;
mod show;

use clap::{Args, CommandFactory, Parser, Subcommand};
use kerast::models::Model;
use kerast::saving::load_model;
use kerast::{Result, plot};
use std::path::PathBuf;
use std::process::ExitCode;

/// Keras for Rust: opens, runs, trains and converts model files of Keras 1 to 3, without Python.
///
/// A model file can never run code. MODEL is a `.keras`, a whole-model `.h5`, or a JSON architecture with `--weights FILE`.
#[derive(Parser)]
#[command(
    name = "kerast",
    version,
    about,
    after_help = "Examples:
  kerast summary model.h5 --batch-size 1
  kerast predict model.h5 --input cat.png
  kerast fit model.keras --data digits.npz --epochs 5 --batch-size 32 --save trained.keras
  kerast convert model.h5 model.keras"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct ModelFile {
    /// A model file of Keras 1 to 3: `.keras`, `.h5`, or the JSON of an architecture.
    model: PathBuf,
    /// Weights for it: `.weights.h5`, `.h5`, `.npz` or `.safetensors`.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

impl ModelFile {
    fn open(&self) -> Result<Model> {
        let model = load_model(&self.model)?;
        match &self.weights {
            Some(w) => model.load_weights(w).map(|()| model),
            None => Ok(model),
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Layers, shapes, parameters; with a batch size also the memory that it takes.
    #[command(after_help = "Example: kerast summary model.keras --batch-size 32")]
    Summary {
        #[command(flatten)]
        file: ModelFile,
        /// Samples of a batch, for the memory.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        batch_size: Option<u64>,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
        /// Where a prediction's time goes, kernel by kernel, at the batch size.
        #[arg(long)]
        profile: bool,
    },
    /// The outputs for inputs from a file.
    #[command(
        after_help = "npz keys: x0, x1, … in the order of the model's inputs, or their names. Predictions are y0, y1, …\n\nExample: kerast predict model.keras --input x.npz --output y.npz"
    )]
    Predict {
        #[command(flatten)]
        file: ModelFile,
        /// `.npz`, `.npy`, `.csv`, or pictures (PNG, JPEG), which are brought to the input's size.
        #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
        input: Vec<PathBuf>,
        /// `.npz` or `.csv`; without it the numbers are printed.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Samples at once.
        #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        batch_size: u64,
    },
    /// Loss and metrics on data.
    #[command(
        after_help = "npz keys: x0, x1, … and t0, t1, … (or t/<output name>), sample_weight if wished. CSV: inputs first, targets last.\n\nExample: kerast evaluate model.keras --data test.npz"
    )]
    Evaluate {
        #[command(flatten)]
        file: ModelFile,
        /// `.npz` or `.csv`.
        #[arg(long, value_name = "FILE")]
        data: PathBuf,
        /// Samples at once.
        #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        batch_size: u64,
    },
    /// Trains on; the model's own compile config holds unless overridden.
    Fit(Box<fit::Fit>),
    /// Every variable: Keras' path, its dataset in model.weights.h5, shape, element type.
    #[command(after_help = "Example: kerast weights model.h5 --output weights.npz")]
    Weights {
        #[command(flatten)]
        file: ModelFile,
        /// Writes them as npz; the keys are the datasets.
        #[arg(long, value_name = "W.npz")]
        output: Option<PathBuf>,
    },
    /// Between .keras, .h5, .json + .weights.h5, .safetensors and .npz.
    #[command(after_help = "A `.json` gets its `.weights.h5` beside it.\n\nExample: kerast convert old.h5 new.keras")]
    Convert {
        /// The file to read.
        input: PathBuf,
        /// The file to write; its ending says the format.
        output: PathBuf,
        /// Weights for a JSON architecture.
        #[arg(long, value_name = "FILE")]
        weights: Option<PathBuf>,
    },
    /// Draws the network; no Graphviz needed.
    #[command(after_help = "Example: kerast plot model.keras -o model.svg")]
    Plot {
        #[command(flatten)]
        file: ModelFile,
        /// `.svg` or `.png`.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// The layers that are supported.
    Layers,
    /// Completions for a shell.
    #[command(after_help = "Example: kerast completions bash > /etc/bash_completion.d/kerast")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Summary { file, batch_size, json, profile } => {
            show::summary(file.open()?, batch_size.map(|n| n as usize), json, profile)
        }
        Command::Predict { file, input, output, batch_size } => {
            let mut model = file.open()?;
            let x = data::inputs(&input, &model)?;
            let y = model.predict(x).batch_size(batch_size as usize).all()?;
            data::write_outputs(output.as_deref(), &y)
        }
        Command::Evaluate { file, data, batch_size } => {
            let mut model = file.open()?;
            let set = data::examples(&data, &model)?;
            let evaluation = model.evaluate(set.x, set.y).batch_size(batch_size as usize);
            let scores = match set.weights {
                Some(w) => evaluation.sample_weight(w).run()?,
                None => evaluation.run()?,
            };
            scores.iter().for_each(|(name, value)| say!("{name}: {value}"));
            Ok(())
        }
        Command::Fit(fit) => fit.run(),
        Command::Weights { file, output } => show::weights(&file.open()?, output.as_deref()),
        Command::Convert { input, output, weights } => {
            let model = ModelFile { model: input, weights }.open()?;
            if output.extension().is_some_and(|e| e == "json") {
                model.save_weights(output.with_extension("weights.h5"))?;
            }
            model.save(&output)
        }
        Command::Plot { file, output } => plot::model(output, &file.open()?),
        Command::Layers => {
            kerast::layers::layer_classes().for_each(|c| say!("{c}"));
            Ok(())
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "kerast", &mut std::io::stdout());
            Ok(())
        }
    }
}
