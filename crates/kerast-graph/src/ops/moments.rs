//! Mean and variance (of the whole population) along axes that lie together, in one pass over memory. XLA has them inside
//! `batch_norm_training`.
//!
//! `dx = (dmean + 2 dvariance (x - mean)) / n`.

use super::sample_data::floats;
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use kerast_kernels::dtype::DType;
use kerast_kernels::map::reduction;
use kerast_kernels::moments;

/// Mean and variance, whose results lack these axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// The axes, increasing; only axes of length 1 may lie between them.
    pub axes: Vec<usize>,
}

impl OpRule for Moments {
    fn name(&self) -> &'static str {
        "moments"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x] = x else { return Err(shape_error("moments", "takes one operand")) };
        if !matches!(x.dtype, DType::F32 | DType::F64) {
            return Err(dtype_error("moments", "takes f32 or f64").received(x));
        }
        let exist = self.axes.iter().all(|&a| a < x.rank()) && self.axes.windows(2).all(|w| w[0] < w[1]);
        if !exist || reduction(&x.shape, &self.axes).is_none() {
            return Err(shape_error("moments", format!("needs axes that lie together in {x}"))
                .received(format!("{:?}", self.axes)));
        }
        let kept = (0..x.rank()).filter(|a| !self.axes.contains(a)).map(|a| x.shape[a]);
        let ty = Type::new(x.dtype, kept.collect::<Vec<_>>());
        Ok(vec![ty.clone(), ty])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, mean) = (cx.x(0), &cx.results[0]);
        let kept: Vec<usize> = (0..x.rank()).filter(|a| !self.axes.contains(a)).collect();
        let n: usize = self.axes.iter().map(|&a| x.shape()[a]).product();
        let spread = |v: &Var| v.broadcast_in_dim(x.shape(), &kept);
        let slope = cx.dy(1) * (2.0 / n as f64);
        let level = cx.dy(0) * (1.0 / n as f64);
        vec![Some((x - spread(mean)) * spread(&slope) + spread(&level))]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let x = operands[0];
        let lie_together = "the shape rule wants axes that lie together";
        match x.dtype {
            DType::F64 => {
                Cpu::Kernel(Box::new(moments::Moments::<f64>::new(&x.shape, &self.axes).expect(lie_together)))
            }
            _ => Cpu::Kernel(Box::new(moments::Moments::<f32>::new(&x.shape, &self.axes).expect(lie_together))),
        }
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("axes", &self.axes[..])
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "moments" {
            return Ok(None);
        }
        Ok(Some(Moments { axes: a.sizes("axes")? }))
    }

    fn samples() -> Vec<Sample> {
        let over =
            |axes: &[usize], shape: &[usize]| Sample::new(Moments { axes: axes.to_vec() }, vec![floats(shape, 1)]);
        let mut all = vec![
            over(&[0], &[7, 3]),
            over(&[0, 1, 2], &[2, 3, 2, 5]),
            over(&[1], &[4, 9]),
            over(&[1], &[2, 5, 3]),
            over(&[0, 2], &[4, 3, 1]),
            over(&[1], &[2, 1]),
        ];
        // Several chunks, narrow and wide.
        for shape in [[5000, 3], [700, 40], [150, 200]] {
            all.push(Sample::flat(Moments { axes: vec![0] }, vec![floats(&shape, 1)]));
        }
        all.push(Sample::flat(Moments { axes: vec![1] }, vec![floats(&[2, 20_001], 1)]));
        all.push(Sample::new(Moments { axes: vec![0] }, vec![floats(&[6, 2], 1).cast(DType::F64)]));
        all
    }
}
