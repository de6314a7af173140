//! Combining windows of x with updates at places that indices name, as StableHLO defines it. Windows not inside are left out.
//!
//! | combination | `dx` | `dupdates` |
//! |---|---|---|
//! | add | `dy` | `dy` read at the places |
//! | set | `dy`, zero where written | `dy` read where the update was the last to write |
//! | multiply | `dy · Π updates` | `dy · x · Π` of the other updates |
//! | min, max | `dy` shared equally among the winners | the same |

use super::gather::{Gone, along_axis, batch_rank, check_indices, increasing, per_component};
use super::sample_data::{floats, indices, integers};
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::ops::GatherDims;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::gather as kernel;
pub use kerast_kernels::gather::{Combine, ScatterDims};

/// StableHLO's `scatter`; operands x, indices, updates. Updates meet x in the order of the indices.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    /// Which axis is what.
    pub dims: ScatterDims,
    /// How an update meets what is there.
    pub combine: Combine,
}

impl OpRule for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x, indices, updates] = x else { return Err(shape_error("scatter", "takes operand, indices, updates")) };
        let d = &self.dims;
        check_indices("scatter", indices, d.scatter_dims_to_operand_dims.len(), d.index_vector_dim)?;
        if x.dtype != updates.dtype || (x.dtype == DType::Bool && self.combine != Combine::Set) {
            return Err(dtype_error("scatter", "updates must have the operand's type, a numeric one unless it is set")
                .received(format!("{x}, {updates}")));
        }
        let gone = Gone {
            single: &d.inserted_window_dims,
            batching: &d.input_batching_dims,
            along: &d.scatter_indices_batching_dims,
            map: &d.scatter_dims_to_operand_dims,
            index_vector_dim: d.index_vector_dim,
        };
        let counted =
            |t: &Type| (0..t.rank()).filter(|a| *a != d.index_vector_dim).map(|a| t.shape[a]).collect::<Vec<_>>();
        let sane = gone.fit(x, indices)
            && increasing(&d.update_window_dims, updates.rank())
            && d.update_window_dims.len() + gone.count() == x.rank()
            && updates.rank() == batch_rank(indices, d.index_vector_dim) + d.update_window_dims.len()
            && self.kept(x.rank()).iter().zip(&d.update_window_dims).all(|(&a, &u)| updates.shape[u] <= x.shape[a])
            && self.batch_axes(updates.rank()).iter().map(|&u| updates.shape[u]).eq(counted(indices));
        match sane {
            true => Ok(vec![(*x).clone()]),
            false => Err(shape_error("scatter", "the dimension numbers do not fit")
                .received(format!("{updates} into {x} at {indices}, {d:?}"))),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, indices, updates, y, dy) = (cx.x(0), cx.x(1), cx.x(2), cx.y(), cx.dy(0));
        let read = |v: &Var| self.read(v, indices, updates);
        let write = |into: &Var, u: &Var, combine| into.scatter(indices, u, self.dims.clone(), combine);
        let zero = updates.full_like(0.0);
        let (dx, du) = match self.combine {
            Combine::Add => (Some(dy.clone()), cx.want(2, || read(&dy))),
            Combine::Set => (
                cx.want(0, || write(&dy, &zero, Combine::Set)),
                cx.want(2, || {
                    let numbers = number(updates);
                    let last = write(&x.full_like(0.0).convert(DType::I32), &numbers, Combine::Set);
                    read(&last).equal(&numbers).select(&read(&dy), &zero)
                }),
            ),
            Combine::Multiply => (
                cx.want(0, || &dy * write(&x.full_like(1.0), updates, Combine::Multiply)),
                cx.want(2, || {
                    // As for products: zeros are counted, so that only the one zero sees the product of the others.
                    let one = updates.full_like(1.0);
                    let is_zero = updates.equal(&zero);
                    let filled = is_zero.select(&one, updates);
                    let counts = is_zero.select(&one, &zero);
                    let zeros = read(&write(&x.full_like(0.0), &counts, Combine::Add));
                    let others = read(&(&dy * write(x, &filled, Combine::Multiply))) / filled;
                    zeros.equal(&counts).select(&others, &zero)
                }),
            ),
            Combine::Min | Combine::Max => {
                let (own, theirs) = (x.equal(y).convert(x.dtype()), updates.equal(&read(y)).convert(x.dtype()));
                let winners = write(&own, &theirs, Combine::Add);
                let share = &dy / winners.max(&winners.full_like(1.0));
                (cx.want(0, || &share * &own), cx.want(2, || read(&share) * &theirs))
            }
        };
        vec![dx, None, du]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let (x, i, u) = (operands[0], operands[1], operands[2]);
        Cpu::Kernel(Box::new(kernel::Scatter::new(
            x.dtype,
            &x.shape,
            &i.shape,
            i.dtype,
            &u.shape,
            &self.dims,
            self.combine,
        )))
    }

    fn attributes(&self) -> Attributes {
        let d = &self.dims;
        Attributes::none()
            .with("update_window_dims", &d.update_window_dims)
            .with("inserted_window_dims", &d.inserted_window_dims)
            .with("input_batching_dims", &d.input_batching_dims)
            .with("scatter_indices_batching_dims", &d.scatter_indices_batching_dims)
            .with("scatter_dims_to_operand_dims", &d.scatter_dims_to_operand_dims)
            .with("index_vector_dim", d.index_vector_dim)
            .with("combine", self.combine.name())
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "scatter" {
            return Ok(None);
        }
        let dims = ScatterDims {
            update_window_dims: a.sizes("update_window_dims")?,
            inserted_window_dims: a.sizes("inserted_window_dims")?,
            input_batching_dims: a.sizes("input_batching_dims")?,
            scatter_indices_batching_dims: a.sizes("scatter_indices_batching_dims")?,
            scatter_dims_to_operand_dims: a.sizes("scatter_dims_to_operand_dims")?,
            index_vector_dim: a.size("index_vector_dim")?,
        };
        let word = a.word("combine")?;
        let combine = Combine::ALL.into_iter().find(|c| c.name() == word);
        Ok(Some(Scatter { dims, combine: combine.ok_or_else(|| shape_error(name, "unknown combination"))? }))
    }

    fn samples() -> Vec<Sample> {
        let rows = ScatterDims {
            update_window_dims: vec![1],
            inserted_window_dims: vec![0],
            input_batching_dims: vec![],
            scatter_indices_batching_dims: vec![],
            scatter_dims_to_operand_dims: vec![0],
            index_vector_dim: 1,
        };
        let windows = ScatterDims {
            update_window_dims: vec![0, 2],
            inserted_window_dims: vec![],
            scatter_dims_to_operand_dims: vec![1, 0],
            index_vector_dim: 0,
            ..rows.clone()
        };
        let (x, u) = (floats(&[4, 3], 1), floats(&[3, 3], 4));
        let zeros = Tensor::new(&[3, 3], &[0.0f32, 1.5, 2.0, 0.5, 0.0, -1.0, 0.0, 3.0, 0.0]).expect("nine values");
        let mut all = vec![];
        for combine in Combine::ALL {
            let op = |dims: &ScatterDims| Scatter { dims: dims.clone(), combine };
            let (twice, outside) = (indices(&[3], &[2, 0, 2]), indices(&[3], &[4, -1, 1]));
            all.push(Sample::new(op(&rows), vec![x.clone(), twice.clone(), u.clone()]));
            all.push(Sample::new(op(&rows), vec![x.clone(), outside, u.clone()]));
            all.push(Sample::new(op(&rows), vec![x.clone(), indices(&[0], &[]), floats(&[0, 3], 1)]));
            let corner = indices(&[2, 3], &[0, 1, 5, 2, 1, 0]);
            all.push(Sample::new(op(&windows), vec![x.clone(), corner, floats(&[2, 3, 2], 6)]));
            let places = indices(&[2, 3], &[0, 3, 1, 3, 7, 1]);
            all.push(Sample::new(op(&scatter_along(2, 0)), vec![x.clone(), places, floats(&[2, 3], 5)]));
            if combine == Combine::Multiply {
                let product = Sample::new(op(&rows), vec![x.clone(), twice.clone(), zeros.clone()]);
                all.push(Sample { twice: false, ..product });
            }
            for dtype in [DType::I64, DType::U8, DType::BF16] {
                all.push(Sample::flat(op(&rows), vec![x.cast(dtype), twice.cast(DType::I64), u.cast(dtype)]));
            }
            let many = integers(&[300], 1, DType::I32);
            all.push(Sample::flat(op(&rows), vec![floats(&[40, 300], 1), many, floats(&[300, 300], 2)]));
        }
        all
    }
}

/// Numbers the elements of a value: different for any two.
fn number(v: &Var) -> Var {
    let n: usize = v.shape().iter().product();
    (v.trace().iota(&Type::new(DType::I32, [n]), 0) + 1.0).reshape(v.shape())
}

impl Scatter {
    /// The operand axes that a window has.
    fn kept(&self, rank: usize) -> Vec<usize> {
        let d = &self.dims;
        (0..rank).filter(|a| !d.inserted_window_dims.contains(a) && !d.input_batching_dims.contains(a)).collect()
    }

    /// The axes of the updates that count indices.
    fn batch_axes(&self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|a| !self.dims.update_window_dims.contains(a)).collect()
    }

    /// What `v`, which is shaped like x, has where each update goes; zero for updates that are left out.
    fn read(&self, v: &Var, indices: &Var, updates: &Var) -> Var {
        if updates.ty().is_empty() {
            return v.trace().full(&Type::new(v.dtype(), updates.shape()), 0.0);
        }
        let d = &self.dims;
        let mut window = vec![1; v.rank()];
        self.kept(v.rank()).iter().zip(&d.update_window_dims).for_each(|(&a, &u)| window[a] = updates.shape()[u]);
        let dims = GatherDims {
            offset_dims: d.update_window_dims.clone(),
            collapsed_slice_dims: d.inserted_window_dims.clone(),
            operand_batching_dims: d.input_batching_dims.clone(),
            start_indices_batching_dims: d.scatter_indices_batching_dims.clone(),
            start_index_map: d.scatter_dims_to_operand_dims.clone(),
            index_vector_dim: d.index_vector_dim,
        };
        let last = |&a: &usize| v.shape()[a] as f64 - window[a] as f64;
        let limits: Vec<f64> = d.scatter_dims_to_operand_dims.iter().map(last).collect();
        let limit = per_component(indices, &limits, d.index_vector_dim);
        let mut inside = indices.greater_equal(&indices.full_like(0.0)).and(&indices.less_equal(&limit));
        if d.index_vector_dim < indices.rank() {
            inside = inside.reduce_all(&[d.index_vector_dim]);
        }
        let inside = inside.broadcast_in_dim(updates.shape(), &self.batch_axes(updates.rank()));
        let found = v.gather(indices, dims, &window);
        inside.select(&found, &found.full_like(0.0))
    }
}

/// Single elements along `axis`, the other axes going along.
fn scatter_along(rank: usize, axis: usize) -> ScatterDims {
    let d = along_axis(rank, axis);
    ScatterDims {
        update_window_dims: d.offset_dims,
        inserted_window_dims: d.collapsed_slice_dims,
        input_batching_dims: d.operand_batching_dims,
        scatter_indices_batching_dims: d.start_indices_batching_dims,
        scatter_dims_to_operand_dims: d.start_index_map,
        index_vector_dim: d.index_vector_dim,
    }
}

impl Var {
    /// StableHLO's `scatter`.
    #[track_caller]
    pub fn scatter(&self, indices: &Var, updates: &Var, dims: ScatterDims, combine: Combine) -> Var {
        self.apply(Scatter { dims, combine }, &[indices, updates])
    }

    /// Single elements along an axis: `y[i, indices[i, j]]` is combined with `updates[i, j]` for axis 1. Indices and updates have one
    /// shape, the operand's but for the axis; places outside are left out.
    #[track_caller]
    pub fn scatter_along_axis(&self, indices: &Var, updates: &Var, axis: usize, combine: Combine) -> Var {
        self.scatter(&indices.as_indices(), updates, scatter_along(self.rank(), axis), combine)
    }
}
