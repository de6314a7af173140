//! The book's first model: eight numbers of a patient in, one probability out.
//!
//! The table is made here (the Pima data set is not free to ship): eight measurements of 768 people, and an outcome that depends on
//! three of them and on chance. `cargo run --release --example pima_mlp -- table.csv` reads a table of nine columns instead.

use kerast::data::csv::Csv;
use kerast::prelude::*;

/// 768 made-up rows of eight measurements and an outcome.
fn generated() -> Result<(Tensor, Tensor)> {
    let mut state = 2017u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let (mut x, mut y) = (vec![], vec![]);
    for _ in 0..768 {
        let row: Vec<f32> = (0..8).map(|_| (0..3).map(|_| uniform()).sum::<f32>() * 2.0 - 3.0).collect();
        let risk = 1.4 * row[1] + 0.9 * row[5] + 0.6 * row[7] - 0.7;
        y.push(if uniform() < 1.0 / (1.0 + (-2.0 * risk).exp()) { 1f32 } else { 0.0 });
        x.extend(row);
    }
    Ok((Tensor::new(&[768, 8], &x)?, Tensor::new(&[768, 1], &y)?))
}

fn main() -> Result<()> {
    let (x, y) = match std::env::args().nth(1) {
        Some(path) => {
            let table = Csv::new().header(false).read(path)?.values;
            let rows = table.shape()[0];
            let all: Vec<f32> = table.to_f64_vec().iter().map(|v| *v as f32).collect();
            let x: Vec<f32> = all.chunks(9).flat_map(|r| &r[..8]).copied().collect();
            let y: Vec<f32> = all.chunks(9).map(|r| r[8]).collect();
            (Tensor::new(&[rows, 8], &x)?, Tensor::new(&[rows, 1], &y)?)
        }
        None => generated()?,
    };

    let mut model = Sequential::new()
        .add(Dense::new(12).input_dim(8).kernel_initializer("random_uniform").activation("relu"))
        .add(Dense::new(8).kernel_initializer("random_uniform").activation("relu"))
        .add(Dense::new(1).kernel_initializer("random_uniform").activation("sigmoid"));
    println!("{}", model.summary()?);
    model.compile("adam", "binary_crossentropy").metrics(["accuracy"]).build()?;
    let history = model.fit(&x, &y).epochs(150).batch_size(10).validation_split(0.25).verbose(0).run()?;
    let last = |key: &str| history.last(key).unwrap_or(f64::NAN);
    println!("after 150 epochs: accuracy {:.4}, on held-out rows {:.4}", last("accuracy"), last("val_accuracy"));
    Ok(())
}
