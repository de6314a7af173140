//! Reading windows at places that indices name, as StableHLO defines it: y = the windows of x, `dx` is a scatter-add of `dy`.
//!
//! Places are clamped so that windows lie inside.

use super::sample_data::{floats, indices, integers};
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::ops::{Clamp, Combine, ScatterDims};
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
pub use kerast_kernels::gather::GatherDims;
use kerast_kernels::gather::{self as kernel, gather_shape};

/// Windows of the operand at the places that the second operand names; places are clamped so that windows lie inside.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// Which axis is what.
    pub dims: GatherDims,
    /// The window.
    pub slice_sizes: Vec<usize>,
}

pub(super) fn check_indices(name: &str, indices: &Type, components: usize, index_vector_dim: usize) -> Result<()> {
    if !matches!(indices.dtype, DType::I32 | DType::I64) {
        return Err(dtype_error(name, "indices must be i32 or i64").received(indices));
    }
    let have = if index_vector_dim == indices.rank() {
        1
    } else {
        indices.shape.get(index_vector_dim).copied().unwrap_or(usize::MAX)
    };
    if have == components {
        Ok(())
    } else {
        Err(shape_error(name, format!("indices need {components} components, {indices} has {have}")))
    }
}

/// Axes of the indices that count indices: all but the one that holds the components.
pub(super) fn batch_rank(indices: &Type, index_vector_dim: usize) -> usize {
    indices.rank() - usize::from(index_vector_dim < indices.rank())
}

/// Whether these are different axes below `rank`, in order.
pub(super) fn increasing(axes: &[usize], rank: usize) -> bool {
    axes.windows(2).all(|w| w[0] < w[1]) && axes.iter().all(|&a| a < rank)
}

/// The operand axes that a window does not have, in a gather or a scatter.
pub(super) struct Gone<'a> {
    /// Axes along which a window has length 1.
    pub(super) single: &'a [usize],
    /// Axes that go along with axes of the indices.
    pub(super) batching: &'a [usize],
    /// The axes of the indices that they go along with.
    pub(super) along: &'a [usize],
    /// The operand axis of each component.
    pub(super) map: &'a [usize],
    pub(super) index_vector_dim: usize,
}

impl Gone<'_> {
    pub(super) fn count(&self) -> usize {
        self.single.len() + self.batching.len()
    }

    pub(super) fn fit(&self, x: &Type, indices: &Type) -> bool {
        let rank = x.rank();
        let pairs = || self.batching.iter().zip(self.along);
        increasing(self.single, rank)
            && increasing(self.batching, rank)
            && self.batching.iter().all(|a| !self.single.contains(a) && !self.map.contains(a))
            && self.batching.len() == self.along.len()
            && pairs().all(|(_, &i)| i < indices.rank() && i != self.index_vector_dim)
            && pairs().all(|(&a, &i)| x.shape[a] == indices.shape[i])
            && (0..self.along.len()).all(|i| !self.along[..i].contains(&self.along[i]))
            && self.map.iter().all(|&a| a < rank)
            && (0..self.map.len()).all(|i| !self.map[..i].contains(&self.map[i]))
    }
}

impl OpRule for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x, indices] = x else { return Err(shape_error("gather", "takes an operand and indices")) };
        let d = &self.dims;
        check_indices("gather", indices, d.start_index_map.len(), d.index_vector_dim)?;
        let gone = Gone {
            single: &d.collapsed_slice_dims,
            batching: &d.operand_batching_dims,
            along: &d.start_indices_batching_dims,
            map: &d.start_index_map,
            index_vector_dim: d.index_vector_dim,
        };
        let result = batch_rank(indices, d.index_vector_dim) + d.offset_dims.len();
        let sane = gone.fit(x, indices)
            && increasing(&d.offset_dims, result)
            && d.offset_dims.len() + gone.count() == x.rank()
            && self.slice_sizes.len() == x.rank()
            && self.slice_sizes.iter().zip(&x.shape).all(|(s, n)| s <= n)
            && d.collapsed_slice_dims.iter().chain(&d.operand_batching_dims).all(|&a| self.slice_sizes[a] == 1);
        if !sane {
            return Err(shape_error("gather", "the dimension numbers do not fit")
                .received(format!("{x} at {indices}, windows {:?}, {d:?}", self.slice_sizes)));
        }
        Ok(vec![Type::new(x.dtype, gather_shape(&indices.shape, d, &self.slice_sizes))])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let d = &self.dims;
        let dims = ScatterDims {
            update_window_dims: d.offset_dims.clone(),
            inserted_window_dims: d.collapsed_slice_dims.clone(),
            input_batching_dims: d.operand_batching_dims.clone(),
            scatter_indices_batching_dims: d.start_indices_batching_dims.clone(),
            scatter_dims_to_operand_dims: d.start_index_map.clone(),
            index_vector_dim: d.index_vector_dim,
        };
        let dx = || {
            let at = self.clamped(cx.x(0), cx.x(1));
            cx.x(0).full_like(0.0).scatter(&at, &cx.dy(0), dims, Combine::Add)
        };
        vec![cx.want(0, dx), None]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let (x, i) = (operands[0], operands[1]);
        Cpu::Kernel(Box::new(kernel::Gather::new(
            x.dtype.size(),
            &x.shape,
            &i.shape,
            i.dtype,
            &self.dims,
            &self.slice_sizes,
        )))
    }

    fn attributes(&self) -> Attributes {
        let d = &self.dims;
        Attributes::none()
            .with("offset_dims", &d.offset_dims)
            .with("collapsed_slice_dims", &d.collapsed_slice_dims)
            .with("operand_batching_dims", &d.operand_batching_dims)
            .with("start_indices_batching_dims", &d.start_indices_batching_dims)
            .with("start_index_map", &d.start_index_map)
            .with("index_vector_dim", d.index_vector_dim)
            .with("slice_sizes", &self.slice_sizes)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "gather" {
            return Ok(None);
        }
        let dims = GatherDims {
            offset_dims: a.sizes("offset_dims")?,
            collapsed_slice_dims: a.sizes("collapsed_slice_dims")?,
            operand_batching_dims: a.sizes("operand_batching_dims")?,
            start_indices_batching_dims: a.sizes("start_indices_batching_dims")?,
            start_index_map: a.sizes("start_index_map")?,
            index_vector_dim: a.size("index_vector_dim")?,
        };
        Ok(Some(Gather { dims, slice_sizes: a.sizes("slice_sizes")? }))
    }

    fn samples() -> Vec<Sample> {
        let gather = |dims: GatherDims, slice_sizes: &[usize]| Gather { dims, slice_sizes: slice_sizes.to_vec() };
        let plain = |offset: &[usize], collapsed: &[usize], map: &[usize], index_vector_dim: usize| GatherDims {
            offset_dims: offset.to_vec(),
            collapsed_slice_dims: collapsed.to_vec(),
            operand_batching_dims: vec![],
            start_indices_batching_dims: vec![],
            start_index_map: map.to_vec(),
            index_vector_dim,
        };
        let x = floats(&[4, 3], 1);
        let rows = gather(rows_of(2, 0, 2), &[1, 3]);
        let windows = gather(plain(&[1, 2], &[], &[0, 1], 1), &[2, 2]);
        let backwards = gather(plain(&[0], &[0], &[1, 0], 0), &[1, 2]);
        // Batching axes that do not lie together: y[b, i, ..] = x[.., b, i-th window, ..].
        let batched = GatherDims {
            offset_dims: vec![2],
            collapsed_slice_dims: vec![2],
            operand_batching_dims: vec![1],
            start_indices_batching_dims: vec![0],
            start_index_map: vec![2],
            index_vector_dim: 2,
        };
        vec![
            Sample::new(rows.clone(), vec![x.clone(), indices(&[2, 2], &[3, 0, 3, 1])]),
            Sample::new(rows.clone(), vec![x.clone(), indices(&[1, 3], &[9, -5, 2])]),
            Sample::new(rows.clone(), vec![x.cast(DType::F64), indices(&[2, 1], &[2, 2])]),
            Sample::new(rows.clone(), vec![x.clone(), indices(&[2, 0], &[])]),
            Sample::new(gather(rows_of(2, 1, 1), &[4, 1]), vec![x.clone(), indices(&[2], &[2, 0])]),
            Sample::new(gather(rows_of(2, 0, 0), &[1, 3]), vec![x.clone(), indices(&[], &[2])]),
            Sample::new(
                gather(along_axis(2, 1), &[1, 1]),
                vec![x.clone(), indices(&[4, 2], &[0, 2, 1, 1, 2, 0, 0, 1])],
            ),
            Sample::new(gather(along_axis(2, 0), &[1, 1]), vec![x.clone(), indices(&[2, 3], &[0, 3, 1, 1, 7, -1])]),
            Sample::new(windows.clone(), vec![x.clone(), indices(&[3, 2], &[0, 0, 2, 1, 1, 1])]),
            Sample::new(windows, vec![x.clone(), indices(&[2, 2], &[3, 2, -1, 9])]),
            Sample::new(backwards, vec![x.clone(), indices(&[2, 3], &[0, 1, 1, 3, 0, 2])]),
            Sample::new(
                gather(batched, &[2, 1, 1]),
                vec![floats(&[2, 3, 4], 2), indices(&[3, 2], &[0, 3, 1, 1, 2, 0])],
            ),
            Sample::flat(rows.clone(), vec![x.cast(DType::U8), indices(&[2, 1], &[1, 2]).cast(DType::I64)]),
            Sample::flat(rows, vec![x.cast(DType::BF16), indices(&[2, 1], &[1, 2])]),
            Sample::flat(
                gather(rows_of(2, 0, 1), &[1, 300]),
                vec![floats(&[40, 300], 1), integers(&[200], 1, DType::I32)],
            ),
        ]
    }
}

/// The dimension numbers of taking whole slices along `axis` of a rank-`rank` operand at indices of rank `indices`.
fn rows_of(rank: usize, axis: usize, indices: usize) -> GatherDims {
    let offset = (0..rank - 1).map(|i| if i < axis { i } else { i + indices });
    GatherDims {
        offset_dims: offset.collect(),
        collapsed_slice_dims: vec![axis],
        operand_batching_dims: vec![],
        start_indices_batching_dims: vec![],
        start_index_map: vec![axis],
        index_vector_dim: indices,
    }
}

impl Gather {
    /// The indices as they count: each component clamped so that the window lies inside.
    fn clamped(&self, x: &Var, indices: &Var) -> Var {
        let last = |a: usize| (x.shape()[a] - self.slice_sizes[a]) as f64;
        let limits: Vec<f64> = self.dims.start_index_map.iter().map(|&a| last(a)).collect();
        let limit = per_component(indices, &limits, self.dims.index_vector_dim);
        indices.full_like(0.0).apply(Clamp, &[indices, &limit])
    }
}

/// One number for each component of an index, repeated for every index.
pub(super) fn per_component(indices: &Var, values: &[f64], index_vector_dim: usize) -> Var {
    let (shape, dims) =
        if index_vector_dim < indices.rank() { (vec![values.len()], vec![index_vector_dim]) } else { (vec![], vec![]) };
    let fits = Tensor::new(&[values.len()], values).and_then(|t| t.cast(indices.dtype()).reshape(&shape));
    match fits {
        Ok(t) => indices.trace().constant(t).broadcast_in_dim(indices.shape(), &dims),
        Err(e) => {
            indices.trace().fail(e);
            indices.clone()
        }
    }
}

impl Var {
    /// StableHLO's `gather`.
    #[track_caller]
    pub fn gather(&self, indices: &Var, dims: GatherDims, slice_sizes: &[usize]) -> Var {
        self.apply(Gather { dims, slice_sizes: slice_sizes.to_vec() }, &[indices])
    }

    /// Whole slices along `axis`: the axes of `indices` (any integers, clamped) take its place.
    #[track_caller]
    pub fn take(&self, indices: &Var, axis: usize) -> Var {
        let indices = indices.as_indices();
        let mut slice_sizes = self.shape().to_vec();
        if axis >= slice_sizes.len() {
            self.trace().fail(shape_error("take", format!("axis {axis} does not exist in {}", self.ty())));
            return self.clone();
        }
        slice_sizes[axis] = 1;
        self.gather(&indices, rows_of(self.rank(), axis, indices.rank()), &slice_sizes)
    }

    /// Rows of a table (an embedding): [`Var::take`] along the first axis.
    #[track_caller]
    pub fn rows(&self, indices: &Var) -> Var {
        self.take(indices, 0)
    }

    /// For every index its element along an axis: `y[i, j] = x[i, indices[i, j]]` for axis 1. The other axes broadcast.
    #[track_caller]
    pub fn take_along_axis(&self, indices: &Var, axis: usize) -> Var {
        let indices = indices.as_indices();
        let rank = self.rank();
        if axis >= rank || indices.rank() != rank {
            let message = format!("takes indices of the operand's rank and an axis that it has, not {axis}");
            let received = format!("{} and indices {}", self.ty(), indices.ty());
            self.trace().fail(shape_error("take_along_axis", message).received(received));
            return self.clone();
        }
        let common = |a: usize| if self.shape()[a] == 1 { indices.shape()[a] } else { self.shape()[a] };
        let with = |own: usize| (0..rank).map(|a| if a == axis { own } else { common(a) }).collect::<Vec<_>>();
        let (x, at) =
            (self.broadcast_to(&with(self.shape()[axis])), indices.broadcast_to(&with(indices.shape()[axis])));
        if at.ty().is_empty() {
            return x.trace().full(&Type::new(x.dtype(), at.shape()), 0.0);
        }
        x.gather(&at, along_axis(rank, axis), &vec![1; rank])
    }

    /// Integers as gather and scatter take them.
    pub(super) fn as_indices(&self) -> Var {
        if self.dtype() == DType::I64 { self.clone() } else { self.convert(DType::I32) }
    }
}

/// Single elements along `axis`, the other axes going along.
pub(super) fn along_axis(rank: usize, axis: usize) -> GatherDims {
    let others: Vec<usize> = (0..rank).filter(|&a| a != axis).collect();
    GatherDims {
        offset_dims: vec![],
        collapsed_slice_dims: vec![axis],
        operand_batching_dims: others.clone(),
        start_indices_batching_dims: others,
        start_index_map: vec![axis],
        index_vector_dim: rank,
    }
}
