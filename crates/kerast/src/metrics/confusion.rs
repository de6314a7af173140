//! Metrics of right and wrong at thresholds: true and false positives and negatives, precision, recall, area under curves.

use super::MetricRule;
use super::mean::StateSpec;
use crate::config::{Word, config};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_graph::{Type, Var};

/// What is counted at each threshold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    TruePositives,
    FalsePositives,
    TrueNegatives,
    FalseNegatives,
}

/// Predictions and targets as one row of elements, and what each element weighs.
struct Flat {
    t: Var,
    p: Var,
    w: Option<Var>,
}

fn flatten(t: &Var, p: &Var, weight: Option<&Var>) -> Result<Flat> {
    let n: usize = p.shape().iter().product();
    let t = t.convert(DType::F32);
    let m: usize = t.shape().iter().product();
    if n != m {
        return Err(Error::new(ErrorKind::Shape, "targets and predictions do not fit together")
            .expected(format!("targets of shape {:?}", p.shape()))
            .received(format!("{:?}", t.shape())));
    }
    let w = weight.map(|w| {
        let mut shape = w.shape().to_vec();
        while shape.len() > p.rank() && shape.last() == Some(&1) {
            shape.pop();
        }
        while shape.len() < p.rank() {
            shape.push(1);
        }
        w.convert(DType::F32).reshape(&shape).broadcast_to(p.shape()).reshape(&[n])
    });
    Ok(Flat { t: t.reshape(&[n]), p: p.convert(DType::F32).reshape(&[n]), w })
}

/// The counts at these thresholds: `[thresholds]` each.
fn counts(flat: &Flat, thresholds: &[f64], wanted: &[Count]) -> Result<Vec<Var>> {
    let n = flat.p.shape()[0];
    let k = thresholds.len();
    let trace = flat.p.trace();
    let limits: Vec<f32> = thresholds.iter().map(|t| *t as f32).collect();
    let limits = trace.constant(Tensor::new(&[k, 1], &limits)?).broadcast_to(&[k, n]);
    let row = |v: &Var| v.reshape(&[1, n]).broadcast_to(&[k, n]);
    let predicted = row(&flat.p).greater(&limits);
    let actual = row(&flat.t).gt(0.5);
    let weight = match &flat.w {
        Some(w) => row(w),
        None => trace.full(&Type::new(DType::F32, [k, n]), 1.0),
    };
    let zero = weight.full_like(0.0);
    Ok(wanted
        .iter()
        .map(|c| {
            let hit = match c {
                Count::TruePositives => predicted.and(&actual),
                Count::FalsePositives => predicted.and(&actual.not()),
                Count::TrueNegatives => predicted.not().and(&actual.not()),
                Count::FalseNegatives => predicted.not().and(&actual),
            };
            hit.select(&weight, &zero).reduce_sum(&[1])
        })
        .collect())
}

fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident($class:literal, $label:literal, $count:ident);)*) => {$(
        config! {
            $(#[$meta])*
            pub struct $name($class) {
                ;
                /// The threshold or thresholds; 0.5 unless given.
                thresholds: Option<Vec<f64>> = None,
                /// The name in a history.
                name: String = $label.into(),
                /// The element type of the state.
                dtype: String = "float32".into(),
            }
        }

        impl MetricRule for $name {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn state(&self, _: &[usize]) -> Vec<StateSpec> {
                vec![StateSpec::new("accumulator", &[self.thresholds.as_ref().map_or(1, Vec::len)])]
            }
            fn update(&self, state: &[Var], t: &Var, p: &Var, w: Option<&Var>) -> Result<Vec<Var>> {
                let limits = self.thresholds.clone().unwrap_or_else(|| vec![0.5]);
                let found = counts(&flatten(t, p, w)?, &limits, &[Count::$count])?;
                Ok(vec![&state[0] + &found[0]])
            }
            fn result(&self, state: &[Tensor]) -> Vec<f64> {
                state[0].to_f64_vec()
            }
        }
    )*};
}

counters! {
    /// Positives that were found.
    TruePositives("TruePositives", "true_positives", TruePositives);
    /// Negatives that were taken for positives.
    FalsePositives("FalsePositives", "false_positives", FalsePositives);
    /// Negatives that were left alone.
    TrueNegatives("TrueNegatives", "true_negatives", TrueNegatives);
    /// Positives that were missed.
    FalseNegatives("FalseNegatives", "false_negatives", FalseNegatives);
}

/// Predictions of which only the k largest of each row count, and only one class if asked for.
fn selected(t: &Var, p: &Var, top_k: Option<usize>, class: Option<usize>) -> (Var, Var) {
    let (mut t, mut p) = (t.convert(DType::F32), p.convert(DType::F32));
    let axis = p.rank().saturating_sub(1);
    if let Some(k) = top_k {
        // The k-th largest: fewer than k lie above it.
        let n = p.dim(-1);
        let mut shape = p.shape().to_vec();
        shape.push(n);
        let (own, other) = (p.expand_dims(axis + 1).broadcast_to(&shape), p.expand_dims(axis).broadcast_to(&shape));
        let above = other.greater(&own).convert(DType::F32).reduce_sum(&[axis + 1]);
        p = above.lt(k as f64).select(&p, &p.full_like(f64::NEG_INFINITY));
    }
    if let Some(c) = class {
        let one = |v: &Var| {
            let (mut start, mut limit) = (vec![0; v.rank()], v.shape().to_vec());
            (start[axis], limit[axis]) = (c, c + 1);
            v.slice(&start, &limit, &vec![1; v.rank()])
        };
        (t, p) = (one(&t), one(&p));
    }
    (t, p)
}

macro_rules! ratios {
    ($($(#[$meta:meta])* $name:ident($class:literal, $label:literal, $other:ident, $state:literal);)*) => {$(
        config! {
            $(#[$meta])*
            pub struct $name($class) {
                ;
                /// The name in a history.
                name: String = $label.into(),
                /// The element type of the state.
                dtype: String = "float32".into(),
                /// The threshold or thresholds; 0.5 unless given (with `top_k`: none).
                thresholds: Option<Vec<f64>> = None,
                /// Only the k largest predictions of each row count.
                top_k: Option<usize> = None,
                /// Only this class counts.
                class_id: Option<usize> = None,
            }
        }

        impl $name {
            fn limits(&self) -> Vec<f64> {
                match (&self.thresholds, self.top_k) {
                    (Some(t), _) => t.clone(),
                    (None, Some(_)) => vec![f64::NEG_INFINITY],
                    (None, None) => vec![0.5],
                }
            }
        }

        impl MetricRule for $name {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn state(&self, _: &[usize]) -> Vec<StateSpec> {
                let n = self.limits().len();
                vec![StateSpec::new("true_positives", &[n]), StateSpec::new($state, &[n])]
            }
            fn update(&self, state: &[Var], t: &Var, p: &Var, w: Option<&Var>) -> Result<Vec<Var>> {
                let (t, p) = selected(t, p, self.top_k, self.class_id);
                let found = counts(&flatten(&t, &p, w)?, &self.limits(), &[Count::TruePositives, Count::$other])?;
                Ok(state.iter().zip(found).map(|(s, f)| s + f).collect())
            }
            fn result(&self, state: &[Tensor]) -> Vec<f64> {
                let (tp, other) = (state[0].to_f64_vec(), state[1].to_f64_vec());
                tp.iter().zip(&other).map(|(t, o)| ratio(*t, t + o)).collect()
            }
        }
    )*};
}

ratios! {
    /// Found positives among all that were called positive.
    Precision("Precision", "precision", FalsePositives, "false_positives");
    /// Found positives among all positives.
    Recall("Recall", "recall", FalseNegatives, "false_negatives");
}

config! {
    /// The area under the ROC or the precision-recall curve, by counts at many thresholds.
    pub struct Auc("AUC") {
        ;
        /// The name in a history.
        name: String = "auc".into(),
        /// The element type of the state.
        dtype: String = "float32".into(),
        /// Number of thresholds.
        num_thresholds: usize = 200,
        /// `"ROC"` or `"PR"`.
        curve: Word = "ROC".into(),
        /// `"interpolation"`, `"minoring"` or `"majoring"`.
        summation_method: Word = "interpolation".into(),
        /// Each label has a curve of its own.
        multi_label: bool = false,
        /// How many labels there are.
        num_labels: Option<usize> = None,
        /// What each label counts in the mean.
        label_weights: Option<Vec<f64>> = None,
        /// Predictions are logits.
        from_logits: bool = false,
        /// The thresholds between 0 and 1, instead of evenly spaced ones.
        thresholds: Option<Vec<f64>> = None,
    }
}

impl Auc {
    fn limits(&self) -> Vec<f64> {
        let inner: Vec<f64> = match &self.thresholds {
            Some(t) => {
                let mut t = t.clone();
                t.sort_by(f64::total_cmp);
                t
            }
            None => {
                let n = self.num_thresholds.max(2);
                (1..n - 1).map(|i| i as f64 / (n - 1) as f64).collect()
            }
        };
        std::iter::once(-1e-7).chain(inner).chain([1.0 + 1e-7]).collect()
    }

    /// The area from the counts of one label.
    fn area(&self, tp: &[f64], fp: &[f64], tn: &[f64], fn_: &[f64]) -> f64 {
        let n = tp.len();
        let (pr, method) = (self.curve.0 == "PR", self.summation_method.0.as_str());
        if pr && method == "interpolation" {
            return interpolated_pr(tp, fp, fn_);
        }
        let recall: Vec<f64> = (0..n).map(|i| ratio(tp[i], tp[i] + fn_[i])).collect();
        let (x, y): (Vec<f64>, Vec<f64>) = match pr {
            true => (recall, (0..n).map(|i| ratio(tp[i], tp[i] + fp[i])).collect()),
            false => ((0..n).map(|i| ratio(fp[i], fp[i] + tn[i])).collect(), recall),
        };
        (0..n - 1)
            .map(|i| {
                let height = match method {
                    "minoring" => y[i].min(y[i + 1]),
                    "majoring" => y[i].max(y[i + 1]),
                    _ => (y[i] + y[i + 1]) / 2.0,
                };
                (x[i] - x[i + 1]) * height
            })
            .sum()
    }
}

/// The area under the precision-recall curve with precision interpolated between thresholds (Davis and Goadrich 2006).
fn interpolated_pr(tp: &[f64], fp: &[f64], fn_: &[f64]) -> f64 {
    let n = tp.len();
    (0..n - 1)
        .map(|i| {
            let (p0, p1) = (tp[i] + fp[i], tp[i + 1] + fp[i + 1]);
            let dtp = tp[i] - tp[i + 1];
            let slope = ratio(dtp, (p0 - p1).max(0.0));
            let intercept = tp[i + 1] - slope * p1;
            let safe = if p0 > 0.0 && p1 > 0.0 { ratio(p0, p1.max(0.0)) } else { 1.0 };
            ratio(slope * (dtp + intercept * safe.ln()), (tp[i + 1] + fn_[i + 1]).max(0.0))
        })
        .sum()
}

impl MetricRule for Auc {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn state(&self, y_pred: &[usize]) -> Vec<StateSpec> {
        let n = self.limits().len();
        let shape = match self.multi_label {
            true => vec![n, y_pred.last().copied().unwrap_or(1)],
            false => vec![n],
        };
        ["true_positives", "false_positives", "true_negatives", "false_negatives"]
            .map(|s| StateSpec::new(s, &shape))
            .into()
    }

    fn update(&self, state: &[Var], t: &Var, p: &Var, w: Option<&Var>) -> Result<Vec<Var>> {
        self.curve.one_of("curve", &["ROC", "PR"])?;
        self.summation_method.one_of("summation_method", &["interpolation", "minoring", "majoring"])?;
        let p = if self.from_logits { p.logistic() } else { p.clone() };
        let wanted = [Count::TruePositives, Count::FalsePositives, Count::TrueNegatives, Count::FalseNegatives];
        let limits = self.limits();
        if !self.multi_label {
            let weights = self.label_weights_of(&p, w)?;
            let found = counts(&flatten(t, &p, weights.as_ref())?, &limits, &wanted)?;
            return Ok(state.iter().zip(found).map(|(s, f)| s + f).collect());
        }
        let labels = p.dim(-1);
        let axis = p.rank() - 1;
        let column = |v: &Var, c: usize| {
            let (mut start, mut limit) = (vec![0; v.rank()], v.shape().to_vec());
            (start[axis], limit[axis]) = (c, c + 1);
            v.slice(&start, &limit, &vec![1; v.rank()])
        };
        let t = t.convert(DType::F32);
        let mut columns: Vec<Vec<Var>> = vec![vec![]; 4];
        for c in 0..labels {
            let found = counts(&flatten(&column(&t, c), &column(&p, c), w)?, &limits, &wanted)?;
            found.into_iter().zip(&mut columns).for_each(|(f, col)| col.push(f.expand_dims(1)));
        }
        let joined = columns.iter().map(|c| Var::concatenate(&c.iter().collect::<Vec<_>>(), 1));
        Ok(state.iter().zip(joined).map(|(s, f)| s + f).collect())
    }

    fn result(&self, state: &[Tensor]) -> Vec<f64> {
        let all: Vec<Vec<f64>> = state.iter().map(Tensor::to_f64_vec).collect();
        if !self.multi_label {
            return vec![self.area(&all[0], &all[1], &all[2], &all[3])];
        }
        let labels = state[0].shape()[1];
        let of = |k: usize, c: usize| all[k].iter().skip(c).step_by(labels).copied().collect::<Vec<f64>>();
        let areas: Vec<f64> = (0..labels).map(|c| self.area(&of(0, c), &of(1, c), &of(2, c), &of(3, c))).collect();
        let weight = |c: usize| self.label_weights.as_ref().and_then(|w| w.get(c)).copied().unwrap_or(1.0);
        let total: f64 = (0..labels).map(weight).sum();
        vec![ratio((0..labels).map(|c| areas[c] * weight(c)).sum(), total)]
    }
}

impl Auc {
    /// Sample weights times label weights.
    fn label_weights_of(&self, p: &Var, w: Option<&Var>) -> Result<Option<Var>> {
        let Some(labels) = &self.label_weights else { return Ok(w.cloned()) };
        let row: Vec<f32> = labels.iter().map(|v| *v as f32).collect();
        let labels = p.trace().constant(Tensor::new(&[row.len()], &row)?).broadcast_to(p.shape());
        Ok(Some(match w {
            Some(w) => {
                let mut shape = w.shape().to_vec();
                while shape.len() < p.rank() {
                    shape.push(1);
                }
                w.convert(DType::F32).reshape(&shape).broadcast_to(p.shape()) * labels
            }
            None => labels,
        }))
    }
}
