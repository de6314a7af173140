//! Loops over programs: a body repeated along an axis (scan), a body repeated while a condition holds.

use crate::buffer::{ALIGN, Buffer};
use crate::machine::{Io, Kernel, Program};
use crate::pool::Pool;
use std::sync::Arc;

/// A program as a part of another: where its parameters and results lie among its slots.
#[derive(Clone, Debug)]
pub struct Part {
    /// The program; its slots are inputs and outputs, no state.
    pub program: Arc<Program>,
    /// The slot of each parameter.
    pub parameters: Vec<usize>,
    /// The slot of each result.
    pub results: Vec<usize>,
    /// Constants and their slots.
    pub constants: Vec<(usize, Arc<Buffer>)>,
}

impl Part {
    /// Base pointers with arena and constants in place.
    fn bases(&self, arena: *mut u8) -> Vec<*mut u8> {
        let mut bases = vec![std::ptr::null_mut(); self.program.slots().len() + 1];
        bases[0] = arena;
        for (slot, b) in &self.constants {
            bases[slot + 1] = b.as_ptr();
        }
        bases
    }

    fn arena(&self) -> usize {
        self.program.arena().next_multiple_of(ALIGN)
    }

    /// Bytes of each parameter and each result.
    fn sizes(&self) -> (Vec<usize>, Vec<usize>) {
        let bytes = |slots: &[usize]| slots.iter().map(|&s| self.program.slots()[s].bytes).collect();
        (bytes(&self.parameters), bytes(&self.results))
    }
}

/// A body repeated `length` times. Its parameters are constants, carried values, slices; its results the carried values and slices
/// of the stacked results. Inputs of the step: constants, first carried values, stacked slices; outputs: last carried values, stacks.
#[derive(Clone, Debug)]
pub struct Scan {
    body: Part,
    constants: usize,
    carries: usize,
    length: usize,
    reverse: bool,
    parameter_bytes: Vec<usize>,
    result_bytes: Vec<usize>,
}

impl Scan {
    /// The first `constants` parameters are the same in every turn, the next `carries` are carried, the rest are slices.
    pub fn new(body: Part, constants: usize, carries: usize, length: usize, reverse: bool) -> Scan {
        let (parameter_bytes, result_bytes) = body.sizes();
        Scan { body, constants, carries, length, reverse, parameter_bytes, result_bytes }
    }

    fn carried(&self, k: usize) -> usize {
        self.parameter_bytes[self.constants + k].next_multiple_of(ALIGN)
    }
}

impl Kernel for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn scratch(&self) -> usize {
        self.body.arena() + 2 * (0..self.carries).map(|k| self.carried(k)).sum::<usize>()
    }

    fn flops(&self) -> f64 {
        self.length as f64 * self.body.program.steps().map(|s| s.2.flops).sum::<f64>()
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let (c, k) = (self.constants, self.carries);
        let scratch = io.scratch_ptr();
        let mut bases = self.body.bases(scratch);
        let set = |bases: &mut Vec<*mut u8>, slot: usize, p: *mut u8| bases[slot + 1] = p;
        for i in 0..c {
            set(&mut bases, self.body.parameters[i], io.input_ptr(i).cast_mut());
        }
        let total: usize = (0..k).map(|i| self.carried(i)).sum();
        let room = scratch.wrapping_add(self.body.arena());
        let offset = |i: usize| (0..i).map(|j| self.carried(j)).sum::<usize>();
        let outputs: Vec<*mut u8> = (0..self.result_bytes.len()).map(|o| io.output_ptr(o)).collect();
        if self.length == 0 {
            for i in 0..k {
                // SAFETY: the carried value and its output have the same length and do not overlap.
                unsafe { std::ptr::copy_nonoverlapping(io.input_ptr(c + i), outputs[i], self.parameter_bytes[c + i]) }
            }
            return;
        }
        for turn in 0..self.length {
            let t = if self.reverse { self.length - 1 - turn } else { turn };
            for i in 0..k {
                let from = match turn {
                    0 => io.input_ptr(c + i).cast_mut(),
                    _ => room.wrapping_add((turn - 1) % 2 * total + offset(i)),
                };
                let to = match turn + 1 == self.length {
                    true => outputs[i],
                    false => room.wrapping_add(turn % 2 * total + offset(i)),
                };
                set(&mut bases, self.body.parameters[c + i], from);
                set(&mut bases, self.body.results[i], to);
            }
            for i in c + k..self.body.parameters.len() {
                let slice = io.input_ptr(i).cast_mut().wrapping_add(t * self.parameter_bytes[i]);
                set(&mut bases, self.body.parameters[i], slice);
            }
            for o in k..self.body.results.len() {
                set(&mut bases, self.body.results[o], outputs[o].wrapping_add(t * self.result_bytes[o]));
            }
            // SAFETY: every base points to memory of the declared length: operands of this checked step, slices of them, or our
            // own scratch; what is written (results, arena) overlaps nothing that is read in the same turn.
            unsafe { self.body.program.execute(&bases, pool) }
        }
    }
}

/// A body repeated while a condition on the carried values holds. Inputs: the first values; outputs: the last.
#[derive(Clone, Debug)]
pub struct While {
    condition: Part,
    body: Part,
    bytes: Vec<usize>,
}

impl While {
    /// The condition gives one bool; both take all carried values.
    pub fn new(condition: Part, body: Part) -> While {
        let (bytes, _) = body.sizes();
        While { condition, body, bytes }
    }

    fn offset(&self, i: usize) -> usize {
        self.bytes[..i].iter().map(|b| b.next_multiple_of(ALIGN)).sum()
    }
}

impl Kernel for While {
    fn name(&self) -> &'static str {
        "while"
    }

    fn scratch(&self) -> usize {
        self.condition.arena() + self.body.arena() + ALIGN + 2 * self.offset(self.bytes.len())
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let scratch = io.scratch_ptr();
        let n = self.bytes.len();
        let mut condition = self.condition.bases(scratch);
        let mut body = self.body.bases(scratch.wrapping_add(self.condition.arena()));
        let answer = scratch.wrapping_add(self.condition.arena() + self.body.arena());
        let room = answer.wrapping_add(ALIGN);
        let place = |side: usize, i: usize| room.wrapping_add(side * self.offset(n) + self.offset(i));
        for i in 0..n {
            // SAFETY: both sides hold the value; they do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(io.input_ptr(i), place(0, i), self.bytes[i]) }
        }
        condition[self.condition.results[0] + 1] = answer;
        let mut side = 0;
        loop {
            for i in 0..n {
                condition[self.condition.parameters[i] + 1] = place(side, i);
                body[self.body.parameters[i] + 1] = place(side, i);
                body[self.body.results[i] + 1] = place(1 - side, i);
            }
            // SAFETY: as for `Scan`: all bases point to our own scratch memory of the declared lengths; the two sides are disjoint.
            unsafe {
                self.condition.program.execute(&condition, pool);
                if *answer == 0 {
                    break;
                }
                self.body.program.execute(&body, pool);
            }
            side = 1 - side;
        }
        for i in 0..n {
            // SAFETY: as above.
            unsafe { std::ptr::copy_nonoverlapping(place(side, i), io.output_ptr(i), self.bytes[i]) }
        }
    }
}
