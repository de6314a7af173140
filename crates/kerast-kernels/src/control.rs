//! Loops over programs: a body repeated along an axis (scan), a body repeated while a condition holds.

use crate::buffer::{ALIGN, Buffer};
use crate::machine::{Io, Kernel, Packing, Program};
use crate::pool::Pool;
use std::sync::Arc;

/// A program as a part of another: where its parameters and results lie among its slots.
#[derive(Debug)]
pub struct Part {
    /// The program; its slots are inputs and outputs, no state.
    pub program: Arc<Program>,
    /// The slot of each parameter.
    pub parameters: Vec<usize>,
    /// The slot of each result.
    pub results: Vec<usize>,
    /// Constants and their slots.
    pub constants: Vec<(usize, Arc<Buffer>)>,
    /// Parameters that the program wants packed.
    pub packings: Vec<(usize, Packing)>,
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

    /// Puts memory behind parameter `i`.
    fn read(&self, bases: &mut [*mut u8], i: usize, from: *const u8) {
        bases[self.parameters[i] + 1] = from.cast_mut();
    }

    /// Puts memory behind result `i`.
    fn write(&self, bases: &mut [*mut u8], i: usize, to: *mut u8) {
        bases[self.results[i] + 1] = to;
    }

    /// Bytes of all packed parameters.
    fn packed(&self) -> usize {
        self.packings.iter().map(|(_, p)| p.bytes().next_multiple_of(ALIGN)).sum()
    }

    /// Bytes of each parameter and each result.
    fn sizes(&self) -> (Vec<usize>, Vec<usize>) {
        let bytes = |slots: &[usize]| slots.iter().map(|&s| self.program.slots()[s].bytes).collect();
        (bytes(&self.parameters), bytes(&self.results))
    }
}

/// Two copies of the carried values in scratch memory, read and written in turn.
#[derive(Clone, Debug)]
struct Sides {
    /// Where each value begins on a side.
    offsets: Vec<usize>,
    /// Bytes of one side.
    side: usize,
}

impl Sides {
    fn new(bytes: &[usize]) -> Sides {
        let mut side = 0;
        let mut place = |b: &usize| {
            let offset = side;
            side += b.next_multiple_of(ALIGN);
            offset
        };
        let offsets = bytes.iter().map(&mut place).collect();
        Sides { offsets, side }
    }

    fn bytes(&self) -> usize {
        2 * self.side
    }

    /// Value `i` as turn `turn` leaves it.
    fn after(&self, room: *mut u8, turn: usize, i: usize) -> *mut u8 {
        room.wrapping_add(turn % 2 * self.side + self.offsets[i])
    }
}

/// A body repeated `length` times. Its parameters are constants, carried values, slices; its results the carried values and slices
/// of the stacked results. Inputs of the step: constants, first carried values, stacked slices; outputs: last carried values, stacks.
#[derive(Debug)]
pub struct Scan {
    body: Part,
    constants: usize,
    carries: usize,
    length: usize,
    reverse: bool,
    parameter_bytes: Vec<usize>,
    result_bytes: Vec<usize>,
    sides: Sides,
    parts: usize,
    /// Which parameters are cut.
    cut: Vec<bool>,
    /// Works on one part.
    alone: Pool,
}

impl Scan {
    /// The first `constants` parameters are the same in every turn, the next `carries` are carried, the rest are slices.
    pub fn new(body: Part, constants: usize, carries: usize, length: usize, reverse: bool) -> Scan {
        let (parameter_bytes, result_bytes) = body.sizes();
        let sides = Sides::new(&parameter_bytes[constants..constants + carries]);
        let (cut, alone) = (vec![false; parameter_bytes.len()], Pool::new(1));
        Scan { body, constants, carries, length, reverse, parameter_bytes, result_bytes, sides, parts: 1, cut, alone }
    }

    /// The scan over operands that are `parts` times as long as the body's along their first axis (behind that of the turns), for a
    /// body that does not mix what lies along it: every part goes through all turns for itself. Only parameters that are `cut` are
    /// longer; carried values and results all are.
    pub fn in_parts(self, parts: usize, cut: Vec<bool>) -> Scan {
        Scan { parts, cut, ..self }
    }

    /// Scratch memory of one part.
    fn room(&self) -> usize {
        self.body.arena() + self.sides.bytes()
    }

    /// All turns of one part.
    ///
    /// # Safety
    /// `bases` has the constants of the body in place; the operands reach as far as the step declares; `scratch` is ours alone, and so
    /// are this part's outputs.
    unsafe fn turns(&self, part: usize, mut bases: Vec<*mut u8>, o: &Operands, scratch: *mut u8, pool: &Pool) {
        let (c, k) = (self.constants, self.carries);
        let room = scratch.wrapping_add(self.body.arena());
        bases[0] = scratch;
        // Where turn `t` of this part begins in an operand with `bytes` bytes in each turn of a part.
        let at = |t: usize, bytes: usize, cut: bool| match cut {
            true => (t * self.parts + part) * bytes,
            false => t * bytes,
        };
        (0..c).filter(|&i| self.cut[i]).for_each(|i| {
            let offset = at(0, self.parameter_bytes[i], true);
            self.body.read(&mut bases, i, o.inputs[i].wrapping_add(offset));
        });
        for turn in 0..self.length {
            let t = if self.reverse { self.length - 1 - turn } else { turn };
            for i in 0..k {
                let mine = at(0, self.parameter_bytes[c + i], true);
                let from = match turn {
                    0 => o.inputs[c + i].wrapping_add(mine),
                    _ => self.sides.after(room, turn - 1, i),
                };
                let to = match turn + 1 == self.length {
                    true => o.outputs[i].wrapping_add(mine),
                    false => self.sides.after(room, turn, i),
                };
                self.body.read(&mut bases, c + i, from);
                self.body.write(&mut bases, i, to);
            }
            for i in c + k..self.parameter_bytes.len() {
                let offset = at(t, self.parameter_bytes[i], self.cut[i]);
                self.body.read(&mut bases, i, o.inputs[i].wrapping_add(offset));
            }
            for r in k..self.result_bytes.len() {
                let offset = at(t, self.result_bytes[r], true);
                self.body.write(&mut bases, r, o.outputs[r].wrapping_add(offset));
            }
            // SAFETY: every base points to memory of the declared length: operands of this checked step, slices of them (aligned for
            // their elements), or our own scratch; what is written (results, arena) overlaps nothing that is read in the same turn.
            unsafe { self.body.program.execute(&bases, pool) }
        }
    }
}

/// The operands of a scan.
struct Operands {
    inputs: Vec<*const u8>,
    outputs: Vec<*mut u8>,
    scratch: *mut u8,
}

// SAFETY: parts write disjoint stretches of the outputs and of the scratch memory.
unsafe impl Sync for Operands {}

/// The pointers of a body, which parts copy.
struct Bases(Vec<*mut u8>);

// SAFETY: parts only read the list.
unsafe impl Sync for Bases {}

impl Kernel for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn scratch(&self) -> usize {
        self.parts * self.room() + self.body.packed()
    }

    fn flops(&self) -> f64 {
        (self.length * self.parts) as f64 * self.body.program.steps().map(|s| s.2.flops).sum::<f64>()
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let (c, k) = (self.constants, self.carries);
        let operands = Operands {
            inputs: (0..self.parameter_bytes.len()).map(|i| io.input_ptr(i)).collect(),
            outputs: (0..self.result_bytes.len()).map(|o| io.output_ptr(o)).collect(),
            scratch: io.scratch_ptr(),
        };
        if self.length == 0 {
            for i in 0..k {
                let bytes = self.parts * self.parameter_bytes[c + i];
                // SAFETY: the carried value and its output have the same length and do not overlap.
                unsafe { std::ptr::copy_nonoverlapping(operands.inputs[c + i], operands.outputs[i], bytes) }
            }
            return;
        }
        let mut bases = self.body.bases(operands.scratch);
        (0..c).for_each(|i| self.body.read(&mut bases, i, operands.inputs[i]));
        let mut packed = operands.scratch.wrapping_add(self.parts * self.room());
        for (i, packing) in &self.body.packings {
            // SAFETY: the packing was made for this input; its memory follows the other scratch memory.
            unsafe { packing.run(operands.inputs[*i], packed, pool) };
            self.body.read(&mut bases, *i, packed);
            packed = packed.wrapping_add(packing.bytes().next_multiple_of(ALIGN));
        }
        let (o, bases) = (&operands, &Bases(bases));
        let part = |p: usize, pool: &Pool| {
            let scratch = o.scratch.wrapping_add(p * self.room());
            // SAFETY: the operands of this checked step; every part has its own stretch of the scratch memory and of the outputs.
            unsafe { self.turns(p, bases.0.clone(), o, scratch, pool) }
        };
        match self.parts {
            1 => part(0, pool),
            parts => pool.run(parts, &|p| part(p, &self.alone)),
        }
    }
}

/// A body repeated while a condition on the carried values holds. Inputs: the first values; outputs: the last.
#[derive(Debug)]
pub struct While {
    condition: Part,
    body: Part,
    bytes: Vec<usize>,
    sides: Sides,
}

impl While {
    /// The condition gives one bool; both take all carried values.
    pub fn new(condition: Part, body: Part) -> While {
        let (bytes, _) = body.sizes();
        While { condition, body, sides: Sides::new(&bytes), bytes }
    }
}

impl Kernel for While {
    fn name(&self) -> &'static str {
        "while"
    }

    fn scratch(&self) -> usize {
        self.condition.arena() + self.body.arena() + ALIGN + self.sides.bytes()
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let scratch = io.scratch_ptr();
        let mut condition = self.condition.bases(scratch);
        let mut body = self.body.bases(scratch.wrapping_add(self.condition.arena()));
        let answer = scratch.wrapping_add(self.condition.arena() + self.body.arena());
        let room = answer.wrapping_add(ALIGN);
        self.condition.write(&mut condition, 0, answer);
        let mut turn = 0;
        loop {
            for i in 0..self.bytes.len() {
                let from = match turn {
                    0 => io.input_ptr(i),
                    _ => self.sides.after(room, turn - 1, i),
                };
                self.condition.read(&mut condition, i, from);
                self.body.read(&mut body, i, from);
                self.body.write(&mut body, i, self.sides.after(room, turn, i));
            }
            // SAFETY: every base points to memory of the declared length: inputs of this checked step or our own scratch, whose
            // pieces (arenas, answer, two sides) are disjoint.
            unsafe {
                self.condition.program.execute(&condition, pool);
                if *answer == 0 {
                    break;
                }
                self.body.program.execute(&body, pool);
            }
            turn += 1;
        }
        for i in 0..self.bytes.len() {
            let from = body[self.body.parameters[i] + 1];
            // SAFETY: the value that the condition saw last and its output have the same length and do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(from, io.output_ptr(i), self.bytes[i]) }
        }
    }
}
