//! Running sums, products, maxima and minima along an axis. `dx` of a sum is the sum of `dy` from the other end; of a product the same
//! over `dy · y`, divided by x. Maxima and minima have no gradient.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::order::{Cumulate, CumulateKind};

/// A running reduction.
#[derive(Clone, Debug, PartialEq)]
pub struct Cumulative {
    /// What runs along.
    pub kind: CumulateKind,
    /// The axis.
    pub axis: usize,
    /// The element itself is left out.
    pub exclusive: bool,
    /// From the end.
    pub reverse: bool,
}

impl OpRule for Cumulative {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        match x {
            [x] if x.dtype == DType::Bool => Err(dtype_error(self.name(), "does not take bool")),
            [x] if self.axis < x.rank() => Ok(vec![(*x).clone()]),
            _ => Err(shape_error(self.name(), format!("axis {} does not exist in {x:?}", self.axis))),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let back =
            |v: &Var| v.apply(Cumulative { kind: CumulateKind::Sum, reverse: !self.reverse, ..self.clone() }, &[]);
        match self.kind {
            CumulateKind::Sum => vec![Some(back(&cx.dy(0)))],
            CumulateKind::Product => vec![Some(back(&(cx.dy(0) * cx.y())) / cx.x(0))],
            CumulateKind::Max | CumulateKind::Min => cx.none(),
        }
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let x = operands[0];
        Cpu::Kernel(Box::new(Cumulate::new(x.dtype, &x.shape, self.axis, self.kind, self.exclusive, self.reverse)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("axis", self.axis).with("exclusive", self.exclusive).with("reverse", self.reverse)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        let Some(kind) = CumulateKind::ALL.into_iter().find(|k| k.name() == name) else { return Ok(None) };
        Ok(Some(Cumulative {
            kind,
            axis: a.size("axis")?,
            exclusive: a.flag("exclusive")?,
            reverse: a.flag("reverse")?,
        }))
    }

    fn samples() -> Vec<Sample> {
        let x = Tensor::new(&[2, 3], &[1.5f32, -2.0, 0.5, 3.0, 1.0, -1.0]).expect("six values");
        let mut all = vec![];
        for kind in CumulateKind::ALL {
            for (axis, exclusive, reverse) in [(0, false, false), (1, false, true), (1, true, false), (1, true, true)] {
                let op = Cumulative { kind, axis, exclusive, reverse };
                let smooth = matches!(kind, CumulateKind::Sum | CumulateKind::Product);
                all.push(Sample { op: op.clone().into(), operands: vec![x.clone()], gradient: smooth.then_some(1e-2) });
                all.push(Sample::flat(op, vec![x.cast(DType::I32)]));
            }
        }
        all
    }
}

impl Var {
    /// The sum so far along an axis.
    #[track_caller]
    pub fn cumulative_sum(&self, axis: usize) -> Var {
        self.apply(Cumulative { kind: CumulateKind::Sum, axis, exclusive: false, reverse: false }, &[])
    }
}
