//! Samples of convolutions: 0 to 3 dimensions, both layouts, strides with leftovers, dilations, uneven and negative padding, groups.

use super::sample_data::floats;
use super::{ConvAxes, ConvDim, Convolution};
use crate::ir::op::Sample;
use kerast_kernels::dtype::DType;

const PLAIN: ConvDim = ConvDim { stride: 1, padding: (0, 0), lhs_dilation: 1, rhs_dilation: 1, reversed: false };

fn padded(low: i64, high: i64) -> ConvDim {
    ConvDim { padding: (low, high), ..PLAIN }
}

fn strided(stride: usize, low: i64, high: i64) -> ConvDim {
    ConvDim { stride, ..padded(low, high) }
}

fn last(dims: &[ConvDim]) -> Convolution {
    Convolution { dims: dims.to_vec(), ..Convolution::channels_last(dims.len()) }
}

fn first(dims: &[ConvDim]) -> Convolution {
    Convolution { dims: dims.to_vec(), ..Convolution::channels_first(dims.len()) }
}

fn sample(how: Convolution, x: &[usize], w: &[usize]) -> Sample {
    Sample::new(how, vec![floats(x, 1), floats(w, 2)])
}

pub(super) fn all() -> Vec<Sample> {
    let mut all = one_dimension();
    all.extend(more_dimensions());
    all.extend(groups());
    for dtype in [DType::F64, DType::F16, DType::I32] {
        let x = floats(&[1, 5, 4, 2], 1).cast(dtype);
        let w = floats(&[3, 2, 2, 3], 2).cast(dtype);
        all.push(Sample::flat(last(&[strided(2, 1, 0), PLAIN]), vec![x, w]));
    }
    let wide = last(&[padded(1, 1), padded(1, 1)]);
    for features in [16, 0] {
        let x = floats(&[4, 20, 20, features], 1);
        all.push(Sample::flat(wide.clone(), vec![x, floats(&[3, 3, features, 32], 2)]));
    }
    all
}

fn one_dimension() -> Vec<Sample> {
    let everything = ConvDim { stride: 2, padding: (3, 1), lhs_dilation: 3, rhs_dilation: 2, reversed: true };
    vec![
        sample(last(&[]), &[3, 2], &[2, 4]),
        sample(last(&[PLAIN]), &[2, 5, 2], &[3, 2, 2]),
        sample(last(&[strided(2, 0, 0)]), &[1, 6, 2], &[3, 2, 2]),
        sample(last(&[strided(3, 2, 1)]), &[1, 7, 1], &[2, 1, 2]),
        sample(last(&[ConvDim { rhs_dilation: 2, ..PLAIN }]), &[1, 7, 2], &[3, 2, 1]),
        sample(last(&[ConvDim { lhs_dilation: 2, ..padded(1, 2) }]), &[1, 4, 2], &[3, 2, 2]),
        sample(last(&[everything]), &[2, 4, 1], &[3, 1, 2]),
        sample(last(&[padded(-1, 2)]), &[1, 5, 2], &[2, 2, 1]),
        sample(last(&[padded(4, -2)]), &[1, 5, 1], &[2, 1, 1]),
        sample(first(&[padded(2, 0)]), &[2, 3, 4], &[3, 3, 2]),
    ]
}

fn more_dimensions() -> Vec<Sample> {
    let same = |input: usize| ConvDim { padding: super::same_padding(input, 3, 2, 1), ..strided(2, 0, 0) };
    let transposed = ConvDim { lhs_dilation: 2, reversed: true, ..padded(2, 1) };
    let dilated = ConvDim { rhs_dilation: 2, ..PLAIN };
    let backwards = ConvDim { reversed: true, ..PLAIN };
    // Keras' kernels of transposed convolutions are [h, w, out, in].
    let exchanged = ConvAxes { batch: 2, feature: 3, spatial: vec![0, 1] };
    // Kernel [out, in, h, w], output [h, w, batch, feature].
    let odd = Convolution {
        rhs: ConvAxes { batch: 0, feature: 1, spatial: vec![2, 3] },
        out: ConvAxes { batch: 2, feature: 3, spatial: vec![0, 1] },
        ..first(&[padded(1, 0), padded(0, 1)])
    };
    vec![
        sample(last(&[PLAIN; 2]), &[2, 4, 4, 2], &[3, 3, 2, 2]),
        sample(first(&[PLAIN; 2]), &[2, 2, 4, 4], &[3, 2, 2, 3]),
        sample(last(&[same(5), same(4)]), &[1, 5, 4, 2], &[3, 3, 2, 2]),
        sample(first(&[strided(2, 1, 2), strided(3, 0, 1)]), &[1, 2, 4, 5], &[2, 3, 2, 2]),
        sample(last(&[dilated, backwards]), &[1, 5, 3, 1], &[2, 2, 1, 2]),
        sample(Convolution { rhs: exchanged, ..last(&[transposed; 2]) }, &[1, 3, 2, 2], &[3, 3, 1, 2]),
        sample(odd, &[2, 3, 4, 3], &[2, 3, 2, 2]),
        sample(last(&[strided(4, 0, 0); 2]), &[1, 3, 3, 1], &[2, 2, 1, 1]),
        sample(last(&[PLAIN; 2]), &[1, 2, 2, 1], &[3, 3, 1, 1]),
        sample(last(&[padded(1, 0), PLAIN, strided(2, 1, 1)]), &[1, 2, 3, 3, 1], &[2, 2, 2, 1, 2]),
        sample(first(&[padded(1, 0); 3]), &[1, 2, 2, 2, 2], &[2, 2, 2, 2, 1]),
    ]
}

fn groups() -> Vec<Sample> {
    let features = |feature_groups: usize, how: Convolution| Convolution { feature_groups, ..how };
    let batches = |batch_groups: usize, how: Convolution| Convolution { batch_groups, ..how };
    let mixed = ConvDim { reversed: true, rhs_dilation: 2, ..padded(1, 0) };
    vec![
        sample(features(2, last(&[PLAIN])), &[2, 4, 4], &[2, 2, 6]),
        sample(features(3, last(&[PLAIN; 2])), &[1, 3, 3, 3], &[2, 2, 1, 3]),
        sample(features(3, last(&[padded(1, 1), PLAIN])), &[2, 3, 3, 3], &[2, 2, 1, 6]),
        sample(features(2, last(&[strided(2, 0, 0), PLAIN])), &[1, 4, 3, 2], &[2, 2, 1, 4]),
        sample(features(2, first(&[PLAIN; 2])), &[2, 4, 3, 3], &[2, 2, 2, 2]),
        sample(features(2, first(&[mixed])), &[1, 4, 5], &[2, 2, 4]),
        sample(batches(2, last(&[PLAIN])), &[4, 4, 3], &[2, 3, 4]),
        sample(batches(3, first(&[strided(2, 1, 0)])), &[3, 2, 5], &[2, 2, 3]),
        sample(batches(2, last(&[PLAIN; 2])), &[2, 3, 3, 1], &[2, 2, 1, 2]),
    ]
}
