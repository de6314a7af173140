//! Placeholder until the real file is merged: on a conflict take the real one whole.
macro_rules! s { ($($n:ident $e:expr;)*) => { $(#[allow(missing_docs)] #[inline(always)] pub fn $n<const FMA: bool>(x: f32) -> f32 { let f: fn(f32)->f32 = $e; f(x) })* } }
s! { exp |x| x.exp(); exp_m1 |x| x.exp_m1(); log |x| x.ln(); log1p |x| x.ln_1p(); cbrt |x| x.cbrt(); tanh |x| x.tanh(); sigmoid |x| 1.0/(1.0+(-x).exp());
sin |x| x.sin(); cos |x| x.cos(); tan |x| x.tan(); asin |x| x.asin(); acos |x| x.acos(); atan |x| x.atan(); sinh |x| x.sinh(); cosh |x| x.cosh(); asinh |x| x.asinh(); acosh |x| x.acosh(); atanh |x| x.atanh(); erf |x| x; erfc |x| x; erf_inv |x| x; }
#[allow(missing_docs)]
pub fn pow<const FMA: bool>(a: f32, b: f32) -> f32 {
    a.powf(b)
}
#[allow(missing_docs)]
pub fn atan2<const FMA: bool>(a: f32, b: f32) -> f32 {
    a.atan2(b)
}
#[allow(missing_docs)]
pub fn lgamma(x: f32) -> f32 {
    x
}
#[allow(missing_docs)]
pub fn digamma(x: f32) -> f32 {
    x
}
#[allow(missing_docs)]
pub fn round_half_even(x: f32) -> f32 {
    x.round_ties_even()
}
#[allow(missing_docs)]
pub fn erf_f64(x: f64) -> f64 {
    x
}
#[allow(missing_docs)]
pub fn erfc_f64(x: f64) -> f64 {
    x
}
#[allow(missing_docs)]
pub fn erf_inv_f64(x: f64) -> f64 {
    x
}
#[allow(missing_docs)]
pub fn lgamma_f64(x: f64) -> f64 {
    x
}
#[allow(missing_docs)]
pub fn digamma_f64(x: f64) -> f64 {
    x
}
