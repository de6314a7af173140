//! Training workloads beside the peers: `cargo bench -p kerast --bench workloads -- --workload A --opt adam --threads 2 --secs 1.5`.
//!
//! Prints the line that the head of `bench/compare.sh` fixes. Workloads: A (MLP 784-128-128-10, dropout), B (MLP 8-12-8-1, batch 10),
//! C (LeNet), F-lstm and F-gru (20,000 words, 128 units, 80 steps). `KERAST_PROFILE=1` prints where a step's time goes.

use kerast::layers::*;
use kerast::models::{Model, Sequential};
use kerast::optimizers::Optimizer;
use kerast::train::Profile;
use kerast::{Result, Tensor};
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

/// A small generator of its own, so that the data do not depend on the library.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 16_777_216.0
    }
    fn below(&mut self, n: u64) -> i32 {
        ((self.next() >> 33) % n) as i32
    }
}

struct Workload {
    model: Model,
    x: Tensor,
    y: Tensor,
    batch: usize,
    loss: &'static str,
    flops_per_sample: f64,
    /// Nominal epoch over the measured one.
    scale: f64,
}

fn training(layers: &[f64]) -> f64 {
    3.0 * layers.iter().sum::<f64>() - layers[0]
}

fn workload(name: &str) -> Result<Workload> {
    let mut r = Numbers(42);
    let conv = |h: f64, i: f64, o: f64, k: f64| 2.0 * h * h * i * o * k * k;
    let dense = |i: f64, o: f64| 2.0 * i * o;
    let relu = |n: usize| Dense::new(n).activation("relu");
    Ok(match name {
        "A" => {
            let n = 48_000;
            let model = Sequential::new()
                .add(relu(128).input_dim(784))
                .add(Dropout::new(0.3))
                .add(relu(128))
                .add(Dropout::new(0.3))
                .add(Dense::new(10).activation("softmax"));
            let flops = training(&[dense(784., 128.), dense(128., 128.), dense(128., 10.)]);
            let x: Vec<f32> = (0..n * 784).map(|_| r.unit()).collect();
            let y: Vec<i32> = (0..n).map(|_| r.below(10)).collect();
            let (x, y) = (Tensor::new(&[n, 784], &x)?, Tensor::new(&[n], &y)?);
            Workload {
                model,
                x,
                y,
                batch: 128,
                loss: "sparse_categorical_crossentropy",
                flops_per_sample: flops,
                scale: 1.0,
            }
        }
        "B" => {
            let n = 768;
            let model =
                Sequential::new().add(relu(12).input_dim(8)).add(relu(8)).add(Dense::new(1).activation("sigmoid"));
            let x: Vec<f32> = (0..n * 8).map(|_| r.unit()).collect();
            let y: Vec<f32> = (0..n).map(|_| r.below(2) as f32).collect();
            let (x, y) = (Tensor::new(&[n, 8], &x)?, Tensor::new(&[n, 1], &y)?);
            let flops = training(&[dense(8., 12.), dense(12., 8.), dense(8., 1.)]);
            Workload { model, x, y, batch: 10, loss: "binary_crossentropy", flops_per_sample: flops, scale: 1.0 }
        }
        "C" => {
            let n = 3840;
            let model = Sequential::new()
                .add(Conv2D::new(20, 5).padding("same").activation("relu").input_shape([28, 28, 1]))
                .add(MaxPooling2D::new(2))
                .add(Conv2D::new(50, 5).padding("same").activation("relu"))
                .add(MaxPooling2D::new(2))
                .add(Flatten::new())
                .add(relu(500))
                .add(Dense::new(10).activation("softmax"));
            let flops =
                training(&[conv(28., 1., 20., 5.), conv(14., 20., 50., 5.), dense(2450., 500.), dense(500., 10.)]);
            let x: Vec<f32> = (0..n * 784).map(|_| r.unit()).collect();
            let y: Vec<i32> = (0..n).map(|_| r.below(10)).collect();
            let (x, y) = (Tensor::new(&[n, 28, 28, 1], &x)?, Tensor::new(&[n], &y)?);
            Workload {
                model,
                x,
                y,
                batch: 128,
                loss: "sparse_categorical_crossentropy",
                flops_per_sample: flops,
                scale: 12_800. / 3840.,
            }
        }
        _ => {
            let n = 1600;
            let input = Input::new([80]).dtype("int32");
            let model = Sequential::new().add(input).add(Embedding::new(20_000, 128));
            let (model, gates) = match name {
                "F-gru" => (model.add(Gru::new(128)), 384.0),
                _ => (model.add(Lstm::new(128)), 512.0),
            };
            let model = model.add(Dense::new(1).activation("sigmoid"));
            let x: Vec<i32> = (0..n * 80).map(|_| r.below(20_000)).collect();
            let y: Vec<f32> = (0..n).map(|_| r.below(2) as f32).collect();
            let (x, y) = (Tensor::new(&[n, 80], &x)?, Tensor::new(&[n, 1], &y)?);
            let flops = 3.0 * 80.0 * 2.0 * dense(128., gates) + 3.0 * dense(128., 1.);
            Workload { model, x, y, batch: 32, loss: "binary_crossentropy", flops_per_sample: flops, scale: 2.0 }
        }
    })
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

fn main() -> Result<()> {
    let a = args();
    if !["A", "B", "C", "F-lstm", "F-gru"].contains(&a.workload.as_str()) {
        eprintln!("workload {} is not built yet", a.workload);
        std::process::exit(1);
    }
    let w = workload(&a.workload)?;
    let mut model = w.model.threads(a.threads);
    model.compile(Optimizer::named(&a.opt), w.loss).metrics(["accuracy"]).build()?;
    let n = w.x.shape()[0];
    let epoch = |model: &mut Model, steps: Option<usize>| -> Result<f64> {
        let fit = model.fit(&w.x, &w.y).batch_size(w.batch).verbose(0);
        let fit = match steps {
            Some(s) => fit.steps_per_epoch(s),
            None => fit,
        };
        Ok(fit.run()?.last("loss").unwrap_or(f64::NAN))
    };
    epoch(&mut model, Some(1))?;
    let first = since_start();
    epoch(&mut model, None)?;
    let (busy0, own0) = cpu_seconds();
    let begin = Instant::now();
    let (mut times, mut loss) = (vec![], 0.0);
    while times.len() < 3 || begin.elapsed().as_secs_f64() < a.secs {
        // Several epochs per call, so that checking the data once per `fit` counts once, as it does for the peers.
        let epochs = if a.workload == "B" { 50 } else { 1 };
        let t = Instant::now();
        let h = model.fit(&w.x, &w.y).batch_size(w.batch).epochs(epochs).verbose(0).run()?;
        times.push(t.elapsed().as_secs_f64() / epochs as f64 * w.scale);
        loss = h.last("loss").unwrap_or(f64::NAN);
        if times.len() > 400 {
            break;
        }
    }
    let (busy1, own1) = cpu_seconds();
    let elapsed = begin.elapsed().as_secs_f64();
    let (own, others) = ((own1 - own0) / elapsed, ((busy1 - busy0 - own1 + own0) / elapsed).max(0.0));
    let mut sorted = times.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let gflops = w.flops_per_sample * n as f64 * w.scale / median / 1e9;
    let list: Vec<String> = times.iter().take(40).map(|t| format!("{t:.7}")).collect();
    println!(
        "RESULT {{\"workload\": \"{}\", \"framework\": \"kerast\", \"variant\": \"default\", \"opt\": \"{}\", \"threads\": {}, \"api\": \"fit\", \"unit\": \"s/epoch\", \"times\": [{}], \"first_step_s\": {first:.4}, \"import_s\": 0.0, \"loss\": {loss:.5}, \"median\": {median:.8}, \"min\": {:.8}, \"gflops\": {gflops:.2}, \"steps_per_s\": {:.3}, \"own_cpus\": {own:.2}, \"other_cpus\": {others:.2}, \"rss_mb\": {:.1}}}",
        a.workload,
        a.opt,
        a.threads,
        list.join(", "),
        sorted[0],
        n.div_ceil(w.batch) as f64 * w.scale / median,
        peak_mb()
    );
    if std::env::var_os("KERAST_PROFILE").is_some() {
        let x = w.x.clone();
        print!("{}", Profile::of_training(&mut model, &x, &w.y, w.batch, 100)?);
    }
    Ok(())
}
