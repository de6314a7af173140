//! Functions and formulas: one JSON line per case.

use super::support::{Case, Outcome, close, compute, judge, numbers, registered, tensor};
use kerast::activations::ActivationRule;
use kerast::config::{Family, Json, make};
use kerast::constraints::ConstraintRule;
use kerast::initializers::InitializerRule;
use kerast::layers::{Input, LayerRef, LayerRule};
use kerast::losses::{self, LossRule};
use kerast::metrics::MetricRule;
use kerast::models::Sequential;
use kerast::optimizers::schedules::ScheduleRule;
use kerast::optimizers::{OptimizerRule, WeightInfo, apply, state_variables};
use kerast::regularizers::RegularizerRule;
use kerast::{DType, Tensor};
use kerast_graph::{Type, Var, autodiff};
use kerast_kernels::random::Stream;
use serde_json::Value;
use std::sync::Arc;

fn object<T: Family + ?Sized>(class: &str, config: &Value) -> Result<Arc<T>, Outcome> {
    make::<T>(class, &config.as_object().cloned().unwrap_or_else(Json::new)).map_err(|e| registered(&e, class))
}

fn tolerance(case: &Case) -> f64 {
    case.data["tolerance"].as_f64().or_else(|| case.index["tolerance"]["values"].as_f64()).unwrap_or(1e-5)
}

/// `y` and the gradient of `Σ y·upstream`.
fn value_and_gradient(
    x: Tensor,
    upstream: Option<Tensor>,
    f: impl FnOnce(&Var) -> kerast::Result<Var>,
) -> Result<(Vec<f64>, Vec<f64>), String> {
    let mut inputs = vec![x];
    inputs.extend(upstream);
    let out = compute(&inputs, |_, v| {
        let y = f(&v[0])?;
        let seed = match v.get(1) {
            Some(u) => u.reshape(y.shape()).convert(y.dtype()),
            None => y.full_like(1.0),
        };
        let dx = autodiff::vjp(&[(y.clone(), seed)], &v[..1]).swap_remove(0);
        Ok(vec![y, dx])
    })?;
    Ok((out[0].to_f64_vec(), out[1].to_f64_vec()))
}

pub(crate) fn activation(case: &Case) -> Outcome {
    let d = &case.data;
    let rule = match object::<dyn ActivationRule>(&case.class, &d["args"]) {
        Ok(r) => r,
        Err(o) => return o,
    };
    let up = (!d["upstream"].is_null()).then(|| tensor(&d["upstream"], DType::F32));
    judge(value_and_gradient(tensor(&d["x"], DType::F32), up, |x| Ok(rule.call(x))).and_then(|(y, dx)| {
        close(&y, &numbers(&d["y"]), tolerance(case))?;
        if d["dx"].is_null() {
            return Ok(());
        }
        close(&dx, &numbers(&d["dx"]), tolerance(case)).map_err(|e| format!("gradient: {e}"))
    }))
}

pub(crate) fn loss(case: &Case) -> Outcome {
    let d = &case.data;
    let rule = match object::<dyn LossRule>(&case.class, &d["config"]) {
        Ok(r) => r,
        Err(o) => return o,
    };
    let dtype = d["y_true_dtype"].as_str().and_then(DType::parse).unwrap_or(DType::F32);
    let (t, p) = (tensor(&d["y_true"], dtype), tensor(&d["y_pred"], DType::F32));
    let weight = (!d["sample_weight"].is_null()).then(|| tensor(&d["sample_weight"], DType::F32));
    let up = (!d["upstream"].is_null()).then(|| tensor(&d["upstream"], DType::F32));
    let run = value_and_gradient(p, up, |p| {
        let trace = p.trace();
        let w = weight.map(|w| trace.constant(w));
        losses::apply(&*rule, &trace.constant(t), p, w.as_ref(), None)
    });
    judge(run.and_then(|(y, dp)| {
        close(&y, &numbers(&d["value"]), tolerance(case))?;
        close(&dp, &numbers(&d["dy_pred"]), tolerance(case)).map_err(|e| format!("gradient: {e}"))
    }))
}

pub(crate) fn metric(case: &Case) -> Outcome {
    let d = &case.data;
    let rule = match object::<dyn MetricRule>(&case.class, &d["config"]) {
        Ok(r) => r,
        Err(o) => return o,
    };
    if let Some(name) = d["default_name"].as_str()
        && rule.name() != name
    {
        return Outcome::Failed(format!("its name is {}, Keras has {name}", rule.name()));
    }
    let mut state: Option<Vec<Tensor>> = None;
    for (u, want) in d["updates"].as_array().into_iter().flatten().zip(d["results"].as_array().into_iter().flatten()) {
        let (t, p) = match u.get("values") {
            Some(v) => (tensor(v, DType::F32), tensor(v, DType::F32)),
            None => {
                let dtype = u["y_true_dtype"].as_str().or(d["y_true_dtype"].as_str()).and_then(DType::parse);
                (tensor(&u["y_true"], dtype.unwrap_or(DType::F32)), tensor(&u["y_pred"], DType::F32))
            }
        };
        let w = (!u["sample_weight"].is_null()).then(|| tensor(&u["sample_weight"], DType::F32));
        let specs = rule.state(p.shape());
        let before = state
            .take()
            .unwrap_or_else(|| specs.iter().map(|s| Tensor::zeros(DType::F32, &s.shape).expect("small")).collect());
        let n = before.len();
        let mut inputs = before;
        inputs.extend([t, p]);
        inputs.extend(w);
        let next = compute(&inputs, |_, v| rule.update(&v[..n], &v[n], &v[n + 1], v.get(n + 2)));
        match next {
            Ok(s) => {
                if let Err(e) = close(&rule.result(&s), &numbers(want), tolerance(case)) {
                    return Outcome::Failed(e);
                }
                state = Some(s);
            }
            Err(e) => return Outcome::Failed(e),
        }
    }
    Outcome::Passed
}

pub(crate) fn optimizer(case: &Case) -> Outcome {
    let d = &case.data;
    let mut config = d["config"].clone();
    if config.get("exclude_from_weight_decay").is_some() {
        return Outcome::Skipped("option exclude_from_weight_decay".into());
    }
    if let Some(class) = config["learning_rate"].get("schedule").cloned() {
        let inner = config["learning_rate"]["config"].clone();
        config["learning_rate"] = serde_json::json!({"class_name": class, "config": inner});
    }
    let rule = match object::<dyn OptimizerRule>(&case.class, &config) {
        Ok(r) => r,
        Err(o) => return o,
    };
    judge(trajectory(case, &*rule))
}

fn trajectory(case: &Case, rule: &dyn OptimizerRule) -> Result<(), String> {
    let d = &case.data;
    let mut weights: Vec<Tensor> =
        d["variables"].as_array().into_iter().flatten().map(|v| tensor(&v["initial"], DType::F32)).collect();
    let infos: Vec<WeightInfo> = weights
        .iter()
        .enumerate()
        .map(|(i, w)| WeightInfo { path: format!("w{i}"), ty: Type::new(DType::F32, w.shape()) })
        .collect();
    let specs = state_variables(rule, &infos);
    let fill = |v: f64, ty: &Type| Tensor::new(&ty.shape, &vec![v; ty.len()]).expect("n").cast(ty.dtype);
    let mut state: Vec<Tensor> = specs
        .iter()
        .map(|s| match (s.initial, s.weight) {
            (None, Some(w)) => weights[w].clone(),
            (v, _) => fill(v.unwrap_or(0.0), &s.ty),
        })
        .collect();
    let (n, k) = (weights.len(), state.len());
    for (step, (g, want)) in d["gradients"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(d["after_step"].as_array().into_iter().flatten())
        .enumerate()
    {
        let gradients: Vec<Tensor> = g.as_array().into_iter().flatten().map(|v| tensor(v, DType::F32)).collect();
        let every = rule.common().gradient_accumulation_steps.unwrap_or(1) as u64;
        let rate = rule.common().learning_rate.at(step as u64 / every).map_err(|e| e.to_string())?;
        let mut inputs = weights.clone();
        inputs.extend(state.clone());
        inputs.extend(gradients);
        inputs.push(Tensor::scalar(rate as f32));
        let out = compute(&inputs, |_, v| {
            let (w, rest) = v.split_at(n);
            let (s, rest) = rest.split_at(k);
            let (new, next) = apply(rule, &rest[n], s, w, &rest[..n], &vec![None; n])?;
            Ok(new.into_iter().chain(next).collect())
        })?;
        weights = out[..n].to_vec();
        state = out[n..].to_vec();
        let got: Vec<f64> = weights.iter().flat_map(Tensor::to_f64_vec).collect();
        close(&got, &numbers(want), 1e-5_f64.max(case.data["tolerance"].as_f64().unwrap_or(1e-5)))
            .map_err(|e| format!("step {step}: {e}"))?;
    }
    Ok(())
}

pub(crate) fn schedule(case: &Case) -> Outcome {
    let d = &case.data;
    let rule = match object::<dyn ScheduleRule>(&case.class, &d["config"]) {
        Ok(r) => r,
        Err(o) => return o,
    };
    let got: Vec<f64> = (0..numbers(&d["values"]).len() as u64).map(|s| rule.at(s)).collect();
    judge(close(&got, &numbers(&d["values"]), tolerance(case)))
}

pub(crate) fn regularizer(case: &Case) -> Outcome {
    let d = &case.data;
    let rule = match object::<dyn RegularizerRule>(&case.class, &d["config"]) {
        Ok(r) => r,
        Err(o) => return o,
    };
    judge(value_and_gradient(tensor(&d["x"], DType::F32), None, |x| rule.call(x)).and_then(|(y, dx)| {
        close(&y, &numbers(&d["value"]), tolerance(case))?;
        close(&dx, &numbers(&d["dx"]), tolerance(case))
    }))
}

pub(crate) fn constraint(case: &Case) -> Outcome {
    let d = &case.data;
    let rule = match object::<dyn ConstraintRule>(&case.class, &d["config"]) {
        Ok(r) => r,
        Err(o) => return o,
    };
    let out = compute(&[tensor(&d["x"], DType::F32)], |_, v| Ok(vec![rule.call(&v[0])]));
    judge(out.and_then(|y| close(&y[0].to_f64_vec(), &numbers(&d["y"]), tolerance(case))))
}

pub(crate) fn initializer(case: &Case) -> Outcome {
    let d = &case.data;
    let rule = match object::<dyn InitializerRule>(&case.class, &d["config"]) {
        Ok(r) => r,
        Err(o) => return o,
    };
    let shape: Vec<usize> = numbers(&d["shape"]).into_iter().map(|n| n.unwrap_or(0.0) as usize).collect();
    let mut random = Stream::new(7, 1);
    let values = match rule.init(&shape, DType::F32, &mut random) {
        Ok(t) => t.to_f64_vec(),
        Err(e) => return Outcome::Failed(e.to_string()),
    };
    judge(match d["check"].as_str() {
        Some("exact") => close(&values, &numbers(&d["values"]), tolerance(case)),
        Some("orthogonal") => gram(&values, d),
        _ => statistics(&values, d),
    })
}

fn gram(v: &[f64], d: &Value) -> Result<(), String> {
    let (rows, cols) =
        (d["matrix_rows"].as_u64().unwrap_or(1) as usize, d["matrix_cols"].as_u64().unwrap_or(1) as usize);
    let diagonal = d["gram_diagonal"].as_f64().unwrap_or(1.0);
    let by_columns = rows >= cols;
    let n = rows.min(cols);
    for i in 0..n {
        for j in 0..n {
            let dot: f64 = match by_columns {
                true => (0..rows).map(|r| v[r * cols + i] * v[r * cols + j]).sum(),
                false => (0..cols).map(|c| v[i * cols + c] * v[j * cols + c]).sum(),
            };
            let want = if i == j { diagonal } else { 0.0 };
            if (dot - want).abs() > 1e-4 * (1.0 + diagonal) {
                return Err(format!("vectors {i} and {j} have product {dot}, not {want}"));
            }
        }
    }
    Ok(())
}

fn statistics(v: &[f64], d: &Value) -> Result<(), String> {
    let n = v.len() as f64;
    let mean = v.iter().sum::<f64>() / n;
    let std = (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    let get = |key: &str| d[key].as_f64();
    for (name, got) in [("mean", mean), ("std", std)] {
        let tolerance = get(&format!("{name}_tolerance")).or_else(|| d["tolerances"][name].as_f64());
        if let (Some(want), Some(t)) = (get(name), tolerance)
            && (got - want).abs() > t
        {
            return Err(format!("{name} is {got}, Keras has {want} ± {t}"));
        }
    }
    let (low, high) = v.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(*x), b.max(*x)));
    let bound = |key: &str, i: usize| get(key).or_else(|| d["bounds"].as_array().and_then(|b| b.get(i)?.as_f64()));
    if bound("min", 0).is_some_and(|m| low < m - 1e-6) || bound("max", 1).is_some_and(|m| high > m + 1e-6) {
        return Err(format!("values from {low} to {high} leave the bounds"));
    }
    Ok(())
}

pub(crate) fn alias(case: &Case) -> Outcome {
    let d = &case.data;
    let Some(id) = d["identifier"].as_str() else { return Outcome::Skipped("alias that is no string".into()) };
    let empty = Json::new();
    let found = match d["module"].as_str().unwrap_or("") {
        "activations" => make::<dyn ActivationRule>(id, &empty).map(|o| o.class_name().to_string()),
        "losses" => make::<dyn LossRule>(id, &empty).map(|o| o.class_name().to_string()),
        "metrics" => make::<dyn MetricRule>(id, &empty).map(|o| o.class_name().to_string()),
        "optimizers" => make::<dyn OptimizerRule>(id, &empty).map(|o| o.class_name().to_string()),
        "initializers" => make::<dyn InitializerRule>(id, &empty).map(|o| o.class_name().to_string()),
        "regularizers" => make::<dyn RegularizerRule>(id, &empty).map(|o| o.class_name().to_string()),
        "constraints" => make::<dyn ConstraintRule>(id, &empty).map(|o| o.class_name().to_string()),
        other => return Outcome::Skipped(format!("alias of {other}")),
    };
    let resolves = d["resolves"].as_bool().unwrap_or(true);
    match (found, resolves) {
        (Ok(_), true) | (Err(_), false) => Outcome::Passed,
        (Ok(c), false) => Outcome::Failed(format!("{id:?} resolves to {c}, in Keras it does not")),
        (Err(e), true) => registered(&e, &format!("alias {id}")),
    }
}

/// A layer in training mode: which values come out, how many are zero, their mean and spread.
pub(crate) fn random_layer(case: &Case) -> Outcome {
    let d = &case.data;
    let rule = match object::<dyn LayerRule>(&case.class, &d["config"]) {
        Ok(r) => r,
        Err(o) => return o,
    };
    let shape: Vec<usize> = numbers(&d["shape"]).into_iter().map(|n| n.unwrap_or(0.0) as usize).collect();
    let count: usize = shape.iter().product();
    let x = match d["input"].as_str() {
        Some("standard normal") => {
            let mut random = Stream::new(11, 2);
            Tensor::new(&shape, &(0..count).map(|_| random.normal() as f32).collect::<Vec<_>>())
        }
        _ => Tensor::new(&shape, &vec![2f32; count]),
    };
    let run = || -> kerast::Result<Vec<f64>> {
        let layer = LayerRef::new(rule);
        let mut model = Sequential::new().add(Input::new(&shape[1..])).add(&layer);
        Ok(model.predict(x?).batch_size(shape[0]).training(true).run()?.to_f64_vec())
    };
    let y = match run() {
        Ok(y) => y,
        Err(e) => return Outcome::Failed(e.to_string()),
    };
    let zeros = y.iter().filter(|v| **v == 0.0).count() as f64 / count as f64;
    if let (Some(want), Some(t)) = (d["zero_fraction"].as_f64(), d["zero_fraction_tolerance"].as_f64())
        && (zeros - want).abs() > t
    {
        return Outcome::Failed(format!("{zeros} of the elements are 0, {want} ± {t} expected"));
    }
    let allowed = numbers(&d["values_allowed"]);
    let fits = |v: &f64| allowed.iter().flatten().any(|a| (v - a).abs() < 1e-5 * (1.0 + a.abs()));
    if d["values_allowed"].is_array() && !y.iter().all(fits) {
        return Outcome::Failed("a value that must not come out".into());
    }
    judge(statistics(&y, d))
}
