//! Another element type: `y = x as T`; the cotangent is converted back.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::map::Scalar;

/// Conversion to an element type. Floats to integers truncate and saturate; integers to narrower ones wrap; to bool: not zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Convert(
    /// The new element type.
    pub DType,
);

impl OpRule for Convert {
    fn name(&self) -> &'static str {
        "convert"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        match x {
            [x] => Ok(vec![Type::new(self.0, x.shape.clone())]),
            _ => Err(shape_error("convert", "takes one operand")),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        vec![self.0.is_float().then(|| cx.dy(0).convert(cx.x(0).dtype()))]
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Scalar(Scalar::Convert(self.0))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("to", self.0.hlo())
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "convert" {
            return Ok(None);
        }
        let to = a.word("to")?;
        DType::parse(to).map(|d| Some(Convert(d))).ok_or_else(|| dtype_error(name, format!("there is no type `{to}`")))
    }

    fn samples() -> Vec<Sample> {
        let x = Tensor::new(&[4], &[0.0f64, 1.75, 100.0, 3.25]).expect("four values");
        let mut all = vec![];
        for from in DType::ALL {
            for to in DType::ALL {
                // From f64 the steps of finite differences are below what f32 can hold.
                let gradient = (from == DType::F32 && to.is_float() && to.size() >= 4).then_some(1e-2);
                all.push(Sample { gradient, ..Sample::new(Convert(to), vec![x.cast(from)]) });
            }
        }
        all
    }
}

impl Var {
    /// As element type `dtype`; itself if it already is.
    #[track_caller]
    pub fn convert(&self, dtype: DType) -> Var {
        if self.dtype() == dtype { self.clone() } else { self.apply(Convert(dtype), &[]) }
    }
}
