//! A layer, a loss, a metric and an optimizer of your own, used beside Keras' as if they were.
//!
//! `cargo run --release --example own_parts`

use kerast::config::{Json, Word, config};
use kerast::metrics::weighted_mean;
use kerast::optimizers::{Common, OptimizerRule, SlotSpec, Update};
use kerast::prelude::*;
use kerast_graph::{Type, Var};

layer! {
    /// `x · scale + shift`, both learned for each feature.
    struct Affine("Affine") {}
}

impl LayerRule for Affine {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let features = inputs[0].last().copied().flatten().unwrap_or(1);
        weights.add("scale", &[features], &Initializer::named("ones"))?;
        weights.add("shift", &[features], &Initializer::named("zeros"))?;
        Ok(())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        Ok(x * cx.weight("scale")? + cx.weight("shift")?)
    }
}

config! {
    /// `mean((y - p)⁴)`: outliers weigh much.
    struct Quartic("Quartic") {}
}

impl LossRule for Quartic {
    fn call(&self, y_true: &Var, y_pred: &Var) -> Result<Var> {
        Ok((y_true - y_pred).square().square().mean(&[y_pred.rank() - 1]))
    }

    fn reduction(&self) -> Word {
        Word("sum_over_batch_size".into())
    }
}

config! {
    /// The share of predictions within 0.1 of the target.
    struct Close("Close") {}
}

impl MetricRule for Close {
    fn name(&self) -> String {
        "close".into()
    }

    fn state(&self, _: &[usize]) -> Vec<StateSpec> {
        vec![StateSpec { name: "total", shape: vec![] }, StateSpec { name: "count", shape: vec![] }]
    }

    fn update(&self, state: &[Var], y_true: &Var, y_pred: &Var, weight: Option<&Var>) -> Result<Vec<Var>> {
        let distance = (y_true - y_pred).abs();
        let near = distance.full_like(0.1).greater(&distance).convert(DType::F32);
        Ok(weighted_mean(state, &near, weight))
    }

    fn result(&self, state: &[Tensor]) -> Vec<f64> {
        vec![state[0].item().unwrap_or(0.0) / state[1].item().unwrap_or(1.0)]
    }
}

/// Gradient descent by the sign of the gradient only.
#[derive(Debug)]
struct SignDescent {
    learning_rate: f64,
}

impl Config for SignDescent {
    fn class_name(&self) -> &'static str {
        "SignDescent"
    }

    fn config(&self) -> Json {
        Json::from_iter([("learning_rate".to_string(), self.learning_rate.into())])
    }
}

impl OptimizerRule for SignDescent {
    fn common(&self) -> Common {
        Common::new(self.learning_rate)
    }

    fn slots(&self, _: &Type) -> Vec<SlotSpec> {
        vec![]
    }

    fn update(&self, u: &Update, weight: &Var, gradient: &Var, _: &[Var]) -> (Var, Vec<Var>) {
        (weight - gradient.sign() * u.rate_like(weight), vec![])
    }
}

fn main() -> Result<()> {
    let x: Vec<f32> =
        (0..512).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * if i % 2 == 0 { 1.0 } else { 0.5 }).collect();
    let y: Vec<f32> = x.chunks(2).map(|r| 3.0 * r[0] - r[1] + 0.5).collect();
    let (x, y) = (Tensor::new(&[256, 2], &x)?, Tensor::new(&[256, 1], &y)?);

    let mut model = Sequential::new().add(Affine::new().input_dim(2)).add(Dense::new(1));
    println!("{}", model.summary()?);
    model.compile(SignDescent { learning_rate: 0.005 }, Quartic::new()).metrics(Close::new()).build()?;
    let history = model.fit(&x, &y).epochs(60).verbose(0).run()?;
    let (loss, close) = (history.get("loss"), history.get("close"));
    println!("loss {:.4} -> {:.6}, within 0.1 of the target: {:.2} -> {:.2}", loss[0], loss[59], close[0], close[59]);
    Ok(())
}
