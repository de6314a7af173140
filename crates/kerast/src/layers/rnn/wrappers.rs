//! Layers around layers: both directions, every time step.

use crate::config::Word;
use crate::layers::{Call, LayerObject, LayerRule, Shape, Weights, layer, layer_base};
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

layer! {
    /// A recurrent layer walked in both directions, the results put together.
    ///
    /// **Shape** `[batch, time, features]` → `[batch, 2·units]` for `"concat"`.
    pub struct Bidirectional("Bidirectional") {
        /// The layer that walks forward.
        layer: LayerObject,
        ;
        /// `"concat"`, `"sum"`, `"mul"` or `"ave"`; `None` gives both.
        merge_mode: Option<Word> = Some("concat".into()),
        /// The layer that walks backward; a copy of the first unless given.
        backward_layer: Option<LayerObject> = None,
    }
}

impl Bidirectional {
    /// The two layers: as given, and with the opposite direction.
    fn both(&self) -> Result<[std::sync::Arc<dyn LayerRule>; 2]> {
        let forward = self.layer.arc()?;
        let backward = match &self.backward_layer {
            Some(b) => b.arc()?,
            None => {
                let mut config = forward.config();
                let back = config.get("go_backwards").and_then(serde_json::Value::as_bool).ok_or_else(|| {
                    Error::new(ErrorKind::Argument, "Bidirectional wraps recurrent layers")
                        .received(forward.class_name())
                })?;
                config.insert("go_backwards".into(), (!back).into());
                crate::config::make::<dyn LayerRule>(forward.class_name(), &config)?
            }
        };
        Ok([forward, backward])
    }

    /// The names of the two as Keras gives them: `forward_lstm`, `backward_lstm`.
    fn names(&self, forward: &dyn LayerRule) -> [String; 2] {
        let name = forward.base().name.clone().unwrap_or_else(|| crate::layers::snake_case(forward.class_name()));
        ["forward", "backward"].map(|d| if name.starts_with(d) { name.clone() } else { format!("{d}_{name}") })
    }
}

impl LayerRule for Bidirectional {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let [forward, backward] = self.both()?;
        let [f, b] = self.names(&*forward);
        weights.part("forward_layer", &f, |w| forward.build(inputs, w))?;
        weights.part("backward_layer", &b, |w| backward.build(inputs, w))
    }

    fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
        let [forward, backward] = self.both()?;
        let states = (inputs.len() - 1) / 2;
        let take = |from: usize| -> Vec<Var> {
            std::iter::once(inputs[0].clone()).chain(inputs[1 + from..1 + from + states].iter().cloned()).collect()
        };
        let masks = cx.masks.clone();
        let (f, f_masks) = cx.part("forward_layer", masks.clone(), |c| forward.call_many(c, &take(0)))?;
        let (b, _) = cx.part("backward_layer", masks, |c| backward.call_many(c, &take(states)))?;
        let sequences = forward.config().get("return_sequences").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let y_b = if sequences { b[0].reverse(&[1]) } else { b[0].clone() };
        let modes = ["concat", "sum", "mul", "ave"];
        let mode = self.merge_mode.as_ref().map(|m| m.one_of("merge_mode", &modes)).transpose()?;
        let mut outputs = match mode {
            None => vec![f[0].clone(), y_b],
            Some("concat") => vec![Var::concatenate(&[&f[0], &y_b], f[0].rank() - 1)],
            Some("sum") => vec![&f[0] + &y_b],
            Some("mul") => vec![&f[0] * &y_b],
            Some(_) => vec![(&f[0] + &y_b) * 0.5],
        };
        let merged = outputs.len();
        outputs.extend(f[1..].iter().cloned());
        outputs.extend(b[1..].iter().cloned());
        let mask = f_masks.and_then(|m| m.into_iter().next().flatten());
        let mut out = vec![mask; merged];
        out.resize(outputs.len(), None);
        cx.set_masks(out);
        Ok(outputs)
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

layer! {
    /// A layer applied to every time step.
    ///
    /// **Shape** `[batch, time, …]` → `[batch, time, …]`.
    pub struct TimeDistributed("TimeDistributed") {
        /// The layer.
        layer: LayerObject,
    }
}

impl LayerRule for TimeDistributed {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        if inputs[0].len() < 3 {
            return Err(Error::new(ErrorKind::Shape, "the input has too few axes")
                .expected("at least 3 axes: batch, time, …")
                .received(crate::layers::show(&inputs[0])));
        }
        let mut step = inputs[0].clone();
        step.remove(1);
        let inner = self.layer.get()?;
        let name = inner.base().name.clone().unwrap_or_else(|| crate::layers::snake_case(inner.class_name()));
        weights.part("layer", &name, |w| inner.build(&[step], w))
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let inner = self.layer.get()?;
        // Statistics that move from step to step (batch normalisation) need one step at a time.
        if cx.training() && cx.moves("layer/") && x.shape()[1] > 0 {
            let mut steps = vec![];
            for t in 0..x.shape()[1] {
                let mut shape = x.shape().to_vec();
                shape.remove(1);
                let one = x.slice_axis(1, t, t + 1).reshape(&shape);
                let (y, _) = cx.part("layer", vec![None], |c| inner.call_many(c, &[one]))?;
                steps.push(y[0].expand_dims(1));
            }
            return Ok(Var::concatenate(&steps.iter().collect::<Vec<_>>(), 1));
        }
        // All steps at once, as a larger batch.
        let (batch, time) = (x.shape()[0], x.shape()[1]);
        let with = |lead: &[usize], rest: &[usize]| lead.iter().chain(rest).copied().collect::<Vec<_>>();
        let flat = x.reshape(&with(&[batch * time], &x.shape()[2..]));
        let (y, _) = cx.part("layer", vec![None], |c| inner.call_many(c, std::slice::from_ref(&flat)))?;
        Ok(y[0].reshape(&with(&[batch, time], &y[0].shape()[1..])))
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
