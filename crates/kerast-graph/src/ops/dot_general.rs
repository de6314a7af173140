//! Products of two values summed over contracted axes, with batch axes: `y[b.., l.., r..] = Σ_k lhs[b.., l.., k] · rhs[b.., r.., k]`.
//!
//! `dlhs` contracts `dy` with `rhs` over rhs' free axes, `drhs` likewise; both are again `dot_general`.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::{Type, strides};
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::gemm::{Gemm, GemmKernel, Strides};

/// StableHLO's `dot_general`: the result's axes are batch, lhs free, rhs free.
#[derive(Clone, Debug, PartialEq)]
pub struct DotGeneral {
    /// Batch axes of lhs.
    pub lhs_batch: Vec<usize>,
    /// Batch axes of rhs, paired with those of lhs.
    pub rhs_batch: Vec<usize>,
    /// Contracted axes of lhs.
    pub lhs_contract: Vec<usize>,
    /// Contracted axes of rhs, paired with those of lhs.
    pub rhs_contract: Vec<usize>,
}

/// The axes that are neither batch nor contracted.
pub(crate) fn free(rank: usize, batch: &[usize], contract: &[usize]) -> Vec<usize> {
    (0..rank).filter(|a| !batch.contains(a) && !contract.contains(a)).collect()
}

fn distinct(rank: usize, batch: &[usize], contract: &[usize]) -> bool {
    let mut all: Vec<usize> = batch.iter().chain(contract).copied().collect();
    all.sort_unstable();
    all.windows(2).all(|w| w[0] < w[1]) && all.iter().all(|&a| a < rank)
}

impl OpRule for DotGeneral {
    fn name(&self) -> &'static str {
        "dot_general"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [a, b] = x else { return Err(shape_error("dot_general", "takes two operands")) };
        if a.dtype != b.dtype || a.dtype == DType::Bool {
            return Err(dtype_error("dot_general", "both operands must have the same numeric type")
                .received(format!("{a} and {b}")));
        }
        let paired =
            |p: &[usize], q: &[usize]| p.len() == q.len() && p.iter().zip(q).all(|(&i, &j)| a.shape[i] == b.shape[j]);
        let fits = distinct(a.rank(), &self.lhs_batch, &self.lhs_contract)
            && distinct(b.rank(), &self.rhs_batch, &self.rhs_contract)
            && paired(&self.lhs_batch, &self.rhs_batch)
            && paired(&self.lhs_contract, &self.rhs_contract);
        if !fits {
            return Err(shape_error("dot_general", "contracted and batch axes must have equal lengths").received(
                format!(
                    "{a} contracted over {:?} with {b} contracted over {:?}, batch axes {:?} and {:?}",
                    self.lhs_contract, self.rhs_contract, self.lhs_batch, self.rhs_batch
                ),
            ));
        }
        let dims = self.lhs_batch.iter().map(|&i| a.shape[i]);
        let dims = dims.chain(free(a.rank(), &self.lhs_batch, &self.lhs_contract).into_iter().map(|i| a.shape[i]));
        let dims = dims.chain(free(b.rank(), &self.rhs_batch, &self.rhs_contract).into_iter().map(|i| b.shape[i]));
        Ok(vec![Type::new(a.dtype, dims.collect::<Vec<_>>())])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (a, b, dy) = (cx.x(0), cx.x(1), cx.dy(0));
        let lhs = Side { batch: &self.lhs_batch, contract: &self.lhs_contract, value: a };
        let rhs = Side { batch: &self.rhs_batch, contract: &self.rhs_contract, value: b };
        let nb = self.lhs_batch.len();
        let (la, lb) = (lhs.free().len(), rhs.free().len());
        let (dy_lhs, dy_rhs): (Vec<usize>, Vec<usize>) = ((nb..nb + la).collect(), (nb + la..nb + la + lb).collect());
        vec![cx.want(0, || cotangent(&dy, &dy_rhs, &lhs, &rhs)), cx.want(1, || cotangent(&dy, &dy_lhs, &rhs, &lhs))]
    }

    fn cpu(&self, operands: &[&Type], results: &[&Type]) -> Cpu {
        let (a, b) = (operands[0], operands[1]);
        let plan = self.plan(a, b);
        Cpu::Kernel(Box::new(GemmKernel::new(results[0].dtype, plan)))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
            .with("lhs_batch", &self.lhs_batch)
            .with("rhs_batch", &self.rhs_batch)
            .with("lhs_contract", &self.lhs_contract)
            .with("rhs_contract", &self.rhs_contract)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "dot_general" {
            return Ok(None);
        }
        Ok(Some(DotGeneral {
            lhs_batch: a.sizes("lhs_batch")?,
            rhs_batch: a.sizes("rhs_batch")?,
            lhs_contract: a.sizes("lhs_contract")?,
            rhs_contract: a.sizes("rhs_contract")?,
        }))
    }

    fn samples() -> Vec<Sample> {
        let x = |shape: &[usize], seed: usize| {
            let n: usize = shape.iter().product();
            let v: Vec<f32> = (0..n).map(|i| ((i * 31 + seed * 17) % 23) as f32 / 11.0 - 1.0).collect();
            Tensor::new(shape, &v).expect("n values")
        };
        let dot = |lb: &[usize], rb: &[usize], lc: &[usize], rc: &[usize]| DotGeneral {
            lhs_batch: lb.to_vec(),
            rhs_batch: rb.to_vec(),
            lhs_contract: lc.to_vec(),
            rhs_contract: rc.to_vec(),
        };
        vec![
            Sample::new(dot(&[], &[], &[1], &[0]), vec![x(&[3, 4], 1), x(&[4, 5], 2)]),
            Sample::new(dot(&[], &[], &[0], &[0]), vec![x(&[4, 3], 1), x(&[4, 5], 2)]),
            Sample::new(dot(&[], &[], &[1], &[1]), vec![x(&[3, 4], 1), x(&[5, 4], 2)]),
            Sample::new(dot(&[], &[], &[0], &[1]), vec![x(&[4, 3], 1), x(&[5, 4], 2)]),
            Sample::new(dot(&[0], &[0], &[2], &[1]), vec![x(&[2, 3, 4], 1), x(&[2, 4, 5], 2)]),
            Sample::new(dot(&[0, 1], &[0, 1], &[3], &[3]), vec![x(&[2, 2, 3, 4], 1), x(&[2, 2, 5, 4], 2)]),
            Sample::new(dot(&[1], &[0], &[2, 0], &[1, 2]), vec![x(&[3, 2, 4], 1), x(&[2, 4, 3, 2], 2)]),
            Sample::new(dot(&[0, 2], &[0, 2], &[3], &[3]), vec![x(&[2, 3, 2, 4], 1), x(&[2, 5, 2, 4], 2)]),
            Sample::new(dot(&[0, 1], &[0, 2], &[3], &[1]), vec![x(&[3, 2, 3, 4], 1), x(&[3, 4, 2, 2], 2)]),
            Sample::flat(
                dot(&[0, 2], &[2, 0], &[1], &[1]),
                vec![x(&[3, 2, 2, 4], 1).cast(DType::I32), x(&[2, 2, 3], 2).cast(DType::I32)],
            ),
            Sample::new(dot(&[], &[], &[2], &[0]), vec![x(&[2, 3, 4], 1), x(&[4, 5], 2)]),
            Sample::new(dot(&[], &[], &[0], &[0]), vec![x(&[4], 1), x(&[4], 2)]),
            Sample::new(dot(&[], &[], &[], &[]), vec![x(&[3], 1), x(&[2], 2)]),
            Sample::new(
                dot(&[], &[], &[1], &[0]),
                vec![x(&[3, 4], 1).cast(DType::F64), x(&[4, 5], 2).cast(DType::F64)],
            ),
            Sample::flat(
                dot(&[], &[], &[1], &[0]),
                vec![x(&[3, 4], 1).cast(DType::I32), x(&[4, 5], 2).cast(DType::I32)],
            ),
            Sample::flat(
                dot(&[], &[], &[1], &[0]),
                vec![x(&[3, 4], 1).cast(DType::BF16), x(&[4, 5], 2).cast(DType::BF16)],
            ),
        ]
    }
}

impl DotGeneral {
    /// As a batched matrix product by strides; [`DotGeneral::is_simple`] holds.
    fn plan(&self, a: &Type, b: &Type) -> Gemm {
        let (sa, sb) = (strides(&a.shape), strides(&b.shape));
        let group = |t: &Type, s: &[usize], axes: &[usize]| collapse(axes, &t.shape, s);
        let fa = free(a.rank(), &self.lhs_batch, &self.lhs_contract);
        let fb = free(b.rank(), &self.rhs_batch, &self.rhs_contract);
        let (m, a_row) = group(a, &sa, &fa);
        let (n, b_col) = group(b, &sb, &fb);
        let (k, a_col) = group(a, &sa, &self.lhs_contract);
        let (_, b_row) = group(b, &sb, &self.rhs_contract);
        let split = self.split(&a.shape, &b.shape).unwrap_or(0);
        let (outer_a, inner_a) = self.lhs_batch.split_at(split);
        let (outer_b, inner_b) = self.rhs_batch.split_at(split);
        let ((groups, a_outer), (_, b_outer)) = (group(a, &sa, outer_a), group(b, &sb, outer_b));
        let ((each, a_batch), (_, b_batch)) = (group(a, &sa, inner_a), group(b, &sb, inner_b));
        Gemm {
            batch: groups * each,
            group: if split == 0 { usize::MAX } else { each.max(1) },
            outer: [a_outer, b_outer],
            a: Strides { batch: a_batch, row: a_row, col: a_col },
            b: Strides { batch: b_batch, row: b_row, col: b_col },
            ..Gemm::plain(m, n, k)
        }
    }

    /// How many of the batch axes can be walked with one stride in each operand, and the others with another.
    fn split(&self, a: &[usize], b: &[usize]) -> Option<usize> {
        let ok = |shape: &[usize], axes: &[usize]| walkable(axes, shape, &strides(shape));
        let (of_a, of_b) = (&self.lhs_batch, &self.rhs_batch);
        (0..of_a.len().max(1))
            .find(|&s| ok(a, &of_a[..s]) && ok(a, &of_a[s..]) && ok(b, &of_b[..s]) && ok(b, &of_b[s..]))
    }

    /// Whether every axis group of both operands can be walked with a single stride, batches with two, so that no copy is needed.
    pub(crate) fn is_simple(&self, a: &[usize], b: &[usize]) -> bool {
        let ok = |shape: &[usize], axes: &[usize]| walkable(axes, shape, &strides(shape));
        ok(a, &free(a.len(), &self.lhs_batch, &self.lhs_contract))
            && ok(a, &self.lhs_contract)
            && ok(b, &free(b.len(), &self.rhs_batch, &self.rhs_contract))
            && ok(b, &self.rhs_contract)
            && self.split(a, b).is_some()
    }
}

/// Length and stride of a group of axes walked as one.
fn collapse(axes: &[usize], shape: &[usize], strides: &[usize]) -> (usize, usize) {
    let count = axes.iter().map(|&i| shape[i]).product();
    let last = axes.iter().rev().find(|&&i| shape[i] != 1);
    (count, last.map_or(0, |&i| strides[i]))
}

fn walkable(axes: &[usize], shape: &[usize], strides: &[usize]) -> bool {
    let axes: Vec<usize> = axes.iter().copied().filter(|&i| shape[i] != 1).collect();
    axes.windows(2).all(|w| strides[w[0]] == strides[w[1]] * shape[w[1]])
}

struct Side<'a> {
    batch: &'a [usize],
    contract: &'a [usize],
    value: &'a Var,
}

impl Side<'_> {
    fn free(&self) -> Vec<usize> {
        free(self.value.rank(), self.batch, self.contract)
    }
}

/// The cotangent of `own`: `dy` contracted with `other` over the axes `dy_other` that came from other's free axes.
///
/// The two products dy·other and other·dy differ only in the order of the result's axes; the one that needs no transposition is
/// taken where there is one (it is for matrices).
fn cotangent(dy: &Var, dy_other: &[usize], own: &Side<'_>, other: &Side<'_>) -> Var {
    let nb = own.batch.len();
    let dy_batch: Vec<usize> = (0..nb).collect();
    let other_free = other.free();
    // Axes of `own` in the order in which each product delivers them; other's contracted axes stay free in increasing order.
    let mut pairs: Vec<(usize, usize)> = other.contract.iter().copied().zip(own.contract.iter().copied()).collect();
    pairs.sort_unstable();
    let contracted = pairs.into_iter().map(|(_, own_axis)| own_axis);
    let first: Vec<usize> = own.batch.iter().copied().chain(own.free()).chain(contracted.clone()).collect();
    let second: Vec<usize> = own.batch.iter().copied().chain(contracted).chain(own.free()).collect();
    let sorted = |order: &[usize]| order.windows(2).all(|w| w[0] < w[1]);
    let (product, order) = if sorted(&second) && !sorted(&first) {
        (other.value.dot_general(dy, (other.batch, &dy_batch), (&other_free, dy_other)), second)
    } else {
        (dy.dot_general(other.value, (&dy_batch, other.batch), (dy_other, &other_free)), first)
    };
    let mut permutation = vec![0; order.len()];
    order.iter().enumerate().for_each(|(i, &axis)| permutation[axis] = i);
    product.transpose(&permutation)
}

impl Var {
    /// StableHLO's `dot_general`; `batch` and `contract` are pairs of axis lists (of self, of rhs).
    #[track_caller]
    pub fn dot_general(&self, rhs: &Var, batch: (&[usize], &[usize]), contract: (&[usize], &[usize])) -> Var {
        let op = DotGeneral {
            lhs_batch: batch.0.to_vec(),
            rhs_batch: batch.1.to_vec(),
            lhs_contract: contract.0.to_vec(),
            rhs_contract: contract.1.to_vec(),
        };
        self.apply(op, &[rhs])
    }

    /// The last axis of `self` contracted with the first axis of `rhs`, as a dense layer does.
    #[track_caller]
    pub fn dot(&self, rhs: &Var) -> Var {
        self.dot_general(rhs, (&[], &[]), (&[self.rank().saturating_sub(1)], &[0]))
    }

    /// NumPy's `matmul` for ranks of at least 2: leading axes broadcast.
    #[track_caller]
    pub fn matmul(&self, rhs: &Var) -> Var {
        let rank = self.rank().max(rhs.rank());
        let lead = |v: &Var, other: &Var| -> Vec<usize> {
            let mut shape: Vec<usize> = (0..rank - 2)
                .map(|i| {
                    let dim = |v: &Var| if i + v.rank() < rank { 1 } else { v.shape()[i + v.rank() - rank] };
                    dim(v).max(dim(other))
                })
                .collect();
            shape.extend(&v.shape()[v.rank() - 2..]);
            shape
        };
        let (a, b) = (self.broadcast_to(&lead(self, rhs)), rhs.broadcast_to(&lead(rhs, self)));
        let head: Vec<usize> = (0..rank - 2).collect();
        a.dot_general(&b, (&head, &head), (&[rank - 1], &[rank - 2]))
    }
}
