//! Lion (Chen et al. 2023) and LAMB (You et al. 2019).

use super::common::{Common, Update, optimizer};
use super::{OptimizerRule, SlotSpec};
use kerast_graph::{Type, Var};

optimizer! {
    /// `w -= lr · sign(β₁m + (1-β₁)g)`, `m = β₂m + (1-β₂)g`.
    pub struct Lion("Lion", "lion", rate = 0.001, decay = None) {
        /// How much of the step the moment is.
        beta_1: f64 = 0.9,
        /// Decay of the moment.
        beta_2: f64 = 0.99,
    }
}

impl OptimizerRule for Lion {
    fn common(&self) -> Common {
        self.common_arguments()
    }
    fn slots(&self, weight: &Type) -> Vec<SlotSpec> {
        vec![SlotSpec::like("momentum", weight, 0.0)]
    }
    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        let mix = |beta: f64| &slots[0] * beta + g * (1.0 - beta);
        (w - mix(self.beta_1).sign() * u.rate_like(w), vec![mix(self.beta_2)])
    }
}

optimizer! {
    /// Adam's step `δ = m̂ / (√v̂ + ε)`, as long as the weight itself: `w -= lr · |w| / |δ| · δ`.
    pub struct Lamb("Lamb", "lamb", rate = 0.001, decay = None) {
        /// Decay of the first moment.
        beta_1: f64 = 0.9,
        /// Decay of the second moment.
        beta_2: f64 = 0.999,
        /// Keeps the divisor away from 0.
        epsilon: f64 = 1e-7,
    }
}

impl OptimizerRule for Lamb {
    fn common(&self) -> Common {
        self.common_arguments()
    }
    fn slots(&self, weight: &Type) -> Vec<SlotSpec> {
        vec![SlotSpec::like("momentum", weight, 0.0), SlotSpec::like("velocity", weight, 0.0)]
    }
    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        let left = |beta: f64| (1.0 - u.step.full_like(beta).pow(&u.step)).convert(w.dtype());
        let m = &slots[0] + (g - &slots[0]) * (1.0 - self.beta_1);
        let v = &slots[1] + (g.square() - &slots[1]) * (1.0 - self.beta_2);
        let step = (&m / left(self.beta_1)) / ((&v / left(self.beta_2)).sqrt() + self.epsilon);
        let length = |x: &Var| x.square().sum_all().sqrt();
        let (weight, own) = (length(w), length(&step));
        let zero = weight.full_like(0.0);
        let some = weight.greater(&zero).and(&own.greater(&zero));
        let ratio = some.select(&(&weight / &own), &weight.full_like(1.0));
        (w - step * (ratio * u.rate_like(w)), vec![m, v])
    }
}
