//! Reading and combining windows at places that indices name, as StableHLO defines them.
//!
//! `dx` of a gather is a scatter-add of `dy`; of a scatter-add `dx = dy`, `dupdates` is a gather of `dy`.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::gather::{self as kernel, gather_shape};
pub use kerast_kernels::gather::{Combine, GatherDims, ScatterDims};

/// Windows of the operand at the places that the second operand names; places are clamped so that windows lie inside.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// Which axis is what.
    pub dims: GatherDims,
    /// The window.
    pub slice_sizes: Vec<usize>,
}

fn check_indices(name: &str, indices: &Type, components: usize, index_vector_dim: usize) -> Result<()> {
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

impl OpRule for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x, indices] = x else { return Err(shape_error("gather", "takes an operand and indices")) };
        let d = &self.dims;
        check_indices("gather", indices, d.start_index_map.len(), d.index_vector_dim)?;
        let gone = d.collapsed_slice_dims.len() + d.operand_batching_dims.len();
        let sane = self.slice_sizes.len() == x.rank()
            && self.slice_sizes.iter().zip(&x.shape).all(|(s, n)| s <= n)
            && d.collapsed_slice_dims
                .iter()
                .chain(&d.operand_batching_dims)
                .all(|&a| a < x.rank() && self.slice_sizes[a] == 1)
            && d.start_index_map.iter().all(|&a| a < x.rank())
            && d.operand_batching_dims.len() == d.start_indices_batching_dims.len()
            && d.offset_dims.len() + gone == x.rank();
        if !sane {
            return Err(shape_error("gather", format!("windows {:?} of {x} do not fit {d:?}", self.slice_sizes)));
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
        let dx = || cx.x(0).full_like(0.0).scatter(cx.x(1), &cx.dy(0), dims, Combine::Add);
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
        let x = Tensor::new(&[4, 3], &(0..12).map(|i| i as f32 * 0.5).collect::<Vec<_>>()).expect("12 values");
        let rows = Gather { dims: rows_of(2, 0, 2), slice_sizes: vec![1, 3] };
        let columns = Gather { dims: rows_of(2, 1, 1), slice_sizes: vec![4, 1] };
        let along = Gather {
            dims: GatherDims {
                offset_dims: vec![],
                collapsed_slice_dims: vec![1],
                operand_batching_dims: vec![0],
                start_indices_batching_dims: vec![0],
                start_index_map: vec![1],
                index_vector_dim: 2,
            },
            slice_sizes: vec![1, 1],
        };
        let windows = Gather {
            dims: GatherDims {
                offset_dims: vec![1, 2],
                collapsed_slice_dims: vec![],
                operand_batching_dims: vec![],
                start_indices_batching_dims: vec![],
                start_index_map: vec![0, 1],
                index_vector_dim: 1,
            },
            slice_sizes: vec![2, 2],
        };
        let i = |shape: &[usize], v: &[i32]| Tensor::new(shape, v).expect("fits");
        vec![
            Sample::new(rows.clone(), vec![x.clone(), i(&[2, 2], &[3, 0, 3, 1])]),
            Sample::flat(rows.clone(), vec![x.clone(), i(&[1, 3], &[9, -5, 2])]),
            Sample::new(columns, vec![x.clone(), i(&[2], &[2, 0])]),
            Sample::new(along, vec![x.clone(), i(&[4, 2], &[0, 2, 1, 1, 2, 0, 0, 1])]),
            Sample::new(windows, vec![x.clone(), i(&[3, 2], &[0, 0, 2, 1, 1, 1])]),
            Sample::flat(rows, vec![x.cast(DType::U8), i(&[2, 1], &[1, 2]).cast(DType::I64)]),
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

/// Windows of the operand combined with updates at the places that the indices name; windows not inside are left out.
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
        if x.dtype != updates.dtype {
            return Err(
                dtype_error("scatter", "updates must have the operand's type").received(format!("{x}, {updates}"))
            );
        }
        let batch = indices.rank() - usize::from(d.index_vector_dim < indices.rank());
        let kept: Vec<usize> = (0..x.rank())
            .filter(|i| !d.inserted_window_dims.contains(i) && !d.input_batching_dims.contains(i))
            .collect();
        let sane = updates.rank() == batch + d.update_window_dims.len()
            && kept.len() == d.update_window_dims.len()
            && d.update_window_dims.iter().all(|&u| u < updates.rank())
            && d.input_batching_dims.len() == d.scatter_indices_batching_dims.len()
            && d.scatter_dims_to_operand_dims.iter().all(|&a| a < x.rank())
            && kept.iter().zip(&d.update_window_dims).all(|(&a, &u)| updates.shape[u] <= x.shape[a]);
        if sane {
            Ok(vec![(*x).clone()])
        } else {
            Err(shape_error("scatter", format!("{updates} into {x} does not fit {d:?}")))
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let dy = cx.dy(0);
        if self.combine != Combine::Add {
            return cx.none();
        }
        let d = &self.dims;
        let (x, updates) = (cx.x(0), cx.x(2));
        let kept: Vec<usize> = (0..x.rank())
            .filter(|i| !d.inserted_window_dims.contains(i) && !d.input_batching_dims.contains(i))
            .collect();
        let mut slice_sizes = vec![1; x.rank()];
        kept.iter().zip(&d.update_window_dims).for_each(|(&a, &u)| slice_sizes[a] = updates.shape()[u]);
        let dims = GatherDims {
            offset_dims: d.update_window_dims.clone(),
            collapsed_slice_dims: d.inserted_window_dims.clone(),
            operand_batching_dims: d.input_batching_dims.clone(),
            start_indices_batching_dims: d.scatter_indices_batching_dims.clone(),
            start_index_map: d.scatter_dims_to_operand_dims.clone(),
            index_vector_dim: d.index_vector_dim,
        };
        vec![Some(dy.clone()), None, cx.want(2, || dy.apply(Gather { dims, slice_sizes }, &[cx.x(1)]))]
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
        let x = Tensor::new(&[4, 3], &(0..12).map(|i| i as f32 * 0.5).collect::<Vec<_>>()).expect("12 values");
        let u = Tensor::new(&[3, 3], &[1.0f32, 2.0, 3.0, -4.0, 5.0, -6.0, 0.5, 0.25, 9.0]).expect("nine values");
        let i = Tensor::new(&[3], &[2i32, 0, 2]).expect("three values");
        let dims = ScatterDims {
            update_window_dims: vec![1],
            inserted_window_dims: vec![0],
            input_batching_dims: vec![],
            scatter_indices_batching_dims: vec![],
            scatter_dims_to_operand_dims: vec![0],
            index_vector_dim: 1,
        };
        let mut all: Vec<Sample> = Combine::ALL
            .into_iter()
            .map(|combine| Sample {
                op: Scatter { dims: dims.clone(), combine }.into(),
                operands: vec![x.clone(), i.clone(), u.clone()],
                gradient: (combine == Combine::Add).then_some(1e-2),
            })
            .collect();
        let outside = Tensor::new(&[3], &[4i32, -1, 1]).expect("three values");
        all.push(Sample::flat(
            Scatter { dims: dims.clone(), combine: Combine::Add },
            vec![x.clone(), outside, u.clone()],
        ));
        all.push(Sample::flat(
            Scatter { dims, combine: Combine::Set },
            vec![x.cast(DType::I64), i, u.cast(DType::I64)],
        ));
        all
    }
}

impl Var {
    /// StableHLO's `scatter`.
    #[track_caller]
    pub fn scatter(&self, indices: &Var, updates: &Var, dims: ScatterDims, combine: Combine) -> Var {
        self.apply(Scatter { dims, combine }, &[indices, updates])
    }

    /// Whole slices along `axis`: the axes of `indices` take its place.
    #[track_caller]
    pub fn take(&self, indices: &Var, axis: usize) -> Var {
        let mut slice_sizes = self.shape().to_vec();
        if axis < slice_sizes.len() {
            slice_sizes[axis] = 1;
        }
        self.apply(Gather { dims: rows_of(self.rank().max(1), axis, indices.rank()), slice_sizes }, &[indices])
    }
}
