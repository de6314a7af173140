//! Windows at places known only at run time: read one, replace one. Starts are scalar operands, clamped so that the window lies
//! inside.

use super::sample_data::floats;
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::copy;
use kerast_kernels::dtype::DType;

fn check_starts(name: &str, x: &Type, starts: &[&Type]) -> Result<()> {
    let fits = starts.len() == x.rank()
        && starts.iter().all(|s| s.rank() == 0 && s.dtype.is_int())
        && starts.windows(2).all(|w| w[0].dtype == w[1].dtype);
    if fits { Ok(()) } else { Err(shape_error(name, format!("one scalar integer start per axis of {x} is needed"))) }
}

/// `y = x[start .. start + sizes]`; `dx` is `dy` in a field of zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicSlice(
    /// The size of the window.
    pub Vec<usize>,
);

impl OpRule for DynamicSlice {
    fn name(&self) -> &'static str {
        "dynamic_slice"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let (x, starts) = x.split_first().ok_or_else(|| shape_error("dynamic_slice", "takes an operand"))?;
        check_starts("dynamic_slice", x, starts)?;
        if self.0.len() != x.rank() || self.0.iter().zip(&x.shape).any(|(w, n)| w > n) {
            return Err(shape_error("dynamic_slice", format!("a window of {:?} does not fit into {x}", self.0)));
        }
        Ok(vec![Type::new(x.dtype, self.0.clone())])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let starts: Vec<&Var> = cx.operands[1..].iter().collect();
        let mut out = cx.none();
        out[0] = cx.want(0, || cx.x(0).full_like(0.0).dynamic_update_slice(&cx.dy(0), &starts));
        out
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let (x, index) = (operands[0], operands.get(1).map_or(crate::DType::I32, |t| t.dtype));
        Cpu::Kernel(Box::new(copy::DynamicSlice::new(x.dtype.size(), &x.shape, &self.0, index)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("sizes", &self.0)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "dynamic_slice" {
            return Ok(None);
        }
        Ok(Some(DynamicSlice(a.sizes("sizes")?)))
    }

    fn samples() -> Vec<Sample> {
        let sample = |x: Tensor, sizes: &[usize], starts: &[i32]| {
            let operands = std::iter::once(x).chain(starts.iter().map(|&s| Tensor::scalar(s))).collect();
            Sample::new(DynamicSlice(sizes.to_vec()), operands)
        };
        let x = floats(&[3, 4, 2], 1);
        let mut all = vec![
            sample(x.clone(), &[2, 4, 2], &[1, 0, 0]),
            sample(x.clone(), &[1, 2, 1], &[2, 1, 1]),
            sample(x.clone(), &[2, 2, 2], &[-5, 100, 0]),
            sample(x.clone(), &[3, 4, 2], &[1, 1, 1]),
            sample(x.clone(), &[0, 2, 2], &[1, 1, 0]),
            sample(floats(&[5], 2), &[3], &[1]),
            sample(floats(&[], 2), &[], &[]),
        ];
        for dtype in [DType::I64, DType::U8, DType::F16] {
            all.push(Sample { gradient: None, ..sample(x.cast(dtype), &[2, 1, 2], &[1, 3, 0]) });
        }
        all
    }
}

/// `y = x` with the window at `start` replaced; `dx` is `dy` with zeros there, `dupdate` the window of `dy`.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicUpdateSlice;

impl OpRule for DynamicUpdateSlice {
    fn name(&self) -> &'static str {
        "dynamic_update_slice"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x, u, starts @ ..] = x else { return Err(shape_error(self.name(), "takes an operand and an update")) };
        check_starts(self.name(), x, starts)?;
        let fits = u.dtype == x.dtype && u.rank() == x.rank() && u.shape.iter().zip(&x.shape).all(|(a, b)| a <= b);
        if fits { Ok(vec![(*x).clone()]) } else { Err(shape_error(self.name(), format!("{u} does not fit into {x}"))) }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let dy = cx.dy(0);
        let starts: Vec<&Var> = cx.operands[2..].iter().collect();
        let mut out = cx.none();
        out[0] = cx.want(0, || dy.dynamic_update_slice(&cx.x(1).full_like(0.0), &starts));
        out[1] = cx.want(1, || dy.dynamic_slice(cx.x(1).shape(), &starts));
        out
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let (x, u, index) = (operands[0], operands[1], operands.get(2).map_or(crate::DType::I32, |t| t.dtype));
        Cpu::Kernel(Box::new(copy::DynamicUpdateSlice::new(x.dtype.size(), &x.shape, &u.shape, index)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
    }

    fn parse(name: &str, _: &Attributes) -> Result<Option<Self>> {
        Ok((name == "dynamic_update_slice").then_some(DynamicUpdateSlice))
    }

    fn samples() -> Vec<Sample> {
        let sample = |x: Tensor, update: Tensor, starts: &[i32]| {
            let operands = [x, update].into_iter().chain(starts.iter().map(|&s| Tensor::scalar(s))).collect();
            Sample::new(DynamicUpdateSlice, operands)
        };
        let x = floats(&[3, 4, 2], 1);
        let mut all = vec![
            sample(x.clone(), floats(&[2, 4, 2], 3), &[1, 0, 0]),
            sample(x.clone(), floats(&[1, 2, 1], 3), &[2, 1, 1]),
            sample(x.clone(), floats(&[2, 2, 2], 3), &[-5, 100, 0]),
            sample(x.clone(), floats(&[3, 4, 2], 3), &[1, 1, 1]),
            sample(x.clone(), floats(&[1, 0, 1], 3), &[1, 1, 1]),
            sample(floats(&[], 1), floats(&[], 2), &[]),
        ];
        for dtype in [DType::I64, DType::U8, DType::F16] {
            let s = sample(x.cast(dtype), floats(&[2, 1, 2], 3).cast(dtype), &[1, 3, 0]);
            all.push(Sample { gradient: None, ..s });
        }
        let wide = sample(floats(&[50, 300], 1), floats(&[20, 200], 2), &[11, 7]);
        all.push(Sample { gradient: None, ..wide });
        all.push(sample(floats(&[4], 1), floats(&[2], 2), &[1]));
        all
    }
}

impl Var {
    /// A window of `sizes` at run-time `starts` (scalar integers, one per axis).
    #[track_caller]
    pub fn dynamic_slice(&self, sizes: &[usize], starts: &[&Var]) -> Var {
        self.apply(DynamicSlice(sizes.to_vec()), starts)
    }

    /// This value with the window at run-time `starts` replaced by `update`.
    #[track_caller]
    pub fn dynamic_update_slice(&self, update: &Var, starts: &[&Var]) -> Var {
        let others: Vec<&Var> = std::iter::once(update).chain(starts.iter().copied()).collect();
        self.apply(DynamicUpdateSlice, &others)
    }
}
