//! The networks and data of the workloads.

use kerast::config::Arg;
use kerast::initializers::Initializer;
use kerast::layers::*;
use kerast::losses::{Loss, SparseCategoricalCrossentropy};
use kerast::models::{Apply, Model, Sequential, Symbol};
use kerast::{DType, Result, Tensor};
use kerast_graph::Var;
use kerast_kernels::buffer::Buffer;

/// A small generator of its own, so that the data do not depend on the library.
pub(crate) struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 16_777_216.0
    }
    fn below(&mut self, n: u64) -> i32 {
        ((self.next() >> 33) % n) as i32
    }
}

pub(crate) struct Workload {
    pub(crate) x: Tensor,
    pub(crate) y: Tensor,
    pub(crate) batch: usize,
    pub(crate) loss: Loss,
    pub(crate) metrics: bool,
    pub(crate) flops_per_sample: f64,
    /// Nominal epoch over the measured one.
    pub(crate) scale: f64,
}

fn training(layers: &[f64]) -> f64 {
    3.0 * layers.iter().sum::<f64>() - layers[0]
}

/// The network of A and I.
fn mlp() -> Model {
    let relu = |n: usize| Dense::new(n).activation("relu");
    Sequential::new()
        .add(relu(128).input_dim(784))
        .add(Dropout::new(0.3))
        .add(relu(128))
        .add(Dropout::new(0.3))
        .add(Dense::new(10).activation("softmax"))
}

/// The network and the data of a workload.
pub(crate) fn workload(name: &str) -> Result<Option<(Model, Workload)>> {
    let mut r = Numbers(42);
    let conv = |h: f64, i: f64, o: f64, k: f64| 2.0 * h * h * i * o * k * k;
    let dense = |i: f64, o: f64| 2.0 * i * o;
    let relu = |n: usize| Dense::new(n).activation("relu");
    Ok(Some(match name {
        "A" => {
            let n = 48_000;
            let flops = training(&[dense(784., 128.), dense(128., 128.), dense(128., 10.)]);
            let x = rows(&mut r, &[n, 784])?;
            let y: Vec<i32> = (0..n).map(|_| r.below(10)).collect();
            let y = Tensor::new(&[n], &y)?;
            (
                mlp(),
                Workload {
                    x,
                    y,
                    batch: 128,
                    loss: Loss::named("sparse_categorical_crossentropy"),
                    metrics: true,
                    flops_per_sample: flops,
                    scale: 1.0,
                },
            )
        }
        "B" => {
            let n = 768;
            let model =
                Sequential::new().add(relu(12).input_dim(8)).add(relu(8)).add(Dense::new(1).activation("sigmoid"));
            let x: Vec<f32> = (0..n * 8).map(|_| r.unit()).collect();
            let y: Vec<f32> = (0..n).map(|_| r.below(2) as f32).collect();
            let (x, y) = (Tensor::new(&[n, 8], &x)?, Tensor::new(&[n, 1], &y)?);
            let flops = training(&[dense(8., 12.), dense(12., 8.), dense(8., 1.)]);
            (
                model,
                Workload {
                    x,
                    y,
                    batch: 10,
                    loss: Loss::named("binary_crossentropy"),
                    metrics: true,
                    flops_per_sample: flops,
                    scale: 1.0,
                },
            )
        }
        "C" => {
            let n = 3840;
            let model = Sequential::new()
                .add(Conv2D::new(20, 5).padding("same").activation("relu").input_shape([28, 28, 1]))
                .add(MaxPooling2D::new(2))
                .add(Conv2D::new(50, 5).padding("same").activation("relu"))
                .add(MaxPooling2D::new(2))
                .add(Flatten::new())
                .add(relu(500))
                .add(Dense::new(10).activation("softmax"));
            let flops =
                training(&[conv(28., 1., 20., 5.), conv(14., 20., 50., 5.), dense(2450., 500.), dense(500., 10.)]);
            let x = rows(&mut r, &[n, 28, 28, 1])?;
            let y: Vec<i32> = (0..n).map(|_| r.below(10)).collect();
            let y = Tensor::new(&[n], &y)?;
            (
                model,
                Workload {
                    x,
                    y,
                    batch: 128,
                    loss: Loss::named("sparse_categorical_crossentropy"),
                    metrics: true,
                    flops_per_sample: flops,
                    scale: 12_800. / 3840.,
                },
            )
        }
        "I" => {
            let flops = 784. * 128. + 128. * 128. + 1280.;
            classes(mlp(), rows(&mut r, &[1, 784])?, &mut r, 1, 2.0 * flops, 1.0)?
        }
        "D" => {
            let n = 2560;
            let same = |filters: usize| Conv2D::new(filters, 3).padding("same").activation("relu");
            let model = Sequential::new()
                .add(same(32).input_shape([32, 32, 3]))
                .add(same(32))
                .add(MaxPooling2D::new(2))
                .add(Dropout::new(0.25))
                .add(same(64))
                .add(same(64))
                .add(MaxPooling2D::new(2))
                .add(Dropout::new(0.25))
                .add(Flatten::new())
                .add(relu(512))
                .add(Dropout::new(0.5))
                .add(Dense::new(10).activation("softmax"));
            let flops = training(&[
                conv(32., 3., 32., 3.),
                conv(32., 32., 32., 3.),
                conv(16., 32., 64., 3.),
                conv(16., 64., 64., 3.),
                dense(4096., 512.),
                dense(512., 10.),
            ]);
            classes(model, rows(&mut r, &[n, 32, 32, 3])?, &mut r, 128, flops, 2.5)?
        }
        "E" => {
            let x = rows(&mut r, &[640, 32, 32, 3])?;
            classes(resnet_20()?, x, &mut r, 128, 3.0 * 81.6e6 - 0.88e6, 2.0)?
        }
        "Einf1" | "Einf8" => {
            let batch = if name == "Einf1" { 1 } else { 8 };
            classes(resnet_50()?, rows(&mut r, &[batch, 224, 224, 3])?, &mut r, batch, 2.0 * 3.858e9, 1.0)?
        }
        "G" => {
            let n = 80;
            let token = 4.0 * (2.0 * 256. * 1024. + 4.0 * 128. * 256. + 4.0 * 256. * 1024.) + dense(256., 10_000.);
            let tokens = |r: &mut Numbers| -> Vec<i32> { (0..n * 128).map(|_| r.below(10_000)).collect() };
            let (x, y) = (Tensor::new(&[n, 128], &tokens(&mut r))?, Tensor::new(&[n, 128], &tokens(&mut r))?);
            let loss = SparseCategoricalCrossentropy::new().from_logits(true).arg();
            (
                gpt()?,
                Workload { x, y, batch: 8, loss, metrics: false, flops_per_sample: 3.0 * 128.0 * token, scale: 2.0 },
            )
        }
        "F-lstm" | "F-gru" => {
            let n = 1600;
            let input = Input::new([80]).dtype("int32");
            let model = Sequential::new().add(input).add(Embedding::new(20_000, 128));
            let (model, gates) = match name {
                "F-gru" => (model.add(Gru::new(128)), 384.0),
                _ => (model.add(Lstm::new(128)), 512.0),
            };
            let model = model.add(Dense::new(1).activation("sigmoid"));
            let x: Vec<i32> = (0..n * 80).map(|_| r.below(20_000)).collect();
            let y: Vec<f32> = (0..n).map(|_| r.below(2) as f32).collect();
            let (x, y) = (Tensor::new(&[n, 80], &x)?, Tensor::new(&[n, 1], &y)?);
            let flops = 3.0 * 80.0 * 2.0 * dense(128., gates) + 3.0 * dense(128., 1.);
            (
                model,
                Workload {
                    x,
                    y,
                    batch: 32,
                    loss: Loss::named("binary_crossentropy"),
                    metrics: true,
                    flops_per_sample: flops,
                    scale: 2.0,
                },
            )
        }
        _ => return Ok(None),
    }))
}

/// Random numbers in the memory that the tensor has then: there is no second copy.
fn rows(r: &mut Numbers, shape: &[usize]) -> Result<Tensor> {
    let mut memory = Buffer::zeroed(shape.iter().product::<usize>() * size_of::<f32>());
    memory.as_mut_slice::<f32>().fill_with(|| r.unit());
    Tensor::from_buffer(DType::F32, shape, memory)
}

/// Ten classes, one number each.
fn classes(
    model: Model,
    x: Tensor,
    r: &mut Numbers,
    batch: usize,
    flops: f64,
    scale: f64,
) -> Result<(Model, Workload)> {
    let n = x.shape()[0];
    let y = Tensor::new(&[n], &(0..n).map(|_| r.below(10)).collect::<Vec<i32>>())?;
    let loss = Loss::named("sparse_categorical_crossentropy");
    Ok((model, Workload { x, y, batch, loss, metrics: true, flops_per_sample: flops, scale }))
}

fn active(x: &Symbol) -> Symbol {
    ActivationLayer::new("relu").apply(x)
}

/// A convolution and its batch normalisation.
fn normed(x: &Symbol, filters: usize, kernel: usize, stride: usize, bias: bool) -> Symbol {
    let conv = Conv2D::new(filters, kernel).strides(stride).padding("same").use_bias(bias);
    BatchNormalization::new().apply(conv.apply(x))
}

/// He et al. 2015, for images of 32 x 32.
fn resnet_20() -> Result<Model> {
    let input = Input::new([32, 32, 3]).symbol();
    let mut x = active(&normed(&input, 16, 3, 1, false));
    for (stage, filters) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..3 {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let y = normed(&active(&normed(&x, filters, 3, stride, false)), filters, 3, 1, false);
            if stride == 2 {
                x = normed(&x, filters, 1, 2, false);
            }
            x = active(&Add::new().apply((&x, &y)));
        }
    }
    let y = Dense::new(10).activation("softmax").apply(GlobalAveragePooling2D::new().apply(&x));
    Model::new(&input, &y)
}

/// ResNet-50 as `keras.applications` builds it: the stride in the first 1 x 1.
fn resnet_50() -> Result<Model> {
    let input = Input::new([224, 224, 3]).symbol();
    let stem = Conv2D::new(64, 7).strides(2).apply(ZeroPadding2D::new().padding(3usize).apply(&input));
    let stem = active(&BatchNormalization::new().epsilon(1.001e-5).apply(&stem));
    let mut x = MaxPooling2D::new(3).strides(2).apply(ZeroPadding2D::new().padding(1usize).apply(&stem));
    for (filters, blocks, first) in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)] {
        for block in 0..blocks {
            let stride = if block == 0 { first } else { 1 };
            let shortcut = if block == 0 { normed(&x, 4 * filters, 1, stride, true) } else { x.clone() };
            let y = active(&normed(&x, filters, 1, stride, true));
            let y = active(&normed(&y, filters, 3, 1, true));
            x = active(&Add::new().apply((&shortcut, &normed(&y, 4 * filters, 1, 1, true))));
        }
    }
    let y = Dense::new(1000).activation("softmax").apply(GlobalAveragePooling2D::new().apply(&x));
    Model::new(&input, &y)
}

layer! {
    /// Adds a learned vector for each of 128 places.
    struct Places("Places") {}
}

impl LayerRule for Places {
    layer_base!();

    fn build(&self, _: &[Shape], weights: &mut Weights) -> Result<()> {
        weights.add("places", &[128, 256], &Initializer::named("random_normal")).map(|_| ())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        Ok(x + cx.weight("places")?)
    }
}

/// A small GPT: 4 blocks, 4 heads, 256 features, 128 tokens of 10,000.
fn gpt() -> Result<Model> {
    let input = Input::new([128]).dtype("int32").symbol();
    let mut x = Places::new().apply(Embedding::new(10_000, 256).apply(&input));
    let norm = || LayerNormalization::new().epsilon(1e-5);
    for _ in 0..4 {
        let h = norm().apply(&x);
        let attended =
            MultiHeadAttention::new(4usize, 64usize).apply_with((&h, &h), [("use_causal_mask", true.into())]);
        x = Add::new().apply((&x, &attended[0]));
        let h = Dense::new(1024).activation("gelu").apply(norm().apply(&x));
        x = Add::new().apply((&x, &Dense::new(256).apply(&h)));
    }
    Model::new(&input, Dense::new(10_000).apply(norm().apply(&x)))
}
