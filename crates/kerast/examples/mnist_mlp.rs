//! The book's first network: two hidden layers, dropout, Adam, on handwritten digits.
//!
//! `cargo run --release --example mnist_mlp`                 on the digits inside the crate
//! `cargo run --release --example mnist_mlp -- --download`   on MNIST, fetched once
//! `cargo run --release --example mnist_mlp -- --data DIR`   on MNIST from a folder
//!
//! `--net v1|v2|v4`, `--optimizer NAME`, `--epochs N` choose the book's other experiments (V1: 784-10, SGD, 200 epochs; V2: two hidden
//! layers, SGD, 20 epochs; V4, the default: with dropout, Adam or RMSprop, 20 epochs).

mod options;

use kerast::optimizers::Optimizer;
use kerast::prelude::*;
use options::{Options, refused};
use std::time::Instant;

fn main() -> Result<()> {
    let options = Options::read(&["--data", "--net", "--optimizer", "--epochs"], &["--download"])?;
    println!("{}", kerast::banner());
    let data = match options.value("--data") {
        Some(folder) => datasets::mnist().from_dir(folder)?,
        None if options.value("--download").is_some() => datasets::mnist().download()?,
        None => datasets::digits()?,
    };
    println!("data: {}", data.source);
    if data.train.x.shape()[1] == 8 {
        println!("      for MNIST: `-- --download`, or `-- --data DIR` with the four idx files");
    }
    let data = data.normalize()?.flatten()?.one_hot(10)?;
    let features = data.train.x.shape()[1];

    let (drop, optimizer, epochs) = match options.value("--net").unwrap_or("v4") {
        "v1" => (None, "sgd", 200),
        "v2" => (Some(0.0), "sgd", 20),
        "v4" => (Some(0.3), "adam", 20),
        other => return Err(refused("`--net` has an unknown value").expected("v1, v2, v4").received(other)),
    };
    let mut model = Sequential::new().add(Input::new([features]));
    if let Some(drop) = drop {
        model = model.add(Dense::new(128).activation("relu")).add(Dropout::new(drop));
        model = model.add(Dense::new(128).activation("relu")).add(Dropout::new(drop));
    }
    model = model.add(Dense::new(10).activation("softmax"));

    let optimizer = Optimizer::named(options.value("--optimizer").unwrap_or(optimizer));
    let epochs = options.number("--epochs", epochs)?;
    model.compile(optimizer, "categorical_crossentropy").metrics(["accuracy"]).build()?;
    println!("\n{}", model.summary_at(128)?);
    let start = Instant::now();
    let fit = model.fit(&data.train.x, &data.train.y).batch_size(128).epochs(epochs).validation_split(0.2);
    let history = fit.callback(StopOnCtrlC::new().save("mnist_mlp.keras")).run()?;
    let score = model.evaluate(&data.test.x, &data.test.y).batch_size(256).run()?;

    plot::history("mnist_mlp.png", "MNIST, two hidden layers", &history)?;
    model.save("mnist_mlp.keras")?;
    println!(
        "\ntest accuracy: {:.4}   test loss: {:.4}   ({:.1} s; curves in mnist_mlp.png, model in mnist_mlp.keras)",
        score.accuracy(),
        score.loss(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}
