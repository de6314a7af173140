//! The network drawn: layers as boxes from the inputs down, with their output shapes, and what flows between them.

use super::canvas::{Align, Pen, Point, picture, width};
use crate::data::write_file;
use crate::layers::show;
use crate::models::{Model, Network};
use crate::{Error, ErrorKind, Result};
use plotters::style::RGBColor;
use std::path::Path;

const HEIGHT: f64 = 46.0;
const GAP: f64 = 34.0;
const MARGIN: f64 = 20.0;
const SIZE: f64 = 14.0;
const FILL: RGBColor = RGBColor(238, 243, 250);
const EDGE: RGBColor = RGBColor(70, 100, 140);
const INK: RGBColor = RGBColor(30, 30, 30);
const FAINT: RGBColor = RGBColor(95, 95, 95);
/// No picture is larger: its pixels would not fit into memory.
const LARGEST: f64 = 12_000.0;

struct Node {
    /// The middle of the box.
    at: Point,
    width: f64,
    title: String,
    shape: String,
}

struct Figure {
    nodes: Vec<Node>,
    /// From the foot of one box to the head of another.
    edges: Vec<(usize, usize)>,
    size: (f64, f64),
}

/// Draws the network into a file, `.svg` or `.png`.
pub fn model(path: impl AsRef<Path>, model: &Model) -> Result<()> {
    let path = path.as_ref();
    let figure = Figure::of(&*model.built()?);
    match path.extension().and_then(|e| e.to_str()) {
        Some("svg") => write_file(path, figure.svg().as_bytes()),
        Some("png") => write_file(path, &figure.png()?),
        _ => Err(Error::new(ErrorKind::Argument, "pictures have no format of this ending")
            .expected(".svg or .png")
            .received(path.display())),
    }
}

impl Figure {
    fn of(network: &Network) -> Figure {
        // A box stands one row below the lowest that it reads.
        let mut row = vec![0; network.uses.len()];
        let mut edges = vec![];
        for (i, one) in network.uses.iter().enumerate() {
            for p in one.inputs.iter().chain(one.arguments.values()) {
                row[i] = row[i].max(row[p.node] + 1);
                edges.push((p.node, i));
            }
        }
        let text = |i: usize| {
            let one = &network.uses[i];
            let shapes: Vec<String> = one.outputs.iter().map(|o| show(&o.0)).collect();
            (one.layer.title(), shapes.join(", "))
        };
        let mut nodes: Vec<Node> = (0..network.uses.len())
            .map(|i| {
                let (title, shape) = text(i);
                let width = width(&title, SIZE).max(width(&shape, SIZE - 2.0)) + 24.0;
                Node { at: (0.0, MARGIN + HEIGHT / 2.0 + row[i] as f64 * (HEIGHT + GAP)), width, title, shape }
            })
            .collect();
        let rows = row.iter().max().map_or(0, |r| r + 1);
        let members = |r: usize| (0..row.len()).filter(|&i| row[i] == r).collect::<Vec<_>>();
        let breadth = |nodes: &[Node], r: usize| members(r).iter().map(|&i| nodes[i].width + GAP).sum::<f64>() - GAP;
        let total = (0..rows).map(|r| breadth(&nodes, r)).fold(0.0, f64::max) + 2.0 * MARGIN;
        for r in 0..rows {
            let mut x = (total - breadth(&nodes, r)) / 2.0;
            for i in members(r) {
                nodes[i].at.0 = x + nodes[i].width / 2.0;
                x += nodes[i].width + GAP;
            }
        }
        Figure { nodes, edges, size: (total, 2.0 * MARGIN + rows as f64 * (HEIGHT + GAP) - GAP) }
    }

    fn ends(&self, edge: (usize, usize)) -> (Point, Point) {
        let (a, b) = (self.nodes[edge.0].at, self.nodes[edge.1].at);
        ((a.0, a.1 + HEIGHT / 2.0), (b.0, b.1 - HEIGHT / 2.0))
    }

    fn svg(&self) -> String {
        let colour = |c: RGBColor| format!("#{:02x}{:02x}{:02x}", c.0, c.1, c.2);
        let escaped = |s: &str| s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let (w, h) = self.size;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w:.0}\" height=\"{h:.0}\" viewBox=\"0 0 {w:.0} {h:.0}\" font-family=\"sans-serif\" text-anchor=\"middle\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        for e in &self.edges {
            let (a, b) = self.ends(*e);
            let y = (a.1 + b.1) / 2.0;
            out += &format!(
                "<path d=\"M{:.1} {:.1} C{:.1} {y:.1} {:.1} {y:.1} {:.1} {:.1}\" fill=\"none\" stroke=\"{}\"/>\n",
                a.0,
                a.1,
                a.0,
                b.0,
                b.0,
                b.1,
                colour(EDGE)
            );
        }
        for n in &self.nodes {
            let (x, y) = n.at;
            out += &format!(
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{HEIGHT}\" rx=\"5\" fill=\"{}\" stroke=\"{}\"/>\n",
                x - n.width / 2.0,
                y - HEIGHT / 2.0,
                n.width,
                colour(FILL),
                colour(EDGE)
            );
            out += &format!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"{SIZE}\" fill=\"{}\">{}</text>\n",
                y - 3.0,
                colour(INK),
                escaped(&n.title)
            );
            out += &format!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"{}\" fill=\"{}\">{}</text>\n",
                y + 15.0,
                SIZE - 2.0,
                colour(FAINT),
                escaped(&n.shape)
            );
        }
        out + "</svg>\n"
    }

    fn png(&self) -> Result<Vec<u8>> {
        let (w, h) = self.size;
        if w > LARGEST || h > LARGEST {
            return Err(Error::new(ErrorKind::Argument, "the network is too large for a PNG")
                .received(format!("{w:.0} x {h:.0} pixels"))
                .repair("draw it as .svg"));
        }
        picture(w.ceil() as u32, h.ceil() as u32, |pen: &Pen<'_>| {
            for e in &self.edges {
                let (a, b) = self.ends(*e);
                pen.line(&[a, b], EDGE, 1.3)?;
            }
            for n in &self.nodes {
                let ((x, y), half) = (n.at, n.width / 2.0);
                pen.rectangle((x - half, y - HEIGHT / 2.0), (x + half, y + HEIGHT / 2.0), EDGE)?;
                pen.rectangle(
                    (x - half + 1.2, y - HEIGHT / 2.0 + 1.2),
                    (x + half - 1.2, y + HEIGHT / 2.0 - 1.2),
                    FILL,
                )?;
                pen.text(&n.title, (x, y - 9.0), Align::Middle, SIZE, INK)?;
                pen.text(&n.shape, (x, y + 10.0), Align::Middle, SIZE - 2.0, FAINT)?;
            }
            Ok(())
        })
    }
}
