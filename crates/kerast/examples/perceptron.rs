//! The book's first neuron: step function, sigmoid and ReLU; one neuron learns AND and fails on XOR, a hidden layer solves XOR.
//!
//! `cargo run --release --example perceptron` writes activations.png and borders.png.

use kerast::plot::{Panel, Regions, Series};
use kerast::prelude::*;

const CORNERS: [(f64, f64); 4] = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)];

/// A neuron with a step: 1 where w·x + b > 0.
#[derive(Default)]
struct Perceptron {
    w: [f64; 2],
    b: f64,
}

impl Perceptron {
    fn call(&self, x: (f64, f64)) -> f64 {
        if self.w[0] * x.0 + self.w[1] * x.1 + self.b > 0.0 { 1.0 } else { 0.0 }
    }

    /// Rosenblatt's rule: where the answer is wrong, move the weights by the input towards the target. Returns the errors of each pass.
    fn learn(&mut self, targets: [f64; 4], passes: usize) -> Vec<usize> {
        let mut history = vec![];
        for _ in 0..passes {
            let mut wrong = 0;
            for (x, t) in CORNERS.into_iter().zip(targets) {
                let off = t - self.call(x);
                wrong += usize::from(off != 0.0);
                self.w[0] += 0.1 * off * x.0;
                self.w[1] += 0.1 * off * x.1;
                self.b += 0.1 * off;
            }
            history.push(wrong);
            if wrong == 0 {
                break;
            }
        }
        history
    }
}

/// The class of every place of a square, row by row from below.
fn grid(n: usize) -> Vec<(f64, f64)> {
    let at = |i: usize| -0.5 + 2.0 * i as f64 / (n - 1) as f64;
    (0..n * n).map(|i| (at(i % n), at(i / n))).collect()
}

fn tensor(places: &[(f64, f64)]) -> Result<Tensor> {
    let flat: Vec<f32> = places.iter().flat_map(|p| [p.0 as f32, p.1 as f32]).collect();
    Tensor::new(&[places.len(), 2], &flat)
}

fn panel(title: &str, values: Vec<f64>, targets: [f64; 4]) -> Regions {
    let points = CORNERS.iter().zip(targets).map(|(p, t)| (p.0, p.1, t > 0.5)).collect();
    Regions { title: title.into(), bounds: (-0.5, 1.5), values, points }
}

fn main() -> Result<()> {
    let (and, xor) = ([0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]);
    let places = grid(101);

    let mut first = Perceptron::default();
    let errors = first.learn(and, 100);
    println!("AND, one neuron with a step:  errors in each pass {errors:?}");
    let mut second = Perceptron::default();
    let errors = second.learn(xor, 100);
    println!(
        "XOR, one neuron with a step:  still {} of 4 wrong after {} passes",
        errors[errors.len() - 1],
        errors.len()
    );

    set_random_seed(1);
    let mut mlp =
        Sequential::new().add(Dense::new(8).activation("tanh").input_dim(2)).add(Dense::new(1).activation("sigmoid"));
    mlp.compile(Adam::new(0.05), "binary_crossentropy").metrics(["accuracy"]).build()?;
    let (x, y) = (tensor(&CORNERS)?, Tensor::new(&[4, 1], &xor.map(|v| v as f32))?);
    mlp.fit(&x, &y).epochs(300).verbose(0).run()?;
    println!("XOR, a hidden layer of 8:     accuracy {:.2}", mlp.evaluate(&x, &y).run()?.accuracy());

    let solved = mlp.predict(&tensor(&places)?).batch_size(2048).run()?.to_f64_vec();
    let step = |p: &Perceptron| places.iter().map(|x| p.call(*x)).collect::<Vec<f64>>();
    plot::regions(
        "borders.png",
        "One neuron draws one line",
        &[
            panel("AND, one neuron", step(&first), and),
            panel("XOR, one neuron", step(&second), xor),
            panel("XOR, a hidden layer", solved, xor),
        ],
    )?;

    let x: Vec<f64> = (0..=400).map(|i| -4.0 + 0.02 * f64::from(i)).collect();
    let curve = |name: &str, f: fn(f64) -> f64| Panel {
        x_label: "x".into(),
        y_label: name.into(),
        series: vec![Series { name: name.into(), x: x.clone(), y: x.iter().map(|v| f(*v)).collect(), dashed: false }],
    };
    let panels = [
        curve("step", |v| if v > 0.0 { 1.0 } else { 0.0 }),
        curve("sigmoid", |v| 1.0 / (1.0 + (-v).exp())),
        curve("ReLU", |v| v.max(0.0)),
    ];
    plot::curves("activations.png", "A step has no slope to learn from; a sigmoid and a ReLU have", &panels)?;
    println!("\npictures: borders.png, activations.png");
    Ok(())
}
