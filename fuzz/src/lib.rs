//! The fuzz targets' way to the readers; they are those of `crates/kerast/tests/mutated.rs`.

#[path = "../../crates/kerast/tests/mutated/readers.rs"]
mod readers;

/// Reads a file of this kind; an error is as good as a success.
pub fn read(name: &str, data: &[u8]) {
    let reader = readers::READERS.iter().find(|r| r.name == name).expect("there is such a reader");
    let _ = (reader.read)(data);
}
