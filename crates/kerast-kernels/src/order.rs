//! Order along an axis: sort, the k largest, the place of the largest, running sums.

mod arg_reduce;
mod cumulate;
mod keys;
mod sort;
mod top_k;

pub use arg_reduce::ArgReduce;
pub use cumulate::{Cumulate, CumulateKind};
pub use sort::Sort;
pub use top_k::TopK;

use crate::pool::Pool;
use std::ops::Range;

/// Elements from which on the pool shares the work.
const LARGE: usize = 8 * 1024;
/// Neighbouring lines that are walked together.
const LANES: usize = 64;

/// A shape as `[outer, length, inner]` around an axis: `outer · inner` lines of `length` elements, `inner` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lines {
    outer: usize,
    length: usize,
    inner: usize,
}

impl Lines {
    fn new(shape: &[usize], axis: usize) -> Lines {
        let product = |s: &[usize]| s.iter().product();
        Lines { outer: product(&shape[..axis]), length: shape[axis], inner: product(&shape[axis + 1..]) }
    }

    fn count(self) -> usize {
        self.outer * self.inner
    }

    fn elements(self) -> usize {
        self.count() * self.length
    }

    /// The first element of line number `line`.
    fn start(self, line: usize) -> usize {
        line / self.inner * self.length * self.inner + line % self.inner
    }

    /// Calls `work` with stretches of line numbers that together are all lines.
    fn share(self, pool: &Pool, work: &(dyn Fn(Range<usize>) + Sync)) {
        share(self.count(), self.elements(), pool, work);
    }

    /// Calls `work` with the first elements and widths (at most [`LANES`]) of groups of neighbouring lines.
    fn share_lanes(self, pool: &Pool, work: &(dyn Fn(usize, usize) + Sync)) {
        let groups = self.inner.div_ceil(LANES);
        share(self.outer * groups, self.elements(), pool, &|range| {
            for unit in range {
                let (outer, lane) = (unit / groups, unit % groups * LANES);
                work(outer * self.length * self.inner + lane, (self.inner - lane).min(LANES));
            }
        });
    }
}

fn share(units: usize, elements: usize, pool: &Pool, work: &(dyn Fn(Range<usize>) + Sync)) {
    let tasks = if elements < LARGE { 1 } else { (4 * pool.threads()).min(units) };
    pool.run(tasks, &|t| work(units * t / tasks..units * (t + 1) / tasks));
}
