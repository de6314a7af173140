//! The gradients of a convolution, written as convolutions: shared by tests and benches.

use kerast_kernels::conv::{Conv, Dim, FilterLayout, Layout};

/// The gradient by the weights, as a convolution of x with dy.
pub(crate) fn by_weights(c: &Conv) -> Conv {
    let turned = |d: &Dim| Dim {
        kernel: d.output,
        output: d.kernel,
        stride: d.kernel_dilation,
        kernel_dilation: d.stride,
        ..*d
    };
    Conv {
        batch: c.in_channels,
        groups: 1,
        batch_groups: c.groups,
        in_channels: c.batch,
        out_channels: c.out_channels,
        x: Layout { batch: c.x.channel, channel: c.x.batch, spatial: c.x.spatial.clone() },
        w: FilterLayout { output: c.y.channel, input: c.y.batch, spatial: c.y.spatial.clone() },
        y: Layout { batch: c.w.input, channel: c.w.output, spatial: c.w.spatial.clone() },
        spatial: c.spatial.iter().map(turned).collect(),
    }
}

/// The gradient by the input, as a convolution of dy with the reversed weights; for one group or depthwise.
pub(crate) fn by_input(c: &Conv) -> Conv {
    let turned = |d: &Dim| Dim {
        input: d.output,
        output: d.input,
        stride: d.input_dilation,
        input_dilation: d.stride,
        pad_low: ((d.kernel - 1) * d.kernel_dilation) as isize - d.pad_low,
        reversed: !d.reversed,
        ..*d
    };
    let per_group = c.out_channels / c.groups;
    Conv {
        in_channels: c.out_channels,
        out_channels: c.in_channels,
        x: c.y.clone(),
        y: c.x.clone(),
        w: FilterLayout {
            output: if c.groups == 1 { c.w.input } else { per_group * c.w.output },
            input: c.w.output,
            spatial: c.w.spatial.clone(),
        },
        spatial: c.spatial.iter().map(turned).collect(),
        ..c.clone()
    }
}
