//! The shell around every optimizer's formula, in Keras' order: loss scale, accumulation, clipping, weight decay, the formula,
//! constraints, moving average.

use super::common::{Common, LearningRate, Update};
use super::{OptimizerRule, SlotSpec};
use crate::Result;
use crate::constraints::Constraint;
use kerast_graph::{DType, Type, Var};

/// A trained weight: Keras' path of it and its type.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightInfo {
    /// `sequential/dense/kernel`.
    pub path: String,
    /// Its type.
    pub ty: Type,
}

/// A variable of an optimizer.
#[derive(Clone, Debug, PartialEq)]
pub struct StateVariable {
    /// Keras' path: `adam/dense_kernel_momentum`.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Its first value; `None`: that of the weight.
    pub initial: Option<f64>,
    /// The weight that it belongs to.
    pub weight: Option<usize>,
}

/// How many slots of each kind a weight has.
struct Slots {
    own: Vec<SlotSpec>,
    ema: bool,
    accumulator: bool,
}

fn slots_of(o: &dyn OptimizerRule, common: &Common, ty: &Type) -> Slots {
    Slots {
        own: o.slots(ty),
        ema: common.use_ema,
        accumulator: common.gradient_accumulation_steps.is_some_and(|n| n > 1),
    }
}

/// The variables of an optimizer for these weights, in Keras' order: iteration, learning rate, globals, slots weight by weight,
/// then averages, then accumulators.
pub fn state_variables(o: &dyn OptimizerRule, weights: &[WeightInfo]) -> Vec<StateVariable> {
    let common = o.common();
    let prefix = crate::layers::names::snake_case(o.class_name());
    let scalar = |name: &str, dtype: DType, initial: f64| StateVariable {
        name: format!("{prefix}/{name}"),
        ty: Type::new(dtype, []),
        initial: Some(initial),
        weight: None,
    };
    let mut all = vec![scalar("iteration", DType::I32, 0.0), scalar("learning_rate", DType::F32, 0.0)];
    all.extend(o.globals().iter().map(|(name, v)| scalar(name, DType::F32, *v)));
    let named = |w: &WeightInfo, name: &str| format!("{prefix}/{}_{name}", w.path.replace('/', "_"));
    for (i, w) in weights.iter().enumerate() {
        all.extend(slots_of(o, &common, &w.ty).own.into_iter().map(|s| StateVariable {
            name: named(w, s.name),
            initial: if s.from_weight { None } else { Some(s.initial) },
            ty: s.ty,
            weight: Some(i),
        }));
    }
    for (i, w) in weights.iter().enumerate() {
        if slots_of(o, &common, &w.ty).ema {
            all.push(StateVariable { name: named(w, "average"), ty: w.ty.clone(), initial: None, weight: Some(i) });
        }
    }
    for (i, w) in weights.iter().enumerate() {
        if slots_of(o, &common, &w.ty).accumulator {
            let name = named(w, "gradient_accumulator");
            all.push(StateVariable { name, ty: w.ty.clone(), initial: Some(0.0), weight: Some(i) });
        }
    }
    all
}

/// Which of the [`state_variables`] Keras' files hold, in their order: iteration, learning rate (unless a schedule makes it),
/// averages, accumulators, the slots group by group, globals.
pub fn file_order(o: &dyn OptimizerRule, weights: &[WeightInfo]) -> Vec<usize> {
    let common = o.common();
    let globals = o.globals().len();
    let mut order = vec![0];
    if matches!(common.learning_rate, LearningRate::Fixed(_)) {
        order.push(1);
    }
    let mut slots: Vec<(usize, usize)> = vec![];
    for w in weights {
        for s in slots_of(o, &common, &w.ty).own {
            slots.push((s.group, 2 + globals + slots.len()));
        }
    }
    let rest = 2 + globals + slots.len();
    let shells = usize::from(common.use_ema) + usize::from(common.gradient_accumulation_steps.is_some_and(|n| n > 1));
    order.extend(rest..rest + shells * weights.len());
    slots.sort_by_key(|s| s.0);
    order.extend(slots.into_iter().map(|s| s.1));
    order.extend(2..2 + globals);
    order
}

/// One call of the optimizer: new weights and new state, in the order of [`state_variables`].
pub fn apply(
    o: &dyn OptimizerRule,
    learning_rate: &Var,
    state: &[Var],
    weights: &[Var],
    gradients: &[Var],
    constraints: &[Option<Constraint>],
) -> Result<(Vec<Var>, Vec<Var>)> {
    let common = o.common();
    let (iteration, rest) = (&state[0], &state[2..]);
    let (globals, rest) = rest.split_at(o.globals().len());
    let kinds: Vec<Slots> = weights.iter().map(|w| slots_of(o, &common, &w.ty())).collect();
    let own_count: usize = kinds.iter().map(|k| k.own.len()).sum();
    let (own, rest) = rest.split_at(own_count);
    let (averages, accumulators) = rest.split_at(if common.use_ema { weights.len() } else { 0 });

    let next = iteration + iteration.full_like(1.0);
    let mut gradients: Vec<Var> = gradients.to_vec();
    if let Some(scale) = common.loss_scale_factor {
        gradients = gradients.iter().map(|g| g * (1.0 / scale)).collect();
    }
    // Whether this call is the one that updates: always, unless gradients are accumulated.
    let gate = common.gradient_accumulation_steps.filter(|&n| n > 1).map(|n| {
        let n = n as f64;
        let steps = next.convert(DType::F32);
        let whole = (&steps * (1.0 / n)).floor() * n;
        (n, steps.equal(&whole))
    });
    let mut new_accumulators = vec![];
    if let Some((n, due)) = &gate {
        for (g, a) in gradients.iter_mut().zip(accumulators) {
            let sum = a + &*g;
            *g = &sum * (1.0 / n);
            new_accumulators.push(due.select(&sum.full_like(0.0), &sum));
        }
    }
    let gradients = clip(&common, &gradients);

    // With accumulation Keras counts updates, not calls.
    let step = match &gate {
        Some((n, _)) => (next.convert(DType::F32) * (1.0 / n)).floor(),
        None => next.convert(DType::F32),
    };
    let update = Update { learning_rate: learning_rate.clone(), step: step.clone(), globals: globals.to_vec() };
    let keep = |new: Var, old: &Var| match &gate {
        Some((_, due)) => due.select(&new, old),
        None => new,
    };
    let new_globals: Vec<Var> = o.update_globals(&update).into_iter().zip(globals).map(|(n, g)| keep(n, g)).collect();
    let (mut new_weights, mut new_own, mut new_averages) = (vec![], vec![], vec![]);
    let mut at = 0;
    for (i, (w, g)) in weights.iter().zip(&gradients).enumerate() {
        let count = kinds[i].own.len();
        let slots = &own[at..at + count];
        at += count;
        let decayed = match common.weight_decay.filter(|_| o.decays()) {
            Some(d) => w - w * (update.rate_like(w) * d),
            None => w.clone(),
        };
        let (new, new_slots) = o.update(&update, &decayed, g, slots);
        let new = match &constraints[i] {
            Some(c) => c.get()?.call(&new),
            None => new,
        };
        let mut new = keep(new, w);
        new_own.extend(new_slots.into_iter().zip(slots).map(|(n, s)| keep(n, s)));
        if common.use_ema {
            let average = average(&common, &averages[i], &new, &step);
            if let Some(every) = common.ema_overwrite_frequency {
                let n = every as f64;
                let due = step.equal(&((&step * (1.0 / n)).floor() * n));
                new = due.select(&average, &new);
            }
            new_averages.push(average);
        }
        new_weights.push(new);
    }
    let mut new_state = vec![next, learning_rate.clone()];
    new_state.extend(new_globals);
    new_state.extend(new_own);
    new_state.extend(new_averages);
    new_state.extend(new_accumulators);
    Ok((new_weights, new_state))
}

/// `m · average + (1 - m) · w`; at the first update the average is the weight itself.
fn average(common: &Common, average: &Var, w: &Var, step: &Var) -> Var {
    let first = step.eq(1.0);
    let m = first.select(&step.full_like(0.0), &step.full_like(common.ema_momentum)).convert(w.dtype());
    average * &m + w * (1.0 - m)
}

fn clip(common: &Common, gradients: &[Var]) -> Vec<Var> {
    let limit = |g: &Var, norm: Var, most: f64| {
        // g · most / max(norm, most)
        let scale = norm.full_like(most) / norm.max(&norm.full_like(most));
        g * scale.convert(g.dtype())
    };
    if let Some(most) = common.clipnorm {
        return gradients.iter().map(|g| limit(g, g.square().sum_all().sqrt(), most)).collect();
    }
    if let Some(most) = common.global_clipnorm {
        let squares = gradients.iter().map(|g| g.square().sum_all().convert(DType::F32)).reduce(|a, b| a + b);
        let Some(norm) = squares.map(|s| s.sqrt()) else { return vec![] };
        return gradients.iter().map(|g| limit(g, norm.clone(), most)).collect();
    }
    if let Some(most) = common.clipvalue {
        return gradients.iter().map(|g| g.clamp(-most, most)).collect();
    }
    gradients.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::optimizers::Sgd;
    use kerast_graph::Trace;
    use kerast_graph::backend::cpu::evaluate;

    /// Runs `steps` updates of one weight of two elements with a constant gradient of 1.
    fn run(o: &Sgd, steps: usize) -> (Vec<f64>, Vec<Tensor>) {
        let ty = Type::new(DType::F32, [2]);
        let info = [WeightInfo { path: "w".into(), ty: ty.clone() }];
        let specs = state_variables(o, &info);
        let trace = Trace::new();
        let rate = trace.parameter(Type::new(DType::F32, []));
        let state: Vec<Var> = specs.iter().map(|s| trace.parameter(s.ty.clone())).collect();
        let w = trace.parameter(ty.clone());
        let (new_w, new_state) =
            apply(o, &rate, &state, std::slice::from_ref(&w), &[w.full_like(1.0)], &[None]).expect("valid");
        let results: Vec<Var> = new_w.into_iter().chain(new_state).collect();
        let graph = trace.finish(&results).expect("valid");
        let mut w = Tensor::new(&[2], &[1.0f32, 2.0]).expect("two");
        let first = w.clone();
        let mut state: Vec<Tensor> = specs
            .iter()
            .map(|s| match s.initial {
                Some(v) => {
                    let n: usize = s.ty.shape.iter().product();
                    Tensor::new(&s.ty.shape, &vec![v; n]).expect("n").cast(s.ty.dtype)
                }
                None => first.clone(),
            })
            .collect();
        for _ in 0..steps {
            let mut args = vec![Tensor::scalar(0.1f32)];
            args.extend(state.iter().cloned());
            args.push(w);
            let mut out = evaluate(graph.clone(), &args).expect("runs");
            w = out.remove(0);
            state = out;
        }
        (w.to_f64_vec(), state)
    }

    #[test]
    fn momentum_equals_a_loop_by_hand() {
        let (w, _) = run(&Sgd::new(0.1).momentum(0.9), 3);
        let (mut v, mut x) = (0.0f64, 1.0f64);
        for _ in 0..3 {
            v = 0.9 * v - 0.1;
            x += v;
        }
        assert!((w[0] - x).abs() < 1e-6);
    }

    #[test]
    fn accumulation_updates_every_second_call() {
        let o = Sgd::new(0.1).gradient_accumulation_steps(2usize);
        assert!((run(&o, 1).0[0] - 1.0).abs() < 1e-7);
        assert!((run(&o, 2).0[0] - 0.9).abs() < 1e-6);
        assert!((run(&o, 4).0[0] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn averages_follow_the_weights() {
        let o = Sgd::new(0.1).use_ema(true).ema_momentum(0.5);
        let (_, state) = run(&o, 2);
        let average = state[2].to_f64_vec()[0];
        assert!((average - (0.5 * 0.9 + 0.5 * 0.8)).abs() < 1e-6);
    }
}
