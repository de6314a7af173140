//! Element-wise functions of one value: `y = f(x)`, `dx = dy · f'(x)`.
//!
//! Names are StableHLO's where it has the op, else CHLO's (`erf`, `asin`, …).

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::map::{Scalar, UnaryKind as K};
use std::f64::consts::PI;

/// An element-wise function of one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary(
    /// Which function.
    pub K,
);

/// Which element types a function takes.
enum Takes {
    Floats,
    Numbers,
    Bits,
}

fn takes(kind: K) -> Takes {
    match kind {
        K::Negate | K::Abs | K::Sign => Takes::Numbers,
        K::Not => Takes::Bits,
        _ => Takes::Floats,
    }
}

impl OpRule for Unary {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [x] = x else { return Err(dtype_error(self.name(), format!("takes one operand, not {}", x.len()))) };
        let fits = match takes(self.0) {
            Takes::Floats => x.dtype.is_float(),
            Takes::Numbers => x.dtype != DType::Bool,
            Takes::Bits => !x.dtype.is_float(),
        };
        if !fits {
            return Err(dtype_error(self.name(), format!("does not take {}", x.dtype)));
        }
        let dtype = if self.0 == K::IsFinite { DType::Bool } else { x.dtype };
        Ok(vec![Type::new(dtype, x.shape.clone())])
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (x, y, dy) = (cx.x(0), cx.y(), cx.dy(0));
        let dx = match self.0 {
            K::Negate => dy.neg(),
            K::Abs => dy * x.sign(),
            K::Exp => dy * y,
            K::Expm1 => dy * (y + 1.0),
            K::Log => dy / x,
            K::Log1p => dy / (x + 1.0),
            K::Sqrt => dy * 0.5 / y,
            // d x^(-1/2) = -1/2 x^(-3/2)
            K::Rsqrt => dy * y / x * -0.5,
            K::Cbrt => dy / (y * y * 3.0),
            K::Tanh => dy * (1.0 - y * y),
            K::Logistic => dy * y * (1.0 - y),
            K::Sin => dy * x.cos(),
            K::Cos => dy * x.sin().neg(),
            K::Tan => dy * (1.0 + y * y),
            K::Asin => dy * (1.0 - x * x).rsqrt(),
            K::Acos => dy * (1.0 - x * x).rsqrt().neg(),
            K::Atan => dy / (1.0 + x * x),
            K::Sinh => dy * x.cosh(),
            K::Cosh => dy * x.sinh(),
            K::Asinh => dy * (x * x + 1.0).rsqrt(),
            K::Acosh => dy * ((x - 1.0) * (x + 1.0)).rsqrt(),
            K::Atanh => dy / (1.0 - x * x),
            // d erf = 2/√π e^(-x²)
            K::Erf => dy * (x * x).neg().exp() * (2.0 / PI.sqrt()),
            K::Erfc => dy * (x * x).neg().exp() * (-2.0 / PI.sqrt()),
            // d erf⁻¹ = √π/2 e^(y²)
            K::ErfInv => dy * (y * y).exp() * (PI.sqrt() / 2.0),
            K::Lgamma => dy * x.digamma(),
            K::Digamma => dy * trigamma(x),
            // Piecewise constant.
            K::Sign | K::Floor | K::Ceil | K::RoundEven | K::RoundAway | K::Not | K::IsFinite => {
                return cx.none();
            }
        };
        vec![Some(dx)]
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Scalar(Scalar::Unary(self.0))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
    }

    fn parse(name: &str, _: &Attributes) -> Result<Option<Self>> {
        Ok(K::ALL.iter().find(|k| k.name() == name).map(|k| Unary(*k)))
    }

    fn samples() -> Vec<Sample> {
        let mut all = vec![];
        for &kind in K::ALL {
            let (low, high) = domain(kind);
            let n = 7;
            let points: Vec<f64> = (0..n).map(|i| low + (high - low) * (i as f64 + 0.37) / n as f64).collect();
            let smooth = !matches!(kind, K::Sign | K::Floor | K::Ceil | K::RoundEven | K::RoundAway | K::IsFinite);
            match takes(kind) {
                Takes::Bits => {
                    let bools = Tensor::from_bools(&[2], &[true, false]).expect("two values");
                    all.push(Sample::flat(Unary(kind), vec![bools]));
                    all.push(Sample::flat(Unary(kind), vec![Tensor::scalar(5i32)]));
                    all.push(Sample::flat(Unary(kind), vec![Tensor::scalar(5u8)]));
                }
                _ => {
                    let x = Tensor::new(&[n], &points).expect("n values");
                    let gradient = smooth.then_some(1e-2);
                    for dtype in [DType::F32, DType::F64] {
                        all.push(Sample { gradient, ..Sample::new(Unary(kind), vec![x.cast(dtype)]) });
                    }
                    all.push(Sample::flat(Unary(kind), vec![x.cast(DType::BF16)]));
                }
            }
            if matches!(takes(kind), Takes::Numbers) {
                let ints = Tensor::new(&[3], &[-4i32, 0, 9]).expect("three values");
                all.push(Sample::flat(Unary(kind), vec![ints.cast(DType::I8)]));
                all.push(Sample::flat(Unary(kind), vec![ints]));
            }
        }
        all
    }
}

/// The derivative of digamma, to about ten digits: reflected to the right of 1/2, moved up by 6 with `ψ₁(z) = ψ₁(z + 1) + 1/z²`, then
/// the asymptotic series.
fn trigamma(x: &Var) -> Var {
    let left = x.lt(0.5);
    let z = left.select(&(1.0 - x), x);
    let inverse = 1.0 / (&z + 6.0);
    let square = &inverse * &inverse;
    let tail = 1.0 / 6.0 - &square * (1.0 / 30.0 - &square * (1.0 / 42.0 - &square * (1.0 / 30.0)));
    let mut sum = &inverse + &square * 0.5 + &inverse * &square * tail;
    for k in 0..6 {
        let shifted = &z + f64::from(k);
        sum = sum + 1.0 / (&shifted * &shifted);
    }
    // ψ₁(1 - x) + ψ₁(x) = π² / sin²(πx)
    let sine = left.select(x, &x.full_like(0.5)) * PI;
    let whole = PI * PI / sine.sin().square();
    left.select(&(whole - &sum), &sum)
}

/// Where a function is smooth and finite, for samples.
fn domain(kind: K) -> (f64, f64) {
    match kind {
        K::Log | K::Sqrt | K::Rsqrt | K::Cbrt | K::Lgamma | K::Digamma => (0.3, 3.0),
        K::Acosh => (1.2, 3.0),
        K::Log1p => (-0.7, 2.0),
        K::Asin | K::Acos | K::Atanh | K::ErfInv => (-0.85, 0.85),
        K::Tan => (-1.2, 1.2),
        _ => (-2.2, 2.1),
    }
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $method:ident => $kind:ident;)*) => {
        impl Var {
            $($(#[$doc])* #[track_caller] pub fn $method(&self) -> Var { self.apply(Unary(K::$kind), &[]) })*
        }
    };
}

unary_methods! {
    /// `-x`.
    neg => Negate;
    /// `|x|`.
    abs => Abs;
    /// -1, 0 or 1.
    sign => Sign;
    /// `e^x`.
    exp => Exp;
    /// `e^x - 1`, exact near 0.
    exp_m1 => Expm1;
    /// Natural logarithm.
    log => Log;
    /// `ln(1 + x)`, exact near 0.
    log1p => Log1p;
    /// Square root.
    sqrt => Sqrt;
    /// `1 / √x`.
    rsqrt => Rsqrt;
    /// Cube root.
    cbrt => Cbrt;
    /// Hyperbolic tangent.
    tanh => Tanh;
    /// `1 / (1 + e^-x)`.
    logistic => Logistic;
    /// Sine.
    sin => Sin;
    /// Cosine.
    cos => Cos;
    /// Tangent.
    tan => Tan;
    /// Inverse sine.
    asin => Asin;
    /// Inverse cosine.
    acos => Acos;
    /// Inverse tangent.
    atan => Atan;
    /// Hyperbolic sine.
    sinh => Sinh;
    /// Hyperbolic cosine.
    cosh => Cosh;
    /// Inverse hyperbolic sine.
    asinh => Asinh;
    /// Inverse hyperbolic cosine.
    acosh => Acosh;
    /// Inverse hyperbolic tangent.
    atanh => Atanh;
    /// The error function.
    erf => Erf;
    /// `1 - erf(x)`, exact for large x.
    erfc => Erfc;
    /// The inverse of the error function.
    erf_inv => ErfInv;
    /// `ln |Γ(x)|`.
    lgamma => Lgamma;
    /// The derivative of [`Var::lgamma`].
    digamma => Digamma;
    /// Largest whole number that is not larger.
    floor => Floor;
    /// Smallest whole number that is not smaller.
    ceil => Ceil;
    /// Nearest whole number, halves to even.
    round => RoundEven;
    /// Nearest whole number, halves away from zero.
    round_away => RoundAway;
    /// Logical (bool) or bitwise (integers) not.
    not => Not;
    /// Neither infinite nor NaN.
    is_finite => IsFinite;
}
