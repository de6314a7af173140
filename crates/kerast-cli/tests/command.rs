//! The command as a user calls it: what it prints, writes and refuses, and a training that is killed again and again.

use kerast::data::npz;
use kerast::prelude::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn kerast(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kerast")).args(arguments).current_dir(folder).output().unwrap()
}

#[track_caller]
fn good(folder: &Path, arguments: &[&str]) -> String {
    let run = kerast(folder, arguments);
    assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).to_string()
}

#[track_caller]
fn refused(folder: &Path, arguments: &[&str], words: &[&str]) {
    let run = kerast(folder, arguments);
    let text = String::from_utf8_lossy(&run.stderr).to_string();
    assert!(!run.status.success() && run.stdout.is_empty(), "{arguments:?} went well");
    assert!(words.iter().all(|w| text.contains(w)) && !text.contains("panicked"), "{arguments:?}: {text}");
}

/// A folder with a trained model, data and inputs.
fn workplace(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kerast-cli-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let x: Vec<f32> = (0..60 * 4).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    let t: Vec<f32> = x.chunks(4).flat_map(|r| [r[0] + r[1], r[2] - r[3]]).collect();
    let (x, t) = (Tensor::new(&[60, 4], &x).unwrap(), Tensor::new(&[60, 2], &t).unwrap());
    npz::write(folder.join("d.npz"), &[("x0", &x), ("t0", &t)]).unwrap();
    npz::write(folder.join("x.npz"), &[("x0", &x)]).unwrap();
    let mut m =
        Sequential::new().add(Dense::new(8).activation("tanh").input_dim(4)).add(Dropout::new(0.2)).add(Dense::new(2));
    m.compile("adam", "mse").metrics(["mae"]).build().unwrap();
    m.fit(&x, &t).verbose(0).run().unwrap();
    m.save(folder.join("m.keras")).unwrap();
    folder
}

#[test]
fn a_model_is_shown_run_trained_and_converted() {
    let f = workplace("tour");
    assert!(good(&f, &["summary", "m.keras", "--batch-size", "4"]).contains("training at batch 4"));
    let json: serde_json::Value = serde_json::from_str(&good(&f, &["summary", "m.keras", "--json"])).unwrap();
    assert_eq!((&json["parameters"], &json["outputs"][0]["shape"][1]), (&58.into(), &2.into()));
    let printed = good(&f, &["predict", "m.keras", "--input", "x.npz"]);
    good(&f, &["predict", "m.keras", "--input", "x.npz", "--output", "y.npz", "--batch-size", "7"]);
    assert_eq!(
        (printed.lines().count(), npz::Npz::open(f.join("y.npz")).unwrap().tensor("y0").unwrap().shape()),
        (60, &[60, 2][..])
    );
    assert!(good(&f, &["evaluate", "m.keras", "--data", "d.npz"]).starts_with("loss: "));
    for other in ["o.h5", "o.json", "o.safetensors", "o.npz"] {
        good(&f, &["convert", "m.keras", other]);
    }
    for from in [
        &["o.h5"][..],
        &["o.json", "--weights", "o.weights.h5"],
        &["o.json", "--weights", "o.safetensors"],
        &["o.json", "--weights", "o.npz"],
    ] {
        assert_eq!(good(&f, &[&["predict"], from, &["--input", "x.npz"]].concat()), printed, "{from:?}");
    }
    let trained = good(
        &f,
        &[
            "fit",
            "m.keras",
            "--data",
            "d.npz",
            "--epochs",
            "2",
            "--batch-size",
            "16",
            "--save",
            "t.keras",
            "--log",
            "l.csv",
        ],
    );
    assert!(trained.contains("Epoch 2/2") && !trained.contains(['\r', '\x1b']));
    assert_eq!(std::fs::read_to_string(f.join("l.csv")).unwrap().lines().count(), 3);
    assert!(good(&f, &["weights", "t.keras", "--output", "w.npz"]).contains("layers/dense/vars/0"));
    assert!(npz::Npz::open(f.join("w.npz")).unwrap().names().contains(&"layers/dense_1/vars/1".to_string()));
    good(&f, &["plot", "m.keras", "-o", "m.svg"]);
    good(&f, &["plot", "m.keras", "-o", "m.png"]);
    assert!(std::fs::read_to_string(f.join("m.svg")).unwrap().contains("dropout (Dropout)"));
    assert!(good(&f, &["layers"]).lines().any(|l| l == "LSTM"));
    assert!(good(&f, &["completions", "bash"]).contains("kerast"));
    std::fs::remove_dir_all(f).unwrap();
}

#[test]
fn tables_are_data_too() {
    let f = workplace("csv");
    let row = |i: usize| format!("{},{},{},{},{},{}", i, 1.5, 2, 3, 0.5, 0.25);
    std::fs::write(f.join("d.csv"), (0..9).map(row).collect::<Vec<_>>().join("\n")).unwrap();
    std::fs::write(f.join("x.csv"), "a,b,c,d\n1,2,3,4\n5,6,7,8\n").unwrap();
    assert!(good(&f, &["evaluate", "m.keras", "--data", "d.csv"]).contains("mae"));
    assert_eq!(good(&f, &["predict", "m.keras", "--input", "x.csv"]).lines().count(), 2);
    refused(&f, &["predict", "m.keras", "--input", "d.csv"], &["2 too many", "d.csv"]);
    std::fs::remove_dir_all(f).unwrap();
}

#[test]
fn mistakes_are_named() {
    let f = workplace("mistakes");
    refused(&f, &["summary", "n.keras"], &["cannot read n.keras", "did you mean m.keras?"]);
    refused(&f, &["predict", "m.keras", "--input", "x.txt"], &["no format of this ending", ".npz"]);
    refused(&f, &["evaluate", "m.keras", "--data", "x.npz"], &["no array named `t0`"]);
    good(&f, &["convert", "m.keras", "o.json"]);
    std::fs::write(
        f.join("bare.json"),
        std::fs::read_to_string(f.join("o.json")).unwrap().replace("compile_config", "x"),
    )
    .unwrap();
    let fit = ["fit", "bare.json", "--data", "d.npz", "--epochs", "1", "--batch-size", "8", "--save", "t.keras"];
    refused(&f, &fit, &["--optimizer", "--loss"]);
    good(&f, &[&fit[..], &["--optimizer", "sgd", "--loss", "mse"]].concat());
    refused(&f, &[&fit[..], &["--optimizer", "sgdd", "--loss", "mse"]].concat(), &["sgdd", "did you mean sgd"]);
    refused(
        &f,
        &["fit", "m.keras", "--data", "d.npz", "--epochs", "0", "--batch-size", "8", "--save", "t.keras"],
        &["--epochs"],
    );
    refused(&f, &["convert", "m.keras", "o.onnx"], &["no format of this ending"]);
    std::fs::remove_dir_all(f).unwrap();
}

/// Kill -9 at any moment, run again: the same weights and the same log as a run that was never cut, and no file is broken.
#[cfg(unix)]
#[test]
fn twenty_kills_change_nothing() {
    let f = workplace("kill");
    let arguments = |save: &'static str, log: &'static str| {
        [
            "fit",
            "m.keras",
            "--data",
            "d.npz",
            "--epochs",
            "60",
            "--batch-size",
            "4",
            "--validation-split",
            "0.2",
            "--seed",
            "5",
            "--save",
            save,
            "--log",
            log,
        ]
    };
    good(&f, &arguments("whole.keras", "whole.csv"));
    let cut = [&arguments("cut.keras", "cut.csv")[..], &["--backup", "run", "--backup-every", "3"]].concat();
    let mut landed = 0;
    for i in 0..20u64 {
        let command = Command::new(env!("CARGO_BIN_EXE_kerast"))
            .args(&cut)
            .current_dir(&f)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = command.unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20 + i * 7919 % 90));
        let over = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        landed += usize::from(!over);
        if over {
            std::fs::remove_file(f.join("cut.keras")).unwrap();
        }
    }
    good(&f, &cut);
    good(&f, &["weights", "whole.keras", "--output", "a.npz"]);
    good(&f, &["weights", "cut.keras", "--output", "b.npz"]);
    let read = |name: &str| std::fs::read(f.join(name)).unwrap();
    println!("{landed} of 20 kills landed");
    assert!(landed > 0 && read("a.npz") == read("b.npz") && read("whole.csv") == read("cut.csv"));
    assert_eq!(std::fs::read_dir(f.join("run")).unwrap().count(), 0, "a finished run leaves nothing");
    std::fs::remove_dir_all(f).unwrap();
}
