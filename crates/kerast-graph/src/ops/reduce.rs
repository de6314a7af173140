//! Sum, max, min, product, any or all along axes; the axes disappear.
//!
//! `dx` of a sum repeats `dy`; of max and min it is shared equally among the winners (as JAX does); of a product it is `dy` times
//! the product of the others.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
pub use kerast_kernels::map::ReduceKind;
use kerast_kernels::map::Scalar;

/// A reduction along axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// Which reduction.
    pub kind: ReduceKind,
    /// The axes, increasing.
    pub axes: Vec<usize>,
}

impl OpRule for Reduce {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x] = x else { return Err(shape_error(self.name(), "takes one operand")) };
        let increasing = self.axes.windows(2).all(|w| w[0] < w[1]) && self.axes.iter().all(|&a| a < x.rank());
        if !increasing {
            return Err(shape_error(self.name(), format!("axes {:?} do not exist in {x}", self.axes)));
        }
        let boolean = matches!(self.kind, ReduceKind::Any | ReduceKind::All);
        if boolean != (x.dtype == DType::Bool) {
            return Err(dtype_error(self.name(), format!("does not take {}", x.dtype)));
        }
        let keep = (0..x.rank()).filter(|a| !self.axes.contains(a)).map(|a| x.shape[a]);
        Ok(vec![Type::new(x.dtype, keep.collect::<Vec<_>>())])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, dy) = (cx.x(0), cx.dy(0));
        let dims: Vec<usize> = (0..x.rank()).filter(|a| !self.axes.contains(a)).collect();
        let spread = |v: &Var| v.broadcast_in_dim(x.shape(), &dims);
        let dx = match self.kind {
            ReduceKind::Sum => spread(&dy),
            ReduceKind::Max | ReduceKind::Min => {
                let winners = x.equal(&spread(cx.y())).convert(x.dtype());
                let share = dy / winners.reduce_sum(&self.axes);
                spread(&share) * winners
            }
            ReduceKind::Product => spread(&dy) * others_product(x, &self.axes),
            ReduceKind::Any | ReduceKind::All => return cx.none(),
        };
        vec![Some(dx)]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Scalar(Scalar::Reduce { kind: self.kind, axes: self.axes.clone(), shape: operands[0].shape.clone() })
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("axes", &self.axes)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        match ReduceKind::ALL.iter().find(|k| k.name() == name) {
            Some(kind) => Ok(Some(Reduce { kind: *kind, axes: a.sizes("axes")? })),
            None => Ok(None),
        }
    }

    fn samples() -> Vec<Sample> {
        let x = Tensor::new(
            &[2, 3, 4],
            &(0..24).map(|i| ((i * 7) % 11) as f32 * 0.3 - 1.4 + i as f32 * 0.01).collect::<Vec<_>>(),
        )
        .expect("24 values");
        let bools = Tensor::from_bools(&[2, 3], &[true, true, true, false, true, false]).expect("six values");
        let mut all = vec![];
        for &kind in ReduceKind::ALL {
            for axes in [vec![2], vec![0], vec![1], vec![0, 1], vec![1, 2], vec![0, 2], vec![0, 1, 2], vec![]] {
                let op = Reduce { kind, axes: axes.clone() };
                if matches!(kind, ReduceKind::Any | ReduceKind::All) {
                    if axes.iter().all(|&a| a < 2) {
                        all.push(Sample::flat(op, vec![bools.clone()]));
                    }
                    continue;
                }
                all.push(Sample::new(op.clone(), vec![x.clone()]));
                all.push(Sample::new(op.clone(), vec![x.cast(DType::F64)]));
                all.push(Sample::flat(op.clone(), vec![x.cast(DType::I32)]));
                all.push(Sample::flat(op, vec![x.cast(DType::I64)]));
            }
            if !matches!(kind, ReduceKind::Any | ReduceKind::All) {
                let wide = Tensor::new(
                    &[3, 1300],
                    &(0..3900).map(|i| 1.0 + ((i * 37) % 101) as f32 * 1e-4).collect::<Vec<_>>(),
                );
                let wide = wide.expect("3900 values");
                all.push(Sample::flat(Reduce { kind, axes: vec![1] }, vec![wide.clone()]));
                all.push(Sample::flat(Reduce { kind, axes: vec![0] }, vec![wide.clone()]));
                all.push(Sample::flat(Reduce { kind, axes: vec![0, 1] }, vec![wide]));
            }
        }
        all
    }
}

/// For each element the product of all others along `axes`, without dividing by it: the running products of a triangle of masks
/// would cost n², so the zeros are counted instead. With one zero only that element sees the others' product; with two, none does.
fn others_product(x: &Var, axes: &[usize]) -> Var {
    let dims: Vec<usize> = (0..x.rank()).filter(|a| !axes.contains(a)).collect();
    let spread = |v: Var| v.broadcast_in_dim(x.shape(), &dims);
    let (zero, one) = (x.full_like(0.0), x.full_like(1.0));
    let is_zero = x.equal(&zero);
    let zeros = spread(is_zero.convert(x.dtype()).reduce_sum(axes));
    let filled = is_zero.select(&one, x);
    let product = spread(filled.reduce_product(axes));
    let alone = zeros.equal(&is_zero.select(&one, &zero));
    alone.select(&(product / filled), &zero)
}

impl Var {
    #[track_caller]
    fn reduce(&self, kind: ReduceKind, axes: &[usize]) -> Var {
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        if axes.is_empty() {
            return self.clone();
        }
        self.apply(Reduce { kind, axes }, &[])
    }
    /// The sum along `axes`, which disappear.
    #[track_caller]
    pub fn reduce_sum(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Sum, axes)
    }
    /// The largest along `axes`; NaN if one is NaN.
    #[track_caller]
    pub fn reduce_max(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Max, axes)
    }
    /// The smallest along `axes`; NaN if one is NaN.
    #[track_caller]
    pub fn reduce_min(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Min, axes)
    }
    /// The product along `axes`.
    #[track_caller]
    pub fn reduce_product(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Product, axes)
    }
    /// Is any true along `axes`?
    #[track_caller]
    pub fn reduce_any(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Any, axes)
    }
    /// Are all true along `axes`?
    #[track_caller]
    pub fn reduce_all(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::All, axes)
    }
}
