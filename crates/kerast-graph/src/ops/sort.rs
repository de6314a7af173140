//! Order along an axis: `sort` (stable, with operands carried along) and `top_k`. Gradients go back by the places that the values
//! came from.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
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
        // Where each sorted element came from; sorting those places tells where each element went.
        let x = cx.x(0);
        let places = x.trace().iota(&Type::new(DType::I32, x.shape()), self.axis);
        let (_, from) = sort2(x, &places, self);
        let (_, to) = sort2(&from, &places, &Sort { axis: self.axis, descending: false });
        (0..cx.operands.len()).map(|i| cx.want(i, || cx.dy(i).take_along_axis(&to, self.axis))).collect()
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
        let x = Tensor::new(&[2, 4], &[3.0f32, -1.0, 2.0, 0.5, 7.0, 1.0, 4.0, -2.0]).expect("eight values");
        let i = Tensor::new(&[2, 4], &[0i32, 1, 2, 3, 0, 1, 2, 3]).expect("eight values");
        vec![
            Sample::new(Sort { axis: 1, descending: false }, vec![x.clone()]),
            Sample::new(Sort { axis: 0, descending: true }, vec![x.clone()]),
            Sample::new(Sort { axis: 1, descending: true }, vec![x.clone(), i]),
            Sample::flat(Sort { axis: 1, descending: false }, vec![x.cast(DType::I64)]),
        ]
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
        let (x, dy, places) = (cx.x(0), cx.dy(0), &cx.results[1]);
        let axis = x.rank() - 1;
        // dx[.., j] = Σ_k dy[.., k] · (place k is j)
        let mut shape = dy.shape().to_vec();
        shape.push(x.shape()[axis]);
        let index = x.trace().iota(&Type::new(DType::I32, shape.clone()), axis + 1);
        let hit = places.expand_dims(axis + 1).broadcast_to(&shape).equal(&index);
        let spread = dy.expand_dims(axis + 1).broadcast_to(&shape);
        vec![Some(hit.select(&spread, &spread.full_like(0.0)).reduce_sum(&[axis]))]
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
        let x = Tensor::new(&[2, 4], &[3.0f32, -1.0, 2.0, 0.5, 7.0, 1.0, 4.0, 4.5]).expect("eight values");
        vec![
            Sample::new(TopK(2), vec![x.clone()]),
            Sample::new(TopK(4), vec![x.clone()]),
            Sample::flat(TopK(1), vec![x.cast(DType::I32)]),
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

    /// For every index its element along an axis: `y[i, j] = x[i, indices[i, j]]` for axis 1.
    #[track_caller]
    pub fn take_along_axis(&self, indices: &Var, axis: usize) -> Var {
        // The axis goes last, the others become one batch axis.
        let rank = self.rank();
        let order: Vec<usize> = (0..rank).filter(|&i| i != axis).chain([axis]).collect();
        let (x, at) = (self.transpose(&order), indices.transpose(&order));
        let rows: usize = x.shape()[..rank.saturating_sub(1)].iter().product();
        let (n, k) = (x.dim(-1), at.dim(-1));
        let dims = crate::ops::GatherDims {
            offset_dims: vec![],
            collapsed_slice_dims: vec![1],
            operand_batching_dims: vec![0],
            start_indices_batching_dims: vec![0],
            start_index_map: vec![1],
            index_vector_dim: 2,
        };
        let op = crate::ops::Gather { dims, slice_sizes: vec![1, 1] };
        let picked = x.reshape(&[rows, n]).apply(op, &[&at.reshape(&[rows, k])]).reshape(at.shape());
        let mut back = vec![0; rank];
        order.iter().enumerate().for_each(|(place, &a)| back[a] = place);
        picked.transpose(&back)
    }
}
