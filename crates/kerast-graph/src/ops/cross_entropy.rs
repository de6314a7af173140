//! The cross-entropy of logits with class numbers, in one pass over the logits. XLA makes such loops of softmax and gather.
//!
//! With m the largest x of a row and s = Σ e^(x - m): `dx = e^(x - m) ds + (dm - s ds) [largest]`, and from the loss, where there is such a
//! class, what [`CrossEntropyGrad`] gives.

use super::sample_data::floats;
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::ops::CrossEntropyGrad;
use crate::tensor::Tensor;
use kerast_kernels::cross_entropy;
use kerast_kernels::dtype::DType;

/// Operands: logits `[rows, classes]` in f32, class numbers `[rows]` in i32. Results, `[rows]` each: the loss, which is 0 where there is no
/// such class; the largest logit; the sum of `e^(x - largest)`.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy;

impl OpRule for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x, labels] = x else { return Err(shape_error("cross_entropy", "takes logits and class numbers")) };
        if x.dtype != DType::F32 || labels.dtype != DType::I32 {
            return Err(dtype_error("cross_entropy", "takes f32 and i32").received(format!("{x}, {labels}")));
        }
        if x.rank() != 2 || labels.shape[..] != x.shape[..1] {
            return Err(shape_error("cross_entropy", "takes logits [rows, classes] and class numbers [rows]")
                .received(format!("{x}, {labels}")));
        }
        Ok(vec![Type::new(DType::F32, [x.shape[0]]); 3])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, labels, largest, sum) = (cx.x(0), cx.x(1), &cx.results[1], &cx.results[2]);
        let spread = |v: &Var| v.broadcast_in_dim(x.shape(), &[0]);
        let from_loss = cx.cotangents[0].as_ref().map(|d| {
            let weights = labels.is_below(x.shape()[1]).select(d, &d.full_like(0.0));
            x.trace().push_many(CrossEntropyGrad.into(), &[x, labels, &weights], x.ty(), 3)[1].clone()
        });
        let from_sum = cx.cotangents[2].as_ref().map(|d| (x - spread(largest)).exp() * spread(d));
        // What the largest moves: itself, and every term of the sum.
        let terms = cx.cotangents[2].as_ref().map(|d| (d * sum).neg());
        let dlargest = [cx.cotangents[1].clone(), terms].into_iter().flatten().reduce(|a, b| a + b);
        let from_largest = dlargest.map(|d| x.equal(&spread(largest)).select(&spread(&d), &x.full_like(0.0)));
        vec![[from_loss, from_sum, from_largest].into_iter().flatten().reduce(|a, b| a + b), None]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let [rows, classes] = operands[0].shape[..] else { unreachable!("the shape rule wants two axes") };
        Cpu::Kernel(Box::new(cross_entropy::CrossEntropy::new(rows, classes)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
    }

    fn parse(name: &str, _: &Attributes) -> Result<Option<Self>> {
        Ok((name == "cross_entropy").then_some(CrossEntropy))
    }

    fn samples() -> Vec<Sample> {
        let sample = |rows: usize, classes: usize, labels: &[i32]| {
            let labels = Tensor::new(&[rows], labels).expect("one class per row");
            vec![floats(&[rows, classes], 1), labels]
        };
        let all = |x: Vec<Tensor>| Sample::new(CrossEntropy, x);
        vec![
            all(sample(3, 4, &[0, 3, 1])),
            all(sample(2, 1, &[0, 0])),
            all(sample(4, 5, &[-1, 5, 4, 2])),
            Sample::flat(CrossEntropy, sample(3, 700, &[0, 699, 64])),
            Sample::flat(CrossEntropy, sample(0, 3, &[])),
            Sample::flat(CrossEntropy, sample(600, 70, &[69; 600])),
        ]
    }
}
