//! Bad input: a clear error each, that says what was expected and what came; never a panic.

use kerast::prelude::*;

fn model() -> Model {
    let mut m = Sequential::new().add(Dense::new(3).activation("softmax").input_dim(4));
    m.compile("sgd", "sparse_categorical_crossentropy").metrics(["accuracy"]).build().unwrap();
    m
}

fn x(rows: usize) -> Tensor {
    Tensor::new(&[rows, 4], &vec![0.5f32; rows * 4]).unwrap()
}

fn y(rows: usize) -> Tensor {
    Tensor::new(&[rows], &vec![1i32; rows]).unwrap()
}

/// The text of the error, which must hold all of `words`.
#[track_caller]
fn refused<T>(r: Result<T>, words: &[&str]) {
    let text = r.err().expect("it must be refused").to_string();
    for w in words {
        assert!(text.contains(w), "{w:?} is not in:\n{text}");
    }
}

#[test]
fn wrong_shapes() {
    let wide = Tensor::new(&[8, 5], &[0f32; 40]).unwrap();
    refused(model().fit(&wide, y(8)).verbose(0).run(), &["4", "5"]);
    refused(model().predict(&wide).run(), &["4", "5"]);
    let cube = Tensor::new(&[8, 2, 2], &[0f32; 32]).unwrap();
    refused(model().evaluate(&cube, y(8)).run(), &["4"]);
    refused(Sequential::new().add(Conv2D::new(4, 3).input_dim(4)).build_now(), &["Conv2D"]);
    refused(Sequential::new().add(Reshape::new([5, 7]).input_dim(12)).build_now(), &["Reshape", "12"]);
}

#[test]
fn mismatched_lengths() {
    refused(model().fit(x(8), y(7)).verbose(0).run(), &["8", "7"]);
    let weights = vec![1f32; 3];
    refused(model().fit(x(8), y(8)).sample_weight(&weights).verbose(0).run(), &["8", "3"]);
    refused(model().fit((&x(8), &x(8)), y(8)).verbose(0).run(), &["2"]);
}

#[test]
fn wrong_element_types() {
    let flags = Tensor::from_bools(&[8, 4], &[true; 32]).unwrap();
    // Truth values are numbers to Keras too.
    assert!(model().predict(&flags).run().is_ok());
    let fractions = Tensor::new(&[8], &[0.5f32; 8]).unwrap();
    refused(model().fit(x(8), &fractions).verbose(0).run(), &["0.5"]);
}

#[test]
fn empty_data() {
    let none = Tensor::new::<f32>(&[0, 4], &[]).unwrap();
    let no_labels = Tensor::new::<i32>(&[0], &[]).unwrap();
    refused(model().fit(&none, &no_labels).verbose(0).run(), &["no sample"]);
    refused(model().evaluate(&none, &no_labels).run(), &["no sample"]);
}

#[test]
fn labels_out_of_range() {
    let high = Tensor::new(&[8], &[0i32, 1, 2, 3, 0, 1, 2, 0]).unwrap();
    refused(model().fit(x(8), &high).verbose(0).run(), &["3"]);
    let low = Tensor::new(&[8], &[0i32, 1, 2, -1, 0, 1, 2, 0]).unwrap();
    refused(model().fit(x(8), &low).verbose(0).run(), &["-1"]);
}

#[test]
fn batch_size_zero() {
    refused(model().fit(x(8), y(8)).batch_size(0).verbose(0).run(), &["batch_size"]);
    refused(model().evaluate(x(8), y(8)).batch_size(0).run(), &["batch_size"]);
    refused(model().predict(x(8)).batch_size(0).run(), &["batch_size"]);
}

#[test]
fn unknown_names() {
    let net = || Sequential::new().add(Dense::new(3).input_dim(4));
    refused(net().compile("adamm", "mse").build(), &["adamm", "adam"]);
    refused(net().compile("adam", "mean_square").build(), &["mean_square"]);
    refused(net().compile("adam", "mse").metrics(["acuracy"]).build(), &["acuracy"]);
    refused(Sequential::new().add(Dense::new(3).activation("rellu").input_dim(4)).build_now(), &["rellu", "relu"]);
    refused(
        Sequential::new().add(Dense::new(3).kernel_initializer("glorot").input_dim(4)).build_now(),
        &["glorot", "glorot_uniform"],
    );
    refused(model().get_layer("dense_9").map(|_| ()), &["dense_9", "dense"]);
}

#[test]
fn absurd_sizes() {
    refused(Sequential::new().add(Dense::new(usize::MAX / 8).input_dim(usize::MAX / 8)).build_now(), &["Dense"]);
    refused(
        Sequential::new().add(RepeatVector::new(usize::MAX >> 4).input_dim(usize::MAX >> 24)).build_now(),
        &["repeat_vector"],
    );
    refused(Tensor::zeros(DType::F32, &[usize::MAX, 2]), &[]);
}

#[test]
fn order_of_calls() {
    let mut m = Sequential::new().add(Dense::new(3).input_dim(4));
    refused(m.fit(x(8), y(8)).verbose(0).run(), &["compile"]);
    refused(m.evaluate(x(8), y(8)).run(), &["compile"]);
}

#[test]
fn validation_without_samples() {
    refused(model().fit(x(8), y(8)).validation_split(1.0).verbose(0).run(), &["validation_split"]);
    refused(model().fit(x(8), y(8)).validation_split(-0.1).verbose(0).run(), &["validation_split"]);
}

#[test]
fn files_that_are_none() {
    refused(load_model("/nowhere/net.keras"), &["/nowhere/net.keras"]);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kerast-errors.keras");
    std::fs::write(&path, b"this is no archive").unwrap();
    let loaded = load_model(&path);
    std::fs::remove_file(&path).unwrap();
    refused(loaded, &["kerast-errors"]);
}

#[test]
fn nan_in_the_data() {
    let mut bad = vec![0.5f32; 32];
    bad[5] = f32::NAN;
    let bad = Tensor::new(&[8, 4], &bad).unwrap();
    refused(model().fit(&bad, y(8)).verbose(0).run(), &["NaN", "row        1"]);
}

/// Builds and shows what was added.
trait BuildNow {
    fn build_now(self) -> Result<String>;
}

impl BuildNow for Model {
    fn build_now(self) -> Result<String> {
        self.summary()
    }
}
