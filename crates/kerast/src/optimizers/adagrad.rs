//! Adagrad (Duchi et al. 2011) and Adadelta (Zeiler 2012).

use super::common::{Common, Update, optimizer};
use super::{OptimizerRule, SlotSpec};
use kerast_graph::{Type, Var};

optimizer! {
    /// `a += g²`, `w -= lr · g / √(a + ε)`.
    pub struct Adagrad("Adagrad", "adagrad", rate = 0.001, decay = None) {
        /// First value of the accumulator.
        initial_accumulator_value: f64 = 0.1,
        /// Keeps the divisor away from 0.
        epsilon: f64 = 1e-7,
    }
}

impl OptimizerRule for Adagrad {
    fn common(&self) -> Common {
        self.common_arguments()
    }
    fn slots(&self, weight: &Type) -> Vec<SlotSpec> {
        vec![SlotSpec::like("accumulator", weight, self.initial_accumulator_value)]
    }
    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        let a = &slots[0] + g.square();
        (w - g * u.rate_like(w) / (&a + self.epsilon).sqrt(), vec![a])
    }
}

optimizer! {
    /// `a = ρa + (1-ρ)g²`, `δ = g · √(d + ε) / √(a + ε)`, `d = ρd + (1-ρ)δ²`, `w -= lr · δ`.
    pub struct Adadelta("Adadelta", "adadelta", rate = 0.001, decay = None) {
        /// Decay of both averages.
        rho: f64 = 0.95,
        /// Keeps the divisor away from 0.
        epsilon: f64 = 1e-7,
    }
}

impl OptimizerRule for Adadelta {
    fn common(&self) -> Common {
        self.common_arguments()
    }
    fn slots(&self, weight: &Type) -> Vec<SlotSpec> {
        vec![SlotSpec::like("accumulated_grad", weight, 0.0), SlotSpec::like("accumulated_delta_var", weight, 0.0)]
    }
    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        let a = &slots[0] * self.rho + g.square() * (1.0 - self.rho);
        let delta = g * (&slots[1] + self.epsilon).sqrt() / (&a + self.epsilon).sqrt();
        let d = &slots[1] * self.rho + delta.square() * (1.0 - self.rho);
        (w - delta * u.rate_like(w), vec![a, d])
    }
}
