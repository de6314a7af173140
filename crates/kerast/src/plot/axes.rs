//! Axes: a range with a little air, ticks at round numbers, a frame with names.

use super::canvas::{Align, Pen, Point};
use crate::Result;
use plotters::style::RGBColor;

pub(super) const INK: RGBColor = RGBColor(38, 38, 48);
const PALE: RGBColor = RGBColor(226, 228, 234);
const TICKS: f64 = 20.0;
pub(super) const NAMES: f64 = 25.0;

/// A rectangle of the picture in which a range of numbers is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
}

/// A range with a little air; never empty.
pub(super) fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.filter(|v| v.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let air = if high > low { (high - low) * 0.05 } else { 0.5 * high.abs().max(1.0) };
    (low - air, high + air)
}

/// Round numbers within a range, about `want` of them, and how many decimals they need.
pub(super) fn ticks((low, high): (f64, f64), want: f64) -> (Vec<f64>, usize) {
    let rough = (high - low) / want;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough).unwrap_or(10.0 * power);
    if !step.is_normal() {
        return (vec![], 0);
    }
    let first = (low / step).ceil();
    let count = ((high / step).floor() - first).clamp(-1.0, 100.0) as i64;
    let decimals = (-step.log10()).ceil().clamp(0.0, 12.0) as usize;
    ((0..=count).map(|i| (first + i as f64) * step + 0.0).collect(), decimals)
}

/// A tick's text; very small and very large numbers in powers of ten.
fn number(v: f64, decimals: usize) -> String {
    match decimals {
        0..=5 if v.abs() < 1e6 => format!("{v:.decimals$}"),
        _ => format!("{v:.1e}"),
    }
}

impl Frame {
    /// Where a pair of numbers lies in the picture.
    pub(super) fn place(&self, p: Point) -> Point {
        let part = |v: f64, (low, high): (f64, f64)| (v - low) / (high - low);
        let x = self.left + part(p.0, self.x) * (self.right - self.left);
        (x, self.bottom - part(p.1, self.y) * (self.bottom - self.top))
    }

    /// Grid, ticks and names.
    pub(super) fn draw(&self, pen: &Pen<'_>, x_label: &str, y_label: &str, grid: bool) -> Result<()> {
        let (xs, x_decimals) = ticks(self.x, (self.right - self.left) / 90.0);
        let (ys, y_decimals) = ticks(self.y, (self.bottom - self.top) / 70.0);
        for x in &xs {
            let at = self.place((*x, self.y.0)).0;
            if grid {
                pen.line(&[(at, self.top), (at, self.bottom)], PALE, 1.0)?;
            }
            pen.line(&[(at, self.bottom), (at, self.bottom + 6.0)], INK, 1.0)?;
            pen.text(&number(*x, x_decimals), (at, self.bottom + 22.0), Align::Middle, TICKS, INK)?;
        }
        for y in &ys {
            let at = self.place((self.x.0, *y)).1;
            if grid {
                pen.line(&[(self.left, at), (self.right, at)], PALE, 1.0)?;
            }
            pen.line(&[(self.left - 6.0, at), (self.left, at)], INK, 1.0)?;
            pen.text(&number(*y, y_decimals), (self.left - 12.0, at), Align::Right, TICKS, INK)?;
        }
        pen.line(&[(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)], INK, 1.4)?;
        pen.text(x_label, ((self.left + self.right) / 2.0, self.bottom + 56.0), Align::Middle, NAMES, INK)?;
        pen.text_upwards(y_label, (self.left - 76.0, (self.top + self.bottom) / 2.0), NAMES, INK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks((0.05, 20.95), 6.0), (vec![5.0, 10.0, 15.0, 20.0], 0));
        assert_eq!(ticks((0.18, 0.96), 4.0), (vec![0.2, 0.4, 0.6000000000000001, 0.8], 1));
        assert_eq!(number(0.0, 0), "0");
        for odd in [(0.0, 0.0), (f64::NAN, 1.0), (-1e300, 1e300), (0.0, f64::INFINITY), (1.0, 1.0 + 1e-15)] {
            assert!(ticks(odd, 5.0).0.len() <= 101);
        }
        assert_eq!(range([1.0, 1.0].into_iter()), (0.5, 1.5));
        assert_eq!(range([f64::NAN].into_iter()), (0.0, 1.0));
    }
}
