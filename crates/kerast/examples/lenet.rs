//! The book's convolutional network, LeNet: two convolutions with pooling, two dense layers, Adam, on MNIST.
//!
//! `cargo run --release --example lenet`                 on the digits inside the crate
//! `cargo run --release --example lenet -- --data DIR`   on MNIST from a folder; `--epochs N` (4)

mod options;

use kerast::prelude::*;
use options::Options;

fn main() -> Result<()> {
    let options = Options::read(&["--data", "--epochs"], &[])?;
    let data = match options.value("--data") {
        Some(folder) => datasets::mnist().from_dir(folder)?,
        None => datasets::digits()?,
    };
    println!("data: {}", data.source);
    let data = data.normalize()?.one_hot(10)?;
    let side = data.train.x.shape()[1];

    let mut model = Sequential::new().add(Reshape::new([side as i64, side as i64, 1]).input_shape([side, side]));
    for filters in [20, 50] {
        model = model.add(Conv2D::new(filters, 5).padding("same").activation("relu"));
        model = model.add(MaxPooling2D::new(2).strides(2));
    }
    model = model.add(Flatten::new()).add(Dense::new(500).activation("relu")).add(Dense::new(10).activation("softmax"));
    println!("\n{}", model.summary()?);
    model.compile("adam", "categorical_crossentropy").metrics(["accuracy"]).build()?;

    let epochs = options.number("--epochs", 4)?;
    model.fit(&data.train.x, &data.train.y).epochs(epochs).batch_size(128).validation_split(0.2).run()?;
    let scores = model.evaluate(&data.test.x, &data.test.y).run()?;
    println!("\ntest accuracy: {:.4}   test loss: {:.4}", scores.accuracy(), scores.loss());
    Ok(())
}
