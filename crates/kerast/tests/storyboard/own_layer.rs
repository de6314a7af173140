//! A layer of one's own with weights, saved and loaded again.

use kerast::prelude::*;
use kerast_graph::Var;

layer! {
    /// `x · scale + shift`, both learned for each feature.
    struct Affine("Affine") {}
}

impl LayerRule for Affine {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let features = last_axis(&inputs[0])?;
        weights.add("scale", &[features], &Initializer::named("ones"))?;
        weights.add("shift", &[features], &Initializer::named("zeros"))?;
        Ok(())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        Ok(x * cx.weight("scale")? + cx.weight("shift")?)
    }
}

pub(crate) fn main() -> Result<()> {
    register_layer("Custom>Affine", Affine::from_config);
    let mut model = Sequential::new().add(Affine::new().input_dim(2)).add(Dense::new(1));
    let path = std::env::temp_dir().join(format!("own_layer-{}.keras", std::process::id()));
    model.save(&path)?;
    let x = Tensor::new(&[1, 2], &[1f32, 2.0])?;
    assert_eq!(load_model(&path)?.predict(&x).run()?.bytes(), model.predict(&x).run()?.bytes());
    std::fs::remove_file(path).map_err(|e| Error::new(kerast::ErrorKind::Io, e.to_string()))
}
