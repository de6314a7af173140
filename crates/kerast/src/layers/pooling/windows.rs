//! Pooling over windows: the largest or the mean of each.

use crate::config::Word;
use crate::layers::sizes::{Sizes, channels_last, same_padding};
use crate::layers::{Call, LayerRule, Shape, Weights, expect_rank, layer, layer_base};
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;
use kerast_graph::ops::{ReduceKind, WindowDim};

/// The window over the spatial axes of `x`.
fn window(x: &Var, size: &[usize], strides: &[usize], same: bool, last: bool) -> Result<Vec<WindowDim>> {
    let mut dims = vec![WindowDim::default(); x.rank()];
    for i in 0..size.len() {
        let axis = if last { 1 + i } else { 2 + i };
        let n = x.shape()[axis];
        if !same && size[i] > n {
            return Err(Error::new(ErrorKind::Shape, "the window is larger than the input")
                .expected(format!("at least {} along axis {axis}", size[i]))
                .received(format!("{:?}", x.shape()))
                .repair("a smaller pool_size, or padding \"same\""));
        }
        let padding = if same { same_padding(n, size[i], strides[i], 1) } else { (0, 0) };
        dims[axis] = WindowDim { size: size[i], stride: strides[i], padding, ..WindowDim::default() };
    }
    Ok(dims)
}

macro_rules! pools {
    ($($(#[$meta:meta])* $name:ident($class:literal, $n:literal, $mean:literal);)*) => {$(
        layer! {
            $(#[$meta])*
            pub struct $name($class) {
                /// Extent of the window.
                pool_size: Sizes<$n>,
                ;
                /// Step of the window; its extent unless given.
                strides: Option<Sizes<$n>> = None,
                /// `"valid"`: windows lie inside; `"same"`: as many places as steps fit into the input.
                padding: Word = "valid".into(),
                /// `"channels_last"` (default) or `"channels_first"`.
                data_format: Option<Word> = Some("channels_last".into()),
            }
        }

        impl LayerRule for $name {
            layer_base!();

            fn build(&self, inputs: &[Shape], _: &mut Weights) -> Result<()> {
                expect_rank(&inputs[0], $n + 2, "batch, spatial axes and channels")?;
                let steps = self.strides.unwrap_or(self.pool_size);
                if self.pool_size.0.contains(&0) || steps.0.contains(&0) {
                    return Err(Error::new(ErrorKind::Argument, "`pool_size` and `strides` must be at least 1"));
                }
                Ok(())
            }

            fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
                let same = self.padding.one_of("padding", &["valid", "same"])? == "same";
                let last = channels_last(&self.data_format)?;
                let strides = self.strides.unwrap_or(self.pool_size);
                let dims = window(x, &self.pool_size.0, &strides.0, same, last)?;
                if !$mean {
                    return Ok(x.reduce_window(ReduceKind::Max, &dims));
                }
                let sum = x.reduce_window(ReduceKind::Sum, &dims);
                let full: usize = self.pool_size.0.iter().product();
                if !same {
                    return Ok(sum * (1.0 / full as f64));
                }
                // Padding does not count.
                let counts = x.full_like(1.0).reduce_window(ReduceKind::Sum, &dims);
                Ok(sum / counts)
            }
        }
    )*};
}

pools! {
    /// The largest of every window over time: `[batch, length, channels]`.
    MaxPooling1D("MaxPooling1D", 1, false);
    /// The largest of every window of an image: `[batch, height, width, channels]`.
    MaxPooling2D("MaxPooling2D", 2, false);
    /// The largest of every window of a volume: `[batch, depth, height, width, channels]`.
    MaxPooling3D("MaxPooling3D", 3, false);
    /// The mean of every window over time: `[batch, length, channels]`.
    AveragePooling1D("AveragePooling1D", 1, true);
    /// The mean of every window of an image: `[batch, height, width, channels]`.
    AveragePooling2D("AveragePooling2D", 2, true);
    /// The mean of every window of a volume: `[batch, depth, height, width, channels]`.
    AveragePooling3D("AveragePooling3D", 3, true);
}
