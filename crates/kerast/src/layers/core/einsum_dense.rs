//! A dense layer of any axes.

use crate::activations::Activation;
use crate::config::{Field, Object, described};
use crate::constraints::Constraint;
use crate::initializers::{Initializer, InitializerRule};
use crate::layers::einsum::Einsum;
use crate::layers::{Call, LayerRule, Shape, Weights, layer, layer_base, show};
use crate::regularizers::Regularizer;
use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

layer! {
    /// `y = activation(einsum(equation, x, kernel) + bias)`.
    ///
    /// **Shape** as the equation says: `"abc,cd->abd"` is a dense layer over the last axis; `...` stands for axes that stay.
    pub struct EinsumDense("EinsumDense") {
        /// The equation of input and kernel.
        equation: String,
        /// The output's shape without the batch axis; `None` for axes that the input decides.
        output_shape: Vec<Option<usize>>,
        ;
        /// Applied to the sum.
        activation: Activation = Object::named("linear"),
        /// The axes of the output along which the bias differs; without any there is no bias.
        bias_axes: Option<String> = None,
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

impl EinsumDense {
    /// The output's shape: batch axis, what was given, and the axes that `...` stands for where the equation has them.
    fn output(&self, e: &Einsum, input: &Shape) -> Shape {
        let mut out: Shape = [input[0]].into_iter().chain(self.output_shape.iter().copied()).collect();
        match self.equation.trim_start().starts_with("...") {
            true => _ = out.splice(1..1, input[1..e.elided.max(1)].iter().copied()),
            false => out.extend(&input[input.len() - e.elided..]),
        }
        out
    }

    /// First values whose scale knows which axes of the kernel are summed over.
    fn initializer(&self, inputs: &[i64], outputs: &[i64]) -> Result<Initializer> {
        let rule = self.kernel_initializer.get()?;
        let mut config = rule.config();
        if config.get("input_axes").is_none_or(|a| !a.is_null()) {
            return Ok(self.kernel_initializer.clone());
        }
        config.insert("input_axes".into(), inputs.into());
        config.insert("output_axes".into(), outputs.into());
        Field::from_json(&described::<dyn InitializerRule>(rule.class_name(), config))
    }
}

impl LayerRule for EinsumDense {
    layer_base!();

    fn build(&self, inputs: &[Shape], weights: &mut Weights) -> Result<()> {
        self.activation.get()?;
        let input = &inputs[0];
        let e = Einsum::parse(&self.equation, input.len())?;
        let output = self.output(&e, input);
        let unfit = |what: &str| {
            Error::new(ErrorKind::Argument, format!("the equation `{}` does not fit the shapes: {what}", self.equation))
                .received(format!("input {}, output {}", show(input), show(&output)))
        };
        if output.len() != e.result.len() {
            return Err(unfit("the result has another number of axes than `output_shape` says"));
        }
        let place = |of: &[char], c: char| of.iter().position(|o| *o == c);
        let (mut shape, mut axes) = (vec![], (vec![], vec![]));
        for (i, &c) in e.right.iter().enumerate() {
            let size = match (place(&e.result, c), place(&e.left, c)) {
                (Some(o), _) if output[o].is_some() => output[o],
                (_, Some(l)) => input[l],
                _ => None,
            };
            if place(&e.result, c).is_some() {
                axes.1.push(i as i64)
            } else {
                axes.0.push(i as i64)
            }
            shape.push(size.ok_or_else(|| unfit(&format!("nothing says how long axis `{c}` of the kernel is")))?);
        }
        weights
            .add("kernel", &shape, &self.initializer(&axes.0, &axes.1)?)?
            .regularizer(&self.kernel_regularizer)
            .constraint(&self.kernel_constraint);
        let Some(bias) = &self.bias_axes else { return Ok(()) };
        let first = bias.chars().map(|c| place(&e.result, c)).collect::<Option<Vec<_>>>();
        let first = first.and_then(|all| all.into_iter().min());
        let first = first.ok_or_else(|| unfit("`bias_axes` names an axis that the result lacks"))?;
        let length = |i: usize| match bias.contains(e.result[i]) {
            true => {
                output[i].ok_or_else(|| unfit(&format!("nothing says how long axis `{}` of the bias is", e.result[i])))
            }
            false => Ok(1),
        };
        let shape: Vec<usize> = (first..e.result.len()).map(length).collect::<Result<_>>()?;
        weights
            .add("bias", &shape, &self.bias_initializer)?
            .regularizer(&self.bias_regularizer)
            .constraint(&self.bias_constraint);
        Ok(())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let e = Einsum::parse(&self.equation, x.rank())?;
        let kernel = cx.weight("kernel")?;
        let mut y = e.call(x, &kernel);
        if self.bias_axes.is_some() {
            y = &y + cx.weight("bias")?.broadcast_to(y.shape());
        }
        let y = self.activation.get()?.call(&y);
        cx.penalize(&self.activity_regularizer, &y)?;
        Ok(y)
    }
}
