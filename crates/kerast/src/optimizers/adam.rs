//! Adam (Kingma and Ba 2014), with AMSGrad (Reddi et al. 2018), and AdamW (Loshchilov and Hutter 2017).

use super::common::{Common, Update, optimizer};
use super::{OptimizerRule, SlotSpec};
use kerast_graph::{Type, Var};

optimizer! {
    /// `m = β₁m + (1-β₁)g`, `v = β₂v + (1-β₂)g²`, `w -= lr·√(1-β₂ᵗ)/(1-β₁ᵗ) · m / (√v + ε)`.
    pub struct Adam("Adam", "adam", rate = 0.001, decay = None) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Keeps the divisor away from 0.
        epsilon: f64 = 1e-7,
        /// Divide by the largest second moment so far.
        amsgrad: bool = false,
    }
}

optimizer! {
    /// Adam with decoupled weight decay.
    pub struct AdamW("AdamW", "adamw", rate = 0.001, decay = Some(0.004)) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Keeps the divisor away from 0.
        epsilon: f64 = 1e-7,
        /// Divide by the largest second moment so far.
        amsgrad: bool = false,
    }
}

/// The formula that both share.
struct Formula {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

fn slots(weight: &Type, amsgrad: bool) -> Vec<SlotSpec> {
    let mut all = vec![SlotSpec::like("momentum", weight, 0.0), SlotSpec::like("velocity", weight, 0.0)];
    if amsgrad {
        all.push(SlotSpec::like("velocity_hat", weight, 0.0).in_group(1));
    }
    all
}

impl Formula {
    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        let power = |beta: f64| u.step.full_like(beta).pow(&u.step);
        let alpha =
            (&u.learning_rate * (1.0 - power(self.beta_2)).sqrt() / (1.0 - power(self.beta_1))).convert(w.dtype());
        let m = &slots[0] + (g - &slots[0]) * (1.0 - self.beta_1);
        let v = &slots[1] + (g.square() - &slots[1]) * (1.0 - self.beta_2);
        let hat = slots.get(2).map(|h| h.max(&v));
        let divisor = hat.as_ref().unwrap_or(&v).sqrt() + self.epsilon;
        let new = w - &m * alpha / divisor;
        let mut state = vec![m, v];
        state.extend(hat);
        (new, state)
    }
}

impl OptimizerRule for Adam {
    fn common(&self) -> Common {
        self.common_arguments()
    }
    fn slots(&self, weight: &Type) -> Vec<SlotSpec> {
        slots(weight, self.amsgrad)
    }
    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        Formula { beta_1: self.beta_1, beta_2: self.beta_2, epsilon: self.epsilon }.update(u, w, g, slots)
    }
}

impl OptimizerRule for AdamW {
    fn common(&self) -> Common {
        self.common_arguments()
    }
    fn slots(&self, weight: &Type) -> Vec<SlotSpec> {
        slots(weight, self.amsgrad)
    }
    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        Formula { beta_1: self.beta_1, beta_2: self.beta_2, epsilon: self.epsilon }.update(u, w, g, slots)
    }
}
