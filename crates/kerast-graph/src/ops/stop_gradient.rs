//! The identity whose cotangent is zero.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;

/// `y = x`, `dx = 0`: StableHLO's `optimization_barrier` in text, since no backend may differentiate through it.
#[derive(Clone, Debug, PartialEq)]
pub struct StopGradient;

impl OpRule for StopGradient {
    fn name(&self) -> &'static str {
        "stop_gradient"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        match x {
            [x] => Ok(vec![(*x).clone()]),
            _ => Err(shape_error("stop_gradient", "takes one operand")),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        cx.none()
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Alias
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
    }

    fn parse(name: &str, _: &Attributes) -> Result<Option<Self>> {
        Ok((name == "stop_gradient").then_some(StopGradient))
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::flat(StopGradient, vec![Tensor::scalar(2.5f32)])]
    }
}

impl Var {
    /// The same value, a constant to the gradient.
    #[track_caller]
    pub fn stop_gradient(&self) -> Var {
        self.apply(StopGradient, &[])
    }
}
