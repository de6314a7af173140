//! Reductions over windows.
//!
//! `dx` of a window sum spreads `dy` over the windows: padded by the strides and summed over reversed windows. `dx` of a maximum goes
//! to the first largest element (`arg_window`, `scatter_window`); of a product it goes through the windows' elements laid side by side.

use crate::autodiff::{self, Vjp};
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, moderate, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::ops::ReduceKind;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::window::{self, WindowAxis};

/// One axis of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowDim {
    /// Length.
    pub size: usize,
    /// Step.
    pub stride: usize,
    /// Distance between elements of the operand.
    pub base_dilation: usize,
    /// Distance between elements of the window.
    pub window_dilation: usize,
    /// Padding before and after.
    pub padding: (i64, i64),
}

impl Default for WindowDim {
    fn default() -> Self {
        WindowDim { size: 1, stride: 1, base_dilation: 1, window_dilation: 1, padding: (0, 0) }
    }
}

pub(super) fn axes(dims: &[WindowDim], x: &[usize]) -> Vec<WindowAxis> {
    dims.iter()
        .zip(x)
        .map(|(d, &input)| WindowAxis {
            input,
            size: d.size,
            stride: d.stride,
            base_dilation: d.base_dilation,
            dilation: d.window_dilation,
            low: d.padding.0,
            high: d.padding.1,
        })
        .collect()
}

pub(super) fn outputs(name: &str, dims: &[WindowDim], x: &Type) -> Result<Vec<usize>> {
    let sane = dims.len() == x.rank()
        && dims.iter().all(|d| d.size > 0 && d.stride > 0 && d.base_dilation > 0 && d.window_dilation > 0)
        && moderate(numbers(dims));
    if !sane {
        return Err(shape_error(name, format!("a window of {} axes with positive sizes is needed for {x}", x.rank())));
    }
    Ok(axes(dims, &x.shape).iter().map(WindowAxis::output).collect())
}

/// The axes as numbers, six each.
fn numbers(dims: &[WindowDim]) -> Vec<i64> {
    let dim = |d: &WindowDim| {
        let [size, stride, base, window] = [d.size, d.stride, d.base_dilation, d.window_dilation].map(|v| v as i64);
        [size, stride, base, window, d.padding.0, d.padding.1]
    };
    dims.iter().flat_map(dim).collect()
}

pub(super) fn write(dims: &[WindowDim]) -> Attributes {
    Attributes::none().with("dims", &numbers(dims))
}

pub(super) fn read(a: &Attributes) -> Result<Vec<WindowDim>> {
    let size = |v: i64| usize::try_from(v).map_err(|_| shape_error("window", "a negative size"));
    let flat = a.ints("dims")?;
    if flat.len() % 6 != 0 {
        return Err(shape_error("window", "`dims` needs six numbers for each axis"));
    }
    let dims = flat.chunks_exact(6).map(|c| {
        Ok(WindowDim {
            size: size(c[0])?,
            stride: size(c[1])?,
            base_dilation: size(c[2])?,
            window_dilation: size(c[3])?,
            padding: (c[4], c[5]),
        })
    });
    dims.collect()
}

/// A reduction of every window.
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceWindow {
    /// Which reduction.
    pub kind: ReduceKind,
    /// The window, axis by axis.
    pub dims: Vec<WindowDim>,
}

impl OpRule for ReduceWindow {
    fn name(&self) -> &'static str {
        "reduce_window"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x] = x else { return Err(shape_error("reduce_window", "takes one operand")) };
        if matches!(self.kind, ReduceKind::Any | ReduceKind::All) || x.dtype == DType::Bool {
            return Err(dtype_error("reduce_window", "takes sums, products, maxima and minima of numbers"));
        }
        Ok(vec![Type::new(x.dtype, outputs("reduce_window", &self.dims, x)?)])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, dy) = (cx.x(0), cx.dy(0));
        match self.kind {
            ReduceKind::Sum => vec![Some(spread(&self.dims, x.shape(), &dy))],
            ReduceKind::Max | ReduceKind::Min => {
                let largest = self.kind == ReduceKind::Max;
                let (_, numbers) = x.arg_window(largest, &self.dims);
                vec![Some(numbers.scatter_window(&dy, &self.dims, x.shape()))]
            }
            _ => {
                let product = taps(&self.dims, x, 1.0, dy.shape()).reduce_product(&[0]);
                autodiff::vjp(&[(product, dy)], std::slice::from_ref(x)).into_iter().map(Some).collect()
            }
        }
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let x = operands[0];
        Cpu::Kernel(Box::new(window::Window::new(x.dtype, self.kind, &axes(&self.dims, &x.shape))))
    }

    fn attributes(&self) -> Attributes {
        write(&self.dims).with("kind", self.kind.name())
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "reduce_window" {
            return Ok(None);
        }
        let word = a.word("kind")?;
        let kind =
            ReduceKind::ALL.iter().find(|k| k.name() == word).ok_or_else(|| dtype_error(name, "unknown kind"))?;
        Ok(Some(ReduceWindow { kind: *kind, dims: read(a)? }))
    }

    fn samples() -> Vec<Sample> {
        let x = sample_operand();
        let mut all = vec![];
        for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::Product] {
            for dims in sample_windows() {
                let op = ReduceWindow { kind, dims };
                all.push(Sample::new(op.clone(), vec![x.clone()]));
                all.push(Sample::flat(op, vec![x.cast(DType::I32)]));
            }
        }
        all
    }
}

pub(super) fn sample_operand() -> Tensor {
    // Spaced by more than finite differences move, near enough to 1 for products.
    let values: Vec<f32> = (0..60).map(|i| ((i * 37) % 61) as f32 * 0.04 - 1.2).collect();
    Tensor::new(&[1, 5, 6, 2], &values).expect("60 values")
}

pub(super) fn sample_windows() -> Vec<Vec<WindowDim>> {
    let unit = WindowDim::default();
    let w = |size, stride, padding| WindowDim { size, stride, padding, ..unit };
    let dilated = |window_dilation, dim| WindowDim { window_dilation, ..dim };
    let spread = |base_dilation, dim| WindowDim { base_dilation, ..dim };
    vec![
        vec![unit, w(2, 2, (0, 0)), w(2, 2, (0, 0)), unit],
        vec![unit, w(3, 2, (1, 1)), w(2, 1, (0, 1)), unit],
        vec![unit, dilated(2, w(2, 1, (0, 0))), w(3, 3, (0, 0)), unit],
        vec![unit, unit, w(3, 2, (0, 0)), w(2, 1, (0, 0))],
        vec![unit, w(3, 4, (0, 0)), dilated(2, w(3, 2, (2, 1))), unit],
        vec![unit, spread(2, w(2, 3, (0, 1))), spread(3, w(4, 2, (1, 0))), unit],
        vec![unit, w(2, 1, (-1, 1)), w(2, 2, (1, -3)), unit],
        vec![unit, w(5, 5, (0, 0)), w(6, 1, (0, 0)), unit],
        vec![unit, w(7, 1, (0, 0)), unit, unit],
        vec![w(2, 1, (0, 1)), unit, unit, w(1, 2, (0, 0))],
        vec![unit; 4],
    ]
}

/// Every element of `dy` added to all elements of its window.
fn spread(dims: &[WindowDim], x: &[usize], dy: &Var) -> Var {
    let (mut low, mut high, mut interior, mut back) = (vec![], vec![], vec![], vec![]);
    for (i, d) in dims.iter().enumerate() {
        let window = (d.size as i64 - 1) * d.window_dilation as i64;
        let full = if x[i] == 0 { 0 } else { (x[i] as i64 - 1) * d.base_dilation as i64 + 1 };
        let n = dy.shape()[i] as i64;
        let spread = if n == 0 { 0 } else { (n - 1) * d.stride as i64 + 1 };
        let before = window - d.padding.0;
        low.push(before);
        interior.push(d.stride - 1);
        high.push(full + window - spread - before);
        // Stepping by the base dilation reads only the places of real elements.
        back.push(WindowDim {
            size: d.size,
            stride: d.base_dilation,
            window_dilation: d.window_dilation,
            ..WindowDim::default()
        });
    }
    let padded = dy.pad(&dy.constant_like(0.0), &low, &high, &interior);
    padded.reduce_window(ReduceKind::Sum, &back)
}

/// The elements of all windows, along a new first axis in the order of the window; `outside` where there is none.
pub(super) fn taps(dims: &[WindowDim], x: &Var, outside: f64, places: &[usize]) -> Var {
    let low: Vec<i64> = dims.iter().map(|d| d.padding.0).collect();
    // Room for the last window, whatever the padding leaves over.
    let reach = |i: usize| {
        let d = &dims[i];
        places[i].saturating_sub(1) * d.stride + (d.size - 1) * d.window_dilation + 1
    };
    let spread = |i: usize| x.shape()[i] + x.shape()[i].saturating_sub(1) * (dims[i].base_dilation - 1);
    let high: Vec<i64> = (0..dims.len()).map(|i| reach(i) as i64 - low[i] - spread(i) as i64).collect();
    let interior: Vec<usize> = dims.iter().map(|d| d.base_dilation - 1).collect();
    let padded = x.pad(&x.constant_like(outside), &low, &high, &interior);
    let strides: Vec<usize> = dims.iter().map(|d| d.stride).collect();
    let count: usize = dims.iter().map(|d| d.size).product();
    let tap = |number: usize| {
        let (mut start, mut rest) = (vec![0; dims.len()], number);
        for i in (0..dims.len()).rev() {
            start[i] = rest % dims[i].size * dims[i].window_dilation;
            rest /= dims[i].size;
        }
        let length = |i: usize| if places[i] == 0 { 0 } else { (places[i] - 1) * strides[i] + 1 };
        let limit: Vec<usize> = (0..dims.len()).map(|i| start[i] + length(i)).collect();
        padded.slice(&start, &limit, &strides).expand_dims(0)
    };
    let all: Vec<Var> = (0..count).map(tap).collect();
    Var::concatenate(&all.iter().collect::<Vec<_>>(), 0)
}

impl Var {
    /// StableHLO's `reduce_window`, one [`WindowDim`] per axis.
    #[track_caller]
    pub fn reduce_window(&self, kind: ReduceKind, dims: &[WindowDim]) -> Var {
        self.apply(ReduceWindow { kind, dims: dims.to_vec() }, &[])
    }
}
