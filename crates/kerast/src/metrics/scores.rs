//! Scores of whole rows of predictions: F and R².

use super::MetricRule;
use super::mean::StateSpec;
use crate::config::{Word, config};
use crate::losses::EPSILON;
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_graph::Var;

/// Targets and predictions `[samples, classes]` in f32, and weights `[samples, 1]`.
fn rows(t: &Var, p: &Var, w: Option<&Var>) -> Result<(Var, Var, Option<Var>)> {
    let (t, p) = (t.convert(DType::F32), p.convert(DType::F32));
    if p.rank() != 2 || t.shape() != p.shape() {
        return Err(Error::new(ErrorKind::Shape, "the metric takes targets and predictions [samples, classes]")
            .received(format!("{:?}, {:?}", t.shape(), p.shape())));
    }
    let n = p.shape()[0];
    let w = w.map(|w| w.convert(DType::F32)).map(|w| if w.ty().len() == n { w.reshape(&[n, 1]) } else { w });
    Ok((t, p, w))
}

fn weighted(v: Var, w: &Option<Var>) -> Var {
    match w {
        Some(w) => &v * w.broadcast_to(v.shape()),
        None => v,
    }
}

/// The F score from true positives, false positives, false negatives and positives of each class.
fn f_score(state: &[Tensor], beta: f64, average: &Option<Word>) -> Vec<f64> {
    let [tp, fp, missed, positives] = [0, 1, 2, 3].map(|i| state[i].to_f64_vec());
    let square = beta * beta;
    let one = |i: usize| {
        let precision = tp[i] / (tp[i] + fp[i] + EPSILON);
        let recall = tp[i] / (tp[i] + missed[i] + EPSILON);
        (1.0 + square) * precision * recall / (square * precision + recall + EPSILON)
    };
    let scores: Vec<f64> = (0..tp.len()).map(one).collect();
    match average.as_ref().map(|a| a.0.as_str()) {
        None => scores,
        Some("weighted") => {
            let all = positives.iter().sum::<f64>() + EPSILON;
            vec![scores.iter().zip(&positives).map(|(s, n)| s * n / all).sum()]
        }
        Some(_) => vec![scores.iter().sum::<f64>() / scores.len().max(1) as f64],
    }
}

fn f_state(p: &[usize], average: &Option<Word>) -> Vec<StateSpec> {
    let micro = average.as_ref().is_some_and(|a| a.0 == "micro");
    let shape: Vec<usize> = if micro { vec![] } else { p.last().copied().into_iter().collect() };
    ["true_positives", "false_positives", "false_negatives", "intermediate_weights"]
        .map(|name| StateSpec::new(name, &shape))
        .into()
}

fn f_update(state: &[Var], t: &Var, p: &Var, w: Option<&Var>, threshold: Option<f64>) -> Result<Vec<Var>> {
    let (t, p, w) = rows(t, p, w)?;
    let called = match threshold {
        Some(limit) => p.gt(limit),
        // The largest of a row, if it is not 0.
        None => {
            let top = p.reduce_max(&[1]).expand_dims(1).broadcast_to(p.shape());
            p.greater_equal(&top).and(&p.abs().gt(1e-9))
        }
    }
    .convert(DType::F32);
    let axes: Vec<usize> = if state[0].rank() == 0 { vec![0, 1] } else { vec![0] };
    let found = [&called * &t, &called * (1.0 - &t), (1.0 - &called) * &t, t.clone()];
    Ok(state.iter().zip(found).map(|(s, f)| s + weighted(f, &w).reduce_sum(&axes)).collect())
}

macro_rules! f_scores {
    ($($(#[$meta:meta])* $name:ident($class:literal, $label:literal) { $($(#[$fmeta:meta])* $field:ident: f64 = $default:expr,)* } |$this:ident| $beta:expr;)*) => {$(
        config! {
            $(#[$meta])*
            pub struct $name($class) {
                ;
                /// The name in a history.
                name: String = $label.into(),
                /// The element type of the state.
                dtype: String = "float32".into(),
                /// `"micro"`, `"macro"` or `"weighted"`; a score for each class unless given.
                average: Option<Word> = None,
                $($(#[$fmeta])* $field: f64 = $default,)*
                /// What is larger is called positive; the largest of each row unless given.
                threshold: Option<f64> = None,
            }
        }

        impl MetricRule for $name {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn state(&self, y_pred: &[usize]) -> Vec<StateSpec> {
                f_state(y_pred, &self.average)
            }
            fn update(&self, state: &[Var], t: &Var, p: &Var, w: Option<&Var>) -> Result<Vec<Var>> {
                if let Some(a) = &self.average {
                    a.one_of("average", &["micro", "macro", "weighted"])?;
                }
                f_update(state, t, p, w, self.threshold)
            }
            fn result(&self, state: &[Tensor]) -> Vec<f64> {
                let $this = self;
                let _ = $this;
                f_score(state, $beta, &self.average)
            }
        }
    )*};
}

f_scores! {
    /// `(1+β²) precision recall / (β² precision + recall)`, targets one-hot.
    FBetaScore("FBetaScore", "fbeta_score") {
        /// How much recall counts beside precision.
        beta: f64 = 1.0,
    } |m| m.beta;

    /// The harmonic mean of precision and recall, targets one-hot.
    F1Score("F1Score", "f1_score") {} |m| 1.0;
}

config! {
    /// `1 - Σ (t-p)² / Σ (t-mean t)²`: the part of the targets' variance that the predictions explain.
    pub struct R2Score("R2Score") {
        ;
        /// The name in a history.
        name: String = "r2_score".into(),
        /// The element type of the state.
        dtype: String = "float32".into(),
        /// `"uniform_average"` or `"variance_weighted_average"` over the outputs; a score for each without.
        class_aggregation: Option<Word> = Some("uniform_average".into()),
        /// Number of inputs, for the score adjusted by it; 0: not adjusted.
        num_regressors: usize = 0,
    }
}

impl MetricRule for R2Score {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn state(&self, y_pred: &[usize]) -> Vec<StateSpec> {
        let classes: Vec<usize> = y_pred.last().copied().into_iter().collect();
        let per_class = ["squared_sum", "sum", "residual", "count"].map(|name| StateSpec::new(name, &classes));
        std::iter::once(StateSpec::new("num_samples", &[])).chain(per_class).collect()
    }

    fn update(&self, state: &[Var], t: &Var, p: &Var, w: Option<&Var>) -> Result<Vec<Var>> {
        if let Some(a) = &self.class_aggregation {
            a.one_of("class_aggregation", &["uniform_average", "variance_weighted_average"])?;
        }
        let (t, p, w) = rows(t, p, w)?;
        let sums = [t.square(), t.clone(), (&t - &p).square(), t.full_like(1.0)];
        let mut next = vec![&state[0] + t.ty().len() as f64];
        next.extend(state[1..].iter().zip(sums).map(|(s, v)| s + weighted(v, &w).reduce_sum(&[0])));
        Ok(next)
    }

    fn result(&self, state: &[Tensor]) -> Vec<f64> {
        let [squares, sums, residual, count] = [1, 2, 3, 4].map(|i| state[i].to_f64_vec());
        let total: Vec<f64> = (0..sums.len()).map(|i| squares[i] - sums[i] * sums[i] / count[i]).collect();
        let score = |i: usize| Some(1.0 - residual[i] / total[i]).filter(|s| !s.is_infinite()).unwrap_or(0.0);
        let scores: Vec<f64> = (0..sums.len()).map(score).collect();
        let scores = match self.class_aggregation.as_ref().map(|a| a.0.as_str()) {
            None => scores,
            Some("variance_weighted_average") => {
                let weighted: f64 = scores.iter().zip(&total).map(|(s, t)| s * t).sum();
                vec![weighted / total.iter().sum::<f64>()]
            }
            Some(_) => vec![scores.iter().sum::<f64>() / scores.len().max(1) as f64],
        };
        let (n, k) = (state[0].to_f64_vec()[0], self.num_regressors as f64);
        match self.num_regressors > 0 && k < n - 1.0 {
            true => scores.into_iter().map(|s| 1.0 - (1.0 - s) * (n - 1.0) / (n - k - 1.0)).collect(),
            false => scores,
        }
    }
}
