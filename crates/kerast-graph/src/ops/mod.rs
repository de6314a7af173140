//! Every op: one file per op or tight family, and one line in the registry below.

mod arg_reduce;
mod arg_window;
mod binary;
mod broadcast_in_dim;
mod compare;
mod concatenate;
mod constant;
mod convert;
mod convolution;
mod convolution_grad;
mod convolution_samples;
mod cross_entropy;
mod cross_entropy_grad;
mod cumulative;
mod dot_general;
mod dynamic_slice;
mod gather;
mod moments;
mod pad;
mod random_bits;
mod reduce;
mod reduce_window;
mod reshape;
mod reverse;
mod sample_data;
mod scan;
mod scatter;
mod segment_sum;
mod select;
mod slice;
mod softmax;
mod sort;
mod stop_gradient;
mod transpose;
mod unary;
mod while_loop;

pub use arg_reduce::ArgReduce;
pub use arg_window::{ArgWindow, ScatterWindow};
pub use binary::Binary;
pub use broadcast_in_dim::BroadcastInDim;
pub use compare::Compare;
pub use concatenate::Concatenate;
pub use constant::{Constant, Iota, Parameter};
pub use convert::Convert;
pub use convolution::{ConvAxes, ConvDim, Convolution, same_padding};
pub use cross_entropy::CrossEntropy;
pub use cross_entropy_grad::CrossEntropyGrad;
pub use cumulative::Cumulative;
pub use dot_general::DotGeneral;
pub(crate) use dot_general::free;
pub use dynamic_slice::{DynamicSlice, DynamicUpdateSlice};
pub use gather::{Gather, GatherDims};
pub use kerast_kernels::map::{BinaryKind, CompareKind, UnaryKind};
pub use kerast_kernels::order::CumulateKind;
pub use moments::Moments;
pub use pad::Pad;
pub use random_bits::RandomBits;
pub use reduce::{Reduce, ReduceKind};
pub use reduce_window::{ReduceWindow, WindowDim};
pub use reshape::Reshape;
pub use reverse::Reverse;
pub use scan::Scan;
pub use scatter::{Combine, Scatter, ScatterDims};
pub use segment_sum::SegmentSum;
pub use select::{Clamp, Select};
pub use slice::Slice;
pub use softmax::Softmax;
pub use sort::{Sort, TopK};
pub use stop_gradient::StopGradient;
pub use transpose::Transpose;
pub use unary::Unary;
pub use while_loop::While;

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
    /// Axes backwards.
    Reverse(Reverse),
    /// A regular part.
    Slice(Slice),
    /// Padding around and between elements.
    Pad(Pad),
    /// One after the other.
    Concatenate(Concatenate),
    /// A window at a run-time place.
    DynamicSlice(DynamicSlice),
    /// A window replaced at a run-time place.
    DynamicUpdateSlice(DynamicUpdateSlice),
    /// The place of the largest or smallest.
    ArgReduce(ArgReduce),
    /// Running sums, products, maxima, minima.
    Cumulative(Cumulative),
    /// Mean and variance.
    Moments(Moments),
    /// Softmax along the last axis.
    Softmax(Softmax),
    /// Cross-entropy of logits with class numbers.
    CrossEntropy(CrossEntropy),
    /// The same with its gradient.
    CrossEntropyGrad(CrossEntropyGrad),
    /// Convolution.
    Convolution(Convolution),
    /// Reductions over windows.
    ReduceWindow(ReduceWindow),
    /// The largest or smallest of every window, and its number there.
    ArgWindow(ArgWindow),
    /// Elements sent to the chosen ones of their windows.
    ScatterWindow(ScatterWindow),
    /// Windows at places named by indices.
    Gather(Gather),
    /// Windows combined with updates at places named by indices.
    Scatter(Scatter),
    /// Rows summed by number.
    SegmentSum(SegmentSum),
    /// Order along an axis.
    Sort(Sort),
    /// The k largest.
    TopK(TopK),
    /// A body repeated along an axis, with carried state.
    Scan(Scan),
    /// A body repeated while a condition holds.
    While(While),
}
