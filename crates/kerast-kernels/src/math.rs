//! Functions of one f32 that vectorise: no branches, no tables, no calls — exp, log, tanh, erf and their relatives — and the rarer ones
//! by way of f64.
//!
//! The polynomials are least-squares fits in the Chebyshev basis on 400 Chebyshev nodes, made with 40-digit reference values and
//! rounded to f32 (near minimax). `FMA` says whether the instruction set has fused multiply-add; without it `mul_add` would be
//! a slow call.

// Constants stand as their sources print them.
#![allow(clippy::excessive_precision)]

use std::f64::consts::PI;

#[inline(always)]
fn madd<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Horner's rule, coefficients from the constant term on.
#[inline(always)]
fn poly<const FMA: bool, const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut y = c[N - 1];
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        y = madd::<FMA>(y, x, c[i]);
    }
    y
}

#[inline(always)]
fn select(p: bool, a: f32, b: f32) -> f32 {
    if p { a } else { b }
}

const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `x = n ln 2 + r` with whole `n` and the least `r`: 1.5 · 2^23 + n, whose low bits are those of `n`, and `r`.
#[inline(always)]
fn reduce<const FMA: bool>(x: f32) -> (u32, f32) {
    let magic = 12_582_912.0;
    let shifted = madd::<FMA>(x, std::f32::consts::LOG2_E, magic);
    let n = shifted - magic;
    (shifted.to_bits(), madd::<FMA>(n, -LN2_LOW, madd::<FMA>(n, -LN2_HIGH, x)))
}

/// `2^n` from the low bits of `n`: 0 for -127, infinity for 128.
#[inline(always)]
fn power_of_two(n: u32) -> f32 {
    f32::from_bits(n.wrapping_add(127) << 23)
}

/// `e^r - 1` for what [`reduce`] leaves.
#[inline(always)]
fn near_exp_m1<const FMA: bool>(r: f32) -> f32 {
    let p = poly::<FMA, 6>(r, [0.5, 1.666_666_7e-1, 4.166_666_8e-2, 8.333_182e-3, 1.388_867_3e-3, 1.996_218_6e-4]);
    madd::<FMA>(r * r, p, r)
}

/// `e^x`, at most 1.1 ulp off (three roundings meet where the result lies below a power of two); 0 and infinity where f32 ends.
#[inline(always)]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    // Beyond these bounds the result is 0 or infinite anyway; NaN passes through the comparisons.
    let (n, r) = reduce::<FMA>(select(x > 89.0, 89.0, select(x < -104.0, -104.0, x)));
    let y = near_exp_m1::<FMA>(r) + 1.0;
    // In two factors, since 2^n alone may overflow or be denormal.
    let half = n >> 1;
    y * power_of_two(half) * power_of_two(n - half)
}

/// [`exp`] from -87 to 89, where the powers of two are numbers, infinity at the end.
#[inline(always)]
fn small_exp<const FMA: bool>(x: f32) -> f32 {
    let (n, r) = reduce::<FMA>(x);
    (near_exp_m1::<FMA>(r) + 1.0) * power_of_two(n)
}

/// `e^x - 1`, at most 2 ulp off.
#[inline(always)]
pub fn exp_m1<const FMA: bool>(x: f32) -> f32 {
    let (n, r) = reduce::<FMA>(select(x > 89.0, 89.0, select(x < -80.0, -80.0, x)));
    // Half of it, since 2^n may overflow.
    let half = power_of_two(n.wrapping_sub(1));
    madd::<FMA>(half, near_exp_m1::<FMA>(r), half - 0.5) * 2.0
}

/// `ln x`, at most 1 ulp off; denormals included.
#[inline(always)]
pub fn log<const FMA: bool>(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let scaled = select(tiny, x * 8_388_608.0, x);
    let bits = scaled.to_bits();
    // The mantissa between √½ and √2.
    let offset = bits.wrapping_sub(0x3f35_04f3);
    let e = (offset as i32) >> 23;
    let m = f32::from_bits((offset & 0x007f_ffff).wrapping_add(0x3f35_04f3));
    let e = e as f32 - select(tiny, 23.0, 0.0);
    let f = m - 1.0;
    let c = [
        3.333_333_1e-1,
        -2.499_999e-1,
        2.000_070_8e-1,
        -1.666_848_1e-1,
        1.424_993_7e-1,
        -1.241_105e-1,
        1.166_151_1e-1,
        -1.157_120_1e-1,
        7.149_754e-2,
    ];
    let f2 = f * f;
    let cubic = f2 * f * poly::<FMA, 9>(f, c);
    let y = madd::<FMA>(e, LN2_LOW, cubic);
    let y = madd::<FMA>(-0.5, f2, y);
    let y = madd::<FMA>(e, LN2_HIGH, f + y);
    let y = select(x == f32::INFINITY, f32::INFINITY, y);
    let y = select(x == 0.0, f32::NEG_INFINITY, y);
    select(x >= 0.0, y, f32::NAN)
}

/// `ln(1 + x)`, at most 3 ulp off, exact near 0.
#[inline(always)]
pub fn log1p<const FMA: bool>(x: f32) -> f32 {
    let u = 1.0 + x;
    // What rounding took from u.
    let rest = x - (u - 1.0);
    let y = log::<FMA>(u) + select(u > 0.0 && u < f32::INFINITY, rest / u, 0.0);
    select(u == 1.0, x, y)
}

/// The hyperbolic tangent, at most 2 ulp off.
#[inline(always)]
pub fn tanh<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let c = [-3.333_333_4e-1, 1.333_330_6e-1, -5.395_989_9e-2, 2.177_404e-2, -8.360_518e-3, 2.311_367_5e-3];
    let near = madd::<FMA>(x * z, poly::<FMA, 6>(z, c), x);
    let far = 1.0 - 2.0 / (1.0 + small_exp::<FMA>(2.0 * select(a > 10.0, 10.0, a)));
    select(a < 0.62, near, far).copysign(x)
}

/// `1 / (1 + e^-x)`, at most 3 ulp off.
#[inline(always)]
pub fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + small_exp::<FMA>(select(x > 80.0, -80.0, select(x < -89.0, 89.0, -x))))
}

/// The error function, at most 2 ulp off.
#[inline(always)]
pub fn erf<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let c = [
        -5.863_5e-8,
        -3.761_263_8e-1,
        1.128_378_3e-1,
        -2.686_543_8e-2,
        5.221_053_7e-3,
        -8.484_396e-4,
        1.126_825_4e-4,
        -9.673_59e-6,
    ];
    // The first coefficient is what rounding took from 2/√π.
    let near = madd::<FMA>(x, std::f32::consts::FRAC_2_SQRT_PI, x * poly::<FMA, 8>(select(a < 1.0, z, 0.0), c));
    let t = select(a > 4.0, 4.0, a);
    let c = [
        -3.952_171e-4,
        1.130_585,
        6.311_186e-1,
        1.108_831_5e-1,
        -2.698_829e-2,
        5.018_341_8e-3,
        -6.731_761_4e-4,
        6.014_474_3e-5,
        -3.113_21e-6,
        6.706_363e-8,
    ];
    let far = 1.0 - small_exp::<FMA>(-poly::<FMA, 10>(t, c));
    let far = select(a.is_nan(), a, far).copysign(x);
    select(a < 1.0, near, far)
}

/// The nearest whole number, halves to even.
#[inline(always)]
pub fn round_half_even(x: f32) -> f32 {
    x.round_ties_even()
}

macro_rules! by_way_of_f64 {
    ($($(#[$doc:meta])* $name:ident => $f:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name<const FMA: bool>(x: f32) -> f32 {
            let f: fn(f64) -> f64 = $f;
            f(f64::from(x)) as f32
        }
    )*};
}

by_way_of_f64! {
    /// Sine.
    sin => f64::sin;
    /// Cosine.
    cos => f64::cos;
    /// Tangent.
    tan => f64::tan;
    /// Inverse sine.
    asin => f64::asin;
    /// Inverse cosine.
    acos => f64::acos;
    /// Inverse tangent.
    atan => f64::atan;
    /// Hyperbolic sine.
    sinh => f64::sinh;
    /// Hyperbolic cosine.
    cosh => f64::cosh;
    /// Inverse hyperbolic sine.
    asinh => f64::asinh;
    /// Inverse hyperbolic cosine.
    acosh => f64::acosh;
    /// Inverse hyperbolic tangent.
    atanh => f64::atanh;
    /// Cube root.
    cbrt => f64::cbrt;
    /// `1 - erf(x)`, exact for large x.
    erfc => erfc_f64;
    /// The inverse of the error function.
    erf_inv => erf_inv_f64;
}

/// `a` to the power of `b`.
#[inline(always)]
pub fn pow<const FMA: bool>(a: f32, b: f32) -> f32 {
    f64::from(a).powf(f64::from(b)) as f32
}

/// The angle of the point (b, a).
#[inline(always)]
pub fn atan2<const FMA: bool>(a: f32, b: f32) -> f32 {
    f64::from(a).atan2(f64::from(b)) as f32
}

/// `ln |Γ(x)|`.
pub fn lgamma(x: f32) -> f32 {
    lgamma_f64(f64::from(x)) as f32
}

/// The derivative of `ln |Γ(x)|`.
pub fn digamma(x: f32) -> f32 {
    digamma_f64(f64::from(x)) as f32
}

/// The error function: the series of e^-x² times positive terms for small x, else from [`erfc_f64`].
pub fn erf_f64(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() || a >= 3.0 {
        return if a.is_nan() { x } else { (1.0 - erfc_f64(a)).copysign(x) };
    }
    let (mut term, mut sum, mut n) = (a, a, 0.0);
    while term > sum * 1e-17 {
        n += 1.0;
        term *= 2.0 * a * a / (2.0 * n + 1.0);
        sum += term;
    }
    (2.0 / PI.sqrt() * (-a * a).exp() * sum).copysign(x)
}

/// `1 - erf(x)`: a continued fraction (Lentz) for large x.
pub fn erfc_f64(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x < 2.0 {
        return 1.0 - erf_f64(x);
    }
    // erfc x = e^-x²/√π · 1/(x + ½/(x + 1/(x + 3/2/(x + …))))
    let mut f = x;
    for k in (1..=120).rev() {
        f = x + f64::from(k) / 2.0 / f;
    }
    (-x * x).exp() / PI.sqrt() / f
}

/// The inverse of the error function: Winitzki's closed form, then Newton's method.
pub fn erf_inv_f64(y: f64) -> f64 {
    if !(-1.0..=1.0).contains(&y) {
        return f64::NAN;
    }
    if y.abs() == 1.0 {
        return f64::INFINITY.copysign(y);
    }
    let l = (1.0 - y * y).ln();
    let a = 0.147;
    let h = 2.0 / (PI * a) + l / 2.0;
    let mut x = ((h * h - l / a).sqrt() - h).max(0.0).sqrt();
    let target = 1.0 - y.abs();
    for _ in 0..4 {
        // On the complement, so that nothing is lost near 1.
        let error = erfc_f64(x) - target;
        x += error * PI.sqrt() / 2.0 * (x * x).exp();
    }
    if y == 0.0 { y } else { x.copysign(y) }
}

/// `ln |Γ(x)|`: Stirling's series after shifting x up; reflection below ½.
pub fn lgamma_f64(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x <= 0.0 && x == x.floor() {
        return f64::INFINITY;
    }
    if x < 0.5 {
        return (PI / (PI * x).sin().abs()).ln() - lgamma_f64(1.0 - x);
    }
    let (mut z, mut product) = (x, 1.0);
    while z < 12.0 {
        product *= z;
        z += 1.0;
    }
    let z2 = z * z;
    let series = (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / z2) / z2) / z2) / z2) / z;
    (z - 0.5) * z.ln() - z + 0.5 * (2.0 * PI).ln() + series - product.ln()
}

/// The derivative of `ln |Γ(x)|`: the asymptotic series after shifting x up; reflection below 0.
pub fn digamma_f64(x: f64) -> f64 {
    if x.is_nan() || (x <= 0.0 && x == x.floor()) {
        return f64::NAN;
    }
    if x < 0.0 {
        return digamma_f64(1.0 - x) - PI / (PI * x).tan();
    }
    let (mut z, mut sum) = (x, 0.0);
    while z < 12.0 {
        sum -= 1.0 / z;
        z += 1.0;
    }
    let z2 = z * z;
    let series = (1.0 / 12.0 - (1.0 / 120.0 - (1.0 / 252.0 - (1.0 / 240.0 - 1.0 / 132.0 / z2) / z2) / z2) / z2) / z2;
    sum + z.ln() - 0.5 / z - series
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units of the last place of the wanted f32.
    fn ulps(got: f32, want: f64) -> f64 {
        let w = want as f32;
        if got == w || (got.is_nan() && want.is_nan()) {
            return 0.0;
        }
        let spacing = f64::from(w.abs().max(f32::MIN_POSITIVE).next_up()) - f64::from(w.abs().max(f32::MIN_POSITIVE));
        (f64::from(got) - want).abs() / spacing
    }

    fn sweep(low: f64, high: f64, bound: f64, f: impl Fn(f32) -> f32, want: impl Fn(f64) -> f64) {
        let n = 200_000;
        for i in 0..=n {
            let x = (low + (high - low) * f64::from(i) / f64::from(n)) as f32;
            let u = ulps(f(x), want(f64::from(x)));
            assert!(u <= bound, "at {x:e}: {:e} is {u} ulp off {:e}", f(x), want(f64::from(x)));
        }
    }

    #[test]
    fn exponentials_and_logarithms_are_within_their_bounds() {
        sweep(-104.0, 89.0, 1.1, exp::<true>, f64::exp);
        sweep(-1.0, 1.0, 1.1, exp::<true>, f64::exp);
        sweep(-1.0, 1.0, 2.0, exp_m1::<true>, f64::exp_m1);
        sweep(-20.0, 80.0, 2.0, exp_m1::<true>, f64::exp_m1);
        sweep(0.0, 3.0, 1.5, log::<true>, f64::ln);
        sweep(0.0, 3e38, 1.5, log::<true>, f64::ln);
        sweep(0.0, 1e-38, 1.5, log::<true>, f64::ln);
        sweep(-0.999, 2.0, 3.0, log1p::<true>, f64::ln_1p);
        sweep(-1e-3, 1e-3, 3.0, log1p::<true>, f64::ln_1p);
    }

    #[test]
    fn sigmoids_are_within_their_bounds() {
        sweep(-12.0, 12.0, 2.0, tanh::<true>, f64::tanh);
        sweep(-1.0, 1.0, 2.0, tanh::<true>, f64::tanh);
        sweep(-80.0, 80.0, 3.0, sigmoid::<true>, |x| 1.0 / (1.0 + (-x).exp()));
        sweep(-5.0, 5.0, 2.0, erf::<true>, libm::erf);
        sweep(-1.5, 1.5, 2.0, erf::<true>, libm::erf);
    }

    #[test]
    fn without_fma_they_are_nearly_as_good() {
        sweep(-100.0, 88.0, 2.0, exp::<false>, f64::exp);
        sweep(0.0, 10.0, 2.0, log::<false>, f64::ln);
        sweep(-9.0, 9.0, 3.0, tanh::<false>, f64::tanh);
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!((exp::<true>(f32::INFINITY), exp::<true>(f32::NEG_INFINITY)), (f32::INFINITY, 0.0));
        assert_eq!((log::<true>(0.0), log::<true>(f32::INFINITY)), (f32::NEG_INFINITY, f32::INFINITY));
        assert!(log::<true>(-1.0).is_nan() && exp::<true>(f32::NAN).is_nan() && tanh::<true>(f32::NAN).is_nan());
        assert_eq!((tanh::<true>(50.0), erf::<true>(-9.0), sigmoid::<true>(-200.0)), (1.0, -1.0, 0.0));
        assert!((8000..9500).all(|i| sigmoid::<true>(-0.01 * i as f32) < 2e-35));
        assert_eq!((exp_m1::<true>(89.0), exp_m1::<true>(-200.0), tanh::<true>(1e-40)), (f32::INFINITY, -1.0, 1e-40));
        assert!(tanh::<true>(-0.0).is_sign_negative() && exp_m1::<true>(f32::NAN).is_nan());
        assert!(erf::<true>(f32::NAN).is_nan() && sigmoid::<true>(f32::NAN).is_nan());
    }

    #[test]
    fn f64_functions_agree_with_libm() {
        for i in -400..400 {
            let x = f64::from(i) / 80.0 + 0.001;
            assert!((erf_f64(x) - libm::erf(x)).abs() < 1e-14);
            assert!((erfc_f64(x) - libm::erfc(x)).abs() <= 1e-13 * libm::erfc(x) + 1e-16, "erfc {x}");
            assert!((lgamma_f64(x) - libm::lgamma(x)).abs() < 1e-11 * (1.0 + libm::lgamma(x).abs()), "lgamma {x}");
            if x.abs() < 1.0 {
                assert!((libm::erf(erf_inv_f64(x)) - x).abs() < 1e-13, "erf_inv {x}");
            }
        }
        assert!((digamma_f64(1.0) + 0.577_215_664_901_532_9).abs() < 1e-13);
        assert!((digamma_f64(-0.5) - 0.036_489_973_978_576_52).abs() < 1e-12);
    }
}
