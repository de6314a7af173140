//! What an op is: one trait, one closed enum written by `ops!` from the registry line.

use crate::autodiff::Vjp;
use crate::error::{Error, ErrorKind, Result};
use crate::ir::attributes::Attributes;
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::machine::Kernel;
use kerast_kernels::map::Scalar;

/// All knowledge of one op: shape rule, gradient rule, CPU rule, text form.
pub trait OpRule: Sized {
    /// StableHLO's name (or CHLO's, or ours where neither has the op), used in text, dumps and errors.
    fn name(&self) -> &'static str;

    /// The only shape rule: types in, types out. Every backend receives its answer.
    fn infer(&self, operands: &[&Type]) -> Result<Vec<Type>>;

    /// The cotangent of each operand, as graph; `None` where there is none. Ops without a gradient say `vec![None; n]` aloud.
    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>>;

    /// How the CPU backend does it.
    fn cpu(&self, operands: &[&Type], results: &[&Type]) -> Cpu;

    /// The attributes in text form.
    fn attributes(&self) -> Attributes;

    /// The op with this name and these attributes, if `name` is one of this family.
    fn parse(name: &str, attributes: &Attributes) -> Result<Option<Self>>;

    /// Inputs that exercise it, for the contract tests.
    fn samples() -> Vec<Sample>;
}

/// How the CPU backend carries out an op.
#[derive(Debug)]
pub enum Cpu {
    /// Element by element: fused with its neighbours.
    Scalar(Scalar),
    /// Element by element, operand 0 read through a repeated pattern (`broadcast_in_dim`).
    Broadcast(Vec<usize>),
    /// The result is operand 0 under another shape: no work, no memory.
    Alias,
    /// A value known when the program is built.
    Constant(Tensor),
    /// A value that the caller brings.
    Parameter,
    /// A kernel of its own.
    Kernel(Box<dyn Kernel>),
    /// A nested graph that could not be compiled.
    Failed(Error),
}

/// One use of an op for the contract tests: the op and its operands.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The op with its attributes.
    pub op: Op,
    /// Its operands.
    pub operands: Vec<Tensor>,
    /// Relative tolerance of the gradient check; `None`: the op has no gradient here (integers, kinks, no rule).
    pub gradient: Option<f64>,
    /// The gradient can be differentiated again here.
    pub twice: bool,
}

impl Sample {
    /// A sample whose gradient is checked to 1e-2 relative (finite differences in f32 lose digits).
    pub fn new(op: impl Into<Op>, operands: Vec<Tensor>) -> Sample {
        Sample { op: op.into(), operands, gradient: Some(1e-2), twice: true }
    }

    /// A sample without a gradient.
    pub fn flat(op: impl Into<Op>, operands: Vec<Tensor>) -> Sample {
        Sample { op: op.into(), operands, gradient: None, twice: true }
    }
}

/// Whether these strides, dilations, sizes and paddings are small enough that no sum or product of two of them overflows.
pub(crate) fn moderate(values: impl IntoIterator<Item = i64>) -> bool {
    values.into_iter().all(|v| v.abs_diff(0) < 1 << 30)
}

/// A shape-rule failure of op `name`.
pub fn shape_error(name: &str, message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Shape, format!("{name}: {message}"))
}

/// A dtype-rule failure of op `name`.
pub fn dtype_error(name: &str, message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::DType, format!("{name}: {message}"))
}

macro_rules! ops {
    ($($(#[$doc:meta])* $variant:ident($ty:ty),)*) => {
        /// Every op there is. Each variant wraps the struct that holds its attributes and its rules.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $($(#[$doc])* $variant($ty),)* }

        $(impl From<$ty> for Op { fn from(op: $ty) -> Op { Op::$variant(op) } })*

        impl Op {
            /// StableHLO's name.
            pub fn name(&self) -> &'static str { match self { $(Op::$variant(op) => op.name(),)* } }
            /// The shape rule.
            pub fn infer(&self, operands: &[&Type]) -> Result<Vec<Type>> { match self { $(Op::$variant(op) => op.infer(operands),)* } }
            /// The gradient rule.
            pub fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> { match self { $(Op::$variant(op) => op.vjp(cx),)* } }
            /// The CPU rule.
            pub fn cpu(&self, operands: &[&Type], results: &[&Type]) -> Cpu { match self { $(Op::$variant(op) => op.cpu(operands, results),)* } }
            /// The attributes in text form.
            pub fn attributes(&self) -> Attributes { match self { $(Op::$variant(op) => op.attributes(),)* } }
            /// The op with this name and these attributes.
            pub fn parse(name: &str, attributes: &Attributes) -> Result<Op> {
                $(if let Some(op) = <$ty as OpRule>::parse(name, attributes)? { return Ok(Op::$variant(op)); })*
                Err(Error::new(ErrorKind::Unsupported, format!("there is no op named `{name}`")))
            }
            /// The samples of every op, with the variant's name.
            pub fn samples() -> Vec<(&'static str, Sample)> {
                let mut out = vec![];
                $(out.extend(<$ty as OpRule>::samples().into_iter().map(|s| (stringify!($variant), s)));)*
                out
            }
            /// The variants' names.
            pub const VARIANTS: &'static [&'static str] = &[$(stringify!($variant)),*];
        }
    };
}
pub(crate) use ops;

pub use crate::ops::Op;
