//! The house: who may import whom, headers, lengths, `unsafe`, and registries against files.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file of the crates, with its path from the root and its text.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => walk(&path, out),
                false if path.extension().is_some_and(|e| e == "rs") => out.push(path),
                false => {}
            }
        }
    }
    let crates = root().join("crates");
    let mut files = vec![];
    walk(&crates, &mut files);
    files.sort();
    assert!(files.len() > 100);
    files
        .into_iter()
        .map(|f| {
            let name = f.strip_prefix(&crates).unwrap().to_string_lossy().replace('\\', "/");
            (name, fs::read_to_string(f).unwrap())
        })
        .collect()
}

#[track_caller]
fn none(offenders: Vec<String>, rule: &str) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

#[test]
fn every_file_says_what_it_is() {
    let bare = sources().into_iter().filter(|(_, t)| !t.starts_with("//! "));
    none(bare.map(|f| f.0).collect(), "a file begins with a line `//! …` that says what it is");
}

#[test]
fn files_stay_readable() {
    let long = sources().into_iter().filter(|(_, t)| t.lines().count() > 600);
    none(long.map(|f| f.0).collect(), "a file has at most 600 lines");
}

#[test]
fn unsafe_lives_in_the_kernels() {
    for name in ["kerast", "kerast-graph"] {
        let lib = fs::read_to_string(root().join(format!("crates/{name}/src/lib.rs"))).unwrap();
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{name} forbids unsafe code");
    }
}

#[test]
fn rooms_import_only_what_lies_below() {
    // (room, rooms that it must not name)
    let walls: [(&str, &[&str]); 6] = [
        ("kerast-kernels/src/", &["kerast_graph", "kerast::"]),
        ("kerast-graph/src/", &["kerast::", "plotters", "serde_json", "ndarray"]),
        ("kerast/src/activations/", &["crate::layers", "crate::models", "crate::train", "crate::saving"]),
        ("kerast/src/losses/", &["crate::layers", "crate::models", "crate::train", "crate::saving"]),
        ("kerast/src/optimizers/", &["crate::models", "crate::train", "crate::saving"]),
        ("kerast/src/layers/", &["crate::train", "crate::saving", "crate::callbacks", "crate::losses"]),
    ];
    let mut offenders = vec![];
    for (file, text) in sources() {
        for (room, forbidden) in &walls {
            let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
            let code: String = code.collect::<Vec<_>>().join("\n");
            if file.starts_with(room) {
                offenders.extend(forbidden.iter().filter(|f| code.contains(**f)).map(|f| format!("{file} names {f}")));
            }
        }
    }
    none(offenders, "a room imports only what lies below it");
}

#[test]
fn every_layer_is_registered() {
    let registry = fs::read_to_string(root().join("crates/kerast/src/layers/registry.rs")).unwrap();
    let mut missing = vec![];
    for (file, text) in sources().iter().filter(|(f, _)| f.starts_with("kerast/src/layers/")) {
        for line in text.lines().filter(|l| l.starts_with("    pub struct ") && l.ends_with(") {")) {
            let class = line.split('"').nth(1).unwrap_or("");
            if !class.is_empty() && !registry.contains(&format!("\"{class}\"")) {
                missing.push(format!("{class} of {file}"));
            }
        }
    }
    none(missing, "a layer has its line in layers/registry.rs");
}

#[test]
fn every_operation_has_its_line() {
    let registry = fs::read_to_string(root().join("crates/kerast-graph/src/ops/mod.rs")).unwrap();
    let files = sources();
    let names = files.iter().filter_map(|(f, _)| f.strip_prefix("kerast-graph/src/ops/")?.strip_suffix(".rs"));
    let missing = names.filter(|n| *n != "mod" && !n.contains('/') && !registry.contains(&format!("mod {n};")));
    none(missing.map(str::to_string).collect(), "an operation has its line in ops/mod.rs");
}

#[test]
fn dependencies_have_reasons() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut missing = vec![];
    for name in ["kerast", "kerast-graph", "kerast-kernels", "kerast-cli"] {
        let manifest = fs::read_to_string(root().join(format!("crates/{name}/Cargo.toml"))).unwrap();
        let mut inside = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                inside = line.contains("dependencies");
                continue;
            }
            let dependency = line.split([' ', '.', '=']).next().unwrap_or("");
            let ours = dependency.is_empty() || dependency.starts_with("kerast");
            if inside && !ours && !map.contains(&format!("`{dependency}`")) {
                missing.push(format!("{dependency} of {name}"));
            }
        }
    }
    none(missing, "a direct dependency has a line of reason in ARCHITECTURE.md");
}
