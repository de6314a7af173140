//! A training step of your own: two networks against each other (Goodfellow et al. 2014).
//!
//! The generator learns to make numbers with mean 3 and standard deviation 0.5 out of uniform noise; the discriminator learns to tell
//! them from real ones. `cargo run --release --example gan`

use kerast::prelude::*;

const BATCH: usize = 128;

/// Repeatable random numbers.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }

    fn seeds(&mut self) -> Result<Tensor> {
        let values: Vec<f32> = (0..BATCH * 4).map(|_| 2.0 * self.uniform() - 1.0).collect();
        Tensor::new(&[BATCH, 4], &values)
    }

    /// Real samples: sums of twelve uniform numbers are close to normal.
    fn real(&mut self) -> Vec<f32> {
        let mut twelve = || (0..12).fold(0.0, |sum, _| sum + self.uniform());
        (0..BATCH).map(|_| 3.0 + 0.5 * (twelve() - 6.0)).collect()
    }
}

fn constant(n: usize, value: f32) -> Result<Tensor> {
    Tensor::new(&[n, 1], &vec![value; n])
}

fn spread(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().fold(0.0, |sum, v| sum + v) / values.len() as f64;
    (mean, (values.iter().fold(0.0, |sum, v| sum + (v - mean).powi(2)) / values.len() as f64).sqrt())
}

fn main() -> Result<()> {
    let mut noise = Noise(42);
    let mut generator =
        Sequential::new().named("generator").add(Dense::new(16).activation("relu").input_dim(4)).add(Dense::new(1));
    let mut discriminator = Sequential::new()
        .named("discriminator")
        .add(Dense::new(32).activation("leaky_relu").input_dim(1))
        .add(Dense::new(32).activation("leaky_relu"))
        .add(Dense::new(1).activation("sigmoid"));
    discriminator.compile(Adam::new(0.002), "binary_crossentropy").build()?;

    // The generator trains through a discriminator that holds still.
    let seed = Input::new([4]).symbol();
    let judged = discriminator.layer()?.apply(generator.layer()?.apply(&seed));
    let mut both = Model::new(&seed, &judged)?.named("gan");
    discriminator.set_trainable(false);
    both.compile(Adam::new(0.001), "binary_crossentropy").build()?;

    for step in 0..=4000 {
        let fake = generator.predict_on_batch(&noise.seeds()?)?;
        let mut samples = noise.real();
        samples.extend(fake.to_f64_vec().iter().map(|v| *v as f32));
        let mut labels = constant(BATCH, 1.0)?.to_f64_vec();
        labels.extend(vec![0.0; BATCH]);
        let labels: Vec<f32> = labels.iter().map(|v| *v as f32).collect();
        let x = Tensor::new(&[2 * BATCH, 1], &samples)?;
        let y = Tensor::new(&[2 * BATCH, 1], &labels)?;
        let told = discriminator.train_on_batch(&x, &y)?.loss();
        let fooled = both.train_on_batch(&noise.seeds()?, &constant(BATCH, 1.0)?)?.loss();
        if step % 500 == 0 {
            let (mean, deviation) = spread(&fake.to_f64_vec());
            println!(
                "step {step:>4}: made {mean:>6.3} ± {deviation:.3}   discriminator {told:.3}   generator {fooled:.3}"
            );
        }
    }
    println!("wanted:         3.000 ± 0.500   (a discriminator that can only guess has 0.693)");
    Ok(())
}
