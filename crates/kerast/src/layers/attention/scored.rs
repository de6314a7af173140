//! Attention by scores of queries and keys, without projections (Luong et al. 2015, Bahdanau et al. 2015).

use crate::config::{Object, Word};
use crate::layers::core::dropped;
use crate::layers::{Call, LayerRule, Shape, Weights, last_axis, layer, layer_base, show};
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::{Type, Var};

layer! {
    /// `softmax(score(Q, K)) V`, where the score is `scale Q Kᵀ`, or, with `score_mode` `"concat"`, `weight Σ tanh(scale (Q + K))`.
    ///
    /// **Inputs** query `[batch, T, features]`, value `[batch, S, values]`, optionally key `[batch, S, features]` (the value unless given).
    /// Masks of query and value count. **Arguments of the call** `use_causal_mask`, `return_attention_scores`.
    /// **Shape** → `[batch, T, values]`; scores `[batch, T, S]`.
    pub struct Attention("Attention") {
        ;
        /// Whether scores are scaled by a number that is learned.
        use_scale: bool = false,
        /// `"dot"` or `"concat"`.
        score_mode: Word = "dot".into(),
        /// Share of the attention weights that is dropped in training.
        dropout: f64 = 0.0,
        /// A seed, kept for files; the model's seed decides.
        seed: Option<i64> = None,
    }
}

layer! {
    /// `softmax(Σ scale tanh(Q + K)) V`.
    ///
    /// **Inputs** query `[batch, T, features]`, value `[batch, S, features]`, optionally key `[batch, S, features]` (the value unless
    /// given). Masks of query and value count. **Arguments of the call** `use_causal_mask`, `return_attention_scores`.
    /// **Shape** → `[batch, T, features]`; scores `[batch, T, S]`.
    pub struct AdditiveAttention("AdditiveAttention") {
        ;
        /// Whether features are weighted by numbers that are learned.
        use_scale: bool = true,
        /// Share of the attention weights that is dropped in training.
        dropout: f64 = 0.0,
        /// A seed, kept for files; the model's seed decides.
        seed: Option<i64> = None,
    }
}

impl LayerRule for Attention {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let concat = self.score_mode.one_of("score_mode", &["dot", "concat"])? == "concat";
        check(inputs)?;
        if self.use_scale {
            weights.add("scale", &[], &Object::named("ones"))?;
        }
        if concat {
            weights.add("concat_score_weight", &[], &Object::named("ones"))?;
        }
        if self.dropout > 0.0 { weights.add_seed("seed_generator") } else { Ok(()) }
    }

    fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
        let (query, key) = (&inputs[0], inputs.last().unwrap_or(&inputs[0]));
        let scale = self.use_scale.then(|| cx.weight("scale")).transpose()?;
        let scaled = |v: Var| scale.as_ref().map_or(v.clone(), |s| v.clone() * s);
        let scores = match self.score_mode.one_of("score_mode", &["dot", "concat"])? {
            "dot" => {
                let (lead, features) = (lead(query), query.rank() - 1);
                scaled(query.dot_general(key, (&lead, &lead), (&[features], &[features])))
            }
            _ => scaled(sums(query, key)).tanh().reduce_sum(&[query.rank()]) * cx.weight("concat_score_weight")?,
        };
        attend(cx, inputs, scores, self.dropout)
    }
}

impl LayerRule for AdditiveAttention {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        check(inputs)?;
        if self.use_scale {
            weights.add("scale", &[last_axis(&inputs[0])?], &Object::named("glorot_uniform"))?;
        }
        if self.dropout > 0.0 { weights.add_seed("seed_generator") } else { Ok(()) }
    }

    fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
        let terms = sums(&inputs[0], inputs.last().unwrap_or(&inputs[0])).tanh();
        let terms = if self.use_scale { terms * cx.weight("scale")? } else { terms };
        attend(cx, inputs, terms.reduce_sum(&[inputs[0].rank()]), self.dropout)
    }
}

/// Query, value and perhaps key, of equally many axes, that fit together.
fn check(inputs: &[Shape]) -> Result<()> {
    let fits = |a: Option<usize>, b: Option<usize>| a.is_none() || b.is_none() || a == b;
    let rank = inputs.first().map_or(0, Vec::len);
    let fit = matches!(inputs.len(), 2 | 3) && rank > 1 && inputs.iter().all(|s| s.len() == rank) && {
        let (value, key) = (&inputs[1], &inputs[inputs.len() - 1]);
        fits(inputs[0][rank - 1], key[rank - 1]) && fits(value[rank - 2], key[rank - 2])
    };
    match fit {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Shape, "query, value and key do not fit together")
            .expected("query [batch, T, features], value [batch, S, values], optionally key [batch, S, features]")
            .received(inputs.iter().map(|s| show(s)).collect::<Vec<_>>().join(", "))),
    }
}

/// The axes before steps and features. (Without any, the samples of a batch attend to each other.)
fn lead(x: &Var) -> Vec<usize> {
    (0..x.rank() - 2).collect()
}

/// Every query plus every key: `[batch, T, S, features]`.
fn sums(query: &Var, key: &Var) -> Var {
    let (lead, n) = (lead(query), query.rank());
    let shape = [&query.shape()[..n - 1], &key.shape()[n - 2..]].concat();
    let spread = |v: &Var, step: usize| v.broadcast_in_dim(&shape, &[&lead[..], &[step, n]].concat());
    spread(query, n - 2) + spread(key, n - 1)
}

/// The values weighted by the softmax of scores `[batch, T, S]`, and the weights if asked for.
fn attend(cx: &mut Call<'_>, inputs: &[Var], mut scores: Var, dropout: f64) -> Result<Vec<Var>> {
    let shape = scores.shape().to_vec();
    let n = shape.len();
    let place = |axis: usize| cx.trace().iota(&Type::new(DType::I32, &shape[..]), axis);
    let causal = cx.arguments().flag("use_causal_mask").then(|| place(n - 2).greater_equal(&place(n - 1)));
    let along = |m: &Var, last: usize| (0..m.rank() - 1).chain([last]).collect::<Vec<_>>();
    let values = cx.mask(1).map(|m| m.broadcast_in_dim(&shape, &along(m, n - 1)));
    if let Some(mask) = causal.into_iter().chain(values).reduce(|a, b| a.and(&b)) {
        let far = if scores.dtype() == DType::F16 { 65_504.0 } else { 1e9 };
        scores = mask.select(&scores, &(&scores - far));
    }
    let weights = scores.softmax(n - 1);
    let mut paid = weights.clone();
    if cx.training() && dropout > 0.0 {
        paid = dropped(cx, &weights, weights.shape(), dropout);
    }
    let lead = lead(&inputs[1]);
    let mut y = paid.dot_general(&inputs[1], (&lead, &lead), (&[n - 1], &[n - 2]));
    if let Some(mask) = cx.mask(0) {
        y = mask.broadcast_in_dim(y.shape(), &along(mask, n - 2)).select(&y, &y.full_like(0.0));
    }
    cx.set_mask(cx.mask(0).cloned());
    let scores = cx.arguments().flag("return_attention_scores").then_some(weights);
    Ok([y].into_iter().chain(scores).collect())
}
