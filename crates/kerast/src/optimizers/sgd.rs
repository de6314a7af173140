//! Gradient descent, with momentum.

use super::common::{Common, Update, optimizer};
use super::{OptimizerRule, SlotSpec};
use kerast_graph::{Type, Var};

optimizer! {
    /// `w -= lr · g`; with momentum `v = m·v - lr·g`, `w += v`; with Nesterov's `w += m·v - lr·g`.
    pub struct Sgd("SGD", "SGD", rate = 0.01, decay = None) {
        /// The momentum.
        momentum: f64 = 0.0,
        /// Nesterov's form of it.
        nesterov: bool = false,
    }
}

impl OptimizerRule for Sgd {
    fn common(&self) -> Common {
        self.common_arguments()
    }

    fn slots(&self, weight: &Type) -> Vec<SlotSpec> {
        match self.momentum {
            0.0 => vec![],
            _ => vec![SlotSpec::like("momentum", weight, 0.0)],
        }
    }

    fn update(&self, u: &Update, w: &Var, g: &Var, slots: &[Var]) -> (Var, Vec<Var>) {
        let step = g * u.rate_like(w);
        match slots {
            [v] => {
                let v = v * self.momentum - &step;
                let w = if self.nesterov { w + (&v * self.momentum - step) } else { w + &v };
                (w, vec![v])
            }
            _ => (w - step, vec![]),
        }
    }
}
