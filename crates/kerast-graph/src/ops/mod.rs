//! Every op: one file per op or tight family, and one line in the registry below.

mod binary;
mod broadcast_in_dim;
mod compare;
mod constant;
mod convert;
mod dot_general;
mod random_bits;
mod reduce;
mod reshape;
mod select;
mod stop_gradient;
mod transpose;
mod unary;

pub use binary::Binary;
pub use broadcast_in_dim::BroadcastInDim;
pub use compare::Compare;
pub use constant::{Constant, Iota, Parameter};
pub use convert::Convert;
pub use dot_general::DotGeneral;
pub(crate) use dot_general::free;
pub use kerast_kernels::map::{BinaryKind, CompareKind, UnaryKind};
pub use random_bits::RandomBits;
pub use reduce::{Reduce, ReduceKind};
pub use reshape::Reshape;
pub use select::{Clamp, Select};
pub use stop_gradient::StopGradient;
pub use transpose::Transpose;
pub use unary::Unary;

use crate::autodiff::Vjp;
use crate::error::{Error, ErrorKind, Result};
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, ops};
use crate::ir::types::Type;
use crate::ir::var::Var;

ops! {
    /// A value that the caller brings.
    Parameter(Parameter),
    /// A value known when the graph is built.
    Constant(Constant),
    /// Counting along an axis.
    Iota(Iota),
    /// Element-wise functions of one value.
    Unary(Unary),
    /// Element-wise functions of two values.
    Binary(Binary),
    /// Element-wise comparisons.
    Compare(Compare),
    /// Element-wise choice.
    Select(Select),
    /// Element-wise bounds.
    Clamp(Clamp),
    /// A constant to the gradient.
    StopGradient(StopGradient),
    /// Another element type.
    Convert(Convert),
    /// Repetition along new or unit axes.
    BroadcastInDim(BroadcastInDim),
    /// Another shape for the same elements.
    Reshape(Reshape),
    /// Another order of axes.
    Transpose(Transpose),
    /// Sum, max, min, product, any or all along axes.
    Reduce(Reduce),
    /// Products and sums over contracted axes.
    DotGeneral(DotGeneral),
    /// Counter-based random bits.
    RandomBits(RandomBits),
}
