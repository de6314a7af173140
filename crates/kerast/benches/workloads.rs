//! Workloads beside the peers: `cargo bench -p kerast --bench workloads -- --workload A --opt adam --threads 2 --secs 1.5`.
//!
//! Prints the line that the head of `bench/compare.sh` fixes. Workloads: A (MLP 784-128-128-10, dropout), B (MLP 8-12-8-1, batch 10),
//! C (LeNet), D (small VGG), E (ResNet-20), F-lstm and F-gru (20,000 words, 128 units, 80 steps), G (small GPT); forward only: Einf1 and
//! Einf8 (ResNet-50), I (model A, one sample). `KERAST_PROFILE=1` prints where a step's time goes.

#[path = "workloads/nets.rs"]
mod nets;

use kerast::Result;
use kerast::config::Arg;
use kerast::models::Model;
use kerast::optimizers::{Optimizer, Sgd};
use kerast::train::Profile;
use nets::{Workload, workload};
use std::time::Instant;

struct Args {
    workload: String,
    opt: String,
    threads: usize,
    secs: f64,
}

fn args() -> Args {
    let v: Vec<String> = std::env::args().collect();
    let get = |name: &str| v.iter().position(|a| a == name).and_then(|i| v.get(i + 1)).cloned();
    Args {
        workload: get("--workload").unwrap_or_else(|| "A".into()),
        opt: get("--opt").unwrap_or_else(|| "adam".into()),
        threads: get("--threads").and_then(|t| t.parse().ok()).unwrap_or(2),
        secs: get("--secs").and_then(|t| t.parse().ok()).unwrap_or(1.5),
    }
}

fn since_start() -> f64 {
    let read = |p: &str| std::fs::read_to_string(p).unwrap_or_default();
    let ticks =
        read("/proc/self/stat").rsplit(')').next().and_then(|s| s.split_whitespace().nth(19)?.parse::<f64>().ok());
    let up = read("/proc/uptime").split_whitespace().next().and_then(|s| s.parse::<f64>().ok());
    up.unwrap_or(0.0) - ticks.unwrap_or(0.0) / 100.0
}

fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM"));
    line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Busy seconds of the machine and of this process.
fn cpu_seconds() -> (f64, f64) {
    let read = |p: &str| std::fs::read_to_string(p).unwrap_or_default();
    let all: Vec<f64> = read("/proc/stat")
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .filter_map(|v| v.parse().ok())
        .collect();
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|&i| all.get(i)).sum::<f64>() / 100.0;
    let own = read("/proc/self/stat")
        .rsplit(')')
        .next()
        .map(|s| s.split_whitespace().skip(11).take(2).filter_map(|v| v.parse::<f64>().ok()).sum::<f64>() / 100.0);
    (busy, own.unwrap_or(0.0))
}

/// Seconds of every epoch, or of every call, and the loss.
fn training(w: &Workload, model: &mut Model, a: &Args, first: &mut f64) -> Result<(Vec<f64>, f64)> {
    model.fit(&w.x, &w.y).batch_size(w.batch).steps_per_epoch(1).verbose(0).run()?;
    *first = since_start();
    model.fit(&w.x, &w.y).batch_size(w.batch).verbose(0).run()?;
    let begin = Instant::now();
    let (mut times, mut loss) = (vec![], 0.0);
    while times.len() < 3 || begin.elapsed().as_secs_f64() < a.secs && times.len() < 400 {
        // Several epochs per call, so that checking the data once per `fit` counts once, as it does for the peers.
        let epochs = if a.workload == "B" { 50 } else { 1 };
        let t = Instant::now();
        let h = model.fit(&w.x, &w.y).batch_size(w.batch).epochs(epochs).verbose(0).run()?;
        times.push(t.elapsed().as_secs_f64() / epochs as f64 * w.scale);
        loss = h.last("loss").unwrap_or(f64::NAN);
    }
    Ok((times, loss))
}

fn serving(w: &Workload, model: Model, a: &Args, first: &mut f64) -> Result<(Vec<f64>, f64)> {
    let predictor = model.into_predictor(w.batch)?;
    let x = w.x.as_slice::<f32>().unwrap_or(&[]).to_vec();
    let mut y = vec![0f32; predictor.output_len()];
    predictor.run(&x, &mut y)?;
    *first = since_start();
    let (begin, mut times) = (Instant::now(), vec![]);
    while times.len() < 20 || begin.elapsed().as_secs_f64() < a.secs && times.len() < 1_000_000 {
        let t = Instant::now();
        predictor.run(&x, &mut y)?;
        times.push(t.elapsed().as_secs_f64());
    }
    Ok((times, f64::from(y[0])))
}

fn main() -> Result<()> {
    let a = args();
    let Some((model, w)) = workload(&a.workload)? else {
        eprintln!("there is no workload {}", a.workload);
        std::process::exit(1);
    };
    let mut model = model.threads(a.threads);
    let serves = a.workload == "I" || a.workload.starts_with("Einf");
    let mut first = 0.0;
    let (busy0, own0) = cpu_seconds();
    let begin = Instant::now();
    let (times, loss, trained) = match serves {
        true => {
            let (times, value) = serving(&w, model, &a, &mut first)?;
            (times, value, None)
        }
        false => {
            let optimizer =
                if a.opt == "momentum" { Sgd::new(0.05).momentum(0.9).arg() } else { Optimizer::named(&a.opt) };
            let compile = model.compile(optimizer, w.loss.clone());
            if w.metrics {
                compile.metrics(["accuracy"]).build()?
            } else {
                compile.build()?
            }
            let (times, loss) = training(&w, &mut model, &a, &mut first)?;
            (times, loss, Some(model))
        }
    };
    let (busy1, own1) = cpu_seconds();
    let elapsed = begin.elapsed().as_secs_f64();
    let (own, others) = ((own1 - own0) / elapsed, ((busy1 - busy0 - own1 + own0) / elapsed).max(0.0));
    let mut sorted = times.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let n = w.x.shape()[0] as f64;
    let gflops = w.flops_per_sample * n * w.scale / median / 1e9;
    let list: Vec<String> = times.iter().take(40).map(|t| format!("{t:.7}")).collect();
    let (api, unit) = if serves { ("predictor", "s/call") } else { ("fit", "s/epoch") };
    println!(
        "RESULT {{\"workload\": \"{}\", \"framework\": \"kerast\", \"variant\": \"default\", \"opt\": \"{}\", \"threads\": {}, \"api\": \"{api}\", \"unit\": \"{unit}\", \"times\": [{}], \"first_step_s\": {first:.4}, \"import_s\": 0.0, \"loss\": {loss:.5}, \"median\": {median:.8}, \"min\": {:.8}, \"gflops\": {gflops:.2}, \"steps_per_s\": {:.3}, \"own_cpus\": {own:.2}, \"other_cpus\": {others:.2}, \"rss_mb\": {:.1}}}",
        a.workload,
        a.opt,
        a.threads,
        list.join(", "),
        sorted[0],
        (n / w.batch as f64).ceil() * w.scale / median,
        peak_mb()
    );
    if std::env::var_os("KERAST_PROFILE").is_some() {
        let turns = if a.workload == "A" || a.workload == "B" { 100 } else { 10 };
        if let Some(mut model) = trained {
            print!("{}", Profile::of_training(&mut model, &w.x, &w.y, w.batch, turns)?);
        } else if let Some((model, _)) = workload(&a.workload)? {
            print!("{}", Profile::of_serving(&mut model.threads(a.threads), w.batch, turns)?);
        }
    }
    Ok(())
}
