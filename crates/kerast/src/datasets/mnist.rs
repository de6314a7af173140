//! MNIST and Fashion-MNIST: 60,000 training and 10,000 test images of 28x28 in ten classes.
//!
//! Read from a folder given by the user, else from Keras' cache (`KERAS_HOME`, default `~/.keras`, in `datasets`). [`ImageSet::download`]
//! fetches the files from Keras' public address by the system's `curl` (or `wget`), which keeps TLS out of this library, checks
//! them, and keeps them in the cache.

use super::{Data, Split};
use crate::data::idx;
use crate::data::npz::Npz;
use crate::{Error, ErrorKind, Result, sha256};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

const ADDRESS: &str = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/";
const MNIST_SHA256: &str = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1";
const IDX: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// A set of images that lies in files.
#[derive(Clone, Debug)]
pub struct ImageSet {
    name: &'static str,
    /// Below Keras' cache.
    folder: &'static str,
    /// What to fetch, and its SHA-256 where it is known.
    files: &'static [(&'static str, Option<&'static str>)],
}

/// MNIST: handwritten digits (LeCun, Cortes, Burges).
pub fn mnist() -> ImageSet {
    ImageSet { name: "MNIST", folder: "", files: &[("mnist.npz", Some(MNIST_SHA256))] }
}

/// Fashion-MNIST: clothes (Xiao, Rasul, Vollgraf 2017).
pub fn fashion_mnist() -> ImageSet {
    const FILES: [(&str, Option<&str>); 4] = [
        ("train-images-idx3-ubyte.gz", None),
        ("train-labels-idx1-ubyte.gz", None),
        ("t10k-images-idx3-ubyte.gz", None),
        ("t10k-labels-idx1-ubyte.gz", None),
    ];
    ImageSet { name: "Fashion-MNIST", folder: "fashion-mnist", files: &FILES }
}

/// Keras' folder of data sets.
fn cache() -> PathBuf {
    let home = std::env::var_os("KERAS_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".keras")));
    home.unwrap_or_else(|| PathBuf::from(".keras")).join("datasets")
}

impl ImageSet {
    /// From a folder that holds the four idx files (gzipped or not) or `mnist.npz`: x `[n, 28, 28]` u8, y `[n]` u8.
    pub fn from_dir(&self, folder: impl AsRef<Path>) -> Result<Data> {
        let folder = folder.as_ref();
        if let Some(parts) = find_idx(folder) {
            let [x, y, tx, ty] = parts.map(idx::read);
            return Ok(self.data(Split { x: x?, y: y? }, Split { x: tx?, y: ty? }, folder));
        }
        let npz = folder.join("mnist.npz");
        if npz.is_file() {
            let mut f = Npz::open(&npz)?;
            let mut get = |name: &str| f.tensor(name);
            let train = Split { x: get("x_train")?, y: get("y_train")? };
            let test = Split { x: get("x_test")?, y: get("y_test")? };
            return Ok(self.data(train, test, folder));
        }
        Err(Error::new(ErrorKind::Io, format!("{} is not in {}", self.name, folder.display()))
            .expected(format!("{} (or .gz), or mnist.npz", IDX.join(", "))))
    }

    fn data(&self, train: Split, test: Split, folder: &Path) -> Data {
        let source = format!("{} from {}", self.name, folder.display());
        Data { train, test, source, largest: 255.0 }
    }

    /// From Keras' cache.
    pub fn load(&self) -> Result<Data> {
        let folder = cache().join(self.folder);
        self.from_dir(&folder).map_err(|e| e.repair("`.download()` fetches it; or give a folder: `.from_dir(…)`"))
    }

    /// From Keras' cache, fetched from Keras' public address if it is not there.
    pub fn download(&self) -> Result<Data> {
        let folder = cache().join(self.folder);
        if let Ok(data) = self.from_dir(&folder) {
            return Ok(data);
        }
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("cannot make the folder {}", folder.display())).fact("reason", e)
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        for (file, digest) in self.files {
            fetch(&format!("{ADDRESS}{file}"), &folder.join(file), *digest)?;
        }
        self.from_dir(&folder)
    }
}

/// The four idx files of a folder, with either separator before `idx` and with or without `.gz`.
fn find_idx(folder: &Path) -> Option<[PathBuf; 4]> {
    let find = |name: &str| {
        let names = [
            name.to_string(),
            format!("{name}.gz"),
            name.replace("-idx", ".idx"),
            format!("{}.gz", name.replace("-idx", ".idx")),
        ];
        names.into_iter().map(|n| folder.join(n)).find(|p| p.is_file())
    };
    Some([find(IDX[0])?, find(IDX[1])?, find(IDX[2])?, find(IDX[3])?])
}

/// Fetches a file under a temporary name, checks it, renames it.
fn fetch(address: &str, target: &Path, digest: Option<&str>) -> Result<()> {
    let temporary = target.with_extension("part");
    let quiet = !std::io::stderr().is_terminal();
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--location", "--output"]).arg(&temporary).arg(address);
    curl.arg(if quiet { "--silent" } else { "--progress-bar" });
    let mut wget = Command::new("wget");
    wget.arg(if quiet { "--quiet" } else { "--show-progress" }).arg("-O").arg(&temporary).arg(address);
    let reason = match (curl.status(), wget) {
        (Ok(s), _) if s.success() => None,
        (Ok(s), _) => Some(format!("curl ended with {s}")),
        (Err(_), mut wget) => match wget.status() {
            Ok(s) if s.success() => None,
            Ok(s) => Some(format!("wget ended with {s}")),
            Err(_) => Some("neither curl nor wget is installed".to_string()),
        },
    };
    let about = |e: Error| {
        let _ = std::fs::remove_file(&temporary);
        e.fact("address", address).fact("file", target.display()).repair(
            "fetch the address by other means and put the file there, or give a folder that has it: `.from_dir(…)`",
        )
    };
    if let Some(reason) = reason {
        return Err(about(Error::new(ErrorKind::Io, "the download failed").fact("reason", reason)));
    }
    if let Some(want) = digest {
        let got = sha256::hex(&crate::data::read_file(&temporary)?);
        if got != want {
            return Err(about(
                Error::new(ErrorKind::File, "the downloaded file is not the right one (SHA-256)")
                    .expected(want)
                    .received(got),
            ));
        }
    }
    std::fs::rename(&temporary, target)
        .map_err(|e| about(Error::new(ErrorKind::Io, "the file cannot be moved").fact("reason", e)))
}
