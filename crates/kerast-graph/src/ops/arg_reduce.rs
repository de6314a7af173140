//! The place (i32) of the largest or smallest along an axis, which disappears; the first of equals. No gradient.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::order;

/// The place of the largest or smallest.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgReduce {
    /// The axis.
    pub axis: usize,
    /// The largest, else the smallest.
    pub largest: bool,
}

impl OpRule for ArgReduce {
    fn name(&self) -> &'static str {
        if self.largest { "argmax" } else { "argmin" }
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        match x {
            [x] if self.axis < x.rank() && x.shape[self.axis] > 0 => {
                let mut shape = x.shape.clone();
                shape.remove(self.axis);
                Ok(vec![Type::new(DType::I32, shape)])
            }
            _ => Err(shape_error(self.name(), format!("axis {} does not exist or is empty in {x:?}", self.axis))),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        cx.none()
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let x = operands[0];
        Cpu::Kernel(Box::new(order::ArgReduce::new(x.dtype, &x.shape, self.axis, self.largest)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("axis", self.axis)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if !matches!(name, "argmax" | "argmin") {
            return Ok(None);
        }
        Ok(Some(ArgReduce { axis: a.size("axis")?, largest: name == "argmax" }))
    }

    fn samples() -> Vec<Sample> {
        let x = Tensor::new(&[2, 3, 2], &[1.0f32, 5.0, 3.0, 5.0, 3.0, -1.0, 0.0, 0.0, -2.0, 7.0, 4.0, f32::NAN])
            .expect("12 values");
        let mut all = vec![];
        for axis in 0..3 {
            for largest in [true, false] {
                all.push(Sample::flat(ArgReduce { axis, largest }, vec![x.clone()]));
                all.push(Sample::flat(ArgReduce { axis, largest }, vec![x.cast(DType::I32)]));
            }
        }
        all
    }
}

impl Var {
    /// The place (i32) of the largest along an axis.
    #[track_caller]
    pub fn arg_max(&self, axis: usize) -> Var {
        self.apply(ArgReduce { axis, largest: true }, &[])
    }

    /// The place (i32) of the smallest along an axis.
    #[track_caller]
    pub fn arg_min(&self, axis: usize) -> Var {
        self.apply(ArgReduce { axis, largest: false }, &[])
    }
}
