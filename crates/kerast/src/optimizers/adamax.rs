//! Adamax (Kingma and Ba 2014, section 7) and Nadam (Dozat 2016).

use super::common::{Common, Update, optimizer};
use super::{OptimizerRule, SlotSpec};
use kerast_graph::{Type, Var};

optimizer! {
    /// `m = β₁m + (1-β₁)g`, `u = max(β₂u, |g|)`, `w -= lr / (1-β₁ᵗ) · m / (u + ε)`.
    pub struct Adamax("Adamax", "adamax", rate = 0.001, decay = None) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the norm.
        beta_2: f64 = 0.999,
        /// Keeps the divisor away from 0.
        epsilon: f64 = 1e-7,
    }
}

impl OptimizerRule for Adamax {
    fn common(&self) -> Common {
        self.common_arguments()
    }
    fn slots(&self, weight: &Type) -> Vec<SlotSpec> {
        vec![SlotSpec::like("momentum", weight, 0.0), SlotSpec::like("norm", weight, 0.0)]
    }
    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        let power = u.step.full_like(self.beta_1).pow(&u.step);
        let alpha = (&u.learning_rate / (1.0 - power)).convert(w.dtype());
        let m = &slots[0] + (g - &slots[0]) * (1.0 - self.beta_1);
        let norm = (&slots[1] * self.beta_2).max(&g.abs());
        (w - &m * alpha / (&norm + self.epsilon), vec![m, norm])
    }
}

optimizer! {
    /// Adam with Nesterov's momentum: the momentum cache `β₁(1 - ½·0.96ᵗ)` and its running product.
    pub struct Nadam("Nadam", "nadam", rate = 0.001, decay = None) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Keeps the divisor away from 0.
        epsilon: f64 = 1e-7,
    }
}

impl Nadam {
    /// `β₁ (1 - ½ · 0.96^t)`.
    fn cache(&self, t: &Var) -> Var {
        (1.0 - t.full_like(0.96).pow(t) * 0.5) * self.beta_1
    }
}

impl OptimizerRule for Nadam {
    fn common(&self) -> Common {
        self.common_arguments()
    }
    fn slots(&self, weight: &Type) -> Vec<SlotSpec> {
        vec![SlotSpec::like("momentum", weight, 0.0), SlotSpec::like("velocity", weight, 0.0)]
    }
    fn globals(&self) -> Vec<(&'static str, f64)> {
        vec![("u_product", 1.0)]
    }
    fn update_globals(&self, u: &Update) -> Vec<Var> {
        vec![&u.globals[0] * self.cache(&u.step)]
    }
    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        let (now, next) = (self.cache(&u.step), self.cache(&(&u.step + 1.0)));
        let product = &u.globals[0] * &now;
        let product_next = &product * &next;
        let like = |v: Var| v.convert(w.dtype());
        let m = &slots[0] + (g - &slots[0]) * (1.0 - self.beta_1);
        let v = &slots[1] + (g.square() - &slots[1]) * (1.0 - self.beta_2);
        let m_hat = &m * like(&next / (1.0 - product_next)) + g * like((1.0 - &now) / (1.0 - product));
        let v_hat = &v * like(1.0 / (1.0 - u.step.full_like(self.beta_2).pow(&u.step)));
        let new = w - m_hat * u.rate_like(w) / (v_hat.sqrt() + self.epsilon);
        (new, vec![m, v])
    }
}
