//! Pictures of training as PNG: curves side by side, decision regions, bars. The font is inside the crate, so nothing is needed
//! from the system. Not on WebAssembly, where the library that draws has no fonts.

mod axes;
mod canvas;
mod model;
mod png;

pub use model::model;

use crate::data::write_file;
use crate::{Error, ErrorKind, Result};
use axes::{Frame, INK, NAMES, range};
use canvas::{Align, Mark, Pen, Point, width};
use plotters::style::RGBColor;
use std::path::Path;

/// Colours that people with any colour vision tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 140, 102),
    RGBColor(190, 90, 150),
    RGBColor(60, 160, 215),
    RGBColor(200, 135, 0),
];
const TITLE: f64 = 34.0;
const HEIGHT: f64 = 700.0;
/// Room above the frames for the title, and below for ticks and the axis' name.
const HEAD: f64 = 96.0;
const FOOT: f64 = 92.0;

/// A line of a panel.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name, written at its end.
    pub name: String,
    /// Places.
    pub x: Vec<f64>,
    /// Values.
    pub y: Vec<f64>,
    /// Dashed, with open markers, rather than solid.
    pub dashed: bool,
}

impl Series {
    /// Values at 1, 2, 3, …: one per epoch.
    pub fn epochs(name: &str, y: &[f64], dashed: bool) -> Series {
        Series { name: name.into(), x: (1..=y.len()).map(|i| i as f64).collect(), y: y.to_vec(), dashed }
    }

    fn points(&self) -> impl Iterator<Item = Point> {
        self.x.iter().copied().zip(self.y.iter().copied()).filter(|p| p.0.is_finite() && p.1.is_finite())
    }
}

/// A picture within the picture: axes and lines.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Name of the horizontal axis.
    pub x_label: String,
    /// Name of the vertical axis.
    pub y_label: String,
    /// The lines.
    pub series: Vec<Series>,
}

/// Draws `panels` pictures of equal width side by side under a title, and writes the file.
fn picture(
    path: &Path,
    title: &str,
    panel_width: f64,
    panels: usize,
    draw: impl Fn(&Pen<'_>, usize, f64) -> Result<()>,
) -> Result<()> {
    if path.extension().is_none_or(|e| e != "png") {
        return Err(Error::new(ErrorKind::Argument, "pictures are written as PNG").received(path.display()));
    }
    if panels == 0 || panels > 12 {
        return Err(Error::new(ErrorKind::Argument, "a picture has 1 to 12 panels").received(panels));
    }
    let total = panel_width * panels as f64;
    let bytes = canvas::picture(total as u32, HEIGHT as u32, |pen| {
        pen.text(title, (total / 2.0, 44.0), Align::Middle, TITLE, INK)?;
        (0..panels).try_for_each(|i| draw(pen, i, i as f64 * panel_width))
    })?;
    write_file(path, &bytes)
}

/// Panels of curves side by side under a title, each curve with its name at its end.
///
/// # Errors
/// When there is nothing to draw, the path does not end in `.png`, or it cannot be written.
pub fn curves(path: impl AsRef<Path>, title: &str, panels: &[Panel]) -> Result<()> {
    picture(path.as_ref(), title, 800.0, panels.len(), |pen, i, left| draw_panel(pen, &panels[i], left))
}

fn draw_panel(pen: &Pen<'_>, panel: &Panel, left: f64) -> Result<()> {
    let names = panel.series.iter().map(|s| width(&s.name, NAMES)).fold(0.0, f64::max);
    let points = || panel.series.iter().flat_map(Series::points);
    let frame = Frame {
        left: left + 104.0,
        right: left + 800.0 - 56.0 - names,
        top: HEAD,
        bottom: HEIGHT - FOOT,
        x: range(points().map(|p| p.0)),
        y: range(points().map(|p| p.1)),
    };
    frame.draw(pen, &panel.x_label, &panel.y_label, true)?;
    let mut ends = vec![];
    for (i, s) in panel.series.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let places: Vec<Point> = s.points().map(|p| frame.place(p)).collect();
        if places.len() > 1 && s.dashed {
            pen.dashed(&places, colour, 3.5)?;
        } else if places.len() > 1 {
            pen.line(&places, colour, 3.5)?;
        }
        // Marks are for measured points, and far enough from each other for the dashes to show; a smooth curve has none.
        let mark = if s.dashed { Mark::Ring } else { Mark::Disc };
        if places.len() <= 60 {
            let every = places.len().div_ceil(10).max(1);
            places.iter().rev().step_by(every).try_for_each(|p| pen.mark(*p, mark, 6.0, colour))?;
        }
        ends.extend(places.last().map(|p| (p.1, *p, colour, &s.name)));
    }
    // Names keep a distance from each other; a thin line leads to a name that had to move.
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let apart = NAMES * 1.25;
    let mut above = frame.top - apart;
    let below = ends.len();
    for (i, (height, end, colour, name)) in ends.into_iter().enumerate() {
        let lowest = frame.bottom - (below - 1 - i) as f64 * apart;
        above = height.max(above + apart).min(lowest);
        let x = frame.right + 18.0;
        if (above - height).abs() > 3.0 {
            pen.line(&[(end.0 + 9.0, end.1), (x - 3.0, above)], colour, 1.0)?;
        }
        pen.text(name, (x, above), Align::Left, NAMES, colour)?;
    }
    Ok(())
}

/// A picture of which class a model gives every point of a square, with the points that it was trained on.
#[derive(Clone, Debug)]
pub struct Regions {
    /// Above the picture.
    pub title: String,
    /// Lower and upper bound of both axes.
    pub bounds: (f64, f64),
    /// The class (0 or 1, or a probability between) of `n` by `n` places, row by row from below.
    pub values: Vec<f64>,
    /// Places and classes of the training points.
    pub points: Vec<(f64, f64, bool)>,
}

/// Decision regions side by side: a line where the class changes, discs for class 1, triangles for class 0.
///
/// # Errors
/// When there is nothing to draw, the path does not end in `.png`, or it cannot be written.
pub fn regions(path: impl AsRef<Path>, title: &str, panels: &[Regions]) -> Result<()> {
    picture(path.as_ref(), title, 600.0, panels.len(), |pen, i, left| draw_regions(pen, &panels[i], left))
}

fn draw_regions(pen: &Pen<'_>, r: &Regions, left: f64) -> Result<()> {
    let (top, bottom) = (HEAD + 40.0, HEIGHT - FOOT);
    let frame = Frame { left: left + 104.0, right: left + 104.0 + bottom - top, top, bottom, x: r.bounds, y: r.bounds };
    pen.text(&r.title, ((frame.left + frame.right) / 2.0, HEAD + 14.0), Align::Middle, NAMES, INK)?;
    let n = r.values.len().isqrt();
    let step = (r.bounds.1 - r.bounds.0) / n.max(1) as f64;
    let corner =
        |column: usize, row: usize| frame.place((r.bounds.0 + column as f64 * step, r.bounds.0 + row as f64 * step));
    let mix = |a: u8, b: u8, t: f64| (f64::from(a) + (f64::from(b) - f64::from(a)) * t) as u8;
    let (zero, one) = (RGBColor(253, 226, 204), RGBColor(200, 223, 242));
    let value = |column: usize, row: usize| r.values[row * n + column].clamp(0.0, 1.0);
    for (row, column) in (0..n).flat_map(|row| (0..n).map(move |column| (row, column))) {
        let t = value(column, row);
        let colour = RGBColor(mix(zero.0, one.0, t), mix(zero.1, one.1, t), mix(zero.2, one.2, t));
        pen.rectangle(corner(column, row), corner(column + 1, row + 1), colour)?;
    }
    // Where the class changes: through every square of four neighbours, from edge to edge, straight between the places at which
    // the value is a half.
    for (row, column) in (1..n).flat_map(|row| (1..n).map(move |column| (row, column))) {
        let ring = [(column - 1, row - 1), (column, row - 1), (column, row), (column - 1, row)];
        let crossings = (0..4).filter_map(|i| {
            let (a, b) = (ring[i], ring[(i + 1) % 4]);
            let (va, vb) = (value(a.0, a.1), value(b.0, b.1));
            let t = (0.5 - va) / (vb - va);
            let between = |a: usize, b: usize| a as f64 + 0.5 + (b as f64 - a as f64) * t;
            let p = (r.bounds.0 + between(a.0, b.0) * step, r.bounds.0 + between(a.1, b.1) * step);
            ((va >= 0.5) != (vb >= 0.5)).then(|| frame.place(p))
        });
        let crossings: Vec<Point> = crossings.collect();
        crossings.chunks_exact(2).try_for_each(|pair| pen.line(pair, INK, 1.8))?;
    }
    frame.draw(pen, "x1", "x2", false)?;
    for (x, y, class) in &r.points {
        let (mark, colour) = if *class { (Mark::Disc, COLOURS[0]) } else { (Mark::Triangle, COLOURS[1]) };
        let white = RGBColor(255, 255, 255);
        pen.mark(frame.place((*x, *y)), mark, 12.5, white)?;
        pen.mark(frame.place((*x, *y)), mark, 10.0, colour)?;
    }
    Ok(())
}

/// Horizontal bars, each with its name before and its value behind it.
///
/// # Errors
/// When there are no bars or more than 20, the path does not end in `.png`, or it cannot be written.
pub fn bars(path: impl AsRef<Path>, title: &str, x_label: &str, bars: &[(&str, f64)]) -> Result<()> {
    if bars.is_empty() || bars.len() > 20 {
        return Err(Error::new(ErrorKind::Argument, "a picture has 1 to 20 bars").received(bars.len()));
    }
    picture(path.as_ref(), title, 1200.0, 1, |pen, _, _| {
        let names = bars.iter().map(|b| width(b.0, NAMES)).fold(0.0, f64::max);
        let (low, high) = range(bars.iter().map(|b| b.1).chain([0.0]));
        // Bars begin at zero.
        let x = (if bars.iter().any(|b| b.1 < 0.0) { low } else { 0.0 }, high);
        let (left, right) = (48.0 + names, 1200.0 - 140.0);
        let frame = Frame { left, right, top: HEAD, bottom: HEIGHT - FOOT, x, y: (0.0, bars.len() as f64) };
        for (i, (name, value)) in bars.iter().enumerate() {
            let middle = (bars.len() - i) as f64 - 0.5;
            let (a, b) = (frame.place((0.0, middle + 0.33)), frame.place((*value, middle - 0.33)));
            let height = (a.1 + b.1) / 2.0;
            if value.is_finite() {
                pen.rectangle((a.0.min(b.0), a.1), (a.0.max(b.0), b.1), COLOURS[0])?;
            }
            pen.text(name, (left - 14.0, height), Align::Right, NAMES, INK)?;
            let text = if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.4}") };
            pen.text(&text, (a.0.max(b.0).clamp(left, right) + 12.0, height), Align::Left, NAMES, INK)?;
        }
        let zero = frame.place((0.0, 0.0)).0;
        pen.line(&[(zero, frame.top), (zero, frame.bottom)], INK, 1.4)?;
        pen.text(x_label, ((left + right) / 2.0, frame.bottom + 36.0), Align::Middle, NAMES, INK)
    })
}

/// The curves of a history: loss on the left, accuracy (or another metric) on the right, validation dashed.
pub fn history(path: impl AsRef<Path>, title: &str, history: &crate::train::History) -> Result<()> {
    let names: Vec<String> =
        history.keys().filter(|k| !k.starts_with("val_") && *k != "learning_rate").map(str::to_string).collect();
    let mut order: Vec<&String> = names.iter().filter(|n| *n == "loss").collect();
    order.extend(names.iter().filter(|n| *n != "loss").take(1));
    let panel = |name: &String| {
        let mut series = vec![Series::epochs("training", history.get(name), false)];
        let validation = history.get(&format!("val_{name}"));
        if !validation.is_empty() {
            series.push(Series::epochs("validation", validation, true));
        }
        Panel { x_label: "epoch".into(), y_label: name.replace('_', " "), series }
    };
    curves(path, title, &order.into_iter().map(panel).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_can_be_drawn_but_nothing() {
        let path = std::env::temp_dir().join(format!("kerast-plot-{}.png", std::process::id()));
        let series = |y: &[f64]| Series::epochs("a", y, true);
        let odd = vec![series(&[]), series(&[f64::NAN]), series(&[1.0]), series(&[1e300, -1e300, f64::INFINITY])];
        let panel = Panel { x_label: "epoch".into(), y_label: "loss".into(), series: odd };
        curves(&path, "t", &[panel]).expect("drawn");
        let flat =
            Regions { title: "r".into(), bounds: (0.0, 0.0), values: vec![0.2; 5], points: vec![(9.0, 0.0, true)] };
        regions(&path, "t", &[flat]).expect("drawn");
        bars(&path, "t", "accuracy", &[("x", f64::NAN), ("y", -3.0)]).expect("drawn");
        assert!(std::fs::read(&path).expect("written").starts_with(b"\x89PNG"));
        std::fs::remove_file(&path).expect("written above");
        assert!(curves(&path, "t", &[]).is_err() && bars(&path, "t", "x", &[]).is_err());
        assert!(
            curves("picture.jpg", "t", &[Panel { x_label: "".into(), y_label: "".into(), series: vec![] }]).is_err()
        );
    }
}
