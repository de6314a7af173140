//! What users see and write, kept true: printed texts, errors, and how long the programs of the storyboard are.

use kerast::prelude::*;
use kerast::progress::Progress;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

#[path = "storyboard/functional.rs"]
mod functional;
#[path = "storyboard/mnist_v4.rs"]
mod mnist_v4;
#[path = "storyboard/own_layer.rs"]
mod own_layer;
#[path = "storyboard/own_loss.rs"]
mod own_loss;
#[path = "storyboard/own_metric.rs"]
mod own_metric;

/// Lines without imports, comments, and braces alone.
fn lines(program: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(program);
    let text = std::fs::read_to_string(path).unwrap();
    let bare = |l: &&str| {
        !l.is_empty() && !l.starts_with("use ") && !l.starts_with("//") && l.chars().any(char::is_alphanumeric)
    };
    text.lines().map(str::trim).filter(bare).count()
}

#[test]
fn programs_are_as_short_as_promised() {
    let most = [
        ("tests/storyboard/mnist_v4.rs", 26),
        ("tests/storyboard/functional.rs", 24),
        ("tests/storyboard/own_layer.rs", 24),
        ("tests/storyboard/own_loss.rs", 6),
        ("tests/storyboard/own_metric.rs", 6),
        ("examples/gan.rs", 60),
    ];
    let counted: Vec<(&str, usize, usize)> = most.iter().map(|(p, most)| (*p, lines(p), *most)).collect();
    counted.iter().for_each(|(p, n, most)| println!("{p}: {n} lines, at most {most}"));
    assert!(counted.iter().all(|(_, n, most)| n <= most), "{counted:?}");
    for (program, ..) in counted {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(program)).unwrap();
        for burden in ["::<", "Box::new", "dyn ", "'a"] {
            assert!(!text.contains(burden), "{program} needs `{burden}`");
        }
    }
}

#[test]
fn programs_run() {
    functional::main().unwrap();
    own_layer::main().unwrap();
    mnist_v4::main().unwrap();
    std::fs::remove_file("mnist_v4.png").unwrap();
    let mut model = Sequential::new().add(Dense::new(1).input_dim(2));
    model.compile("sgd", own_loss::quartic()).metrics(own_metric::worst()).build().unwrap();
    let (x, y) = (Tensor::new(&[2, 2], &[1f32, 0.0, 0.0, 1.0]).unwrap(), Tensor::new(&[2, 1], &[1f32, 3.0]).unwrap());
    let history = model.fit(&x, &y).verbose(0).run().unwrap();
    let p = model.predict(&x).run().unwrap();
    assert!(p.to_f64_vec().iter().all(|v| v.is_finite()) && history.last("worst").unwrap() > 0.5);
}

fn digits_net() -> Model {
    clear_session();
    Sequential::new()
        .add(Dense::new(128).activation("relu").input_dim(64))
        .add(Dropout::new(0.3))
        .add(Dense::new(10).activation("softmax"))
}

#[test]
fn scene_1_the_summary() {
    let mut model = digits_net();
    model.compile("adam", "categorical_crossentropy").build().unwrap();
    assert_eq!(model.summary_at(128).unwrap().trim_end(), include_str!("storyboard/summary.txt").trim_end());
}

#[test]
fn scene_3_a_mistake() {
    clear_session();
    let wide = Input::new([64]).symbol();
    let narrow = Input::new([32]).symbol();
    let line = line!() + 1;
    let shared = Dense::new(10).name("scores").shared();
    let _ = shared.apply(&wide);
    let wrong = shared.apply(Dropout::new(0.5).apply(&narrow));
    let text = Model::new(&narrow, &wrong).err().unwrap().to_string();
    let expected = format!(
        "the input of `scores` does not fit its weights\n  \
           layer      scores (Dense)\n  \
           expected   last axis 64 (kernel is [64, 10])\n  \
           received   (None, 32), coming from dropout (Dropout)\n  \
           written    {}:{line}\n  \
           repair     give scores an input of 64 features, or build the model anew: weights are created for the first shape seen",
        file!()
    );
    assert_eq!(text, expected);
}

#[test]
fn scene_3_names() {
    let refused = |optimizer: &str| {
        digits_net().compile(kerast::optimizers::Optimizer::named(optimizer), "mse").build().err().unwrap().to_string()
    };
    assert_eq!(
        refused("addam"),
        "there is no optimizer named \"addam\"\n  repair     did you mean adam, adamw, nadam?"
    );
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, b: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(b);
        Ok(b.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn scene_6_a_pipe_gets_plain_lines() {
    let sink = Sink::default();
    let mut progress = Progress::new(1, 2, false, Box::new(sink.clone()));
    for epoch in 0..2 {
        progress.epoch_begin(epoch, Some(3));
        (1..=3).for_each(|s| progress.step(s, &[("loss".into(), 0.5)]));
        progress.epoch_end(&[("loss".into(), 0.5)]);
    }
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains(['\r', '\x1b']) && text.lines().count() == 4, "{text}");
}

#[cfg(unix)]
#[test]
fn scene_6_ctrl_c_saves_and_says_how_to_go_on() {
    let mut model = digits_net();
    model.compile("adam", "categorical_crossentropy").build().unwrap();
    let data = datasets::digits().unwrap().normalize().unwrap().flatten().unwrap().one_hot(10).unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ctrl_c-{}.keras", std::process::id()));
    let press = LambdaCallback::new().on_batch_end(|step, _| {
        if step == 2 {
            let me = std::process::id().to_string();
            std::process::Command::new("kill").args(["-INT", &me]).status().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let fit = model.fit(&data.train.x, &data.train.y).epochs(50).validation_split(0.2).verbose(0);
    let early = EarlyStopping::new("val_loss");
    let history = fit.callback(StopOnCtrlC::new().save(&path)).callback(early).callback(press).run().unwrap();
    assert_eq!(history.epoch.len(), 0, "the epoch was not finished");
    assert_eq!(load_model(&path).unwrap().get_weights().unwrap().len(), 4);
    std::fs::remove_file(&path).unwrap();
    let reason = history.stopped().unwrap();
    assert!(reason.starts_with("stopped in epoch 1 after step 3: Ctrl-C; the model is in "), "{reason}");
}
