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
    /// What to fetch, and its SHA-256.
    files: &'static [(&'static str, &'static str)],
}

/// MNIST: handwritten digits (LeCun, Cortes, Burges).
pub fn mnist() -> ImageSet {
    ImageSet { name: "MNIST", folder: "", files: &[("mnist.npz", MNIST_SHA256)] }
}

/// Fashion-MNIST: clothes (Xiao, Rasul, Vollgraf 2017).
pub fn fashion_mnist() -> ImageSet {
    const FILES: [(&str, &str); 4] = [
        ("train-images-idx3-ubyte.gz", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        ("train-labels-idx1-ubyte.gz", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        ("t10k-images-idx3-ubyte.gz", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        ("t10k-labels-idx1-ubyte.gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
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
        let found = IDX.map(|name| find_idx(folder, name));
        if let [Some(x), Some(y), Some(tx), Some(ty)] = &found {
            let [x, y, tx, ty] = [x, y, tx, ty].map(idx::read);
            return self.data(Split { x: x?, y: y? }, Split { x: tx?, y: ty? }, folder);
        }
        let npz = folder.join("mnist.npz");
        if npz.is_file() {
            let mut f = Npz::open(&npz)?;
            let mut get = |name: &str| f.tensor(name);
            let train = Split { x: get("x_train")?, y: get("y_train")? };
            let test = Split { x: get("x_test")?, y: get("y_test")? };
            return self.data(train, test, folder);
        }
        let missing: Vec<&str> = IDX.into_iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(n, _)| n).collect();
        let all = if missing.len() < IDX.len() { "" } else { ", or mnist.npz" };
        Err(Error::new(ErrorKind::Io, format!("{} is not complete in {}", self.name, folder.display()))
            .fact("missing", format!("{} (or .gz){all}", missing.join(", "))))
    }

    fn data(&self, train: Split, test: Split, folder: &Path) -> Result<Data> {
        for s in [&train, &test] {
            let (x, y) = (s.x.shape(), s.y.shape());
            if x.len() != 3 || y.len() != 1 || x[0] != y[0] {
                return Err(Error::new(ErrorKind::File, "images and labels do not belong together")
                    .expected("images [n, height, width] and labels [n]")
                    .received(format!("images {x:?} and labels {y:?}"))
                    .fact("folder", folder.display()));
            }
        }
        let source = format!("{} from {}", self.name, folder.display());
        Ok(Data { train, test, source, largest: 255.0 })
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
            fetch(&format!("{ADDRESS}{file}"), &folder.join(file), digest)?;
        }
        self.from_dir(&folder)
    }
}

/// An idx file of a folder, with either separator before `idx` and with or without `.gz`.
fn find_idx(folder: &Path, name: &str) -> Option<PathBuf> {
    let other = name.replace("-idx", ".idx");
    let names = [name.to_string(), format!("{name}.gz"), format!("{other}.gz"), other];
    names.into_iter().map(|n| folder.join(n)).find(|p| p.is_file())
}

/// Fetches a file under a temporary name, checks it, renames it.
fn fetch(address: &str, target: &Path, digest: &str) -> Result<()> {
    let temporary = target.with_extension(format!("{}.part", crate::data::process_id()));
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
    let got = crate::data::read_file(&temporary).map(|bytes| sha256::hex(&bytes)).map_err(about)?;
    if got != digest {
        let wrong = Error::new(ErrorKind::File, "the downloaded file is not the right one (SHA-256)");
        return Err(about(wrong.expected(digest).received(got)));
    }
    std::fs::rename(&temporary, target)
        .map_err(|e| about(Error::new(ErrorKind::Io, "the file cannot be moved").fact("reason", e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(shape: &[u8], data: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 0, 8, shape.len() as u8];
        shape.iter().for_each(|d| out.extend([0, 0, 0, *d]));
        out.extend(data);
        out
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "no temporary folder")]
    fn folders_are_read_and_checked() {
        let folder = std::env::temp_dir().join(format!("kerast-idx-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(name), bytes).expect("written");
        assert!(mnist().from_dir(&folder).expect_err("nothing there").to_string().contains("mnist.npz"));
        write("train-images-idx3-ubyte", idx(&[2, 1, 2], &[0, 255, 51, 102]));
        write("train-labels.idx1-ubyte", idx(&[2], &[7, 3]));
        write("t10k-images-idx3-ubyte", idx(&[1, 1, 2], &[1, 2]));
        write("t10k-labels-idx1-ubyte", idx(&[2], &[1, 2]));
        assert!(mnist().from_dir(&folder).expect_err("two labels, one image").to_string().contains("belong together"));
        write("t10k-labels-idx1-ubyte", idx(&[1], &[1]));
        let d = mnist()
            .from_dir(&folder)
            .expect("complete")
            .normalize()
            .expect("numbers")
            .channels_first()
            .expect("images");
        assert_eq!(d.train.x.shape(), [2, 1, 1, 2]);
        assert_eq!(d.train.x.as_slice::<f32>(), Some(&[0.0, 1.0, 0.2, 0.4][..]));
        std::fs::remove_dir_all(&folder).expect("made above");
    }
}
