//! The two gradients of a convolution, as convolutions.
//!
//! By the input: `dy`, spread by the strides, meets the reversed kernel; what strode now spreads and the other way round.
//! By the kernel: the input meets `dy` as a kernel; examples and features change places, and so do stride and kernel dilation.

use super::convolution::dilated;
use super::{ConvDim, Convolution};
use crate::ir::var::Var;

/// `x` with `axis`, which holds `parts` groups, cut in two and the groups put in front of axis `to` and joined with it.
fn move_groups(x: &Var, axis: usize, to: usize, parts: usize) -> Var {
    if parts <= 1 {
        return x.clone();
    }
    let mut cut: Vec<usize> = x.shape().to_vec();
    cut[axis] = x.shape()[axis] / parts;
    cut.insert(axis, parts);
    // Axis numbers in the cut shape: the groups lie at `axis`, everything from `axis` on moved up by one.
    let moved = |a: usize| if a >= axis { a + 1 } else { a };
    let order: Vec<usize> =
        (0..x.rank()).flat_map(|a| if a == to { vec![axis, moved(a)] } else { vec![moved(a)] }).collect();
    let mut joined = x.shape().to_vec();
    joined[axis] /= parts;
    joined[to] *= parts;
    x.reshape(&cut).transpose(&order).reshape(&joined)
}

impl Convolution {
    pub(super) fn by_input(&self, x: &Var, w: &Var, dy: &Var) -> Var {
        if [x, w, dy].iter().any(|v| v.ty().is_empty()) {
            return x.full_like(0.0);
        }
        let dim = |i: usize| {
            let d = self.dims[i];
            let window = dilated(w.shape()[self.rhs.spatial[i]], d.rhs_dilation) - 1;
            let (full, out) =
                (dilated(x.shape()[self.lhs.spatial[i]], d.lhs_dilation), dy.shape()[self.out.spatial[i]]);
            ConvDim {
                stride: d.lhs_dilation,
                padding: (window - d.padding.0, full + d.padding.0 - dilated(out, d.stride)),
                lhs_dilation: d.stride,
                rhs_dilation: d.rhs_dilation,
                reversed: !d.reversed,
            }
        };
        let groups = self.feature_groups * self.batch_groups;
        // The kernel as it is seen from `dy`: output features of one group come in, input features of all groups go out.
        let turned = move_groups(w, self.rhs.batch, self.rhs.feature, groups);
        let how = Convolution {
            lhs: self.out.clone(),
            rhs: self.rhs.swapped(),
            out: self.lhs.clone(),
            dims: (0..self.dims.len()).map(dim).collect(),
            feature_groups: groups,
            batch_groups: 1,
        };
        // Groups of the batch come out as groups of features.
        move_groups(&dy.convolution(&turned, how), self.lhs.feature, self.lhs.batch, self.batch_groups)
    }

    pub(super) fn by_kernel(&self, x: &Var, w: &Var, dy: &Var) -> Var {
        if [x, w, dy].iter().any(|v| v.ty().is_empty()) {
            return w.full_like(0.0);
        }
        let dim = |i: usize| {
            let d = self.dims[i];
            let kernel = dilated(w.shape()[self.rhs.spatial[i]], d.rhs_dilation);
            let full = dilated(x.shape()[self.lhs.spatial[i]], d.lhs_dilation);
            let window = dilated(dy.shape()[self.out.spatial[i]], d.stride);
            ConvDim {
                stride: d.rhs_dilation,
                padding: (d.padding.0, kernel - 1 + window - full - d.padding.0),
                lhs_dilation: d.lhs_dilation,
                rhs_dilation: d.stride,
                reversed: false,
            }
        };
        let how = Convolution {
            lhs: self.lhs.swapped(),
            rhs: self.out.swapped(),
            out: self.rhs.swapped(),
            dims: (0..self.dims.len()).map(dim).collect(),
            feature_groups: self.batch_groups,
            batch_groups: self.feature_groups,
        };
        let backwards = (0..self.dims.len()).filter(|&i| self.dims[i].reversed).map(|i| self.rhs.spatial[i]);
        x.convolution(dy, how).reverse(&backwards.collect::<Vec<_>>())
    }
}
