//! Arrays from npz, npy, CSV and pictures, and outputs to npz and CSV.

use kerast::data::csv::Csv;
use kerast::data::{npy, npz};
use kerast::layers::Shape;
use kerast::models::Model;
use kerast::train::Arrays;
use kerast::{Error, ErrorKind, Result, Tensor};
use std::path::{Path, PathBuf};

/// Inputs, targets and what each sample counts.
pub(crate) struct Examples {
    pub(crate) x: Arrays,
    pub(crate) y: Arrays,
    pub(crate) weights: Option<Tensor>,
}

fn ending(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn failed(path: &Path, e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("cannot read {}", path.display())).fact("reason", e)
}

/// The model's inputs from one npz, npy or CSV file, or from pictures.
pub(crate) fn inputs(paths: &[PathBuf], model: &Model) -> Result<Arrays> {
    let wanted = model.inputs()?;
    match (ending(&paths[0]).as_str(), paths) {
        ("npz", [path]) => {
            let mut file = npz::Npz::open(path)?;
            let names = file.names();
            let names: Vec<String> =
                wanted.iter().enumerate().map(|(i, w)| found(&names, &format!("x{i}"), &w.0)).collect();
            Ok(Arrays(names.iter().map(|n| Ok((None, file.tensor(n)?))).collect::<Result<_>>()?))
        }
        ("npy", [path]) => {
            let bytes = std::fs::read(path).map_err(|e| failed(path, e))?;
            let array = npy::parse(&bytes).and_then(|a| a.numbers()).map_err(|e| e.fact("file", path.display()))?;
            Ok(Arrays(vec![(None, array)]))
        }
        ("csv", [path]) => {
            let table = table(path)?;
            let (x, rest) = columns(&table, &wanted.iter().map(|w| w.1.clone()).collect::<Vec<_>>(), path)?;
            match rest {
                0 => Ok(Arrays(x.into_iter().map(|t| (None, t)).collect())),
                _ => Err(Error::new(ErrorKind::Data, "the table has more columns than the model has inputs")
                    .fact("file", path.display())
                    .received(format!("{rest} too many"))),
            }
        }
        ("png" | "jpg" | "jpeg", _) => pictures(paths, &wanted[0].1),
        _ => Err(Error::new(ErrorKind::Argument, "inputs have no format of this ending")
            .expected("one .npz, .npy or .csv, or pictures (.png, .jpg)")
            .received(paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))),
    }
}

/// The name that the file has: the number's, else the model's own.
fn found(names: &[String], numbered: &str, own: &str) -> String {
    let has = |n: &str| names.iter().any(|x| x == n);
    if !has(numbered) && has(own) { own.to_string() } else { numbered.to_string() }
}

/// Inputs and targets from npz or CSV.
pub(crate) fn examples(path: &Path, model: &Model) -> Result<Examples> {
    match ending(path).as_str() {
        "npz" => {
            let x = inputs(&[path.to_path_buf()], model)?;
            let mut file = npz::Npz::open(path)?;
            let names = file.names();
            let outputs = model.outputs()?;
            let mut y = vec![];
            for (i, (name, ..)) in outputs.iter().enumerate() {
                let key = found(&names, &format!("t{i}"), &format!("t/{name}"));
                y.push((None, file.tensor(&key)?));
            }
            let weights =
                names.iter().any(|n| n == "sample_weight").then(|| file.tensor("sample_weight")).transpose()?;
            Ok(Examples { x, y: Arrays(y), weights })
        }
        "csv" => {
            let table = table(path)?;
            let shapes: Vec<Shape> = model.inputs()?.into_iter().map(|w| w.1).collect();
            let (x, rest) = columns(&table, &shapes, path)?;
            if rest == 0 {
                return Err(Error::new(ErrorKind::Data, "the table has no columns left for targets")
                    .fact("file", path.display()));
            }
            let (rows, width) = (table.shape()[0], table.shape()[1]);
            let values = table.to_f64_vec();
            let y: Vec<f32> = values.chunks(width).flat_map(|r| &r[width - rest..]).map(|v| *v as f32).collect();
            let y = Tensor::new(&[rows, rest], &y)?;
            Ok(Examples {
                x: Arrays(x.into_iter().map(|t| (None, t)).collect()),
                y: Arrays(vec![(None, y)]),
                weights: None,
            })
        }
        _ => Err(Error::new(ErrorKind::Argument, "data have no format of this ending")
            .expected(".npz or .csv")
            .received(path.display())),
    }
}

/// A table of numbers, with or without a line of names.
fn table(path: &Path) -> Result<Tensor> {
    let text = std::fs::read_to_string(path).map_err(|e| failed(path, e))?;
    let first = text.lines().next().unwrap_or("");
    let header = first.split(',').any(|cell| cell.trim().parse::<f64>().is_err());
    Ok(Csv::new().header(header).parse(&text).map_err(|e| e.fact("file", path.display()))?.values)
}

/// The first columns of a table as inputs of these shapes, and how many columns are left.
fn columns(table: &Tensor, shapes: &[Shape], path: &Path) -> Result<(Vec<Tensor>, usize)> {
    let (rows, width) = (table.shape()[0], table.shape()[1]);
    let values = table.to_f64_vec();
    let (mut at, mut out) = (0, vec![]);
    for shape in shapes {
        let sample: Option<Vec<usize>> = shape.iter().skip(1).copied().collect();
        let sample = sample.unwrap_or_else(|| vec![width - at]);
        let n: usize = sample.iter().product();
        if at + n > width {
            return Err(Error::new(ErrorKind::Data, "the table has too few columns")
                .fact("file", path.display())
                .expected(format!("at least {} for inputs of shape {shape:?}", at + n))
                .received(width));
        }
        let part: Vec<f32> = values.chunks(width).flat_map(|r| &r[at..at + n]).map(|v| *v as f32).collect();
        out.push(Tensor::new(&[&[rows], &sample[..]].concat(), &part)?);
        at += n;
    }
    Ok((out, width - at))
}

/// Pictures as numbers from 0 to 255, brought to the input's size and channels.
fn pictures(paths: &[PathBuf], shape: &Shape) -> Result<Arrays> {
    let [_, Some(a), Some(b), Some(c)] = shape[..] else {
        return Err(Error::new(ErrorKind::Shape, "the model takes no pictures")
            .expected("an input of height, width and channels")
            .received(format!("{shape:?}")));
    };
    let first = a <= 4 && c > 4;
    let (height, width, channels) = if first { (b, c, a) } else { (a, b, c) };
    let mut all: Vec<f32> = vec![];
    for path in paths {
        let picture = image::open(path).map_err(|e| failed(path, e))?;
        let picture = picture.resize_exact(width as u32, height as u32, image::imageops::FilterType::Triangle);
        let pixels: Vec<u8> = match channels {
            1 => picture.into_luma8().into_raw(),
            3 => picture.into_rgb8().into_raw(),
            4 => picture.into_rgba8().into_raw(),
            n => return Err(Error::new(ErrorKind::Shape, "pictures have 1, 3 or 4 channels").received(n)),
        };
        match first {
            true => {
                all.extend((0..channels).flat_map(|k| pixels.iter().skip(k).step_by(channels)).map(|v| f32::from(*v)))
            }
            false => all.extend(pixels.iter().map(|v| f32::from(*v))),
        }
    }
    let sample = if first { [channels, height, width] } else { [height, width, channels] };
    eprintln!("pictures: {} of {height} x {width}, {channels} channels, numbers from 0 to 255", paths.len());
    Ok(Arrays(vec![(None, Tensor::new(&[&[paths.len()], &sample[..]].concat(), &all)?)]))
}

/// Writes outputs as npz (`y0`, `y1`, …) or CSV (a row a sample), or prints them.
pub(crate) fn write_outputs(path: Option<&Path>, outputs: &[Tensor]) -> Result<()> {
    let rows = || -> Result<String> {
        let [y] = outputs else {
            return Err(Error::new(ErrorKind::Argument, "a table holds one output")
                .received(format!("{} outputs", outputs.len()))
                .repair("write .npz"));
        };
        let width = y.shape().iter().skip(1).product::<usize>().max(1);
        let line = |r: &[f64]| r.iter().map(|v| (*v as f32).to_string()).collect::<Vec<_>>().join(",");
        Ok(y.to_f64_vec().chunks(width).map(line).collect::<Vec<_>>().join("\n") + "\n")
    };
    match path {
        None => outputs.iter().enumerate().try_for_each(|(i, y)| {
            if outputs.len() > 1 {
                say!("y{i} {:?}", y.shape());
            }
            let width = y.shape().iter().skip(1).product::<usize>().max(1);
            y.to_f64_vec()
                .chunks(width)
                .for_each(|r| say!("{}", r.iter().map(|v| (*v as f32).to_string()).collect::<Vec<_>>().join(",")));
            Ok(())
        }),
        Some(path) => match ending(path).as_str() {
            "npz" => {
                let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
                npz::write(path, &names.iter().map(String::as_str).zip(outputs).collect::<Vec<_>>())
            }
            "csv" => std::fs::write(path, rows()?)
                .map_err(|e| Error::new(ErrorKind::Io, format!("cannot write {}", path.display())).fact("reason", e)),
            _ => Err(Error::new(ErrorKind::Argument, "outputs have no format of this ending")
                .expected(".npz or .csv")
                .received(path.display())),
        },
    }
}
