//! Values between pixels: along an axis, and at any place of an image.

use crate::{DType, Result, Tensor};
use kerast_graph::{Type, Var};

/// Ways to find values between pixels.
pub(in crate::layers) const INTERPOLATIONS: [&str; 5] = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"];

/// What a pixel at this distance counts: the triangle, Keys' cubic (1981), Lanczos' window.
fn influence(kind: &str, distance: f64) -> f64 {
    let x = distance.abs();
    let sinc = |x: f64| if x < 1e-9 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
    let lanczos = |r: f64| if x < r { sinc(x) * sinc(x / r) } else { 0.0 };
    match kind {
        "bicubic" if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        "bicubic" if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        "bicubic" => 0.0,
        "lanczos3" => lanczos(3.0),
        "lanczos5" => lanczos(5.0),
        _ => (1.0 - x).max(0.0),
    }
}

/// An axis with `to` pixels instead, interpolated at their centres, as a product with a small matrix; what lies outside does not count.
/// With `antialias` a smaller picture averages over what each of its pixels covers.
pub(in crate::layers) fn resized(x: &Var, axis: usize, to: usize, kind: &str, antialias: bool) -> Result<Var> {
    let n = x.shape()[axis];
    if n == to {
        return Ok(x.clone());
    }
    let step = n as f64 / to as f64;
    if kind == "nearest" {
        let places: Vec<i32> = (0..to).map(|o| ((o as f64 + 0.5) * step) as i32).collect();
        return Ok(x.take(&x.trace().constant(Tensor::new(&[to], &places)?), axis));
    }
    let width = if antialias { step.max(1.0) } else { 1.0 };
    let mut m = vec![0f32; n * to];
    for o in 0..to {
        let place = (o as f64 + 0.5) * step - 0.5;
        let weights: Vec<f64> = (0..n).map(|i| influence(kind, (place - i as f64) / width)).collect();
        let total: f64 = weights.iter().sum();
        for (i, w) in weights.iter().enumerate() {
            m[i * to + o] = (w / total) as f32;
        }
    }
    let float = if x.dtype().is_float() { x.dtype() } else { DType::F32 };
    let x = &x.convert(float);
    let m = x.trace().constant(Tensor::new(&[n, to], &m)?.cast(float));
    let product = x.dot_general(&m, (&[], &[]), (&[axis], &[0]));
    // The new axis came last; put it back.
    let rank = x.rank();
    let order: Vec<usize> = (0..axis).chain([rank - 1]).chain(axis..rank - 1).collect();
    Ok(product.transpose(&order))
}

/// What images show outside their edges.
pub(in crate::layers) const OUTSIDE: [&str; 4] = ["constant", "reflect", "wrap", "nearest"];

/// Images `[batch, height, width, channels]` seen at other places: f32 rows and columns `[batch, rows, columns]`, between pixels
/// bilinearly unless `nearest`. Beyond the edges lie what `outside` says, or `fill`.
pub(in crate::layers) fn sampled(x: &Var, rows: &Var, columns: &Var, nearest: bool, outside: &str, fill: f64) -> Var {
    let [batch, height, width, channels] = *x.shape() else { return x.clone() };
    let flat = x.reshape(&[batch * height * width, channels]);
    let shape = rows.shape().to_vec();
    let image = x.trace().iota(&Type::new(DType::I32, &shape[..]), 0) * (height * width) as f64;
    // An integral place along an axis, brought inside, and whether it was inside.
    let inside = |v: &Var, n: usize| {
        let n = n as f64;
        let (zero, last) = (v.full_like(0.0), v.full_like(n - 1.0));
        let was = v.greater_equal(&zero).and(&v.less_equal(&last));
        let around = |v: &Var, period: f64| v - (v / period).floor() * period;
        let place = match outside {
            "wrap" => around(v, n),
            "reflect" => {
                let p = around(v, 2.0 * n);
                p.less(&p.full_like(n)).select(&p, &(p.full_like(2.0 * n - 1.0) - &p))
            }
            _ => v.clone(),
        };
        (place.max(&zero).min(&last).convert(DType::I32), was)
    };
    let at = |row: &Var, column: &Var| {
        let ((r, r_in), (c, c_in)) = (inside(row, height), inside(column, width));
        let seen = flat.take(&(&image + r * width as f64 + c), 0);
        if outside != "constant" {
            return seen;
        }
        let there = r_in.and(&c_in).broadcast_in_dim(seen.shape(), &[0, 1, 2]);
        there.select(&seen, &seen.full_like(fill))
    };
    if nearest {
        return at(&(rows + 0.5).floor(), &(columns + 0.5).floor());
    }
    let (top, left) = (rows.floor(), columns.floor());
    let (bottom, right) = (&top + 1.0, &left + 1.0);
    let weight = |v: Var| v.convert(x.dtype()).broadcast_in_dim(&[&shape[..], &[channels]].concat(), &[0, 1, 2]);
    let (down, over) = (weight(rows - &top), weight(columns - &left));
    let upper = at(&top, &left) * (1.0 - &over) + at(&top, &right) * &over;
    let lower = at(&bottom, &left) * (1.0 - &over) + at(&bottom, &right) * &over;
    upper * (1.0 - &down) + lower * &down
}
