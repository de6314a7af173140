//! `summary()`: Keras' table, and the bytes that training at a batch size takes.

use super::{Model, Network};
use crate::Result;
use crate::layers::{LayerRef, Variable, show};
use std::fmt::Write;

/// `1234567` → `1,234,567`.
pub(crate) fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Keras' form of a size: `102.04 KB`.
pub(crate) fn bytes_text(n: usize) -> String {
    let mut value = n as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if value < 1024.0 {
            return format!("{value:.2} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.2} TB")
}

fn count(variables: &[Variable]) -> (usize, usize) {
    let real = variables.iter().filter(|v| !v.spec().seed);
    real.fold((0, 0), |(n, b), v| (n + v.ty().len(), b + v.ty().bytes()))
}

/// The table of a model.
pub(crate) fn table(model: &Model, network: &Network, sequential: bool) -> Result<String> {
    let connected = !sequential && network.uses.iter().any(|u| u.inputs.len() > 1);
    let mut header = vec!["Layer (type)", "Output Shape", "Param #"];
    if connected {
        header.push("Connected to");
    }
    let mut rows: Vec<Vec<String>> = vec![];
    let mut seen: Vec<u64> = vec![];
    for one in &network.uses {
        let layer: &LayerRef = &one.layer;
        if seen.contains(&layer.id()) || (sequential && layer.rule().class_name() == "InputLayer") {
            continue;
        }
        seen.push(layer.id());
        let shapes: Vec<String> = one.outputs.iter().map(|o| show(&o.0)).collect();
        let shape = if shapes.len() == 1 { shapes[0].clone() } else { format!("[{}]", shapes.join(", ")) };
        let mut row = vec![layer.title(), shape, thousands(count(&layer.variables()).0)];
        if connected {
            let from: Vec<String> = one
                .inputs
                .iter()
                .map(|p| format!("{}[{}][{}]", network.uses[p.node].layer.name(), 0, p.index))
                .collect();
            row.push(if from.is_empty() { "-".into() } else { from.join(", ") });
        }
        rows.push(row);
    }
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in &rows {
        row.iter().zip(&mut widths).for_each(|(cell, w)| *w = (*w).max(cell.chars().count()));
    }
    for (w, least) in widths.iter_mut().zip([28, 20, 11, 20]) {
        *w = (*w).max(least);
    }
    let mut out = format!("Model: \"{}\"\n", model.name());
    let rule = |left: &str, mid: &str, right: &str, fill: &str| {
        let cells: Vec<String> = widths.iter().map(|w| fill.repeat(w + 2)).collect();
        format!("{left}{}{right}\n", cells.join(mid))
    };
    let line = |cells: &[String], edge: &str| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (c, w))| {
                let space = " ".repeat(w - c.chars().count());
                if i == 2 { format!(" {space}{c} ") } else { format!(" {c}{space} ") }
            })
            .collect();
        format!("{edge}{}{edge}\n", padded.join(edge))
    };
    out += &rule("┏", "┳", "┓", "━");
    out += &line(&header.iter().map(|h| h.to_string()).collect::<Vec<_>>(), "┃");
    out += &rule("┡", "╇", "┩", "━");
    for (i, row) in rows.iter().enumerate() {
        if i > 0 {
            out += &rule("├", "┼", "┤", "─");
        }
        out += &line(row, "│");
    }
    out += &rule("└", "┴", "┘", "─");
    let all = model.variables()?;
    let flags = model.are_trainable(&all);
    let of = |trains: bool| all.iter().zip(&flags).filter(|(_, t)| **t == trains).map(|(v, _)| v.clone()).collect();
    let (trainable, fixed): (Vec<Variable>, Vec<Variable>) = (of(true), of(false));
    let ((tn, tb), (fnum, fb)) = (count(&trainable), count(&fixed));
    let _ = writeln!(out, " Total params: {} ({})", thousands(tn + fnum), bytes_text(tb + fb));
    let _ = writeln!(out, " Trainable params: {} ({})", thousands(tn), bytes_text(tb));
    let _ = writeln!(out, " Non-trainable params: {} ({})", thousands(fnum), bytes_text(fb));
    Ok(out)
}
