//! Element-wise comparisons: two values of the same type in, bool out. No gradient.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::map::{CompareKind as K, Scalar};

/// An element-wise comparison. NaN equals nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Compare(
    /// Which comparison.
    pub K,
);

impl OpRule for Compare {
    fn name(&self) -> &'static str {
        "compare"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        match x {
            [a, b] if a.dtype != b.dtype => {
                Err(dtype_error("compare", "both operands must have the same type").received(format!("{a} and {b}")))
            }
            [a, b] if a.shape == b.shape => Ok(vec![Type::new(DType::Bool, a.shape.clone())]),
            [a, b] => {
                Err(shape_error("compare", "both operands must have the same shape").received(format!("{a} and {b}")))
            }
            _ => Err(shape_error("compare", "takes two operands")),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        cx.none()
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Scalar(Scalar::Compare(self.0))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("direction", self.0.name())
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "compare" {
            return Ok(None);
        }
        let direction = a.word("direction")?;
        let kind = K::ALL.iter().find(|k| k.name() == direction);
        kind.map(|k| Some(Compare(*k))).ok_or_else(|| dtype_error(name, format!("unknown direction {direction}")))
    }

    fn samples() -> Vec<Sample> {
        let a = Tensor::new(&[5], &[1.0f32, 2.0, -3.0, 0.0, f32::NAN]).expect("five values");
        let b = Tensor::new(&[5], &[1.0f32, 3.0, -4.0, -0.0, f32::NAN]).expect("five values");
        let mut all = vec![];
        for &kind in K::ALL {
            all.push(Sample::flat(Compare(kind), vec![a.clone(), b.clone()]));
            for dtype in [DType::F64, DType::I32, DType::I64, DType::U8, DType::Bool] {
                all.push(Sample::flat(Compare(kind), vec![a.cast(dtype), b.cast(dtype)]));
            }
        }
        all
    }
}

impl Var {
    #[track_caller]
    fn compare(&self, kind: K, other: &Var) -> Var {
        let (a, b) = self.broadcast_with(other);
        a.apply(Compare(kind), &[&b])
    }
    /// `a == b`, broadcasting.
    #[track_caller]
    pub fn equal(&self, other: &Var) -> Var {
        self.compare(K::Equal, other)
    }
    /// `a != b`, broadcasting.
    #[track_caller]
    pub fn not_equal(&self, other: &Var) -> Var {
        self.compare(K::NotEqual, other)
    }
    /// `a < b`, broadcasting.
    #[track_caller]
    pub fn less(&self, other: &Var) -> Var {
        self.compare(K::Less, other)
    }
    /// `a <= b`, broadcasting.
    #[track_caller]
    pub fn less_equal(&self, other: &Var) -> Var {
        self.compare(K::LessEqual, other)
    }
    /// `a > b`, broadcasting.
    #[track_caller]
    pub fn greater(&self, other: &Var) -> Var {
        self.compare(K::Greater, other)
    }
    /// `a >= b`, broadcasting.
    #[track_caller]
    pub fn greater_equal(&self, other: &Var) -> Var {
        self.compare(K::GreaterEqual, other)
    }
    /// `a > value`.
    #[track_caller]
    pub fn gt(&self, value: f64) -> Var {
        self.greater(&self.constant_like(value))
    }
    /// `a < value`.
    #[track_caller]
    pub fn lt(&self, value: f64) -> Var {
        self.less(&self.constant_like(value))
    }
    /// `a == value`.
    #[track_caller]
    pub fn eq(&self, value: f64) -> Var {
        self.equal(&self.constant_like(value))
    }
    /// `a != value`.
    #[track_caller]
    pub fn ne(&self, value: f64) -> Var {
        self.not_equal(&self.constant_like(value))
    }
}
