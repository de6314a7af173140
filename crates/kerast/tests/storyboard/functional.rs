//! Two inputs, a shared layer, two outputs with losses of their own.

use kerast::prelude::*;

pub(crate) fn main() -> Result<()> {
    let left = Input::new([8]).name("left").symbol();
    let right = Input::new([8]).name("right").symbol();
    let shared = Dense::new(16).activation("relu").shared();
    let joined = Concatenate::new().apply((&shared.apply(&left), &shared.apply(&right)));
    let same = Dense::new(1).activation("sigmoid").name("same").apply(&joined);
    let distance = Dense::new(1).name("distance").apply(&joined);
    let mut model = Model::new((&left, &right), (&same, &distance))?;
    model
        .compile("adam", [("same", "binary_crossentropy"), ("distance", "mse")])
        .loss_weight_of("distance", 0.5)
        .metrics_of("same", ["accuracy"])
        .build()?;
    let numbers: [f32; 512] = std::array::from_fn(|i| (i * 7 % 32) as f32 / 32.0);
    let (a, b) = (Tensor::new(&[64, 8], &numbers)?, Tensor::new(&[64, 8], &numbers.map(|v| 1.0 - v))?);
    let equal = Tensor::new(&[64, 1], &[1f32; 64])?;
    let near = Tensor::new(&[64, 1], &[0.5f32; 64])?;
    let history = model.fit([("left", &a), ("right", &b)], (&equal, &near)).epochs(5).verbose(0).run()?;
    assert!(history.get("same_loss")[4] < history.get("same_loss")[0]);
    Ok(())
}
