//! A value with padding around and between its elements; negative amounts cut. `dx` takes the elements back out, `dvalue` is the
//! sum of `dy` over the padding.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::copy;

/// Padding; the second operand is the scalar padding value.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// Elements before, per axis.
    pub low: Vec<i64>,
    /// Elements after, per axis.
    pub high: Vec<i64>,
    /// Elements between any two, per axis.
    pub interior: Vec<usize>,
}

impl OpRule for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x, v] = x else { return Err(shape_error("pad", "takes a value and the padding value")) };
        let n = x.rank();
        if v.rank() != 0
            || v.dtype != x.dtype
            || self.low.len() != n
            || self.high.len() != n
            || self.interior.len() != n
        {
            return Err(shape_error("pad", "amounts per axis and a scalar of the same type are needed")
                .received(format!("{x}, {v}")));
        }
        let mut dims = vec![];
        for i in 0..n {
            let spread = x.shape[i] as i64 + (x.shape[i] as i64 - 1).max(0) * self.interior[i] as i64;
            let d = self.low[i] + spread + self.high[i];
            if d < 0 {
                return Err(shape_error("pad", format!("axis {i} would have length {d}")));
            }
            dims.push(d as usize);
        }
        Ok(vec![Type::new(x.dtype, dims)])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let dy = cx.dy(0);
        let dx = || {
            // Undo the edges, then take every (interior + 1)-th element.
            let minus = |v: &[i64]| v.iter().map(|a| -a).collect::<Vec<_>>();
            let zeros = vec![0; dy.rank()];
            let inner = dy.pad(&dy.constant_like(0.0), &minus(&self.low), &minus(&self.high), &zeros);
            let strides: Vec<usize> = self.interior.iter().map(|i| i + 1).collect();
            inner.slice(&zeros, inner.shape(), &strides)
        };
        let value = || {
            let ones = cx.x(0).full_like(1.0);
            let inside = ones.pad(&ones.constant_like(0.0), &self.low, &self.high, &self.interior);
            (&dy * (1.0 - inside)).sum_all()
        };
        vec![cx.want(0, dx), cx.want(1, value)]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let x = operands[0];
        Cpu::Kernel(Box::new(copy::Pad::new(x.dtype.size(), &x.shape, &self.low, &self.high, &self.interior)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("low", &self.low).with("high", &self.high).with("interior", &self.interior)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "pad" {
            return Ok(None);
        }
        Ok(Some(Pad { low: a.ints("low")?, high: a.ints("high")?, interior: a.sizes("interior")? }))
    }

    fn samples() -> Vec<Sample> {
        let x = Tensor::new(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).expect("six values");
        let v = Tensor::scalar(0.5f32);
        let p = |l: [i64; 2], h: [i64; 2], i: [usize; 2]| Pad { low: l.into(), high: h.into(), interior: i.into() };
        vec![
            Sample::new(p([1, 0], [0, 2], [0, 0]), vec![x.clone(), v.clone()]),
            Sample::new(p([0, 1], [1, 0], [1, 2]), vec![x.clone(), v.clone()]),
            Sample::new(p([-1, 1], [0, -1], [0, 1]), vec![x.clone(), v.clone()]),
            Sample::new(p([1, -2], [1, 1], [0, 0]), vec![x.clone(), v.clone()]),
            Sample::flat(p([2, 0], [0, 1], [0, 0]), vec![x.cast(crate::DType::I64), v.cast(crate::DType::I64)]),
        ]
    }
}

impl Var {
    /// Padding with a scalar value.
    #[track_caller]
    pub fn pad(&self, value: &Var, low: &[i64], high: &[i64], interior: &[usize]) -> Var {
        self.apply(Pad { low: low.to_vec(), high: high.to_vec(), interior: interior.to_vec() }, &[value])
    }
}
