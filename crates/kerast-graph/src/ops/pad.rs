//! A value with padding around and between its elements; negative amounts cut. `dx` takes the elements back out, `dvalue` is the
//! sum of `dy` over the padding.

use super::sample_data::floats;
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::copy;
use kerast_kernels::dtype::DType;

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
        let [x, value] = x else { return Err(shape_error("pad", "takes a value and a padding value")) };
        if value.rank() != 0 || value.dtype != x.dtype {
            return Err(dtype_error("pad", "the padding value must be a scalar of the operand's type")
                .received(format!("{x} and {value}")));
        }
        let n = x.rank();
        if self.low.len() != n || self.high.len() != n || self.interior.len() != n {
            return Err(shape_error("pad", format!("needs padding for each axis of {x}")));
        }
        let length = |a: usize| {
            let spread = x.shape[a].saturating_sub(1).checked_mul(self.interior[a])?.checked_add(x.shape[a])?;
            let all = i64::try_from(spread).ok()?.checked_add(self.low[a])?.checked_add(self.high[a])?;
            usize::try_from(all).ok()
        };
        let shape: Option<Vec<usize>> = (0..n).map(length).collect();
        let wrong = || {
            shape_error("pad", "an axis would get a negative length")
                .received(format!("{x}, low {:?}, high {:?}, interior {:?}", self.low, self.high, self.interior))
        };
        Ok(vec![Type::new(x.dtype, shape.ok_or_else(wrong)?)])
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
        let pad = |low: &[i64], high: &[i64], interior: &[usize]| Pad {
            low: low.to_vec(),
            high: high.to_vec(),
            interior: interior.to_vec(),
        };
        let x = floats(&[3, 4], 1);
        let value = Tensor::scalar(0.5f32);
        let mut all: Vec<Sample> = [
            pad(&[0, 0], &[0, 0], &[0, 0]),
            pad(&[1, 2], &[0, 3], &[0, 0]),
            pad(&[0, 0], &[0, 0], &[1, 2]),
            pad(&[2, 1], &[1, 0], &[2, 1]),
            pad(&[-1, 0], &[0, -2], &[0, 0]),
            pad(&[-1, 2], &[3, -2], &[1, 0]),
            pad(&[-2, -3], &[-1, -2], &[1, 1]),
            pad(&[-4, 0], &[3, 0], &[0, 0]),
            pad(&[5, 0], &[-6, 0], &[0, 0]),
            pad(&[-3, 0], &[0, 0], &[0, 0]),
        ]
        .map(|op| Sample::new(op, vec![x.clone(), value.clone()]))
        .into();
        for dtype in [DType::I64, DType::U8, DType::F16, DType::F64, DType::Bool] {
            let op = pad(&[1, -1], &[1, 2], &[1, 0]);
            all.push(Sample::flat(op, vec![x.cast(dtype), Tensor::scalar(1.0f32).cast(dtype)]));
        }
        all.push(Sample::new(pad(&[1, 2, 0], &[1, 0, 1], &[0, 0, 0]), vec![floats(&[2, 1, 3], 2), value.clone()]));
        all.push(Sample::flat(pad(&[2, 1], &[1, 0], &[3, 0]), vec![floats(&[0, 3], 1), value.clone()]));
        all.push(Sample::flat(pad(&[], &[], &[]), vec![floats(&[], 1), value.clone()]));
        all.push(Sample::flat(pad(&[3, 5], &[1, 7], &[0, 0]), vec![floats(&[40, 700], 1), value]));
        all
    }
}

impl Var {
    /// StableHLO's `pad`; itself when nothing changes.
    #[track_caller]
    pub fn pad(&self, value: &Var, low: &[i64], high: &[i64], interior: &[usize]) -> Var {
        let none = low.iter().chain(high).all(|&p| p == 0) && interior.iter().all(|&p| p == 0);
        if none && [low.len(), high.len(), interior.len()] == [self.rank(); 3] {
            return self.clone();
        }
        self.apply(Pad { low: low.to_vec(), high: high.to_vec(), interior: interior.to_vec() }, &[value])
    }

    /// Zeros before and after, pairs for each axis.
    #[track_caller]
    pub fn pad_zeros(&self, padding: &[(usize, usize)]) -> Var {
        let low: Vec<i64> = padding.iter().map(|p| p.0 as i64).collect();
        let high: Vec<i64> = padding.iter().map(|p| p.1 as i64).collect();
        self.pad(&self.constant_like(0.0), &low, &high, &vec![0; padding.len()])
    }
}
