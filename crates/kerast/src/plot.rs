//! Pictures of training as PNG: curves side by side, decision regions. The font is inside the crate, so nothing is needed from the
//! system.

use crate::{Error, ErrorKind, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::path::Path;
use std::sync::Once;

/// A subset (ASCII, Greek) of DejaVu Sans; licence in `data/DejaVuSans-LICENSE.txt`.
const FONT: &[u8] = include_bytes!("../data/DejaVuSans-subset.ttf");

const INK: RGBColor = RGBColor(38, 38, 48);
const GRID: RGBColor = RGBColor(226, 228, 234);
/// Colours that people with any colour vision tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

fn font() {
    static ONCE: Once = Once::new();
    // A second registration of the same name would only replace it; a broken font shows in the tests.
    ONCE.call_once(|| {
        let _ = register_font("sans-serif", FontStyle::Normal, FONT);
    });
}

/// A line of a panel.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend.
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

fn failed(e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, "the picture cannot be drawn").fact("reason", e)
}

/// Draws on a canvas in memory, then writes the file.
fn picture(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<BitMapBackend<'_>, Shift>) -> Result<()>,
) -> Result<()> {
    font();
    if path.extension().is_none_or(|e| e != "png") {
        return Err(Error::new(ErrorKind::Argument, "pictures are written as PNG").received(path.display()));
    }
    let canvas = BitMapBackend::new(path, size).into_drawing_area();
    canvas.fill(&WHITE).map_err(failed)?;
    draw(&canvas)?;
    canvas.present().map_err(|e| failed(e).fact("file", path.display()))
}

/// A range with a little air; never empty.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.filter(|v| v.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let air = if high > low { (high - low) * 0.06 } else { 0.5 * high.abs().max(1.0) };
    (low - air, high + air)
}

/// Panels of curves side by side under a title.
pub fn curves(path: impl AsRef<Path>, title: &str, panels: &[Panel]) -> Result<()> {
    picture(path.as_ref(), (800 * panels.len().max(1) as u32, 660), |canvas| {
        let canvas = canvas.titled(title, ("sans-serif", 34).into_font().color(&INK)).map_err(failed)?;
        for (area, panel) in canvas.split_evenly((1, panels.len().max(1))).iter().zip(panels) {
            draw_panel(area, panel)?;
        }
        Ok(())
    })
}

fn draw_panel(area: &DrawingArea<BitMapBackend<'_>, Shift>, panel: &Panel) -> Result<()> {
    let xs = panel.series.iter().flat_map(|s| s.x.iter().copied());
    let (x0, x1) = range(xs);
    let (y0, y1) = range(panel.series.iter().flat_map(|s| s.y.iter().copied()));
    let mut chart = ChartBuilder::on(area)
        .margin(18)
        .x_label_area_size(62)
        .y_label_area_size(92)
        .build_cartesian_2d(x0..x1, y0..y1)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_desc(&panel.x_label)
        .y_desc(&panel.y_label)
        .x_labels(8)
        .y_labels(7)
        .x_label_formatter(&|v| tidy(*v))
        .y_label_formatter(&|v| tidy(*v))
        .label_style(("sans-serif", 22).into_font().color(&INK))
        .axis_desc_style(("sans-serif", 26).into_font().color(&INK))
        .draw()
        .map_err(failed)?;
    for (i, s) in panel.series.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let points: Vec<(f64, f64)> =
            s.x.iter().copied().zip(s.y.iter().copied()).filter(|p| p.1.is_finite()).collect();
        let line = colour.stroke_width(4);
        let drawn = match s.dashed {
            true => chart.draw_series(DashedLineSeries::new(points.clone(), 14, 9, line)),
            false => chart.draw_series(LineSeries::new(points.clone(), line)),
        };
        let (gap, marker) = if s.dashed { (8, colour.stroke_width(3)) } else { (0, colour.filled()) };
        drawn.map_err(failed)?.label(s.name.clone()).legend(move |(x, y)| {
            EmptyElement::at((x, y))
                + PathElement::new(vec![(0, 0), (24 - gap, 0)], line)
                + PathElement::new(vec![(24 + gap, 0), (48, 0)], line)
                + Circle::new((24, 0), 6, marker)
        });
        let every = points.len().div_ceil(20).max(1);
        let marks = points.iter().step_by(every).map(|p| {
            let style = marker;
            Circle::new(*p, 6, style)
        });
        chart.draw_series(marks).map_err(failed)?;
    }
    if panel.series.len() > 1 || panel.series.iter().any(|s| !s.name.is_empty()) {
        chart
            .configure_series_labels()
            .position(best_corner(panel))
            .background_style(WHITE.mix(0.9))
            .border_style(GRID)
            .legend_area_size(62)
            .margin(14)
            .label_font(("sans-serif", 24).into_font().color(&INK))
            .draw()
            .map_err(failed)?;
    }
    Ok(())
}

/// The corner away from where the curves end: below for growing ones, above for shrinking ones.
fn best_corner(panel: &Panel) -> SeriesLabelPosition {
    let grows = panel.series.iter().filter(|s| s.y.last() > s.y.first()).count() * 2 > panel.series.len();
    if grows { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperRight }
}

/// A number without a tail of zeros.
fn tidy(v: f64) -> String {
    let text = format!("{v:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
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

/// Decision regions side by side.
pub fn regions(path: impl AsRef<Path>, title: &str, panels: &[Regions]) -> Result<()> {
    picture(path.as_ref(), (560 * panels.len().max(1) as u32, 660), |canvas| {
        let canvas = canvas.titled(title, ("sans-serif", 34).into_font().color(&INK)).map_err(failed)?;
        for (area, r) in canvas.split_evenly((1, panels.len().max(1))).iter().zip(panels) {
            draw_regions(area, r)?;
        }
        Ok(())
    })
}

fn draw_regions(area: &DrawingArea<BitMapBackend<'_>, Shift>, r: &Regions) -> Result<()> {
    let (low, high) = r.bounds;
    let mut chart = ChartBuilder::on(area)
        .margin(18)
        .caption(&r.title, ("sans-serif", 26).into_font().color(&INK))
        .x_label_area_size(40)
        .y_label_area_size(54)
        .build_cartesian_2d(low..high, low..high)
        .map_err(failed)?;
    let n = (r.values.len() as f64).sqrt() as usize;
    let step = (high - low) / n.max(1) as f64;
    let mix = |a: u8, b: u8, t: f64| (f64::from(a) + (f64::from(b) - f64::from(a)) * t) as u8;
    let (zero, one) = (RGBColor(253, 224, 200), RGBColor(198, 222, 241));
    let cells = (0..n * n).map(|i| {
        let (x, y) = (low + (i % n) as f64 * step, low + (i / n) as f64 * step);
        let t = r.values[i].clamp(0.0, 1.0);
        let colour = RGBColor(mix(zero.0, one.0, t), mix(zero.1, one.1, t), mix(zero.2, one.2, t));
        Rectangle::new([(x, y), (x + step, y + step)], colour.filled())
    });
    chart.draw_series(cells).map_err(failed)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(INK)
        .x_labels(5)
        .y_labels(5)
        .x_label_formatter(&|v| tidy(*v))
        .y_label_formatter(&|v| tidy(*v))
        .label_style(("sans-serif", 20).into_font().color(&INK))
        .draw()
        .map_err(failed)?;
    let points = |class: bool| r.points.iter().filter(move |p| p.2 == class).map(|p| (p.0, p.1));
    chart.draw_series(points(true).map(|p| Circle::new(p, 11, COLOURS[0].filled()))).map_err(failed)?;
    chart.draw_series(points(false).map(|p| TriangleMarker::new(p, 14, COLOURS[1].filled()))).map_err(failed)?;
    Ok(())
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
