//! Convolutions with a kernel of its own for every place. Keras had them up to version 2.

use super::conv::Shared;
use crate::activations::Activation;
use crate::config::{Object, Word};
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layers::sizes::{Sizes, channels_last};
use crate::layers::{Call, LayerRule, Shape, Weights, layer, layer_base};
use crate::regularizers::Regularizer;
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

/// The window's content at every place: `[batch, places, window · channels]`, in the order in which Keras lays it out: channels last where
/// they are last in the input, else first.
fn windows(conv: &Shared<'_>, x: &Var, places: &[usize]) -> Var {
    let n = conv.kernel.len();
    let x =
        if conv.last { x.clone() } else { x.transpose(&[&[0], &(2..n + 2).collect::<Vec<_>>()[..], &[1]].concat()) };
    let (batch, channels) = (x.shape()[0], x.shape()[n + 1]);
    let count: usize = conv.kernel.iter().product();
    let part = |at: usize| {
        let (mut start, mut rest) = (vec![0; n + 2], at);
        for a in (0..n).rev() {
            start[a + 1] = rest % conv.kernel[a];
            rest /= conv.kernel[a];
        }
        let (mut limit, mut step) = (x.shape().to_vec(), vec![1; n + 2]);
        for a in 0..n {
            limit[a + 1] = start[a + 1] + (places[a] - 1) * conv.strides[a] + 1;
            step[a + 1] = conv.strides[a];
        }
        x.slice(&start, &limit, &step).reshape(&[batch, places.iter().product(), 1, channels])
    };
    let parts: Vec<Var> = (0..count).map(part).collect();
    let all = Var::concatenate(&parts.iter().collect::<Vec<_>>(), 2);
    let all = if conv.last { all } else { all.transpose(&[0, 1, 3, 2]) };
    all.reshape(&[batch, places.iter().product(), count * channels])
}

macro_rules! locally_connected {
    ($($(#[$meta:meta])* $name:ident($class:literal, $n:literal);)*) => {$(
        layer! {
            $(#[$meta])*
            ///
            /// **Keras** up to version 2; the kernel is `[places, window · channels, filters]`, the bias `[places…, filters]`.
            pub struct $name($class) {
                /// Number of output channels.
                filters: usize,
                /// Extent of the window.
                kernel_size: Sizes<$n>,
                ;
                /// Step of the window.
                strides: Sizes<$n> = Sizes([1; $n]),
                /// `"valid"`: there is no padding.
                padding: Word = "valid".into(),
                /// `"channels_last"` (default) or `"channels_first"`.
                data_format: Option<Word> = Some("channels_last".into()),
                /// Applied to the sum.
                activation: Activation = Object::named("linear"),
                /// Whether a bias is added.
                use_bias: bool = true,
                /// First values of the kernel.
                kernel_initializer: Initializer = Object::named("glorot_uniform"),
                /// First values of the bias.
                bias_initializer: Initializer = Object::named("zeros"),
                /// Penalty on the kernel.
                kernel_regularizer: Option<Regularizer> = None,
                /// Penalty on the bias.
                bias_regularizer: Option<Regularizer> = None,
                /// Penalty on the output.
                activity_regularizer: Option<Regularizer> = None,
                /// Projection of the kernel after each update.
                kernel_constraint: Option<Constraint> = None,
                /// Projection of the bias after each update.
                bias_constraint: Option<Constraint> = None,
            }
        }

        impl $name {
            fn shared(&self) -> Result<Shared<'_>> {
                Ok(Shared {
                    filters: self.filters,
                    kernel: &self.kernel_size.0,
                    strides: &self.strides.0,
                    padding: self.padding.one_of("padding", &["valid"])?,
                    dilation: &[1; $n],
                    groups: 1,
                    last: channels_last(&self.data_format)?,
                })
            }
        }

        impl LayerRule for $name {
            layer_base!();

            fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
                self.activation.get()?;
                let conv = self.shared()?;
                let channels = conv.check(&inputs[0])?;
                let places = conv.places(&inputs[0])?;
                let window: usize = self.kernel_size.0.iter().product();
                if places.contains(&0) {
                    return Err(Error::new(ErrorKind::Shape, "the kernel is larger than the input")
                        .received(crate::layers::show(&inputs[0])));
                }
                weights
                    .add("kernel", &[places.iter().product(), window * channels, self.filters], &self.kernel_initializer)?
                    .regularizer(&self.kernel_regularizer)
                    .constraint(&self.kernel_constraint);
                if self.use_bias {
                    weights
                        .add("bias", &[&places[..], &[self.filters]].concat(), &self.bias_initializer)?
                        .regularizer(&self.bias_regularizer)
                        .constraint(&self.bias_constraint);
                }
                Ok(())
            }

            fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
                let conv = self.shared()?;
                let kernel = cx.weight("kernel")?;
                let shape: Shape = x.shape().iter().map(|&n| Some(n)).collect();
                let places = conv.places(&shape)?;
                let count: usize = places.iter().product();
                let channels = conv.check(&shape)? * self.kernel_size.0.iter().product::<usize>();
                if kernel.shape()[..2] != [count, channels] {
                    return Err(Error::new(ErrorKind::Shape, "the input does not fit the weights")
                        .expected(format!("the shape that the layer was built with (kernel is {:?})", kernel.shape()))
                        .received(format!("{:?}", x.shape())));
                }
                // [places, batch, filters]
                let sums = windows(&conv, x, &places).dot_general(&kernel, (&[1], &[0]), (&[2], &[1]));
                let mut y = sums.transpose(&[1, 0, 2]).reshape(&[&[x.shape()[0]], &places[..], &[self.filters]].concat());
                if self.use_bias {
                    y = y + cx.weight("bias")?;
                }
                if !conv.last {
                    y = y.transpose(&[&[0, $n + 1], &(1..=$n).collect::<Vec<_>>()[..]].concat());
                }
                let y = self.activation.get()?.call(&y);
                cx.penalize(&self.activity_regularizer, &y)?;
                Ok(y)
            }
        }
    )*};
}

locally_connected! {
    /// A window slides over time, with other weights at every place: `[batch, length, channels]` → `[batch, places, filters]`.
    LocallyConnected1D("LocallyConnected1D", 1);
    /// A window slides over an image, with other weights at every place: `[batch, height, width, channels]` → `[batch, places, places, filters]`.
    LocallyConnected2D("LocallyConnected2D", 2);
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    /// With the same kernel everywhere it is a convolution.
    #[test]
    fn equal_kernels_convolve() {
        for format in ["channels_last", "channels_first"] {
            let input = if format == "channels_last" { [5, 6, 2] } else { [2, 5, 6] };
            let mut conv =
                Sequential::new().add(Conv2D::new(3, (2, 3)).strides((1, 2)).data_format(format).input_shape(input));
            let mut local = Sequential::new()
                .add(LocallyConnected2D::new(3, (2, 3)).strides((1, 2)).data_format(format).input_shape(input));
            let kernel = conv.get_weights().expect("weights")[0].as_slice::<f32>().expect("f32").to_vec();
            // [2, 3, in, out] with the window as one axis; Keras lays channels before it where they come first.
            let at = |w: usize, c: usize, f: usize| kernel[(w * 2 + c) * 3 + f];
            let mut own = vec![];
            for f in 0..12 {
                let (w, c) = if format == "channels_last" { (f / 2, f % 2) } else { (f % 6, f / 6) };
                own.extend((0..3).map(|o| at(w, c, o)));
            }
            let kernels = Tensor::new(&[8, 12, 3], &own.repeat(8)).expect("8 places");
            local.set_weights(&[kernels, Tensor::zeros(DType::F32, &[4, 2, 3]).expect("biases")]).expect("they fit");
            let shape = [&[2], &input[..]].concat();
            let x: Vec<f32> = (0..120).map(|i| ((i * 37) % 17) as f32 / 8.0 - 1.0).collect();
            let x = Tensor::new(&shape, &x).expect("numbers");
            let (a, b) = (conv.predict(&x).run().expect("runs"), local.predict(&x).run().expect("runs"));
            assert_eq!(a.shape(), b.shape());
            assert!(a.to_f64_vec().iter().zip(b.to_f64_vec()).all(|(a, b)| (a - b).abs() < 1e-5), "{format}");
        }
    }
}
