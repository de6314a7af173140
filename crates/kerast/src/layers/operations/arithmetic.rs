//! Operations on elements.

use super::{Given, operations};
use crate::config::wrong;
use crate::{DType, Result};
use kerast_graph::Var;
use serde_json::Value;

operations! {
    "Absolute" => |g| g.x()?.abs();
    "Abs" => |g| g.x()?.abs();
    "Negative" => |g| g.x()?.neg();
    "Sign" => |g| g.x()?.sign();
    "Exp" => |g| g.float()?.exp();
    "Exp2" => |g| { let x = g.float()?; x.full_like(2.0).pow(&x) };
    "Expm1" => |g| g.float()?.exp_m1();
    "Log" => |g| g.float()?.log();
    "Log2" => |g| g.float()?.log() * std::f64::consts::LOG2_E;
    "Log10" => |g| g.float()?.log() * std::f64::consts::LOG10_E;
    "Log1p" => |g| g.float()?.log1p();
    "Sqrt" => |g| g.float()?.sqrt();
    "Rsqrt" => |g| g.float()?.rsqrt();
    "Cbrt" => |g| g.float()?.cbrt();
    "Square" => |g| g.x()?.square();
    "Reciprocal" => |g| { let x = g.float()?; x.full_like(1.0) / x };
    "Sin" => |g| g.float()?.sin();
    "Cos" => |g| g.float()?.cos();
    "Tan" => |g| g.float()?.tan();
    "Arcsin" => |g| g.float()?.asin();
    "Arccos" => |g| g.float()?.acos();
    "Arctan" => |g| g.float()?.atan();
    "Sinh" => |g| g.float()?.sinh();
    "Cosh" => |g| g.float()?.cosh();
    "Tanh" => |g| g.float()?.tanh();
    "Arcsinh" => |g| g.float()?.asinh();
    "Arccosh" => |g| g.float()?.acosh();
    "Arctanh" => |g| g.float()?.atanh();
    "Erf" => |g| g.float()?.erf();
    "Erfinv" => |g| g.float()?.erf_inv();
    "Floor" => |g| g.x()?.floor();
    "Ceil" => |g| g.x()?.ceil();
    "Round" => |g| { let s = 10f64.powf(g.number("decimals", 0.0)); (g.x()? * s).round() * (1.0 / s) };
    "Isnan" => |g| { let x = g.x()?; x.not_equal(&x) };
    "Isfinite" => |g| g.float()?.is_finite();
    "Isinf" => |g| { let x = g.float()?; let a = x.abs(); a.equal(&a.full_like(f64::INFINITY)) };
    "NanToNum" => |g| nan_to_num(g)?;
    "Clip" => |g| g.x()?.clamp(g.number("x_min", f64::NEG_INFINITY), g.number("x_max", f64::INFINITY));
    "StopGradient" => |g| g.x()?.stop_gradient();
    "Cast" => |g| { let to = dtype(g)?; g.x()?.convert(to) };
    "ZerosLike" => |g| g.x()?.full_like(0.0);
    "OnesLike" => |g| g.x()?.full_like(1.0);
    "FullLike" => |g| { let x = g.x()?; g.var(1)?.convert(x.dtype()).broadcast_to(x.shape()) };
    "Add" => |g| { let (x, y) = g.both()?; x + y };
    "Subtract" => |g| { let (x, y) = g.both()?; x - y };
    "Multiply" => |g| { let (x, y) = g.both()?; x * y };
    "Divide" => |g| divide(g)?;
    "TrueDivide" => |g| divide(g)?;
    "FloorDivide" => |g| { let (x, y) = g.both()?; floor_div(&x, &y) };
    "Mod" => |g| { let (x, y) = g.both()?; &x - floor_div(&x, &y) * &y };
    "Power" => |g| { let (x, y) = g.both()?; x.pow(&y) };
    "Maximum" => |g| { let (x, y) = g.both()?; x.max(&y) };
    "Minimum" => |g| { let (x, y) = g.both()?; x.min(&y) };
    "Arctan2" => |g| { let (x, y) = g.both()?; x.atan2(&y) };
    "Hypot" => |g| { let (x, y) = g.both()?; (x.square() + y.square()).sqrt() };
    "Logaddexp" => |g| { let (x, y) = g.both()?; let high = x.max(&y); &high + (x.min(&y) - &high).exp().log1p() };
    "SquaredDifference" => |g| { let (x, y) = g.both()?; (x - y).square() };
    "Equal" => |g| { let (x, y) = g.both()?; x.equal(&y) };
    "NotEqual" => |g| { let (x, y) = g.both()?; x.not_equal(&y) };
    "Less" => |g| { let (x, y) = g.both()?; x.less(&y) };
    "LessEqual" => |g| { let (x, y) = g.both()?; x.less_equal(&y) };
    "Greater" => |g| { let (x, y) = g.both()?; x.greater(&y) };
    "GreaterEqual" => |g| { let (x, y) = g.both()?; x.greater_equal(&y) };
    "LogicalAnd" => |g| g.var(0)?.convert(DType::Bool).and(&g.var(1)?.convert(DType::Bool));
    "LogicalOr" => |g| g.var(0)?.convert(DType::Bool).or(&g.var(1)?.convert(DType::Bool));
    "LogicalXor" => |g| g.var(0)?.convert(DType::Bool).xor(&g.var(1)?.convert(DType::Bool));
    "LogicalNot" => |g| g.x()?.convert(DType::Bool).not();
    "Where" => |g| choose(g)?;
}

fn divide(g: &Given<'_>) -> Result<Var> {
    let (x, y) = g.both()?;
    Ok(if x.dtype().is_float() { x / y } else { x.convert(DType::F32) / y.convert(DType::F32) })
}

/// Rounded towards -∞, for floats and integers.
fn floor_div(x: &Var, y: &Var) -> Var {
    if x.dtype().is_float() {
        return (x / y).floor();
    }
    let quotient = x / y;
    let rest = x - &quotient * y;
    let apart = rest.ne(0.0).and(&rest.lt(0.0).xor(&y.broadcast_to(x.shape()).lt(0.0)));
    &quotient - apart.convert(quotient.dtype())
}

fn choose(g: &Given<'_>) -> Result<Var> {
    let (p, a, b) = (g.var(0)?.convert(DType::Bool), g.var(1)?, g.var(2)?);
    let (a, b) = a.broadcast_with(&b);
    let (a, p) = (a.clone(), p.broadcast_to(a.shape()));
    Ok(p.select(&a, &b.convert(a.dtype())))
}

fn nan_to_num(g: &Given<'_>) -> Result<Var> {
    let x = g.x()?;
    let most = if x.dtype() == DType::F64 { f64::MAX } else { f64::from(f32::MAX) };
    let finite = x.equal(&x).select(&x, &x.full_like(g.number("nan", 0.0)));
    Ok(finite.clamp(g.number("neginf", -most), g.number("posinf", most)))
}

fn dtype(g: &Given<'_>) -> Result<DType> {
    let v = g.setting("dtype", 1).cloned().unwrap_or(Value::Null);
    v.as_str().and_then(DType::parse).ok_or_else(|| wrong("an element type", &v))
}
