//! The cross-entropy of logits with class numbers and its gradient, in one pass over the logits.
//!
//! With p the softmax of a row, h its class as zeros and a one, and w its weight, the gradient is `g = w (p - h)`. Given cotangents dl of the
//! losses and dg of the gradients: `dx = dl (p - h) + w p (dg - Σ p dg)` and `dw = Σ dg (p - h)`.

use super::sample_data::floats;
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::cross_entropy;
use kerast_kernels::dtype::DType;

/// Operands: logits `[rows, classes]` in f32, class numbers `[rows]` in i32, weights `[rows]` in f32, 0 where there is no such class.
/// Results: the losses `[rows]`, 0 where there is no such class; their gradient `[rows, classes]`, each row times its weight; its sum over
/// the rows, `[classes]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropyGrad;

impl OpRule for CrossEntropyGrad {
    fn name(&self) -> &'static str {
        "cross_entropy_grad"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x, labels, weights] = x else {
            return Err(shape_error("cross_entropy_grad", "takes logits, class numbers and weights"));
        };
        let received = || format!("{x}, {labels}, {weights}");
        if (x.dtype, labels.dtype, weights.dtype) != (DType::F32, DType::I32, DType::F32) {
            return Err(dtype_error("cross_entropy_grad", "takes f32, i32 and f32").received(received()));
        }
        if x.rank() != 2 || labels.shape[..] != x.shape[..1] || weights.shape[..] != x.shape[..1] {
            let what = "takes logits [rows, classes], class numbers [rows] and weights [rows]";
            return Err(shape_error("cross_entropy_grad", what).received(received()));
        }
        Ok(vec![(*weights).clone(), (*x).clone(), Type::new(DType::F32, [x.shape[1]])])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, labels, weights) = (cx.x(0), cx.x(1), cx.x(2));
        let spread = |v: &Var| v.broadcast_in_dim(x.shape(), &[0]);
        let p = x.softmax(1);
        let rest = &p - labels.one_hot(x.shape()[1], DType::F32);
        let summed = cx.cotangents[2].as_ref().map(|d| d.broadcast_in_dim(x.shape(), &[1]));
        let dg = [cx.cotangents[1].clone(), summed].into_iter().flatten().reduce(|a, b| a + b);
        let through = dg.as_ref().map(|d| {
            let mean = (&p * d).keep(1, |v| v.reduce_sum(&[1]));
            spread(weights) * &p * (d - mean)
        });
        let direct = cx.cotangents[0]
            .as_ref()
            .map(|d| spread(&labels.is_below(x.shape()[1]).select(d, &d.full_like(0.0))) * &rest);
        let dx = [direct, through].into_iter().flatten().reduce(|a, b| a + b);
        vec![dx, None, dg.map(|d| (d * rest).reduce_sum(&[1]))]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let [rows, classes] = operands[0].shape[..] else { unreachable!("the shape rule wants two axes") };
        Cpu::Kernel(Box::new(cross_entropy::CrossEntropyGrad::new(rows, classes)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
    }

    fn parse(name: &str, _: &Attributes) -> Result<Option<Self>> {
        Ok((name == "cross_entropy_grad").then_some(CrossEntropyGrad))
    }

    fn samples() -> Vec<Sample> {
        let sample = |rows: usize, classes: usize, labels: &[i32]| {
            let labels = Tensor::new(&[rows], labels).expect("one class per row");
            vec![floats(&[rows, classes], 1), labels, floats(&[rows], 2)]
        };
        let all = |x: Vec<Tensor>| Sample::new(CrossEntropyGrad, x);
        vec![
            all(sample(3, 4, &[0, 3, 1])),
            all(sample(2, 1, &[0, 0])),
            all(sample(4, 5, &[-1, 5, 4, 2])),
            Sample::flat(CrossEntropyGrad, sample(3, 700, &[0, 699, 64])),
            Sample::flat(CrossEntropyGrad, sample(0, 3, &[])),
            Sample::flat(CrossEntropyGrad, sample(600, 70, &[69; 600])),
        ]
    }
}
