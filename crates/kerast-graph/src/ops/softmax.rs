//! Softmax along the last axis, in one pass over memory. XLA makes such loops of maximum, exponential, sum and division.
//!
//! `dx = y (dy - Σ y dy)`.

use super::sample_data::floats;
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::softmax;

/// `e^x / Σ e^x` along the last axis of f32, shifted by the largest x so that nothing overflows.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax;

impl OpRule for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x] = x else { return Err(shape_error("softmax", "takes one operand")) };
        if x.dtype != DType::F32 {
            return Err(dtype_error("softmax", "takes f32").received(x));
        }
        match x.rank() {
            0 => Err(shape_error("softmax", "takes rows").received(x)),
            _ => Ok(vec![(*x).clone()]),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (y, dy) = (&cx.results[0], cx.dy(0));
        let last = y.shape().len() - 1;
        let mean = (y * &dy).keep(last, |v| v.reduce_sum(&[last]));
        vec![Some(y * (dy - mean))]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let shape = &operands[0].shape;
        let (columns, rows) = shape.split_last().expect("the shape rule wants an axis");
        Cpu::Kernel(Box::new(softmax::Softmax::new(rows.iter().product(), *columns)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
    }

    fn parse(name: &str, _: &Attributes) -> Result<Option<Self>> {
        Ok((name == "softmax").then_some(Softmax))
    }

    fn samples() -> Vec<Sample> {
        let far = Tensor::new(&[4, 2], &[1e30f32, 1e30, -300.0, 300.0, 0.0, -0.0, f32::NEG_INFINITY, 2.0]);
        vec![
            Sample::new(Softmax, vec![floats(&[3, 4], 1)]),
            Sample::new(Softmax, vec![floats(&[5], 2)]),
            Sample::new(Softmax, vec![floats(&[2, 3, 1], 3)]),
            Sample::new(Softmax, vec![floats(&[2, 2, 19], 4)]),
            Sample::flat(Softmax, vec![far.expect("eight values")]),
            Sample::flat(Softmax, vec![floats(&[3, 700], 1)]),
            Sample::flat(Softmax, vec![floats(&[0, 3], 1)]),
            Sample::flat(Softmax, vec![floats(&[3, 0], 1)]),
            Sample::flat(Softmax, vec![floats(&[5000, 10], 1)]),
        ]
    }
}
