//! The book's comparison: the same network, the same first weights, one optimizer after the other.
//!
//! `cargo run --release --example optimizers` (`-- --data DIR` for MNIST, `--epochs N`) prints a table and writes optimizers.png.

mod options;

use kerast::optimizers::Optimizer;
use kerast::plot::{Panel, Series};
use kerast::prelude::*;
use options::Options;
use std::time::Instant;

fn main() -> Result<()> {
    let options = Options::read(&["--data", "--epochs"], &[])?;
    let data = match options.value("--data") {
        Some(folder) => datasets::mnist().from_dir(folder)?,
        None => datasets::digits()?,
    };
    println!("data: {}\n", data.source);
    let data = data.normalize()?.flatten()?.one_hot(10)?;
    let epochs = options.number("--epochs", 20)?;

    println!("{:<10} {:>9} {:>9} {:>9} {:>7}", "optimizer", "training", "held out", "test", "s");
    let (mut losses, mut accuracies) = (vec![], vec![]);
    for name in ["sgd", "rmsprop", "adam", "adagrad", "adadelta", "nadam"] {
        set_random_seed(7);
        let mut model = Sequential::new()
            .add(Dense::new(128).activation("relu").input_dim(data.train.x.shape()[1]))
            .add(Dropout::new(0.3))
            .add(Dense::new(128).activation("relu"))
            .add(Dropout::new(0.3))
            .add(Dense::new(10).activation("softmax"));
        model.compile(Optimizer::named(name), "categorical_crossentropy").metrics(["accuracy"]).build()?;
        let start = Instant::now();
        let fit = model.fit(&data.train.x, &data.train.y).batch_size(128).epochs(epochs).validation_split(0.2);
        let history = fit.verbose(0).run()?;
        let seconds = start.elapsed().as_secs_f64();
        let test = model.evaluate(&data.test.x, &data.test.y).batch_size(256).run()?.accuracy();
        let last = |key: &str| history.last(key).unwrap_or(f64::NAN);
        println!("{name:<10} {:>9.4} {:>9.4} {test:>9.4} {seconds:>7.2}", last("accuracy"), last("val_accuracy"));
        losses.push(Series::epochs(name, history.get("loss"), false));
        accuracies.push(Series::epochs(name, history.get("val_accuracy"), false));
    }
    let panel = |y: &str, series| Panel { x_label: "epoch".into(), y_label: y.into(), series };
    plot::curves(
        "optimizers.png",
        "One network, six optimizers",
        &[panel("training loss", losses), panel("accuracy on held-out data", accuracies)],
    )?;
    println!("\npicture: optimizers.png");
    Ok(())
}
