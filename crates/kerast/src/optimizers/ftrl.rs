//! Follow the regularised leader (McMahan et al. 2013).

use super::common::{Common, Update, optimizer};
use super::{OptimizerRule, SlotSpec};
use kerast_graph::{Type, Var};

optimizer! {
    /// `a' = a + g²`, `z += g - (a'⁻ᵖ - a⁻ᵖ) / lr · w`, `w = (clip(z, -λ₁, λ₁) - z) / (a'⁻ᵖ / lr + 2λ₂)`.
    pub struct Ftrl("Ftrl", "ftrl", rate = 0.001, decay = None) {
        /// How the rate falls with the accumulator: p, not above 0.
        learning_rate_power: f64 = -0.5,
        /// First value of the accumulator.
        initial_accumulator_value: f64 = 0.1,
        /// The strength λ₁ of the penalty on |w|.
        l1_regularization_strength: f64 = 0.0,
        /// The strength λ₂ of the penalty on w².
        l2_regularization_strength: f64 = 0.0,
        /// A penalty on w² that only active features feel.
        l2_shrinkage_regularization_strength: f64 = 0.0,
        /// Added to λ₂ as `β / (2 lr)`.
        beta: f64 = 0.0,
    }
}

impl OptimizerRule for Ftrl {
    fn common(&self) -> Common {
        self.common_arguments()
    }
    fn slots(&self, weight: &Type) -> Vec<SlotSpec> {
        vec![
            SlotSpec::like("accumulator", weight, self.initial_accumulator_value),
            SlotSpec::like("linear", weight, 0.0),
        ]
    }
    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        let rate = u.rate_like(w);
        let power = |a: &Var| a.pow(&a.full_like(-self.learning_rate_power));
        let a = &slots[0] + g.square();
        let used = g + w * (2.0 * self.l2_shrinkage_regularization_strength);
        let z = &slots[1] + (used - (power(&a) - power(&slots[0])) / &rate * w);
        let l2 = (rate.full_like(self.beta) / (&rate * 2.0)) + self.l2_regularization_strength;
        let quadratic = power(&a) / &rate + l2 * 2.0;
        let l1 = self.l1_regularization_strength;
        ((z.clamp(-l1, l1) - &z) / quadratic, vec![a, z])
    }
}
