//! Training as a user sees it: the same bits on any number of threads, deep nets, models that come back from files.

use kerast::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The seed belongs to the whole process: tests that set it wait for each other.
fn alone() -> MutexGuard<'static, ()> {
    static SEED: Mutex<()> = Mutex::new(());
    SEED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers that look random and are the same everywhere.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut s = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (s >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect()
}

fn array(shape: &[usize], seed: u32) -> Tensor {
    Tensor::new(shape, &noise(shape.iter().product(), seed)).unwrap()
}

fn labels(n: usize, classes: usize) -> Tensor {
    Tensor::new(&[n], &(0..n).map(|i| (i * 7 % classes) as i32).collect::<Vec<_>>()).unwrap()
}

/// All weights and the history of a short training run.
fn trained(make: impl Fn() -> Model, x: &Tensor, threads: usize) -> (Vec<Vec<u8>>, Vec<f64>) {
    set_random_seed(0);
    let mut model = make().threads(threads);
    model.compile("adam", "sparse_categorical_crossentropy").metrics(["accuracy"]).build().unwrap();
    let y = labels(x.shape()[0], 4);
    let history = model.fit(x, &y).epochs(2).batch_size(16).validation_split(0.25).verbose(0).run().unwrap();
    let weights = model.get_weights().unwrap().iter().map(|w| w.bytes().to_vec()).collect();
    (weights, ["loss", "accuracy", "val_loss"].iter().flat_map(|k| history.get(k).to_vec()).collect())
}

fn same_bits(make: impl Fn() -> Model, x: &Tensor) {
    let _alone = alone();
    let one = trained(&make, x, 1);
    assert_eq!(one.1.len(), 6);
    assert!(one.1.iter().all(|v| v.is_finite()));
    assert!(one == trained(&make, x, 2), "two threads give other bits than one");
    assert!(one == trained(&make, x, 1), "the same seed gives other bits");
}

#[test]
fn mlp_gives_the_same_bits_on_one_and_two_threads() {
    let make = || {
        Sequential::new()
            .add(Dense::new(300).activation("relu").input_dim(200))
            .add(Dropout::new(0.3))
            .add(BatchNormalization::new())
            .add(Dense::new(4).activation("softmax"))
    };
    same_bits(make, &array(&[150, 200], 1));
}

#[test]
fn cnn_gives_the_same_bits_on_one_and_two_threads() {
    let make = || {
        Sequential::new()
            .add(Conv2D::new(20, 5).padding("same").activation("relu").input_shape([16, 16, 3]))
            .add(MaxPooling2D::new(2))
            .add(Conv2D::new(24, 3).activation("relu"))
            .add(Flatten::new())
            .add(Dense::new(4).activation("softmax"))
    };
    same_bits(make, &array(&[70, 16, 16, 3], 2));
}

#[test]
fn lstm_gives_the_same_bits_on_one_and_two_threads() {
    let make = || {
        Sequential::new()
            .add(Embedding::new(500, 32).input_shape([20]))
            .add(Lstm::new(48).return_sequences(true))
            .add(Gru::new(40))
            .add(Dense::new(4).activation("softmax"))
    };
    let words = noise(70 * 20, 3).iter().map(|v| ((v + 0.5) * 500.0) as i32).collect::<Vec<_>>();
    same_bits(make, &Tensor::new(&[70, 20], &words).unwrap());
}

#[test]
fn a_residual_net_of_152_layers_trains() {
    let input = Input::new([16]).symbol();
    let mut x = input.clone();
    for _ in 0..76 {
        let y = Dense::new(16).activation("relu").apply(&x);
        let y = Dense::new(16).kernel_initializer("zeros").apply(&y);
        x = Add::new().apply([&x, &y]);
    }
    let mut model = Model::new(&input, Dense::new(1).apply(&x)).unwrap();
    model.compile("adam", "mse").build().unwrap();
    let x = array(&[64, 16], 4);
    let sums: Vec<f32> = x.as_slice::<f32>().unwrap().chunks(16).map(|r| r.iter().sum()).collect();
    let history = model.fit(&x, &sums).epochs(12).batch_size(16).verbose(0).run().unwrap();
    let loss = history.get("loss");
    assert!(loss[11] < 0.3 * loss[0], "{loss:?}");
}

#[test]
fn a_model_comes_back_from_its_file() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kerast-train");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("net.keras");
    let mut model = Sequential::new()
        .add(Conv2D::new(4, 3).activation("relu").input_shape([8, 8, 1]))
        .add(BatchNormalization::new())
        .add(Flatten::new())
        .add(Dense::new(4).activation("softmax"));
    model.compile("sgd", "sparse_categorical_crossentropy").build().unwrap();
    let x = array(&[32, 8, 8, 1], 5);
    model.fit(&x, labels(32, 4)).verbose(0).run().unwrap();
    model.save(&path).unwrap();
    let mut again = load_model(&path).unwrap();
    let (a, b) = (model.predict(&x).run().unwrap(), again.predict(&x).run().unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(a.bytes(), b.bytes());
}

#[test]
fn class_weights_weigh_as_sample_weights_do() {
    let make = || {
        let mut m = Sequential::new().add(Dense::new(3).activation("softmax").input_dim(5));
        m.compile("sgd", "sparse_categorical_crossentropy").build().unwrap();
        m
    };
    let (x, y) = (array(&[30, 5], 6), labels(30, 3));
    let (mut a, mut b) = (make(), make());
    b.set_weights(&a.get_weights().unwrap()).unwrap();
    a.fit(&x, &y).class_weight([(0, 1.0), (1, 3.0), (2, 0.5)]).shuffle(false).verbose(0).run().unwrap();
    let weights: Vec<f32> = y.as_slice::<i32>().unwrap().iter().map(|c| [1.0, 3.0, 0.5][*c as usize]).collect();
    b.fit(&x, &y).sample_weight(&weights).shuffle(false).verbose(0).run().unwrap();
    let bits = |m: &Model| m.get_weights().unwrap().iter().map(|w| w.bytes().to_vec()).collect::<Vec<_>>();
    assert_eq!(bits(&a), bits(&b));
}

#[test]
fn early_stopping_restores_the_best_weights() {
    let mut m = Sequential::new().add(Dense::new(1).input_dim(3));
    m.compile(Sgd::new(1.9), "mse").build().unwrap();
    let (x, y) = (array(&[40, 3], 7), array(&[40, 1], 8));
    let stop = EarlyStopping::new("loss").patience(2).restore_best_weights(true);
    let history = m.fit(&x, &y).epochs(50).callback(stop).verbose(0).run().unwrap();
    assert!(history.get("loss").len() <= 50);
    assert!(m.evaluate(&x, &y).run().unwrap().loss().is_finite());
}

#[test]
fn compile_settles_what_trains() {
    let mut m = Sequential::new().add(Dense::new(4).input_dim(3)).add(Dense::new(1));
    m.compile("sgd", "mse").build().unwrap();
    let first = m.layers()[0].clone();
    first.set_trainable(false);
    let (x, y) = (array(&[8, 3], 9), array(&[8, 1], 10));
    let before = m.get_weights().unwrap();
    m.train_on_batch(&x, &y).unwrap();
    assert_ne!(before[0].bytes(), m.get_weights().unwrap()[0].bytes(), "freezing waits for the next compile");
    m.compile("sgd", "mse").build().unwrap();
    let before = m.get_weights().unwrap();
    m.train_on_batch(&x, &y).unwrap();
    let after = m.get_weights().unwrap();
    assert_eq!(before[0].bytes(), after[0].bytes());
    assert_ne!(before[2].bytes(), after[2].bytes());
}

#[test]
fn a_summary_tells_what_training_takes() {
    let mut m = Sequential::new().add(Dense::new(128).input_dim(64)).add(Dense::new(10).activation("softmax"));
    let text = m.summary_at(128).unwrap();
    assert!(text.contains("predicting at batch 128"), "{text}");
    m.compile("adam", "sparse_categorical_crossentropy").build().unwrap();
    let text = m.summary_at(128).unwrap();
    assert!(text.contains("training at batch 128") && text.contains("optimizer 75.09 KB"), "{text}");
}

#[test]
fn a_stream_trains_as_its_arrays_do() {
    let make = || {
        let mut m = Sequential::new()
            .add(Dense::new(8).activation("tanh").input_dim(5))
            .add(Dense::new(3).activation("softmax"));
        m.compile("adam", "sparse_categorical_crossentropy").metrics(["accuracy"]).build().unwrap();
        m
    };
    let (x, y) = (array(&[50, 5], 11), labels(50, 3));
    let (mut a, mut b) = (make(), make());
    b.set_weights(&a.get_weights().unwrap()).unwrap();
    let arrays = a.fit(&x, &y).epochs(3).batch_size(16).shuffle(false).verbose(0).run().unwrap();
    let data = Dataset::from_arrays(&x, &y).unwrap().batch(16).prefetch(2);
    let stream = b.fit_dataset(&data).epochs(3).verbose(0).run().unwrap();
    assert_eq!(arrays.get("loss"), stream.get("loss"));
    let bits = |m: &Model| m.get_weights().unwrap().iter().map(|w| w.bytes().to_vec()).collect::<Vec<_>>();
    assert_eq!(bits(&a), bits(&b));
}

#[test]
fn a_stream_is_mixed_anew_each_epoch_and_changed_on_the_way() {
    let x = Tensor::new(&[20], &(0..20).map(|v| v as f32).collect::<Vec<_>>()).unwrap();
    let data = Dataset::from_arrays(&x, &x).unwrap().shuffle(8).map(|mut s| {
        s.y = vec![Tensor::scalar(1f32)];
        Ok(s)
    });
    let epoch = |e| data.iter(e).map(|s| s.unwrap().x[0].item().unwrap() as usize).collect::<Vec<_>>();
    let (first, second) = (epoch(0), epoch(1));
    assert_ne!(first, second);
    assert_eq!(first, epoch(0));
    let mut sorted = first.clone();
    sorted.sort();
    assert_eq!(sorted, (0..20).collect::<Vec<_>>());
}

#[test]
fn a_fault_in_a_stream_loses_no_weights() {
    let mut m = Sequential::new().add(Dense::new(1).input_dim(2));
    m.compile("sgd", "mse").build().unwrap();
    let good = Sample { x: vec![array(&[4, 2], 12)], y: vec![array(&[4, 1], 13)] };
    let bad = Sample { x: vec![array(&[4, 3], 14)], y: good.y.clone() };
    let data = Dataset::new(move |_| vec![Ok(good.clone()), Ok(bad.clone())].into_iter());
    let text = m.fit_dataset(&data).verbose(0).run().unwrap_err().to_string();
    assert!(text.contains("batch      1"), "{text}");
    assert!(m.predict(array(&[4, 2], 12)).run().is_ok());
}

/// Two training steps of batch renormalisation, beside the figures of Keras 3.15 for the same layer and data.
#[test]
fn batch_renormalisation_moves_its_averages_as_keras_does() {
    let clipping = kerast::config::Raw(serde_json::json!({"rmin": 0.5, "rmax": 1.2, "dmax": 0.3}));
    let layer =
        BatchNormalization::new().momentum(0.9).renorm(true).renorm_momentum(0.8).renorm_clipping(Some(clipping));
    let mut model = Sequential::new().add(layer.moving_variance_initializer(Constant::new().value(4.0)).input_dim(2));
    model.compile(Sgd::new(0.0), "mse").build().unwrap();
    let x = [0.5f32, -1.0, 1.5, 2.0, -0.5, 0.25, 3.0, 1.75];
    for factor in [1.0, 2.0] {
        let x = Tensor::new(&[4, 2], &x.map(|v| v * factor)).unwrap();
        model.train_on_batch(&x, &x).unwrap();
    }
    let near = |got: Vec<f64>, want: &[f64]| {
        assert!(
            got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6) && got.len() == want.len(),
            "{got:?} is not {want:?}"
        );
    };
    let averages = [
        [0.32625002, 0.21750000],
        [3.97913265, 3.88586879],
        [1.99502695, 1.97151434],
        [0.63000000, 0.42000002],
        [2.00418615, 1.95878243],
    ];
    for (got, want) in model.get_weights().unwrap()[2..].iter().zip(averages) {
        near(got.to_f64_vec(), &want);
    }
    let x = Tensor::new(&[4, 2], &x).unwrap();
    let want = [0.08709154, -0.61754560, 0.58833790, 0.90412736, -0.41415480, 0.01648479, 1.34020734, 0.77732128];
    near(model.predict(&x).run().unwrap().to_f64_vec(), &want);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "no threads")]
fn a_predictor_serves_many_threads_what_predict_says() {
    let mut model = Sequential::new()
        .add(Conv2D::new(6, 3).activation("relu").input_shape([12, 12, 2]))
        .add(BatchNormalization::new())
        .add(Flatten::new())
        .add(Dropout::new(0.5))
        .add(Dense::new(5).activation("softmax"));
    let x = array(&[4, 12, 12, 2], 9);
    let want = model.predict(&x).run().unwrap().to_f64_vec();
    let predictor = model.predictor(1).unwrap();
    let rows = noise(4 * 288, 9);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for i in 0..4 {
                    let mut y = [0f32; 5];
                    predictor.run(&rows[i * 288..(i + 1) * 288], &mut y).unwrap();
                    assert!(y.iter().zip(&want[i * 5..]).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6));
                }
            });
        }
    });
    let all = model.predictor(4).unwrap().predict(&x).unwrap();
    assert!(all[0].to_f64_vec().iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6));
    assert!(predictor.run(&rows[..7], &mut [0.0; 5]).unwrap_err().to_string().contains("288 elements"));
    let last = model.into_predictor(4).unwrap();
    assert_eq!(
        last.predict(&x).unwrap()[0].to_f64_vec(),
        all[0].to_f64_vec(),
        "a model that goes leaves the same bits"
    );
    let unfit = last.predict(array(&[4, 12, 2], 9)).unwrap_err().to_string();
    assert!(unfit.contains("do not fit the input"), "{unfit}");
}

/// A training that is cut again and again, each time by dropping everything, ends with the bits of one that never was.
#[test]
fn a_run_that_was_cut_goes_on_with_the_same_bits() {
    let _alone = alone();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kerast-backup");
    let log = folder.join("log.csv");
    std::fs::create_dir_all(&folder).unwrap();
    let (x, y) = (array(&[90, 12], 4), labels(90, 4));
    let make = || {
        set_random_seed(3);
        let mut m = Sequential::new()
            .add(Dense::new(16).activation("relu").input_dim(12))
            .add(BatchNormalization::new())
            .add(Dropout::new(0.4))
            .add(Dense::new(4).activation("softmax"));
        m.compile(Adam::new(0.02).amsgrad(true), "sparse_categorical_crossentropy")
            .metrics(["accuracy"])
            .build()
            .unwrap();
        m
    };
    /// Stops after so many steps of this process, as a power cut would: nobody is told.
    struct Cut(usize);
    impl Callback for Cut {
        fn watches_batches(&self) -> bool {
            true
        }
        fn on_train_batch_end(&mut self, _: usize, _: &Vec<(String, f64)>, _: &mut Control) -> Result<()> {
            self.0 -= 1;
            match self.0 {
                0 => Err(Error::new(kerast::ErrorKind::Io, "cut")),
                _ => Ok(()),
            }
        }
    }
    let run = |steps: usize| -> Result<(Vec<Vec<u8>>, Vec<f64>)> {
        let mut m = make();
        let fit = m.fit(&x, &y).epochs(5).batch_size(16).validation_split(0.2).verbose(0);
        let plateau = ReduceLrOnPlateau::new("val_loss").patience(1).factor(0.5);
        let stopping = EarlyStopping::new("val_loss").patience(9).restore_best_weights(true);
        let fit = fit.callback(plateau).callback(stopping).callback(CsvLogger::new(&log)).callback(Cut(steps));
        let history = fit.callback(BackupAndRestore::new(&folder).every_steps(2)).run()?;
        let weights = m.get_weights()?.iter().map(|w| w.bytes().to_vec()).collect();
        Ok((
            weights,
            ["loss", "accuracy", "val_loss", "learning_rate"].iter().flat_map(|k| history.get(k).to_vec()).collect(),
        ))
    };
    let whole = run(1000).unwrap();
    let lines = std::fs::read_to_string(&log).unwrap();
    assert_eq!((whole.1.len(), lines.lines().count()), (20, 6));
    let mut cuts = 0;
    let end = loop {
        match run(3 + cuts % 5) {
            Ok(end) => break end,
            Err(e) => assert_eq!(e.message(), "cut"),
        }
        cuts += 1;
    };
    assert!(cuts > 4 && end == whole, "{cuts} cuts: {:?} is not {:?}", end.1, whole.1);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), lines);
    assert!(!folder.join("backup.keras").exists(), "a finished run leaves no backup");
    std::fs::remove_dir_all(folder).unwrap();
}

/// Outputs 7 pixels wide are convolved from gathered windows; a predictor has the weights of that packed, too.
#[test]
fn a_predictor_of_narrow_images_says_what_predict_says() {
    let conv = |filters: usize| Conv2D::new(filters, 3).padding("same").activation("relu");
    let mut model = Sequential::new().add(conv(40).input_shape([7, 7, 16])).add(conv(33)).add(conv(5));
    let x = array(&[3, 7, 7, 16], 9);
    let want = model.predict(&x).run().unwrap().to_f64_vec();
    let got = model.predictor(3).unwrap().predict(&x).unwrap()[0].to_f64_vec();
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5));
}
