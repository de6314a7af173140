//! Values without operands: parameter, constant, iota.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::{Attribute, Attributes};
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::{Type, strides};
use crate::ir::var::{Trace, Var};
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::map::Scalar;

/// A value that the caller brings.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its place in the list of parameters.
    pub index: usize,
    /// Its type.
    pub ty: Type,
}

impl OpRule for Parameter {
    fn name(&self) -> &'static str {
        "parameter"
    }
    fn infer(&self, _: &[&Type]) -> Result<Vec<Type>> {
        Ok(vec![self.ty.clone()])
    }
    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        cx.none()
    }
    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Parameter
    }
    fn attributes(&self) -> Attributes {
        Attributes::none().with("index", self.index).with("type", self.ty.to_string().as_str())
    }
    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "parameter" {
            return Ok(None);
        }
        let ty = Type::parse(a.word("type")?).ok_or_else(|| shape_error(name, "cannot read its type"))?;
        Ok(Some(Parameter { index: a.size("index")?, ty }))
    }
    fn samples() -> Vec<Sample> {
        vec![]
    }
}

/// A value known when the graph is built.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant(
    /// The value.
    pub Tensor,
);

impl OpRule for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }
    fn infer(&self, _: &[&Type]) -> Result<Vec<Type>> {
        Ok(vec![Type::new(self.0.dtype(), self.0.shape())])
    }
    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        cx.none()
    }
    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Constant(self.0.clone())
    }
    fn attributes(&self) -> Attributes {
        Attributes::none().with("value", Attribute::Tensor(self.0.clone()))
    }
    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "constant" {
            return Ok(None);
        }
        Ok(Some(Constant(a.tensor("value")?.clone())))
    }
    fn samples() -> Vec<Sample> {
        let values =
            [Tensor::scalar(1.5f32), Tensor::scalar(-3i64), Tensor::scalar(f64::NEG_INFINITY), Tensor::scalar(0.1f32)];
        let mut all: Vec<Sample> = values.map(|v| Sample::flat(Constant(v), vec![])).into();
        let grid = Tensor::new(&[2, 2], &[1.0f32, 1e-30, -2.5, 3e20]).expect("four values");
        all.push(Sample::flat(Constant(grid), vec![]));
        all
    }
}

/// `y[.., i, ..] = i` along one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Iota {
    /// The type of the result.
    pub ty: Type,
    /// The axis counted along.
    pub axis: usize,
}

impl OpRule for Iota {
    fn name(&self) -> &'static str {
        "iota"
    }
    fn infer(&self, _: &[&Type]) -> Result<Vec<Type>> {
        match self.axis < self.ty.rank() && self.ty.dtype != DType::Bool {
            true => Ok(vec![self.ty.clone()]),
            false => Err(shape_error("iota", format!("axis {} does not exist in {}", self.axis, self.ty))),
        }
    }
    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        cx.none()
    }
    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Scalar(Scalar::Iota { repeat: strides(&self.ty.shape)[self.axis], length: self.ty.shape[self.axis] })
    }
    fn attributes(&self) -> Attributes {
        Attributes::none().with("type", self.ty.to_string().as_str()).with("axis", self.axis)
    }
    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "iota" {
            return Ok(None);
        }
        let ty = Type::parse(a.word("type")?).ok_or_else(|| shape_error(name, "cannot read its type"))?;
        Ok(Some(Iota { ty, axis: a.size("axis")? }))
    }
    fn samples() -> Vec<Sample> {
        let sample = |dtype, shape: &[usize], axis| Sample::flat(Iota { ty: Type::new(dtype, shape), axis }, vec![]);
        vec![
            sample(DType::I32, &[5], 0),
            sample(DType::F32, &[3, 4], 0),
            sample(DType::I64, &[3, 4, 2], 1),
            sample(DType::U8, &[2, 700], 1),
            sample(DType::BF16, &[6], 0),
        ]
    }
}

impl Trace {
    /// Counts along `axis`.
    #[track_caller]
    pub fn iota(&self, ty: &Type, axis: usize) -> Var {
        self.push(Iota { ty: ty.clone(), axis }, &[])
    }
}
