//! Running sums, products, maxima and minima along an axis.
//!
//! `dx` of a sum is the sum of `dy` from the other end; of a product the same over `dy · y`, divided by x, where x is not zero; of a
//! maximum or minimum each `dy` goes to the place where the running value was first reached.

use super::sample_data::{floats, integers};
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::ops::Combine;
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
        let (x, y, dy) = (cx.x(0), cx.y(), cx.dy(0));
        vec![Some(match self.kind {
            CumulateKind::Sum => self.back(&dy),
            CumulateKind::Product => self.product_vjp(x, y, &dy),
            CumulateKind::Max | CumulateKind::Min => self.extreme_vjp(x, &dy),
        })]
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
        let x = floats(&[3, 4, 2], 1);
        // One zero, two zeros, none.
        let zeros = Tensor::new(&[3, 4], &[1.5f32, 0.0, 0.5, 3.0, 0.0, 2.0, 0.0, -1.0, 1.0, -2.0, 0.5, 1.25]);
        let zeros = zeros.expect("twelve values");
        let mut all = vec![];
        for kind in CumulateKind::ALL {
            for (exclusive, reverse) in [(false, false), (false, true), (true, false), (true, true)] {
                // The largest of nothing is infinite: no finite differences.
                let finite = !exclusive || matches!(kind, CumulateKind::Sum | CumulateKind::Product);
                let checked = |op: Cumulative, x: Tensor| {
                    if finite { Sample::new(op, vec![x]) } else { Sample::flat(op, vec![x]) }
                };
                let along = |axis: usize| Cumulative { kind, axis, exclusive, reverse };
                for axis in 0..3 {
                    all.push(checked(along(axis), x.clone()));
                }
                all.push(checked(along(0), x.cast(DType::F64)));
                all.push(Sample::flat(along(1), vec![integers(&[2, 5], 1, DType::I32)]));
                all.push(Sample::flat(along(0), vec![integers(&[2, 5], 1, DType::U8)]));
                all.push(Sample::flat(along(0), vec![floats(&[0, 3], 1)]));
                if kind == CumulateKind::Product {
                    all.push(Sample { twice: false, ..Sample::new(along(1), vec![zeros.clone()]) });
                }
            }
        }
        all
    }
}

impl Cumulative {
    fn run(&self, x: &Var, kind: CumulateKind) -> Var {
        x.apply(Cumulative { kind, ..self.clone() }, &[])
    }

    /// The sum from the other end: the transpose of the running sum.
    fn back(&self, v: &Var) -> Var {
        v.apply(Cumulative { kind: CumulateKind::Sum, reverse: !self.reverse, ..self.clone() }, &[])
    }

    /// `dx_j = Σ_i dy_i y_i / x_j`. What comes after the first zero of a line is zero but for that zero itself, whose cotangent is the
    /// same sum over products that leave it out. (Second derivatives at a zero are not complete.)
    fn product_vjp(&self, x: &Var, y: &Var, dy: &Var) -> Var {
        let (zero, one) = (x.full_like(0.0), x.full_like(1.0));
        let is_zero = x.equal(&zero);
        let count = Cumulative { kind: CumulateKind::Sum, exclusive: false, ..self.clone() };
        let seen = is_zero.convert(DType::I32).apply(count, &[]);
        let first = is_zero.and(&seen.equal(&seen.full_like(1.0)));
        let without = self.run(&first.select(&one, x), CumulateKind::Product);
        let elsewhere = self.back(&(dy * y)) / is_zero.select(&one, x);
        first.select(&self.back(&(dy * without)), &is_zero.select(&zero, &elsewhere))
    }

    fn extreme_vjp(&self, x: &Var, dy: &Var) -> Var {
        let before = x.apply(Cumulative { exclusive: true, ..self.clone() }, &[]);
        let better = if self.kind == CumulateKind::Max { x.greater(&before) } else { x.less(&before) };
        let place = x.trace().iota(&Type::new(DType::I32, x.shape()), self.axis);
        // The latest place where the running value changed; from the end that is the smallest. No place lies outside: it is dropped.
        let (kind, none) = match self.reverse {
            false => (CumulateKind::Max, -1.0),
            true => (CumulateKind::Min, x.shape()[self.axis] as f64),
        };
        let winner = self.run(&better.select(&place, &place.full_like(none)), kind);
        x.full_like(0.0).scatter_along_axis(&winner, dy, self.axis, Combine::Add)
    }
}

impl Var {
    #[track_caller]
    fn cumulative(&self, kind: CumulateKind, axis: usize) -> Var {
        self.apply(Cumulative { kind, axis, exclusive: false, reverse: false }, &[])
    }

    /// The sum so far along an axis.
    #[track_caller]
    pub fn cumulative_sum(&self, axis: usize) -> Var {
        self.cumulative(CumulateKind::Sum, axis)
    }

    /// The product so far along an axis.
    #[track_caller]
    pub fn cumulative_product(&self, axis: usize) -> Var {
        self.cumulative(CumulateKind::Product, axis)
    }

    /// The largest so far along an axis.
    #[track_caller]
    pub fn cumulative_max(&self, axis: usize) -> Var {
        self.cumulative(CumulateKind::Max, axis)
    }

    /// The smallest so far along an axis.
    #[track_caller]
    pub fn cumulative_min(&self, axis: usize) -> Var {
        self.cumulative(CumulateKind::Min, axis)
    }
}
