//! What a tile brings closer for those after it.

use super::micro::{Form, Tile};

/// Elements of a cache line.
pub(super) const LINE: usize = 16;

/// Memory that tiles bring closer, each its share: one cache line per step of K.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    start: *const f32,
    /// From one share to the next, and from one line to the next, in elements.
    share: usize,
    line: usize,
    shares: usize,
}

impl Ahead {
    /// Nothing.
    pub(crate) const NONE: Ahead = Ahead { start: std::ptr::null(), share: 0, line: 0, shares: 0 };

    /// A packed panel, `depth` rows deep, while `rows` rows of A are multiplied: as evenly as can be, by way of lines that are fetched
    /// more than once, because many on their way at a time hold up other loads.
    pub(crate) fn packed(start: *const f32, form: Form, rows: usize, depth: usize) -> Ahead {
        let tiles = rows.div_ceil(form.rows).max(1);
        let line = form.columns.div_ceil(tiles).next_power_of_two().min(LINE);
        Ahead { start, share: depth * line, line, shares: form.columns.div_ceil(line) }
    }

    /// So many columns of a matrix, its rows `row` apart.
    pub(crate) fn columns(start: *const f32, columns: usize, row: usize) -> Ahead {
        Ahead { start, share: LINE, line: row, shares: columns / LINE + 1 }
    }

    /// Lines `line` elements apart, all by one tile.
    pub(crate) fn lines(start: *const f32, line: usize) -> Ahead {
        Ahead { start, share: 0, line, shares: 1 }
    }

    /// Gives tile `index` its share, if there is one left.
    pub(crate) fn give(&self, index: usize, tile: &mut Tile<'_>) {
        (tile.ahead, tile.ahead_step) = match index < self.shares {
            true => (self.start.wrapping_add(index * self.share), self.line),
            false => (std::ptr::null(), 0),
        };
    }
}
