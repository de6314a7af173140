//! Attention with several heads (Vaswani et al. 2017).

use crate::config::{Object, Raw};
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::core::dropped;
use crate::layers::{Call, LayerRule, Shape, Weights, known, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::Var;

layer! {
    /// `softmax(Q Kᵀ / √key_dim) V` for each head, with Q, K, V projected from the inputs query, value and (if given) key, and the heads
    /// joined by one more projection.
    ///
    /// **Inputs** query `[batch, T…, features]`, value `[batch, S…, features]`, optionally key, of value's shape but for the last axis.
    /// **Arguments of the call** `use_causal_mask`, `attention_mask` (bool `[batch, T, S]`, true where attention is paid),
    /// `return_attention_scores`: see [`apply_with`](crate::models::Apply::apply_with). Masks that arrive with the inputs count, too.
    /// **Shape** → `[batch, T…, output_shape]`, the query's features unless given; scores `[batch, heads, T, S]`.
    pub struct MultiHeadAttention("MultiHeadAttention") {
        /// Number of heads.
        num_heads: usize,
        /// Features of a query and a key of one head.
        key_dim: usize,
        ;
        /// Features of a value of one head; `key_dim` unless given.
        value_dim: Option<usize> = None,
        /// Share of the attention weights that is dropped in training.
        dropout: f64 = 0.0,
        /// Whether the projections add a bias.
        use_bias: bool = true,
        /// Whether the heads are multiplied by a gate, the sigmoid of one more projection of the query.
        use_gate: bool = false,
        /// Shape of an output vector; the query's number of features unless given.
        output_shape: Option<Vec<usize>> = None,
        /// The axes along which attention is paid; all but batch and features unless given.
        attention_axes: Option<Vec<i64>> = None,
        /// Attention is paid to less than so many steps to either side.
        sliding_window: Option<usize> = None,
        /// First values of the kernels.
        kernel_initializer: Initializer = Object::named("glorot_uniform"),
        /// First values of the biases.
        bias_initializer: Initializer = Object::named("zeros"),
        /// Penalty on the kernels.
        kernel_regularizer: Option<Regularizer> = None,
        /// Penalty on the biases.
        bias_regularizer: Option<Regularizer> = None,
        /// Penalty on the outputs of the projections.
        activity_regularizer: Option<Regularizer> = None,
        /// Projection of the kernels after each update.
        kernel_constraint: Option<Constraint> = None,
        /// Projection of the biases after each update.
        bias_constraint: Option<Constraint> = None,
        /// A seed, kept for files; the model's seed decides.
        seed: Option<i64> = None,
        /// Kept for files: there is one way of computing.
        flash_attention: Option<Raw> = None,
    }
}

impl MultiHeadAttention {
    fn values(&self) -> usize {
        self.value_dim.unwrap_or(self.key_dim)
    }

    fn declare(&self, weights: &mut Weights, attribute: &str, name: &str, from: &[usize], to: &[usize]) -> Result<()> {
        weights.part(attribute, name, |w| {
            w.add("kernel", &[from, to].concat(), &self.kernel_initializer)?
                .regularizer(&self.kernel_regularizer)
                .constraint(&self.kernel_constraint);
            if self.use_bias {
                w.add("bias", to, &self.bias_initializer)?
                    .regularizer(&self.bias_regularizer)
                    .constraint(&self.bias_constraint);
            }
            Ok(())
        })
    }

    /// The last `contracted` axes of `x` through the projection.
    fn project(&self, cx: &mut Call<'_>, attribute: &str, x: &Var, contracted: usize) -> Result<Var> {
        let kernel = cx.weight(&format!("{attribute}/kernel"))?;
        let last: Vec<usize> = (x.rank() - contracted..x.rank()).collect();
        let first: Vec<usize> = (0..contracted).collect();
        let mut y = x.dot_general(&kernel, (&[], &[]), (&last, &first));
        if self.use_bias {
            y = y + cx.weight(&format!("{attribute}/bias"))?;
        }
        cx.penalize(&self.activity_regularizer, &y)?;
        Ok(y)
    }

    /// The axes along which attention is paid, of an input with `rank` axes.
    fn axes(&self, rank: usize) -> Result<Vec<usize>> {
        let Some(given) = &self.attention_axes else { return Ok((1..rank - 1).collect()) };
        let place = |a: &i64| if *a < 0 { a + rank as i64 } else { *a };
        let axes: Vec<usize> = given.iter().filter_map(|a| usize::try_from(place(a)).ok()).collect();
        match axes.len() == given.len() && axes.iter().all(|&a| a > 0 && a < rank - 1) && axes.is_sorted() {
            true => Ok(axes),
            false => Err(Error::new(ErrorKind::Argument, "`attention_axes` do not exist")
                .expected(format!("axes between 1 and {}, in order", rank - 2))
                .received(format!("{given:?}"))),
        }
    }

    /// Where attention is paid, of a shape that broadcasts to `[batch, T, S]`: masks of the inputs, of the call, causality, window.
    fn mask(&self, cx: &Call<'_>, query: &Var, value: &Var) -> Option<Var> {
        let (t, s) = (query.shape()[1], value.shape()[1]);
        let batch = query.shape()[0];
        let place = |axis: usize| cx.trace().iota(&kerast_graph::Type::new(DType::I32, [1, t, s]), axis);
        let mut parts: Vec<Var> = vec![];
        let named =
            |name: &str, i: usize| cx.arguments().tensor(name).or_else(|| cx.mask(i)).map(|m| m.convert(DType::Bool));
        parts.extend(named("query_mask", 0).map(|m| m.reshape(&[batch, t, 1]).broadcast_to(&[batch, t, s])));
        for (name, i) in [("value_mask", 1), ("key_mask", 2)] {
            parts.extend(named(name, i).map(|m| m.reshape(&[batch, 1, s]).broadcast_to(&[batch, t, s])));
        }
        if cx.arguments().flag("use_causal_mask") {
            parts.push(place(1).greater_equal(&place(2)));
        }
        if let Some(window) = self.sliding_window {
            let distance = (place(1) - place(2)).abs();
            parts.push(distance.constant_like(window as f64).greater(&distance));
        }
        parts.extend(cx.arguments().tensor("attention_mask").map(|m| m.convert(DType::Bool)));
        let rank = parts.iter().map(Var::rank).max()?;
        let largest: Vec<usize> = (0..rank)
            .map(|a| parts.iter().filter(|p| p.rank() == rank).map(|p| p.shape()[a]).max().unwrap_or(1))
            .collect();
        parts.into_iter().map(|p| p.broadcast_to(&largest)).reduce(|a, b| a.and(&b))
    }
}

impl LayerRule for MultiHeadAttention {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        let (Some(query), Some(value)) = (inputs.first(), inputs.get(1)) else {
            return Err(self.inputs_missing(inputs.len()));
        };
        let key = inputs.get(2).unwrap_or(value);
        if [query, value, key].iter().any(|s| s.len() < 3 || s.len() != query.len())
            || self.num_heads * self.key_dim * self.values() == 0
        {
            return Err(Error::new(ErrorKind::Shape, "query, value and key do not fit together")
                .expected("at least 3 axes, equally many each, and `num_heads`, `key_dim`, `value_dim` from 1 on")
                .received(inputs.iter().map(|s| crate::layers::show(s)).collect::<Vec<_>>().join(", ")));
        }
        self.axes(query.len())?;
        let features = |shape: &Shape| known(shape, shape.len() - 1, "the number of features");
        let output = self.output_shape.clone().map_or_else(|| Ok(vec![features(query)?]), Ok::<_, Error>)?;
        let n = self.num_heads;
        self.declare(weights, "query_dense", "query", &[features(query)?], &[n, self.key_dim])?;
        self.declare(weights, "key_dense", "key", &[features(key)?], &[n, self.key_dim])?;
        if self.use_gate {
            self.declare(weights, "_gate_dense", "gate", &[features(query)?], &[n, self.values()])?;
        }
        self.declare(weights, "value_dense", "value", &[features(value)?], &[n, self.values()])?;
        self.declare(weights, "output_dense", "attention_output", &[n, self.values()], &output)
    }

    fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
        let (Some(x), Some(v)) = (inputs.first(), inputs.get(1)) else { return Err(self.inputs_missing(inputs.len())) };
        let axes = self.axes(x.rank())?;
        let mask = self.mask(cx, x, v);
        cx.set_mask(cx.mask(0).cloned());
        let query = self.project(cx, "query_dense", x, 1)? * (1.0 / (self.key_dim as f64).sqrt());
        let key = self.project(cx, "key_dense", inputs.get(2).unwrap_or(v), 1)?;
        let value = self.project(cx, "value_dense", v, 1)?;
        // Axes that are not attended to, the heads among them, go together; a length of 1 stands for all.
        let rank = query.rank();
        let batch: Vec<usize> = (0..rank - 1).filter(|a| !axes.contains(a)).collect();
        let fitted = |x: &Var| {
            let dims: Vec<usize> =
                (0..rank).map(|a| if batch.contains(&a) { query.shape()[a] } else { x.shape()[a] }).collect();
            x.broadcast_to(&dims)
        };
        let (key, value) = (fitted(&key), fitted(&value));
        let scores = query.dot_general(&key, (&batch, &batch), (&[rank - 1], &[rank - 1]));
        // A query that may attend to nothing gets the mean of all values from Keras' fused path, and 0 from its other one.
        let fused = self.dropout == 0.0 && rank == 4 && !cx.arguments().flag("return_attention_scores");
        let weights = masked_softmax(&scores, mask, axes.len(), !fused);
        let mut paid = weights.clone();
        if cx.training() && self.dropout > 0.0 {
            paid = dropped(cx, &weights, weights.shape(), self.dropout);
        }
        let source: Vec<usize> = (paid.rank() - axes.len()..paid.rank()).collect();
        let places: Vec<usize> = (0..batch.len()).collect();
        let joined = paid.dot_general(&value, (&places, &batch), (&source, &axes));
        // Back to the query's order of axes: now batch axes, attended axes, features.
        let order: Vec<usize> = batch.iter().chain(&axes).copied().chain([rank - 1]).collect();
        let back: Vec<usize> = (0..rank).filter_map(|a| order.iter().position(|&o| o == a)).collect();
        let mut heads = joined.transpose(&back);
        if self.use_gate {
            heads = heads * self.project(cx, "_gate_dense", x, 1)?.logistic();
        }
        let mut outputs = vec![self.project(cx, "output_dense", &heads, 2)?];
        if cx.arguments().flag("return_attention_scores") {
            outputs.push(weights);
        }
        Ok(outputs)
    }

    fn separate_inputs(&self) -> bool {
        true
    }

    /// Keras' attention takes the masks off its inputs, so that a residual connection behind it has none.
    fn consumes_masks(&self) -> bool {
        true
    }
}

impl MultiHeadAttention {
    fn inputs_missing(&self, received: usize) -> Error {
        Error::new(ErrorKind::Argument, "attention takes two or three inputs")
            .expected("query, value, and optionally key")
            .received(received)
            .repair("for self-attention: `.apply((&x, &x))`")
    }
}

/// Softmax over the last `attended` axes, computed in f32 at least; where the mask is false nothing is paid. Where it is false throughout,
/// everything is paid equally, or nothing if `zeroed`.
fn masked_softmax(scores: &Var, mask: Option<Var>, attended: usize, zeroed: bool) -> Var {
    let own = scores.dtype();
    let mut wide = if own.size() < 4 { scores.convert(DType::F32) } else { scores.clone() };
    let shape = wide.shape().to_vec();
    // Axes that the mask lacks (the heads) stand before the attended ones.
    let mask = mask.map(|mask| {
        let mut dims = mask.shape().to_vec();
        let at = dims.len().saturating_sub(2 * attended);
        (dims.len()..shape.len()).for_each(|_| dims.insert(at, 1));
        mask.reshape(&dims).broadcast_to(&shape)
    });
    if let Some(mask) = &mask {
        wide = mask.select(&wide, &wide.full_like(-1e9));
    }
    let rows: usize = shape[..shape.len() - attended].iter().product();
    let columns: usize = shape[shape.len() - attended..].iter().product();
    let paid = wide.reshape(&[rows, columns]).softmax(1).reshape(&shape);
    let paid = match mask.filter(|_| zeroed) {
        Some(mask) => mask.select(&paid, &paid.full_like(0.0)),
        None => paid,
    };
    paid.convert(own)
}
