//! Time and memory of opening and saving a model: `cargo bench -p kerast --bench files -- MODEL.keras|MODEL.h5`.
//!
//! `benches/files.py` makes such a file and does the same with Keras: run both in turn.

use kerast::prelude::*;
use std::time::Instant;

fn main() -> Result<()> {
    let Some(path) = std::env::args().skip(1).find(|a| !a.starts_with("--")) else {
        println!("usage: cargo bench -p kerast --bench files -- MODEL.keras|MODEL.h5");
        return Ok(());
    };
    let ending = path.rsplit('.').next().unwrap_or("keras");
    let out = std::env::temp_dir().join(format!("kerast-bench-{}.{ending}", std::process::id()));
    let (mut load, mut save) = (vec![], vec![]);
    for _ in 0..5 {
        let begin = Instant::now();
        let model = load_model(&path)?;
        load.push(begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        model.save(&out)?;
        save.push(begin.elapsed().as_secs_f64());
    }
    let _ = std::fs::remove_file(out);
    load.sort_by(f64::total_cmp);
    save.sort_by(f64::total_cmp);
    println!("kerast {path} load {:.3} s save {:.3} s peak {} MiB", load[2], save[2], peak_mib());
    Ok(())
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}
