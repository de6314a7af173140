//! The largest of every window with its number in the window, and the op that sends elements back there: the gradient of window maxima
//! without the values that they were chosen from. (StableHLO's `select_and_scatter` chooses again.)

use super::reduce_window::{axes, outputs, read, sample_operand, sample_windows, taps, write};
use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, moderate, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::ops::WindowDim;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::window;

/// The largest (or smallest) element of every window, the first of equals, NaN before all numbers; and its number in the window,
/// padding and gaps counted: u8, or u32 for windows of more than 255 elements. The largest number stands for windows of padding alone.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgWindow {
    /// The largest, else the smallest.
    pub largest: bool,
    /// The window, axis by axis.
    pub dims: Vec<WindowDim>,
}

impl OpRule for ArgWindow {
    fn name(&self) -> &'static str {
        "arg_window"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x] = x else { return Err(shape_error(self.name(), "takes one operand")) };
        if x.dtype == DType::Bool {
            return Err(dtype_error(self.name(), "takes numbers"));
        }
        let shape = outputs(self.name(), &self.dims, x)?;
        let numbers = number_type(self.name(), &self.dims, &x.shape)?;
        Ok(vec![Type::new(x.dtype, shape.clone()), Type::new(numbers, shape)])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        vec![Some(cx.results[1].scatter_window(&cx.dy(0), &self.dims, cx.x(0).shape()))]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        let x = operands[0];
        Cpu::Kernel(Box::new(window::Window::choosing(x.dtype, self.largest, &axes(&self.dims, &x.shape))))
    }

    fn attributes(&self) -> Attributes {
        write(&self.dims).with("largest", self.largest)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "arg_window" {
            return Ok(None);
        }
        Ok(Some(ArgWindow { largest: a.flag("largest")?, dims: read(a)? }))
    }

    fn samples() -> Vec<Sample> {
        let x = sample_operand();
        let one = |dims: Vec<WindowDim>| {
            let op = |largest: bool| ArgWindow { largest, dims: dims.clone() };
            let integers = Sample::flat(op(true), vec![x.cast(DType::I32)]);
            [Sample::new(op(true), vec![x.clone()]), Sample::new(op(false), vec![x.clone()]), integers]
        };
        sample_windows().into_iter().flat_map(one).collect()
    }
}

/// The type of the numbers of a window's elements.
fn number_type(name: &str, dims: &[WindowDim], shape: &[usize]) -> Result<DType> {
    let elements = dims.iter().try_fold(1u32, |n, d| n.checked_mul(u32::try_from(d.size).ok()?));
    match elements {
        Some(n) if n < u32::MAX => Ok(window::number_type(&axes(dims, shape))),
        _ => Err(shape_error(name, "takes windows of fewer than 2^32 - 1 elements")),
    }
}

/// Each element of the second operand is added to that element of its window whose number the first operand tells; zeros elsewhere.
/// Numbers that name no element of the window send nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterWindow {
    /// The window, axis by axis.
    pub dims: Vec<WindowDim>,
    /// The shape of the result, on which the windows lie.
    pub shape: Vec<usize>,
}

impl OpRule for ScatterWindow {
    fn name(&self) -> &'static str {
        "scatter_window"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [numbers, source] = x else { return Err(shape_error(self.name(), "takes numbers and a source")) };
        let result = Type::new(source.dtype, self.shape.clone());
        if source.dtype == DType::Bool {
            return Err(dtype_error(self.name(), "takes numbers"));
        }
        if !moderate(self.shape.iter().map(|&n| n as i64)) {
            return Err(shape_error(self.name(), format!("no result has the shape {:?}", self.shape)));
        }
        let shape = outputs(self.name(), &self.dims, &result)?;
        let number = number_type(self.name(), &self.dims, &self.shape)?;
        for (what, have, dtype) in [("number", numbers, number), ("source element", source, source.dtype)] {
            let want = Type::new(dtype, shape.clone());
            if **have != want {
                let message = format!("there must be one {what} per window");
                return Err(shape_error(self.name(), message).expected(want).received(have));
            }
        }
        Ok(vec![result])
    }

    /// Linear in the source: its cotangent is `dy` at the chosen elements.
    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (numbers, dy) = (cx.x(0), cx.dy(0));
        let dsource = || {
            let shape = numbers.shape();
            let elements: usize = self.dims.iter().map(|d| d.size).product();
            // No element of a window of padding alone was chosen; any of its zeros will do.
            let last = numbers.constant_like(elements as f64 - 1.0);
            let chosen = numbers.min(&last).convert(DType::I32).expand_dims(0);
            taps(&self.dims, &dy, 0.0, shape).take_along_axis(&chosen, 0).reshape(shape)
        };
        vec![None, cx.want(1, dsource)]
    }

    fn cpu(&self, operands: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Kernel(Box::new(window::ScatterWindow::new(operands[1].dtype, &axes(&self.dims, &self.shape))))
    }

    fn attributes(&self) -> Attributes {
        write(&self.dims).with("shape", &self.shape[..])
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "scatter_window" {
            return Ok(None);
        }
        Ok(Some(ScatterWindow { dims: read(a)?, shape: a.sizes("shape")? }))
    }

    fn samples() -> Vec<Sample> {
        let x = sample_operand();
        let ty = Type::new(x.dtype(), x.shape());
        let one = |dims: Vec<WindowDim>| {
            let shape = outputs("sample", &dims, &ty).expect("valid");
            let (n, elements): (usize, usize) = (shape.iter().product(), dims.iter().map(|d| d.size).product());
            let numbers: Vec<f32> = (0..n).map(|i| ((i * 7) % elements) as f32).collect();
            let numbers = Tensor::new(&shape, &numbers).expect("n values").cast(DType::U8);
            let source = Tensor::new(&shape, &(0..n).map(|i| i as f32 + 1.0).collect::<Vec<_>>()).expect("n values");
            Sample::new(ScatterWindow { dims, shape: x.shape().to_vec() }, vec![numbers, source])
        };
        sample_windows().into_iter().map(one).collect()
    }
}

impl Var {
    /// The largest (or smallest) of every window, one [`WindowDim`] per axis, and its number in the window.
    #[track_caller]
    pub fn arg_window(&self, largest: bool, dims: &[WindowDim]) -> (Var, Var) {
        let op = ArgWindow { largest, dims: dims.to_vec() };
        let mut both = self.trace().push_many(op.into(), &[self], self.ty(), 2);
        let numbers = both.swap_remove(1);
        (both.swap_remove(0), numbers)
    }

    /// The elements of `source` at the places of their windows on `shape` that these numbers name.
    #[track_caller]
    pub fn scatter_window(&self, source: &Var, dims: &[WindowDim], shape: &[usize]) -> Var {
        self.apply(ScatterWindow { dims: dims.to_vec(), shape: shape.to_vec() }, &[source])
    }
}
