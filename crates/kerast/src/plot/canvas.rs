//! A surface to draw on in pixels. Everything is drawn three times too large and averaged, so that edges are smooth.

use super::png;
use crate::{Error, ErrorKind, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, FontTransform, register_font};
use std::sync::Once;

/// A subset (ASCII, Greek) of DejaVu Sans; licence in `data/DejaVuSans-LICENSE.txt`.
const FONT: &[u8] = include_bytes!("../../data/DejaVuSans-subset.ttf");
const SCALE: usize = 3;
/// Half the height of a capital letter, and how far above its place plotters draws a baseline, as parts of the font size.
const HALF_CAPITAL: f64 = 0.313;
const BASELINE: f64 = 0.5;

pub(super) type Point = (f64, f64);

/// Where a text lies beside its place.
#[derive(Clone, Copy)]
pub(super) enum Align {
    Left,
    Middle,
    Right,
}

/// What marks a point.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Disc,
    Ring,
    Triangle,
}

/// A pen on the surface. Lengths are pixels of the finished picture, y grows downwards.
pub(super) struct Pen<'a>(DrawingArea<BitMapBackend<'a>, Shift>);

fn failed(e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, "the picture cannot be drawn").fact("reason", e)
}

/// Makes the font known.
fn ready() {
    static ONCE: Once = Once::new();
    // A broken font would show in the tests, not here.
    ONCE.call_once(|| {
        let _ = register_font("sans-serif", FontStyle::Normal, FONT);
    });
}

/// Draws a picture and returns it as PNG.
pub(super) fn picture(width: u32, height: u32, draw: impl FnOnce(&Pen<'_>) -> Result<()>) -> Result<Vec<u8>> {
    ready();
    let (large_width, large_height) = (width as usize * SCALE, height as usize * SCALE);
    let mut large = vec![255u8; 3 * large_width * large_height];
    {
        let backend = BitMapBackend::with_buffer(&mut large, (large_width as u32, large_height as u32));
        let area = backend.into_drawing_area();
        draw(&Pen(area.clone()))?;
        area.present().map_err(failed)?;
    }
    let mut small = Vec::with_capacity(3 * (width * height) as usize);
    for y in 0..height as usize {
        for x in 0..width as usize {
            for channel in 0..3 {
                let sum: u32 = (0..SCALE * SCALE)
                    .map(|i| {
                        let (row, column) = (y * SCALE + i / SCALE, x * SCALE + i % SCALE);
                        u32::from(large[3 * (row * large_width + column) + channel])
                    })
                    .sum();
                small.push((sum / (SCALE * SCALE) as u32) as u8);
            }
        }
    }
    png::encode(width, height, &small)
}

fn large(p: Point) -> (i32, i32) {
    ((p.0 * SCALE as f64).round() as i32, (p.1 * SCALE as f64).round() as i32)
}

impl Pen<'_> {
    /// A line through these points.
    pub(super) fn line(&self, points: &[Point], colour: RGBColor, width: f64) -> Result<()> {
        let style = colour.stroke_width((width * SCALE as f64) as u32);
        let points: Vec<(i32, i32)> = points.iter().map(|p| large(*p)).collect();
        self.0.draw(&PathElement::new(points, style)).map_err(failed)
    }

    /// A dashed line through these points.
    pub(super) fn dashed(&self, points: &[Point], colour: RGBColor, width: f64) -> Result<()> {
        const DASH: f64 = 12.0;
        const GAP: f64 = 8.0;
        let (mut dash, mut on, mut left) = (vec![], true, DASH);
        for pair in points.windows(2) {
            let (mut a, b) = (pair[0], pair[1]);
            if dash.is_empty() {
                dash.push(a);
            }
            loop {
                let length = (b.0 - a.0).hypot(b.1 - a.1);
                if length < left {
                    left -= length;
                    dash.push(b);
                    break;
                }
                a = (a.0 + (b.0 - a.0) * left / length, a.1 + (b.1 - a.1) * left / length);
                dash.push(a);
                if on {
                    self.line(&dash, colour, width)?;
                }
                (dash, on, left) = (vec![a], !on, if on { GAP } else { DASH });
            }
        }
        if on && dash.len() > 1 { self.line(&dash, colour, width) } else { Ok(()) }
    }

    /// A filled rectangle between two corners.
    pub(super) fn rectangle(&self, a: Point, b: Point, colour: RGBColor) -> Result<()> {
        self.0.draw(&Rectangle::new([large(a), large(b)], colour.filled())).map_err(failed)
    }

    /// A mark of this radius.
    pub(super) fn mark(&self, at: Point, mark: Mark, radius: f64, colour: RGBColor) -> Result<()> {
        let disc = |radius: f64, colour: RGBColor| {
            let element = Circle::new(large(at), (radius * SCALE as f64).round() as i32, colour.filled());
            self.0.draw(&element).map_err(failed)
        };
        let triangle = |radius: f64, colour: RGBColor| {
            let corner = |x: f64, y: f64| large((at.0 + x * radius, at.1 + y * radius));
            let corners = vec![corner(0.0, -1.15), corner(1.0, 0.6), corner(-1.0, 0.6)];
            self.0.draw(&Polygon::new(corners, colour.filled())).map_err(failed)
        };
        match mark {
            Mark::Disc => disc(radius, colour),
            Mark::Ring => disc(radius, colour).and_then(|()| disc(radius - 2.5, WHITE)),
            Mark::Triangle => triangle(radius, colour),
        }
    }

    /// A text whose capitals are centred at the height of `at`.
    pub(super) fn text(&self, text: &str, at: Point, align: Align, size: f64, colour: RGBColor) -> Result<()> {
        let style = ("sans-serif", size * SCALE as f64).into_font().color(&colour);
        let x = match align {
            Align::Left => at.0,
            Align::Middle => at.0 - width(text, size) / 2.0,
            Align::Right => at.0 - width(text, size),
        };
        let y = at.1 + (HALF_CAPITAL - BASELINE) * size;
        self.0.draw_text(text, &style, large((x, y))).map_err(failed)
    }

    /// A text that runs upwards, its middle at `at`.
    pub(super) fn text_upwards(&self, text: &str, at: Point, size: f64, colour: RGBColor) -> Result<()> {
        let font = ("sans-serif", size * SCALE as f64).into_font().transform(FontTransform::Rotate270);
        let x = at.0 + (HALF_CAPITAL - BASELINE) * size;
        self.0.draw_text(text, &font.color(&colour), large((x, at.1 + width(text, size) / 2.0))).map_err(failed)
    }
}

/// How wide a text of this size is.
pub(super) fn width(text: &str, size: f64) -> f64 {
    ready();
    let font = ("sans-serif", size * SCALE as f64).into_font();
    font.box_size(text).map_or(0.0, |(w, _)| f64::from(w) / SCALE as f64)
}
