//! CPU kernels: loops over slices, SIMD and threads. The only home of `unsafe` in Kerast.
//!
//! Reading order: [`dtype`] and [`buffer`] (what memory holds), [`pool`] (who works), [`machine`] (a program of
//! kernels over planned memory), then the kernels themselves.

pub mod buffer;
pub mod chain;
pub mod control;
pub mod conv;
pub mod copy;
pub mod cross_entropy;
mod denormals;
pub mod dtype;
pub mod gather;
pub mod gemm;
pub mod isa;
mod lanes;
pub mod machine;
pub mod map;
pub mod math;
pub mod moments;
pub mod number;
pub mod order;
pub mod pool;
pub mod random;
pub mod rows;
pub mod scatter;
mod scratch;
pub mod segment_sum;
pub mod softmax;
pub mod window;
