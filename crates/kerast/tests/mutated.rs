//! Damaged files of every kind: thousands of mutants of sound ones. Each is read or refused with an error: no panic, no endless loop, and,
//! since the test runs itself under a limit of 1.5 GB, no memory that a file merely claims to need.

#[path = "mutated/readers.rs"]
mod readers;

use kerast::prelude::*;
use readers::READERS;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const MUTANTS: usize = 1000;
const SLOWEST: Duration = Duration::from_secs(10);
/// Set in the process that reads the mutants.
const CHILD: &str = "KERAST_MUTANTS";

#[test]
fn damaged_files_are_refused_or_read() {
    if std::env::var_os(CHILD).is_none() && cfg!(unix) {
        let this = std::env::current_exe().expect("a test has a path");
        let limited = "ulimit -v 1500000; exec \"$0\" --exact damaged_files_are_refused_or_read --nocapture";
        let child = Command::new("sh").arg("-c").arg(limited).arg(this).env(CHILD, "1").output().expect("sh starts");
        let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "the mutants' process failed: {}\n{text}", child.status);
        return;
    }
    for reader in READERS {
        let seeds = seeds(reader.name);
        keep(reader.name, &seeds);
        found(reader.name).iter().for_each(|bytes| _ = (reader.read)(bytes));
        let mut refused = 0;
        for (s, seed) in seeds.iter().enumerate() {
            let sound = (reader.read)(seed);
            assert!(sound.is_ok(), "{} {s}: the sound file is refused: {sound:?}", reader.name);
            for i in 0..MUTANTS {
                let mutant = mutant(seed, Random((s * MUTANTS + i) as u64));
                let begin = Instant::now();
                let read = std::panic::catch_unwind(|| (reader.read)(&mutant));
                let took = begin.elapsed();
                assert!(read.is_ok(), "{}: mutant {i} of seed {s} panics", reader.name);
                assert!(took < SLOWEST, "{}: mutant {i} of seed {s} takes {took:?}", reader.name);
                refused += usize::from(matches!(read, Ok(Err(_))));
            }
        }
        println!("{:<12} {:>5} mutants, {refused} refused", reader.name, seeds.len() * MUTANTS);
    }
}

/// Writes the sound files where the fuzz targets begin, if `KERAST_SEEDS` names that folder.
fn keep(kind: &str, seeds: &[Vec<u8>]) {
    let Some(folder) = std::env::var_os("KERAST_SEEDS") else { return };
    let folder = Path::new(&folder).join(kind);
    std::fs::create_dir_all(&folder).expect("a folder for seeds");
    for (i, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("sound-{i}")), seed).expect("a seed");
    }
}

/// What fuzzing found once.
fn found(kind: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mutants").join(kind);
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|f| std::fs::read(f.path()).expect("a fixture")).collect()
}

/// Sound files of a kind: fixtures, and what Kerast writes itself.
fn seeds(kind: &str) -> Vec<Vec<u8>> {
    let fixture = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let saved = |ending: &str| {
        let mut model = Sequential::new().add(Dense::new(3).activation("relu").input_dim(2)).add(Dense::new(1));
        model.compile("adam", "mse").build().expect("compiles");
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kerast-seed-{kind}-{}.{ending}", std::process::id()));
        model.save(&path).or_else(|_| model.save_weights(&path)).expect("saves");
        let bytes = std::fs::read(&path).expect("was just written");
        let _ = std::fs::remove_file(&path);
        bytes
    };
    let json = || readers::small().to_json().expect("writes").into_bytes();
    match kind {
        "keras" => vec![saved("keras"), fixture("conformance/ops/op_chain_grad.keras")],
        "legacy_h5" => vec![saved("h5"), fixture("wild/act_3.h5"), fixture("wild/bidirectional_lstm_tensorflow_1.h5")],
        "config" | "keras_config" => vec![json()],
        "hdf5" => vec![fixture("wild/act_3.h5"), saved("weights.h5")],
        "npz" => vec![fixture("wild/act_3.h5.npz"), saved("npz")],
        "npy" => vec![kerast::data::npy::write(&Tensor::new(&[3, 4], &[1.5f32; 12]).expect("twelve"))],
        "idx" => vec![[&[0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &[7; 6]].concat()],
        "csv" => vec![b"a,b,c\n1,2,3\n4.5,-6,7e3\n\"8\",2,0\n".to_vec()],
        "safetensors" => vec![saved("safetensors")],
        _ => panic!("the reader `{kind}` has no sound file"),
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// What damage puts in the place of bytes: extremes of binary numbers, and pieces of text that parsers trip over.
const PIECES: &[&[u8]] = &[
    &[0xff; 8],
    &[0; 8],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
    &[0, 0, 0, 0x10, 0, 0, 0, 0],
    b"99999999999999999999",
    b"-1",
    b"1e999",
    b"null",
    b"[[[[[[[[",
    b"{\"a\":",
    b"\"\"",
    b"NaN",
    b"true",
];

fn mutant(seed: &[u8], mut r: Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=r.below(3) {
        let at = r.below(bytes.len());
        match r.below(6) {
            0 => (0..=r.below(8)).for_each(|_| {
                let at = r.below(bytes.len());
                if let Some(b) = bytes.get_mut(at) {
                    *b ^= 1 << r.below(8);
                }
            }),
            1 => bytes.truncate(at),
            2 => {
                let piece = PIECES[r.below(PIECES.len())];
                let end = (at + piece.len()).min(bytes.len());
                bytes.splice(at..end, piece.iter().copied());
            }
            3 => {
                let piece = PIECES[r.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            4 => {
                let end = (at + r.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let from = r.below(bytes.len());
                let copy = bytes[from..(from + r.below(64)).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}
