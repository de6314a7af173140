//! What recurrent layers share: time first, the scan, masks, states, directions.

use crate::activations::Activation;
use crate::layers::{Call, Shape, Weights, expect_rank, known};
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

/// The arguments that say how a recurrent layer walks.
pub(super) struct Walk {
    /// The shape of a state, without the batch axis.
    pub(super) state: Vec<usize>,
    pub(super) return_sequences: bool,
    pub(super) return_state: bool,
    pub(super) go_backwards: bool,
    pub(super) stateful: bool,
    pub(super) zero_output_for_mask: bool,
    pub(super) dropout: f64,
    pub(super) recurrent_dropout: f64,
    /// How many states a step carries.
    pub(super) states: usize,
}

impl Walk {
    /// Refuses arguments and shapes that cannot be; declares the states of a stateful layer; gives the number of features.
    pub(super) fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<usize> {
        expect_rank(&inputs[0], 3, "batch, time, features")?;
        self.declare(inputs, weights)?;
        known(&inputs[0], 2, "the feature axis")
    }

    /// Refuses arguments that cannot be; declares the states of a stateful layer.
    pub(super) fn declare(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        for (name, rate) in [("dropout", self.dropout), ("recurrent_dropout", self.recurrent_dropout)] {
            if !(0.0..=1.0).contains(&rate) {
                return Err(
                    Error::new(ErrorKind::Argument, format!("`{name}` must lie between 0 and 1")).received(rate)
                );
            }
        }
        if self.stateful {
            let batch = inputs[0][0].ok_or_else(|| {
                Error::new(ErrorKind::Shape, "a stateful layer needs a fixed batch size")
                    .repair("Input::new(…).batch_size(n)")
            })?;
            for i in 0..self.states {
                weights.add_state(&format!("rnn_state_{i}"), &self.with_batch(batch))?;
            }
        }
        Ok(())
    }

    fn with_batch(&self, batch: usize) -> Vec<usize> {
        [&[batch], &self.state[..]].concat()
    }

    /// Random masks for input and state, the same for every step: scaled zeros and ones.
    pub(super) fn masks(&self, cx: &mut Call<'_>, x: &Var) -> (Option<Var>, Option<Var>) {
        if !cx.training() {
            return (None, None);
        }
        let batch = x.shape()[0];
        let input = drawn(cx, self.dropout, x.dtype(), &[batch, x.dim(-1)]);
        (input, drawn(cx, self.recurrent_dropout, x.dtype(), &self.with_batch(batch)))
    }

    /// Runs the steps. `z` is `[time, batch, …]`: what the input contributes to every step; `step(constants, states, z_t)` gives the
    /// next states, the first of which is the output.
    pub(super) fn run(
        &self,
        cx: &mut Call<'_>,
        inputs: &[Var],
        z: Var,
        constants: &[Var],
        step: impl FnOnce(&[Var], &[Var], &Var) -> Vec<Var>,
    ) -> Result<Vec<Var>> {
        let (time, batch) = (z.shape()[0], z.shape()[1]);
        let first: Vec<Var> = match inputs.len() {
            1 if self.stateful => {
                (0..self.states).map(|i| cx.weight(&format!("rnn_state_{i}"))).collect::<Result<_>>()?
            }
            1 => vec![z.trace().full(&kerast_graph::Type::new(z.dtype(), self.with_batch(batch)), 0.0); self.states],
            n if n == self.states + 1 => inputs[1..].to_vec(),
            n => {
                return Err(Error::new(
                    ErrorKind::Argument,
                    "a recurrent layer takes its input, or its input and all initial states",
                )
                .expected(format!("1 or {} inputs", self.states + 1))
                .received(n));
            }
        };
        let mask = cx.mask(0).map(|m| m.transpose(&[1, 0]));
        let mut slices = vec![z];
        slices.extend(mask.clone());
        let mut carries = first;
        if mask.is_some() {
            // The output that masked steps repeat.
            carries.push(carries[0].full_like(0.0));
        }
        let (n, zero) = (self.states, self.zero_output_for_mask);
        let trace = cx.trace().clone();
        let (last, stacks) = trace.scan(constants, &carries, &slices, time, self.go_backwards, |c, k, x| {
            let mut next = step(c, &k[..n], &x[0]);
            let Some(mask) = x.get(1) else {
                let out = next[0].clone();
                return (next, vec![out]);
            };
            let there = mask.reshape(&[&[batch], &vec![1; next[0].rank() - 1][..]].concat());
            let before = if zero { k[n].full_like(0.0) } else { k[n].clone() };
            let out = there.select(&next[0], &before);
            for (new, old) in next.iter_mut().zip(&k[..n]) {
                *new = there.select(new, old);
            }
            next.push(out.clone());
            (next, vec![out])
        });
        if self.stateful {
            for (i, state) in last[..n].iter().enumerate() {
                cx.update(&format!("rnn_state_{i}"), state)?;
            }
        }
        let output = match (self.return_sequences, &mask) {
            (true, _) => {
                let y = stacks[0].transpose(&swapped(stacks[0].rank()));
                // The last step of a backward walk stands first, as Keras returns it.
                if self.go_backwards { y.reverse(&[1]) } else { y }
            }
            (false, Some(_)) => last[n].clone(),
            (false, None) => last[0].clone(),
        };
        let out_mask = if self.return_sequences { cx.mask(0).cloned() } else { None };
        let mut masks = vec![out_mask];
        let mut outputs = vec![output];
        if self.return_state {
            outputs.extend(last[..n].iter().cloned());
            masks.extend(vec![None; n]);
        }
        cx.set_masks(masks);
        Ok(outputs)
    }
}

/// A random mask of scaled zeros and ones, if anything is dropped.
pub(super) fn drawn(cx: &mut Call<'_>, rate: f64, dtype: crate::DType, shape: &[usize]) -> Option<Var> {
    (rate > 0.0 && cx.training()).then(|| {
        let u = cx.uniform(shape).convert(dtype);
        let keep = u.greater_equal(&u.full_like(rate));
        let scale = if rate < 1.0 { 1.0 / (1.0 - rate) } else { 0.0 };
        keep.select(&u.full_like(scale), &u.full_like(0.0))
    })
}

/// The order of axes with the first two swapped: batch and time.
fn swapped(rank: usize) -> Vec<usize> {
    [1, 0].into_iter().chain(2..rank).collect()
}

/// `[batch, time, features]` as `[time, batch, features]`, with a mask for dropped features applied.
pub(super) fn time_first(x: &Var, dropped: Option<&Var>) -> Var {
    let x = x.convert(if x.dtype().is_float() { x.dtype() } else { crate::DType::F32 });
    let x = x.transpose(&swapped(x.rank()));
    match dropped {
        Some(m) => &x * m.convert(x.dtype()).broadcast_in_dim(x.shape(), &[1, 2]),
        None => x,
    }
}

/// Part `i` of `n` equal parts of the last axis.
pub(super) fn part(z: &Var, i: usize, n: usize) -> Var {
    part_along(z, z.rank() - 1, i, n)
}

/// Part `i` of `n` equal parts of an axis.
pub(super) fn part_along(z: &Var, axis: usize, i: usize, n: usize) -> Var {
    let width = z.shape()[axis] / n;
    z.slice_axis(axis, i * width, (i + 1) * width)
}

/// A state through its dropout mask.
pub(super) fn dropped(h: &Var, mask: Option<&Var>) -> Var {
    mask.map_or_else(|| h.clone(), |m| h * m)
}

/// An activation that has been checked before.
pub(super) fn apply(a: &Activation, x: &Var) -> Var {
    a.get().map_or_else(|_| x.clone(), |f| f.call(x))
}
