//! Pooling over everything but batch and channels.

use crate::Result;
use crate::config::Word;
use crate::layers::sizes::channels_last;
use crate::layers::{Call, LayerRule, Shape, Weights, expect_rank, layer, layer_base, one_input};
use kerast_graph::Var;

macro_rules! global_pools {
    ($($(#[$meta:meta])* $name:ident($class:literal, $n:literal, $mean:literal);)*) => {$(
        layer! {
            $(#[$meta])*
            pub struct $name($class) {
                ;
                /// `"channels_last"` (default) or `"channels_first"`.
                data_format: Option<Word> = Some("channels_last".into()),
                /// Keep the pooled axes at length 1.
                keepdims: bool = false,
            }
        }

        impl LayerRule for $name {
            layer_base!();

            fn build(&self, inputs: &[Shape], _: &mut Weights) -> Result<()> {
                expect_rank(&inputs[0], $n + 2, "batch, spatial axes and channels")
            }

            // The mask may come as a second input.
            fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
                match inputs {
                    [x, mask] if $mean && $n == 1 => {
                        cx.masks = vec![Some(mask.convert(crate::DType::Bool))];
                        Ok(vec![self.call(cx, x)?])
                    }
                    [x] => Ok(vec![self.call(cx, x)?]),
                    _ => Err(one_input(self, inputs)),
                }
            }

            fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
                let first = if channels_last(&self.data_format)? { 1 } else { 2 };
                let axes: Vec<usize> = (first..first + $n).collect();
                let y = match ($mean, cx.mask(0).cloned()) {
                    // Only the steps that are there count.
                    (true, Some(mask)) if $n == 1 => {
                        let w = mask.convert(x.dtype());
                        let weights = w.expand_dims(if first == 1 { 2 } else { 1 });
                        let count = w.reduce_sum(&[1]).expand_dims(1);
                        (x * weights).reduce_sum(&axes) / count
                    }
                    (true, _) => x.mean(&axes),
                    (false, _) => x.reduce_max(&axes),
                };
                cx.set_mask(None);
                let mut shape = x.shape().to_vec();
                axes.iter().for_each(|&a| shape[a] = 1);
                Ok(if self.keepdims { y.reshape(&shape) } else { y })
            }
        }
    )*};
}

global_pools! {
    /// The mean over time: `[batch, length, channels]` → `[batch, channels]`; masked steps do not count.
    GlobalAveragePooling1D("GlobalAveragePooling1D", 1, true);
    /// The mean over an image: `[batch, height, width, channels]` → `[batch, channels]`.
    GlobalAveragePooling2D("GlobalAveragePooling2D", 2, true);
    /// The mean over a volume.
    GlobalAveragePooling3D("GlobalAveragePooling3D", 3, true);
    /// The largest over time: `[batch, length, channels]` → `[batch, channels]`.
    GlobalMaxPooling1D("GlobalMaxPooling1D", 1, false);
    /// The largest over an image: `[batch, height, width, channels]` → `[batch, channels]`.
    GlobalMaxPooling2D("GlobalMaxPooling2D", 2, false);
    /// The largest over a volume.
    GlobalMaxPooling3D("GlobalMaxPooling3D", 3, false);
}
