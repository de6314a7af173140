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
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("kerast-{name}-{}.keras", std::process::id()));
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

/// Trains on: loads, five steps in Keras, saved; and what it then predicts.
const TRAIN: &str = "
import json, sys, numpy as np, keras, warnings
warnings.simplefilter('error', UserWarning)
path, out, shapes, targets = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
def numbers(shape):
    n = int(np.prod(shape))
    return (np.arange(n, dtype='float32') / n).reshape(shape)
model = keras.saving.load_model(path)
x = [numbers(s) for s in shapes]
y = numbers([shapes[0][0], targets])
x = x if len(x) > 1 else x[0]
losses = [float(model.train_on_batch(x, y)) for _ in range(5)]
model.save(out)
print('RESULT', json.dumps(losses + np.asarray(model.predict(x, verbose=0)).ravel().tolist()))
";

fn trained_models() -> Vec<(&'static str, Model, Vec<Vec<usize>>, usize)> {
    let adam = || Adam::new(0.01).amsgrad(true);
    let rms = || RmsProp::new(0.01).centered(true).momentum(0.5);
    let mut mlp = Sequential::new().add(Dense::new(12).activation("relu").input_dim(8)).add(Dense::new(3));
    mlp.compile(adam(), "mse").build().unwrap();
    let mut cnn = Sequential::new()
        .add(Conv2D::new(4, 3).activation("relu").input_shape([8, 8, 2]))
        .add(BatchNormalization::new())
        .add(Flatten::new())
        .add(Dense::new(2));
    cnn.compile(rms(), "mse").build().unwrap();
    let mut rnn = Sequential::new().add(Bidirectional::new(Lstm::new(5)).input_shape([6, 4])).add(Dense::new(1));
    rnn.compile(Adam::new(0.01), "mse").build().unwrap();
    let (a, b) = (Input::new([7]).symbol(), Input::new([3]).symbol());
    let both = Concatenate::new().apply((&Dense::new(5).activation("tanh").apply(&a), &Dense::new(5).apply(&b)));
    let mut two = Model::new((&a, &b), Dense::new(2).apply(&both)).unwrap();
    two.compile(Sgd::new(0.05).momentum(0.9).nesterov(true), "mse").build().unwrap();
    vec![
        ("mlp, amsgrad", mlp, vec![vec![6, 8]], 3),
        ("cnn with batch normalisation, centered RMSprop", cnn, vec![vec![4, 8, 8, 2]], 2),
        ("bidirectional LSTM, Adam", rnn, vec![vec![4, 6, 4]], 1),
        ("two inputs, SGD with momentum", two, vec![vec![4, 7], vec![4, 3]], 2),
    ]
}

#[test]
fn training_goes_on_in_keras_and_back() {
    let Some(python) = std::env::var_os("KERAST_PYTHON") else {
        println!("SKIPPED: set KERAST_PYTHON to a Python that has Keras, to see training go on there and come back");
        return;
    };
    for (i, (name, mut model, shapes, targets)) in trained_models().into_iter().enumerate() {
        let path = |what: &str| {
            std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("kerast-go-on-{i}-{what}-{}.keras", std::process::id()))
        };
        let x = kerast::train::Arrays(shapes.iter().map(|s| (None, input(s))).collect());
        let y = input(&[shapes[0][0], targets]);
        let step = |m: &mut Model| m.train_on_batch(x.clone(), &y).unwrap().loss();
        (0..5).for_each(|_| _ = step(&mut model));
        model.save(path("ours")).unwrap();
        let command = |from: &std::path::Path, to: &std::path::Path| {
            let arguments = [format!("{shapes:?}"), targets.to_string()];
            let run = Command::new(&python).arg("-c").arg(TRAIN).arg(from).arg(to).args(arguments).output().unwrap();
            let (text, errors) =
                (String::from_utf8_lossy(&run.stdout).to_string(), String::from_utf8_lossy(&run.stderr).to_string());
            let line = text
                .lines()
                .find_map(|l| l.strip_prefix("RESULT "))
                .unwrap_or_else(|| panic!("{name}: {errors}"))
                .to_string();
            serde_json::from_str::<Vec<f64>>(&line).unwrap()
        };
        let near = |ours: &[f64], theirs: &[f64], what: &str| {
            assert_eq!(ours.len(), theirs.len(), "{name}, {what}");
            for (a, b) in ours.iter().zip(theirs) {
                assert!((a - b).abs() <= 2e-4 * (1.0 + b.abs()), "{name}, {what}: Kerast has {a}, Keras {b}");
            }
        };
        // The same five steps here and there, from the same file.
        let theirs = command(&path("ours"), &path("theirs"));
        let mut ours: Vec<f64> = (0..5).map(|_| step(&mut model)).collect();
        ours.extend(model.predict(x.clone()).run().unwrap().to_f64_vec());
        near(&ours, &theirs, "five steps after Kerast's file");
        // And five more, from Keras' file.
        let mut back = load_model(path("theirs")).unwrap();
        let mut again: Vec<f64> = (0..5).map(|_| step(&mut back)).collect();
        again.extend(back.predict(x.clone()).run().unwrap().to_f64_vec());
        near(&again, &command(&path("theirs"), &path("end")), "five steps after Keras' file");
        ["ours", "theirs", "end"].iter().for_each(|w| std::fs::remove_file(path(w)).unwrap());
        println!("{name}: the same training in Keras and here");
    }
}
