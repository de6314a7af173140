//! Real Keras opens what Kerast saves: `KERAST_PYTHON=/path/to/python cargo test -p kerast --test keras -- --nocapture`, a Python with
//! keras and a backend. CI installs one; elsewhere the test says that it is skipped.

use kerast::prelude::*;
use std::process::Command;

/// Loads the model, predicts for `arange / n` of the given shape, saves it again, and prints the numbers.
const SCRIPT: &str = "
import json, sys, numpy as np, keras
path, shape = sys.argv[1], json.loads(sys.argv[2])
model = keras.saving.load_model(path)
n = int(np.prod(shape))
x = (np.arange(n, dtype='float32') / n).reshape(shape)
model.save(path)
print('RESULT', json.dumps(np.asarray(model.predict(x, verbose=0)).ravel().tolist()))
";

fn input(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    Tensor::new(shape, &(0..n).map(|i| i as f32 / n as f32).collect::<Vec<_>>()).unwrap()
}

fn models() -> Vec<(&'static str, Model, Vec<usize>)> {
    let mlp = Sequential::new()
        .add(Dense::new(12).activation("relu").input_dim(8).kernel_regularizer(L2::new()))
        .add(BatchNormalization::new())
        .add(Dropout::new(0.2))
        .add(Dense::new(3).activation("softmax"));
    let cnn = Sequential::new()
        .add(Conv2D::new(4, 3).padding("same").activation("relu").input_shape([8, 8, 2]))
        .add(MaxPooling2D::new(2))
        .add(LayerNormalization::new())
        .add(Flatten::new())
        .add(Dense::new(2));
    let rnn = Sequential::new()
        .add(Lstm::new(5).return_sequences(true).input_shape([6, 4]))
        .add(Bidirectional::new(Gru::new(3)))
        .add(Dense::new(1).activation("sigmoid"));
    let entry = Input::new([7]).symbol();
    let left = Dense::new(5).activation("tanh").apply(&entry);
    let right = Dense::new(5).apply(&entry);
    let sum = Add::new().apply([&left, &right]);
    let both = Concatenate::new().apply([&sum, &left]);
    let functional = Model::new(&entry, Dense::new(2).apply(&both)).unwrap();
    vec![
        ("mlp", mlp, vec![5, 8]),
        ("cnn", cnn, vec![3, 8, 8, 2]),
        ("rnn", rnn, vec![4, 6, 4]),
        ("functional", functional, vec![4, 7]),
    ]
}

#[test]
fn keras_opens_what_kerast_saves() {
    let Some(python) = std::env::var_os("KERAST_PYTHON") else {
        println!("SKIPPED: set KERAST_PYTHON to a Python that has Keras, to see it open Kerast's files");
        return;
    };
    for (name, mut model, shape) in models() {
        let path = std::env::temp_dir().join(format!("kerast-{name}-{}.keras", std::process::id()));
        let ours = model.predict(input(&shape)).run().unwrap().to_f64_vec();
        model.save(&path).unwrap();
        let run = Command::new(&python).arg("-c").arg(SCRIPT).arg(&path).arg(format!("{shape:?}")).output().unwrap();
        let text = String::from_utf8_lossy(&run.stdout);
        let errors = String::from_utf8_lossy(&run.stderr);
        let line = text.lines().find_map(|l| l.strip_prefix("RESULT ")).unwrap_or_else(|| panic!("{name}: {errors}"));
        let theirs: Vec<f64> = serde_json::from_str(line).unwrap();
        // And back: what Keras saves, Kerast opens.
        let back = load_model(&path).unwrap().predict(input(&shape)).run().unwrap().to_f64_vec();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for ((a, b), c) in ours.iter().zip(&theirs).zip(&back) {
            assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{name}: Kerast has {a}, Keras {b}");
            assert!((a - c).abs() <= 1e-5 * (1.0 + a.abs()), "{name}: {a} came back as {c}");
        }
        println!("{name}: {} numbers equal in Keras", ours.len());
    }
}
