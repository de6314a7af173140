//! Element-wise functions of two values of the same type. The methods on `Var` broadcast as NumPy does.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error, shape_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::map::{BinaryKind as K, Scalar};
use std::ops;

/// An element-wise function of two values.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary(
    /// Which function.
    pub K,
);

impl OpRule for Binary {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let [a, b] = x else { return Err(dtype_error(self.name(), format!("takes two operands, not {}", x.len()))) };
        if a.dtype != b.dtype {
            return Err(dtype_error(self.name(), "both operands must have the same type")
                .received(format!("{a} and {b}"))
                .repair("convert one of them"));
        }
        if a.shape != b.shape {
            return Err(
                shape_error(self.name(), "both operands must have the same shape").received(format!("{a} and {b}"))
            );
        }
        let (float, boolean) = (a.dtype.is_float(), a.dtype == DType::Bool);
        let fits = match self.0 {
            K::And | K::Or | K::Xor => !float,
            K::ShiftLeft | K::ShiftRightLogical | K::ShiftRightArithmetic => !float && !boolean,
            K::Atan2 => float,
            K::Max | K::Min => true,
            _ => !boolean,
        };
        match fits {
            true => Ok(vec![(*a).clone()]),
            false => Err(dtype_error(self.name(), format!("does not take {}", a.dtype))),
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        let (a, b, y, dy) = (cx.x(0), cx.x(1), cx.y(), cx.dy(0));
        let (da, db): (Option<Var>, Option<Var>) = match self.0 {
            K::Add => (Some(dy.clone()), Some(dy)),
            K::Subtract => (Some(dy.clone()), cx.want(1, || dy.neg())),
            K::Multiply => (cx.want(0, || &dy * b), cx.want(1, || &dy * a)),
            K::Divide => (cx.want(0, || &dy / b), cx.want(1, || (&dy * y / b).neg())),
            // a mod b = a - b·trunc(a/b)
            K::Remainder => (Some(dy.clone()), cx.want(1, || (dy * ((a - y) / b)).neg())),
            K::Power => {
                let da = cx.want(0, || {
                    let slope = b * a.pow(&(b - 1.0));
                    &dy * b.equal(&b.full_like(0.0)).select(&b.full_like(0.0), &slope)
                });
                let db = cx.want(1, || {
                    // x^0 and 0^x do not vary with the exponent where the logarithm does not exist.
                    let positive = a.greater(&a.full_like(0.0));
                    let log = positive.select(a, &a.full_like(1.0)).log();
                    &dy * y * log
                });
                (da, db)
            }
            // Ties share the cotangent equally, as JAX does.
            K::Max | K::Min => {
                let half = dy.full_like(0.5);
                let zero = dy.full_like(0.0);
                let share = |own: &Var, other: &Var| {
                    let wins = if self.0 == K::Max { own.greater(other) } else { own.less(other) };
                    let tie = own.equal(other).select(&(&dy * &half), &zero);
                    wins.select(&dy, &tie)
                };
                (cx.want(0, || share(a, b)), cx.want(1, || share(b, a)))
            }
            // d atan2(a, b) = (b da - a db) / (a² + b²)
            K::Atan2 => {
                let scale = dy / (a * a + b * b);
                (cx.want(0, || &scale * b), cx.want(1, || (&scale * a).neg()))
            }
            K::And | K::Or | K::Xor | K::ShiftLeft | K::ShiftRightLogical | K::ShiftRightArithmetic => {
                return cx.none();
            }
        };
        vec![da, db]
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Scalar(Scalar::Binary(self.0))
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
    }

    fn parse(name: &str, _: &Attributes) -> Result<Option<Self>> {
        Ok(K::ALL.iter().find(|k| k.name() == name).map(|k| Binary(*k)))
    }

    fn samples() -> Vec<Sample> {
        let a = Tensor::new(&[2, 3], &[1.3f64, 2.2, 0.7, 3.1, 0.4, 1.9]).expect("six values");
        let b = Tensor::new(&[2, 3], &[0.6f64, 1.7, 2.4, -1.2, 1.1, -0.9]).expect("six values");
        let ints = |v: [i64; 6]| Tensor::new(&[6], &v).expect("six values");
        let (p, q) = (ints([7, -7, 5, 0, 100, -128]), ints([2, 2, -3, 5, 3, 3]));
        let mut all = vec![];
        for &kind in K::ALL {
            let bits =
                matches!(kind, K::And | K::Or | K::Xor | K::ShiftLeft | K::ShiftRightLogical | K::ShiftRightArithmetic);
            let sample =
                |dtype: DType, a: &Tensor, b: &Tensor| Sample::flat(Binary(kind), vec![a.cast(dtype), b.cast(dtype)]);
            if !bits {
                for dtype in [DType::F32, DType::F64] {
                    all.push(Sample { gradient: Some(1e-2), ..sample(dtype, &a, &b) });
                }
                all.push(sample(DType::F16, &a, &b));
            }
            if kind != K::Atan2 {
                let exponent = ints([2, 3, 0, 1, 1, 1]);
                for dtype in [DType::I8, DType::I32, DType::I64, DType::U8, DType::U32] {
                    let q = if kind == K::Power || dtype.is_unsigned() || bits { &exponent } else { &q };
                    let q = if kind == K::Remainder || kind == K::Divide { &ints([2, 2, 3, 5, 3, 3]) } else { q };
                    all.push(sample(dtype, &p, q));
                }
            }
            if matches!(kind, K::And | K::Or | K::Xor | K::Max | K::Min) {
                let t = Tensor::from_bools(&[4], &[true, true, false, false]).expect("four values");
                let f = Tensor::from_bools(&[4], &[true, false, true, false]).expect("four values");
                all.push(Sample::flat(Binary(kind), vec![t, f]));
            }
        }
        all
    }
}

impl Var {
    /// Both values under the shape that NumPy's broadcasting gives them.
    #[track_caller]
    pub fn broadcast_with(&self, other: &Var) -> (Var, Var) {
        if self.shape() == other.shape() {
            return (self.clone(), other.clone());
        }
        let rank = self.rank().max(other.rank());
        let dim = |v: &Var, i: usize| if i + v.rank() < rank { 1 } else { v.shape()[i + v.rank() - rank] };
        let shape: Vec<usize> = (0..rank)
            .map(|i| match (dim(self, i), dim(other, i)) {
                (1, d) => d,
                (d, _) => d,
            })
            .collect();
        (self.broadcast_to(&shape), other.broadcast_to(&shape))
    }

    #[track_caller]
    fn binary(&self, kind: K, other: &Var) -> Var {
        let (a, b) = self.broadcast_with(other);
        a.apply(Binary(kind), &[&b])
    }
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $method:ident => $kind:ident;)*) => {
        impl Var {
            $($(#[$doc])* #[track_caller] pub fn $method(&self, other: &Var) -> Var { self.binary(K::$kind, other) })*
        }
    };
}

binary_methods! {
    /// `a + b`.
    add => Add;
    /// `a - b`.
    sub => Subtract;
    /// `a · b`.
    mul => Multiply;
    /// `a / b`; integers truncate.
    div => Divide;
    /// The remainder with the sign of `a`.
    rem => Remainder;
    /// `a` to the power of `b`.
    pow => Power;
    /// The larger; NaN if one is NaN.
    max => Max;
    /// The smaller; NaN if one is NaN.
    min => Min;
    /// The angle of the point (b, a).
    atan2 => Atan2;
    /// Logical or bitwise and.
    and => And;
    /// Logical or bitwise or.
    or => Or;
    /// Logical or bitwise exclusive or.
    xor => Xor;
    /// `a << b`.
    shift_left => ShiftLeft;
    /// `a >> b`, zeros come in.
    shift_right_logical => ShiftRightLogical;
    /// `a >> b`, the sign comes in.
    shift_right_arithmetic => ShiftRightArithmetic;
}

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {$(
        impl ops::$trait<&Var> for &Var { type Output = Var; #[track_caller] fn $method(self, b: &Var) -> Var { Var::$method(self, b) } }
        impl ops::$trait<Var> for &Var { type Output = Var; #[track_caller] fn $method(self, b: Var) -> Var { Var::$method(self, &b) } }
        impl ops::$trait<&Var> for Var { type Output = Var; #[track_caller] fn $method(self, b: &Var) -> Var { Var::$method(&self, b) } }
        impl ops::$trait<Var> for Var { type Output = Var; #[track_caller] fn $method(self, b: Var) -> Var { Var::$method(&self, &b) } }
        impl ops::$trait<f64> for &Var { type Output = Var; #[track_caller] fn $method(self, b: f64) -> Var { Var::$method(self, &self.constant_like(b)) } }
        impl ops::$trait<f64> for Var { type Output = Var; #[track_caller] fn $method(self, b: f64) -> Var { Var::$method(&self, &self.constant_like(b)) } }
        impl ops::$trait<&Var> for f64 { type Output = Var; #[track_caller] fn $method(self, b: &Var) -> Var { Var::$method(&b.constant_like(self), b) } }
        impl ops::$trait<Var> for f64 { type Output = Var; #[track_caller] fn $method(self, b: Var) -> Var { Var::$method(&b.constant_like(self), &b) } }
    )*};
}
operators!(Add add, Sub sub, Mul mul, Div div);

impl ops::Neg for &Var {
    type Output = Var;
    #[track_caller]
    fn neg(self) -> Var {
        Var::neg(self)
    }
}

impl ops::Neg for Var {
    type Output = Var;
    #[track_caller]
    fn neg(self) -> Var {
        Var::neg(&self)
    }
}
