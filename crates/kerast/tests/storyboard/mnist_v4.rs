//! The book's network V4: two hidden layers, dropout, Adam, curves.

use kerast::prelude::*;

pub(crate) fn main() -> Result<()> {
    let data = datasets::digits()?.normalize()?.flatten()?.one_hot(10)?;
    let mut model = Sequential::new()
        .add(Dense::new(128).activation("relu").input_dim(64))
        .add(Dropout::new(0.3))
        .add(Dense::new(128).activation("relu"))
        .add(Dropout::new(0.3))
        .add(Dense::new(10).activation("softmax"));
    println!("{}", model.summary()?);
    model.compile("adam", "categorical_crossentropy").metrics(["accuracy"]).build()?;
    let fit = model.fit(&data.train.x, &data.train.y).batch_size(128).epochs(20).validation_split(0.2);
    let history = fit.run()?;
    let score = model.evaluate(&data.test.x, &data.test.y).run()?;
    println!("test score: {:.4}", score.loss());
    println!("test accuracy: {:.4}", score.accuracy());
    plot::history("mnist_v4.png", "digits, two hidden layers", &history)?;
    assert!(score.accuracy() > 0.9);
    Ok(())
}
