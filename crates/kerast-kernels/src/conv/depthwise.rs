//! One input channel per group.

use super::problem::{Operands, Problem};
use crate::gemm::drive::Team;
use crate::gemm::micro::Kernels;

/// # Safety
/// As for [`super::conv_f32`].
pub(super) unsafe fn solve(_: &Kernels, _: &Problem, _: usize, _: usize, _: Operands, _: Team<'_>) -> bool {
    false
}
