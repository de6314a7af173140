//! RMSprop (Hinton 2012): the gradient divided by a running root mean square of itself.

use super::common::{Common, Update, optimizer};
use super::{OptimizerRule, SlotSpec};
use kerast_graph::{Type, Var};

optimizer! {
    /// `v = ρv + (1-ρ)g²`, `w -= lr · g / √(v + ε)`; `centered` subtracts the squared mean of `g` from `v`; momentum accumulates
    /// the steps.
    pub struct RmsProp("RMSprop", "rmsprop", rate = 0.001, decay = None) {
        /// Decay of the mean square.
        rho: f64 = 0.9,
        /// Decay of the accumulated steps.
        momentum: f64 = 0.0,
        /// Keeps the divisor away from 0.
        epsilon: f64 = 1e-7,
        /// Divide by the standard deviation instead of the root mean square.
        centered: bool = false,
    }
}

impl OptimizerRule for RmsProp {
    fn common(&self) -> Common {
        self.common_arguments()
    }

    fn slots(&self, weight: &Type) -> Vec<SlotSpec> {
        let mut all = vec![SlotSpec::like("velocity", weight, 0.0)];
        if self.momentum > 0.0 {
            all.push(SlotSpec::like("momentum", weight, 0.0).in_group(1));
        }
        if self.centered {
            all.push(SlotSpec::like("average_gradient", weight, 0.0).in_group(2));
        }
        all
    }

    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        let v = &slots[0] * self.rho + g.square() * (1.0 - self.rho);
        let average = self.centered.then(|| &slots[slots.len() - 1] * self.rho + g * (1.0 - self.rho));
        let divisor = match &average {
            Some(a) => &v - a.square() + self.epsilon,
            None => &v + self.epsilon,
        };
        let step = g * u.rate_like(w) * divisor.rsqrt();
        let (new, momentum) = match self.momentum > 0.0 {
            true => {
                let m = &slots[1] * self.momentum + step;
                (w - &m, Some(m))
            }
            false => (w - step, None),
        };
        let mut state = vec![v];
        state.extend(momentum);
        state.extend(average);
        (new, state)
    }
}
