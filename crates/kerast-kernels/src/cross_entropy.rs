//! The cross-entropy of logits with class numbers, and its gradient: each row is read from memory once.

use crate::gather::Shared;
use crate::isa::per_isa;
use crate::lanes;
use crate::machine::{Io, Kernel};
use crate::math;
use crate::pool::Pool;
use std::ops::Range;

/// Numbers side by side in registers.
const LANES: usize = 64;
/// Logits of one task at least.
const TASK: usize = 16 * 1024;
/// Tasks of a gradient at most: each sums its rows up for itself.
const PARTS: usize = 32;

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

/// Inputs: x of `[rows, classes]` in f32, class numbers in i32, weights of the rows in f32. Outputs: the loss of each row as
/// [`CrossEntropy`] has it; `weight (e^x / Σ e^x - [class])` of `[rows, classes]`, where [class] is 1 at the row's class; the same summed
/// over the rows, `[classes]`. A row without such a class should weigh nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropyGrad {
    rows: usize,
    classes: usize,
}

impl CrossEntropyGrad {
    /// Of so many rows and classes.
    pub fn new(rows: usize, classes: usize) -> CrossEntropyGrad {
        CrossEntropyGrad { rows, classes }
    }

    /// How many tasks there are: by the shape alone, since each has sums of its own.
    fn parts(&self) -> usize {
        (self.rows * self.classes / TASK).clamp(1, PARTS).min(self.rows.max(1))
    }
}

impl Kernel for CrossEntropyGrad {
    fn name(&self) -> &'static str {
        "cross_entropy_grad"
    }

    fn in_place(&self, input: usize, output: usize) -> bool {
        (input, output) == (0, 1)
    }

    fn scratch(&self) -> usize {
        (self.parts() - 1) * self.classes * size_of::<f32>()
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let (rows, classes, parts) = (self.rows, self.classes, self.parts());
        let (labels, weights) = (&io.input::<i32>(1)[..rows], &io.input::<f32>(2)[..rows]);
        // The logits may lie where the gradient goes: only pointers to both.
        let x = Shared(io.input_ptr(0).cast::<f32>().cast_mut());
        let outputs = [0, 1, 2].map(|o| io.output::<f32>(o));
        let enough = outputs.iter().zip([rows, rows * classes, classes]).all(|(o, n)| o.len() >= n);
        assert!(enough, "results are shorter than the shapes");
        let [loss, dx, sum] = outputs.map(|o| Shared(o.as_mut_ptr()));
        let own = Shared(io.scratch::<f32>().as_mut_ptr());
        let sums_of = |part: usize| match part {
            0 => sum.at(0),
            _ => own.at((part - 1) * classes),
        };
        pool.run(parts, &|t| {
            // SAFETY: each part has sums of its own.
            let sums = unsafe { std::slice::from_raw_parts_mut(sums_of(t), classes) };
            sums.fill(0.0);
            for r in rows * t / parts..rows * (t + 1) / parts {
                // SAFETY: every row has its own place in each output, and in x, which is as long as the gradient.
                unsafe {
                    let (from, to) = (x.at(r * classes), dx.at(r * classes));
                    if from != to {
                        std::ptr::copy_nonoverlapping(from, to, classes);
                    }
                    *loss.at(r) = slope(std::slice::from_raw_parts_mut(to, classes), labels[r], weights[r], sums);
                }
            }
        });
        let columns = |mine: Range<usize>| {
            // SAFETY: every task has its own columns of the sums, which are complete.
            let part = |p: usize| unsafe { std::slice::from_raw_parts_mut(sums_of(p).add(mine.start), mine.len()) };
            let total = part(0);
            (1..parts).for_each(|p| total.iter_mut().zip(part(p)).for_each(|(all, one)| *all += *one));
        };
        match parts * classes < TASK {
            true => columns(0..classes),
            false => {
                let tasks = 2 * pool.threads();
                pool.run(tasks, &|t| columns(classes * t / tasks..classes * (t + 1) / tasks));
            }
        }
    }

    fn flops(&self) -> f64 {
        5.0 * (self.rows * self.classes) as f64
    }
}

per_isa! {
    /// The largest of a row, and the sum of `e^(x - largest)`.
    fn look(x: &[f32]) -> (f32, f32) => look_with::<FMA>(x)
}

per_isa! {
    /// Makes the gradient of a row of logits, adds it to `sums`, and returns the loss.
    fn slope(x: &mut [f32], class: i32, weight: f32, sums: &mut [f32]) -> f32 => slope_with::<FMA>(x, class, weight, sums)
}

/// The largest, 0 where that is infinite.
#[inline(always)]
fn shift(x: &[f32]) -> f32 {
    let top = lanes::largest::<LANES>(x);
    if top.is_finite() { top } else { 0.0 }
}

#[inline(always)]
fn look_with<const FMA: bool>(x: &[f32]) -> (f32, f32) {
    let top = shift(x);
    (top, lanes::fold::<LANES>(x, 0.0, |a, v| a + math::exp::<FMA>(v - top), |a, b| a + b))
}

#[inline(always)]
fn slope_with<const FMA: bool>(x: &mut [f32], class: i32, weight: f32, sums: &mut [f32]) -> f32 {
    let top = shift(x);
    let class = usize::try_from(class).ok().filter(|c| *c < x.len());
    let chosen = class.map(|c| x[c]);
    x.iter_mut().for_each(|v| *v = math::exp::<FMA>(*v - top));
    let total = lanes::fold::<LANES>(x, 0.0, |a, v| a + v, |a, b| a + b);
    let share = weight / total;
    for (v, sum) in x.iter_mut().zip(&mut *sums) {
        *v *= share;
        *sum += *v;
    }
    if let Some(c) = class {
        x[c] -= weight;
        sums[c] -= weight;
    }
    chosen.map_or(0.0, |v| (top - v) + total.ln())
}
