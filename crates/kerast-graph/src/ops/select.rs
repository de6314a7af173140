//! Element-wise choice and bounds: `select`, `clamp`.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::map::Scalar;

/// `y = p ? a : b`; `da = p ? dy : 0`, `db = p ? 0 : dy`.
#[derive(Clone, Debug, PartialEq)]
pub struct Select;

impl OpRule for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [p, a, b] = x else { return Err(shape_error("select", "takes three operands")) };
        if p.dtype != DType::Bool {
            return Err(dtype_error("select", "the first operand must be bool").received(p));
        }
        if a != b || p.shape != a.shape {
            return Err(shape_error("select", "shapes and types must agree").received(format!("{p}, {a} and {b}")));
        }
        Ok(vec![(*a).clone()])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (p, dy) = (cx.x(0), cx.dy(0));
        let zero = dy.full_like(0.0);
        vec![None, cx.want(1, || p.select(&dy, &zero)), cx.want(2, || p.select(&zero, &dy))]
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Scalar(Scalar::Select)
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
    }

    fn parse(name: &str, _: &Attributes) -> Result<Option<Self>> {
        Ok((name == "select").then_some(Select))
    }

    fn samples() -> Vec<Sample> {
        let p = Tensor::from_bools(&[4], &[true, false, false, true]).expect("four values");
        let a = Tensor::new(&[4], &[1.0f32, 2.0, 3.0, 4.0]).expect("four values");
        let b = Tensor::new(&[4], &[-1.0f32, -2.0, -3.0, -4.0]).expect("four values");
        let mut all = vec![Sample::new(Select, vec![p.clone(), a.clone(), b.clone()])];
        for dtype in [DType::F64, DType::I32, DType::I64, DType::U8, DType::Bool, DType::F16] {
            all.push(Sample::flat(Select, vec![p.clone(), a.cast(dtype), b.cast(dtype)]));
        }
        all
    }
}

/// `y = min(max(x, low), high)`; the cotangent passes where x lies within the bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Clamp;

impl OpRule for Clamp {
    fn name(&self) -> &'static str {
        "clamp"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        match x {
            [low, v, high] if low == v && v == high && v.dtype != DType::Bool => Ok(vec![(*v).clone()]),
            [low, v, high] => {
                Err(shape_error("clamp", "low, x and high must have the same type")
                    .received(format!("{low}, {v}, {high}")))
            }
            _ => Err(shape_error("clamp", "takes three operands")),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (low, x, high, dy) = (cx.x(0), cx.x(1), cx.x(2), cx.dy(0));
        let zero = dy.full_like(0.0);
        let below = x.less(low);
        let above = x.greater(high);
        vec![
            cx.want(0, || below.select(&dy, &zero)),
            cx.want(1, || below.or(&above).select(&zero, &dy)),
            cx.want(2, || above.select(&dy, &zero)),
        ]
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Scalar(Scalar::Clamp)
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
    }

    fn parse(name: &str, _: &Attributes) -> Result<Option<Self>> {
        Ok((name == "clamp").then_some(Clamp))
    }

    fn samples() -> Vec<Sample> {
        let t = |v: [f32; 4]| Tensor::new(&[4], &v).expect("four values");
        let (low, x, high) = (t([0.0, 0.5, -1.0, 1.0]), t([-2.0, 0.75, 3.0, 1.5]), t([1.0, 1.0, 2.0, 2.0]));
        let cast = |d: DType| vec![low.cast(d), x.cast(d), high.cast(d)];
        vec![
            Sample::new(Clamp, cast(DType::F32)),
            Sample::new(Clamp, cast(DType::F64)),
            Sample::flat(Clamp, cast(DType::I32)),
            Sample::flat(Clamp, cast(DType::I64)),
        ]
    }
}

impl Var {
    /// `self ? a : b`, all three broadcast together; `self` must be bool.
    #[track_caller]
    pub fn select(&self, a: &Var, b: &Var) -> Var {
        let (a, b) = a.broadcast_with(b);
        let (p, a) = self.broadcast_with(&a);
        let b = b.broadcast_to(a.shape());
        p.apply(Select, &[&a, &b])
    }

    /// Bounded to `low ..= high`.
    #[track_caller]
    pub fn clamp(&self, low: f64, high: f64) -> Var {
        self.full_like(low).apply(Clamp, &[self, &self.full_like(high)])
    }
}
