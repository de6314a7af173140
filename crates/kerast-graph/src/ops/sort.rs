//! Order along an axis: `sort` (stable, NaN last, with operands carried along) and `top_k` (NaN first).
//!
//! Gradients go back to the places that the values came from.

use super::sample_data::{floats, indices, integers};
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::ops::Combine;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::order;

/// Operands of one shape sorted along an axis by the first of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    /// The axis.
    pub axis: usize,
    /// Largest first.
    pub descending: bool,
}

impl OpRule for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let fits = x.first().is_some_and(|f| self.axis < f.rank() && x.iter().all(|t| t.shape == f.shape));
        if fits {
            Ok(x.iter().map(|t| (*t).clone()).collect())
        } else {
            Err(shape_error("sort", "operands of one shape are needed"))
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        // Where each sorted element came from is where its cotangent goes.
        let x = cx.x(0);
        let places = x.trace().iota(&Type::new(DType::I32, x.shape()), self.axis);
        let (_, from) = sort2(x, &places, self);
        let back = |i: usize| cx.x(i).full_like(0.0).scatter_along_axis(&from, &cx.dy(i), self.axis, Combine::Set);
        (0..cx.operands.len()).map(|i| cx.want(i, || back(i))).collect()
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let dtypes: Vec<DType> = operands.iter().map(|t| t.dtype).collect();
        Cpu::Kernel(Box::new(order::Sort::new(&dtypes, &operands[0].shape, self.axis, self.descending)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("axis", self.axis).with("descending", self.descending)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "sort" {
            return Ok(None);
        }
        Ok(Some(Sort { axis: a.size("axis")?, descending: a.flag("descending")? }))
    }

    fn samples() -> Vec<Sample> {
        let x = floats(&[3, 5, 2], 1);
        let tied = Tensor::new(&[6], &[2.0f32, f32::NAN, -1.0, 2.0, -0.0, 0.0]).expect("six values");
        let numbers = integers(&[3, 5, 2], 4, DType::I32);
        let order = |axis: usize, descending: bool| Sort { axis, descending };
        let mut all = vec![];
        for descending in [false, true] {
            for axis in 0..3 {
                all.push(Sample::new(order(axis, descending), vec![x.clone()]));
            }
            all.push(Sample::new(order(1, descending), vec![x.clone(), numbers.clone()]));
            all.push(Sample::new(order(1, descending), vec![x.clone(), floats(&[3, 5, 2], 9), numbers.clone()]));
            all.push(Sample::new(order(1, descending), vec![numbers.clone(), x.clone()]));
            let carried = indices(&[6], &[0, 1, 2, 3, 4, 5]);
            all.push(Sample::flat(order(0, descending), vec![tied.clone(), carried]));
            for dtype in [DType::I64, DType::U8, DType::BF16, DType::F64] {
                all.push(Sample::flat(order(1, descending), vec![integers(&[2, 9], 2, dtype)]));
            }
            all.push(Sample::flat(order(1, descending), vec![floats(&[20, 900], 1)]));
        }
        all
    }
}

fn sort2(x: &Var, carried: &Var, op: &Sort) -> (Var, Var) {
    let mut both = x.trace().push_many(op.clone().into(), &[x, carried], x.ty(), 2);
    let second = both.swap_remove(1);
    (both.swap_remove(0), second)
}

/// The k largest along the last axis and their places (i32).
#[derive(Clone, Debug, PartialEq)]
pub struct TopK(
    /// How many.
    pub usize,
);

impl OpRule for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        match x {
            [x] if x.shape.last().is_some_and(|&n| self.0 <= n) => {
                let mut shape = x.shape.clone();
                let last = shape.len() - 1;
                shape[last] = self.0;
                Ok(vec![Type::new(x.dtype, shape.clone()), Type::new(DType::I32, shape)])
            }
            _ => Err(shape_error("top_k", format!("{x:?} has no {} elements along its last axis", self.0))),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, places) = (cx.x(0), &cx.results[1]);
        vec![Some(x.full_like(0.0).scatter_along_axis(places, &cx.dy(0), x.rank() - 1, Combine::Set))]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Kernel(Box::new(order::TopK::new(operands[0].dtype, &operands[0].shape, self.0)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("k", self.0)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "top_k" {
            return Ok(None);
        }
        Ok(Some(TopK(a.size("k")?)))
    }

    fn samples() -> Vec<Sample> {
        let x = floats(&[2, 7], 1);
        let tied = Tensor::new(&[6], &[2.0f32, 1.0, 5.0, 2.0, 5.0, 5.0]).expect("six values");
        vec![
            Sample::new(TopK(2), vec![x.clone()]),
            Sample::new(TopK(7), vec![x.clone()]),
            Sample::new(TopK(3), vec![floats(&[2, 2, 5], 3)]),
            Sample::flat(TopK(0), vec![x.clone()]),
            Sample::flat(TopK(4), vec![tied]),
            Sample::flat(TopK(1), vec![x.cast(DType::I32)]),
            Sample::flat(TopK(5), vec![floats(&[20, 900], 1)]),
        ]
    }
}

impl Var {
    /// Sorted along an axis.
    #[track_caller]
    pub fn sort(&self, axis: usize, descending: bool) -> Var {
        self.apply(Sort { axis, descending }, &[])
    }

    /// The places (i32) that sorting along an axis takes the elements from.
    #[track_caller]
    pub fn arg_sort(&self, axis: usize, descending: bool) -> Var {
        let places = self.trace().iota(&Type::new(DType::I32, self.shape()), axis);
        sort2(self, &places, &Sort { axis, descending }).1
    }

    /// The k largest along the last axis, and their places (i32).
    #[track_caller]
    pub fn top_k(&self, k: usize) -> (Var, Var) {
        let mut both = self.trace().push_many(TopK(k).into(), &[self], self.ty(), 2);
        let places = both.swap_remove(1);
        (both.swap_remove(0), places)
    }
}
