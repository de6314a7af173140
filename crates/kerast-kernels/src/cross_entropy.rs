//! The cross-entropy of logits with class numbers: each row is read from memory once.

use crate::gather::Shared;
use crate::isa::per_isa;
use crate::lanes;
use crate::machine::{Io, Kernel};
use crate::math;
use crate::pool::Pool;

/// Numbers side by side in registers.
const LANES: usize = 64;
/// Logits of one task at least.
const TASK: usize = 16 * 1024;

/// Inputs: x of `[rows, classes]` in f32, class numbers in i32. Outputs, one per row: `ln Σ e^x - x[class]`, or 0 where there is no
/// such class; the largest x (0 where that is infinite); `Σ e^(x - largest)`.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy {
    rows: usize,
    classes: usize,
}

impl CrossEntropy {
    /// Of so many rows and classes.
    pub fn new(rows: usize, classes: usize) -> CrossEntropy {
        CrossEntropy { rows, classes }
    }
}

impl Kernel for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let (rows, classes) = (self.rows, self.classes);
        let (x, labels) = (io.input::<f32>(0), io.input::<i32>(1));
        let [loss, largest, sum] = [0, 1, 2].map(|o| Shared(io.output::<f32>(o).as_mut_ptr()));
        assert!(x.len() >= rows * classes && labels.len() >= rows, "operands are shorter than the shapes");
        let per_task = (TASK / classes.max(1)).max(1);
        let work = |t: usize| {
            for r in t * per_task..rows.min((t + 1) * per_task) {
                let row = &x[r * classes..(r + 1) * classes];
                let (top, total) = look(row);
                let hit = usize::try_from(labels[r]).ok().and_then(|c| row.get(c));
                // SAFETY: every row has its own place in each output.
                unsafe {
                    *loss.at(r) = hit.map_or(0.0, |v| (top - v) + total.ln());
                    *largest.at(r) = top;
                    *sum.at(r) = total;
                }
            }
        };
        let tasks = rows.div_ceil(per_task);
        if tasks < 2 { (0..tasks).for_each(work) } else { pool.run(tasks, &work) }
    }

    fn flops(&self) -> f64 {
        3.0 * (self.rows * self.classes) as f64
    }
}

per_isa! {
    /// The largest of a row, and the sum of `e^(x - largest)`.
    fn look(x: &[f32]) -> (f32, f32) => look_with::<FMA>(x)
}

#[inline(always)]
fn look_with<const FMA: bool>(x: &[f32]) -> (f32, f32) {
    let top = lanes::largest::<LANES>(x);
    let top = if top.is_finite() { top } else { 0.0 };
    (top, lanes::fold::<LANES>(x, 0.0, |a, v| a + math::exp::<FMA>(v - top), |a, b| a + b))
}
