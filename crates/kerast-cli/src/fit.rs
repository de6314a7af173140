//! `kerast fit`.

use crate::{ModelFile, data};
use clap::Args;
use kerast::callbacks::{BackupAndRestore, CsvLogger, StopOnCtrlC};
use kerast::models::Model;
use kerast::{Error, ErrorKind, Result};
use serde_json::{Map, Value};
use std::io::IsTerminal;
use std::path::PathBuf;

/// Trains on.
#[derive(Args)]
#[command(
    after_help = "npz keys: x0, x1, … and t0, t1, … (or t/<output name>), sample_weight if wished. CSV: inputs first, targets last.

Example: kerast fit model.keras --data train.npz --epochs 20 --batch-size 128 --validation-split 0.2 --save trained.keras \\
           --log log.csv --backup run --backup-every 500"
)]
pub(crate) struct Fit {
    #[command(flatten)]
    file: ModelFile,
    /// `.npz` or `.csv`.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Passes over the data.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// Samples per update.
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: u64,
    /// Keep the samples in their order.
    #[arg(long)]
    no_shuffle: bool,
    /// The last part of the data is kept for validation: 0.2 keeps a fifth.
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    validation_split: f64,
    /// What samples of a class count: `{"0": 1, "1": 2.5}`.
    #[arg(long, value_name = "JSON")]
    class_weight: Option<String>,
    /// An optimizer's name, or its JSON.
    #[arg(long, value_name = "NAME|JSON")]
    optimizer: Option<String>,
    /// A loss' name, or its JSON.
    #[arg(long, value_name = "NAME|JSON")]
    loss: Option<String>,
    /// Metrics' names.
    #[arg(long, num_args = 1.., value_name = "NAME")]
    metrics: Option<Vec<String>>,
    /// For everything random.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Threads; all of the machine's unless given.
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u64).range(1..=1024))]
    threads: Option<u64>,
    /// Where the trained model goes; its ending says the format.
    #[arg(long, value_name = "OUT")]
    save: PathBuf,
    /// A CSV with a row per epoch.
    #[arg(long, value_name = "LOG.csv")]
    log: Option<PathBuf>,
    /// Keeps the state here; if it holds a run, that run goes on.
    #[arg(long, value_name = "DIR")]
    backup: Option<PathBuf>,
    /// Writes the state also after every so many steps.
    #[arg(long, value_name = "N", requires = "backup", value_parser = clap::value_parser!(u64).range(1..))]
    backup_every: Option<u64>,
}

impl Fit {
    pub(crate) fn run(&self) -> Result<()> {
        kerast::set_random_seed(self.seed);
        let mut model = self.file.open()?;
        if let Some(threads) = self.threads {
            model = model.threads(threads as usize);
        }
        self.compile(&mut model)?;
        let set = data::examples(&self.data, &model)?;
        let verbose = if std::io::stdout().is_terminal() { 1 } else { 2 };
        let mut fit = model
            .fit(set.x, set.y)
            .epochs(self.epochs as usize)
            .batch_size(self.batch_size as usize)
            .shuffle(!self.no_shuffle)
            .validation_split(self.validation_split)
            .class_weight(self.class_weights()?)
            .verbose(verbose)
            .callback(StopOnCtrlC::new());
        if let Some(w) = set.weights {
            fit = fit.sample_weight(w);
        }
        if let Some(log) = &self.log {
            fit = fit.callback(CsvLogger::new(log));
        }
        if let Some(folder) = &self.backup {
            let backup = BackupAndRestore::new(folder);
            fit = fit.callback(match self.backup_every {
                Some(n) => backup.every_steps(n as usize),
                None => backup,
            });
        }
        fit.run()?;
        model.save(&self.save)
    }

    /// Names are texts, JSON is JSON.
    fn value(text: &str, what: &str) -> Result<Value> {
        match text.trim_start().starts_with('{') {
            false => Ok(text.into()),
            true => serde_json::from_str(text)
                .map_err(|e| Error::new(ErrorKind::Argument, format!("`--{what}` is no JSON")).fact("reason", e)),
        }
    }

    /// The model's own compile config, with what was given in its place. Where nothing was given the optimizer goes on where it stood.
    fn compile(&self, model: &mut Model) -> Result<()> {
        let own = model.compile_config()?;
        let given = self.optimizer.is_some() || self.loss.is_some() || self.metrics.is_some();
        if own.is_some() && !given {
            return Ok(());
        }
        let mut config = own.and_then(|v| v.as_object().cloned()).unwrap_or_default();
        let mut set = |key: &str, given: &Option<String>| -> Result<()> {
            match given {
                Some(text) => _ = config.insert(key.into(), Self::value(text, key)?),
                None if config.contains_key(key) => {}
                None => {
                    return Err(Error::new(ErrorKind::Argument, "the model says not how it is trained")
                        .expected("`--optimizer` and `--loss`")
                        .received(format!("no `--{key}`"))
                        .repair("kerast fit MODEL … --optimizer adam --loss mse"));
                }
            }
            Ok(())
        };
        set("optimizer", &self.optimizer)?;
        set("loss", &self.loss)?;
        if let Some(metrics) = &self.metrics {
            config.insert("metrics".into(), metrics.clone().into());
            config.shift_remove("weighted_metrics");
        }
        model.compile_from_config(&Value::Object(config))
    }

    fn class_weights(&self) -> Result<Vec<(i64, f64)>> {
        let Some(text) = &self.class_weight else { return Ok(vec![]) };
        let bad = || {
            Error::new(ErrorKind::Argument, "`--class-weight` makes no sense")
                .expected("{\"0\": 1, \"1\": 2.5}")
                .received(text)
        };
        let map: Map<String, Value> = serde_json::from_str(text).map_err(|_| bad())?;
        map.iter().map(|(k, v)| Ok((k.parse().map_err(|_| bad())?, v.as_f64().ok_or_else(bad)?))).collect()
    }
}
