//! The kernel: tasks, tiles, loads, instructions, stores, reductions.

use super::builder::{Access, Code, Input, Instr, Output, Slot};
use super::kinds::Class;
use super::reduce::{self, Geometry, Part};
use super::tile::{self, Tile};
use super::{BLOCK, TILE, convert};
use crate::dtype::DType;
use crate::machine::{Io, Kernel};
use crate::pool::Pool;
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

/// Elements per task of the pool for a chain of about [`LIGHT`] additions, loads and stores: large enough to pay for the hand-over.
const GRAIN: usize = 16 * TILE;
const LIGHT: usize = 8;

/// A fused element-wise chain over `n` elements. Inputs and outputs are in the order of the [`super::MapBuilder`] calls.
#[derive(Clone, PartialEq)]
pub struct Map {
    n: usize,
    geometry: Geometry,
    inputs: Vec<Input>,
    constants: Vec<(DType, f64, i64, Slot)>,
    instrs: Vec<Instr>,
    outputs: Vec<Output>,
    /// Byte offset of each slot's tile in the scratch memory of a thread.
    offsets: Vec<usize>,
    scratch: usize,
    reduces: bool,
    /// Bit k: instructions can write output k where it belongs, unless an input lies there.
    direct: u64,
    /// Bit k: also then.
    over: u64,
    /// All is read where it lies: no tile limits how many elements the instructions run over at a time.
    streams: bool,
    /// Elements per task of the pool.
    grain: usize,
}

/// A cache line: a vector that straddles two of them costs twice.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code)] [u8; 64]);

thread_local! {
    /// The tiles of this thread; grows to what the largest chain needs and stays.
    static TILES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy)]
struct Bases<'a> {
    inputs: &'a [*mut u8],
    outputs: &'a [*mut u8],
    partial: *mut u8,
}

// SAFETY: tasks of one run write disjoint parts of the outputs and of the partial results.
unsafe impl Sync for Bases<'_> {}

impl Map {
    pub(crate) fn assemble(
        n: usize,
        geometry: Geometry,
        inputs: Vec<Input>,
        constants: Vec<(DType, f64, i64, Slot)>,
        instrs: Vec<Instr>,
        outputs: Vec<Output>,
        sizes: &[usize],
    ) -> Map {
        let mut offsets = vec![];
        let mut scratch = 0;
        for s in sizes {
            offsets.push(scratch);
            scratch += s;
        }
        let reduces = outputs.iter().any(|o| o.reduce.is_some());
        // One tile more for the accumulators of short rows.
        offsets.push(scratch);
        scratch += TILE * 8 * outputs.len();
        let weight = inputs.len() + outputs.len() + instrs.iter().map(|i| i.code.weight()).sum::<usize>();
        let grain = (GRAIN * LIGHT / weight.max(LIGHT)).next_multiple_of(TILE);
        let direct = (0..outputs.len()).filter(|&k| writes_through(k, &inputs, &constants, &outputs));
        let direct = direct.fold(0, |m, k| m | 1 << k);
        let over =
            (0..outputs.len()).filter(|&k| writes_over(k, &inputs, &instrs, &outputs)).fold(0, |m, k| m | 1 << k);
        let streams = matches!(&instrs[..], [Instr { code: Code::Adam(_), .. }])
            && inputs.iter().all(|i| matches!(i.access, Access::Direct | Access::Scalar) && Class::is_native(i.dtype));
        Map { n, geometry, inputs, constants, instrs, outputs, offsets, scratch, reduces, direct, over, streams, grain }
    }

    /// Elements of the iteration.
    pub fn len(&self) -> usize {
        self.n
    }

    /// No elements at all.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Whether a reduction ends the chain; such a chain is no epilogue.
    pub fn reduces(&self) -> bool {
        self.reduces
    }

    /// How many outputs there are.
    pub fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// An f32 output stored element by element, whose memory can hold another f32 value of the same shape until it is written.
    pub(crate) fn host(&self) -> Option<usize> {
        self.outputs.iter().position(|o| o.reduce.is_none() && o.dtype == DType::F32)
    }

    /// Some stretches of elements of a chain without reductions.
    ///
    /// # Safety
    /// `inputs` and `outputs` point to the operands; an output lies on an input only where [`Kernel::in_place`] allows it;
    /// nobody else touches the elements written.
    pub(crate) unsafe fn run_ranges(
        &self,
        inputs: &[*mut u8],
        outputs: &[*mut u8],
        ranges: impl IntoIterator<Item = Range<usize>>,
    ) {
        let bases = Bases { inputs, outputs, partial: std::ptr::null_mut() };
        // SAFETY: the caller's promise.
        unsafe { self.with_tiles(&bases, |w| ranges.into_iter().for_each(|r| w.elements(r.start, r.end))) }
    }

    unsafe fn with_tiles(&self, bases: &Bases<'_>, work: impl FnOnce(&mut Worker<'_>)) {
        TILES.with(|cell| {
            let mut tiles = cell.borrow_mut();
            // The pointers to the slots, then the slots.
            let heads = (self.offsets.len() * size_of::<*mut u8>()).div_ceil(64);
            let need = heads + self.scratch.div_ceil(64);
            if tiles.len() < need {
                tiles.resize(need, Line([0; 64]));
            }
            let start = tiles.as_mut_ptr().cast::<u8>();
            let base = start.wrapping_add(heads * 64);
            // SAFETY: the memory is large and aligned enough, and any bits are a pointer.
            let slots = unsafe { std::slice::from_raw_parts_mut(start.cast::<*mut u8>(), self.offsets.len()) };
            for (p, o) in slots.iter_mut().zip(&self.offsets) {
                *p = base.wrapping_add(*o);
            }
            let alias = |k: usize| bases.inputs.contains(&bases.outputs[k]);
            let taken = (0..self.outputs.len()).filter(|&k| (self.direct & !self.over) >> k & 1 == 1 && alias(k));
            let through = taken.fold(self.direct, |m, k| m & !(1 << k));
            let in_memory = self.streams && through.count_ones() as usize == self.outputs.len();
            let longest = if in_memory { usize::MAX } else { TILE };
            let mut w = Worker { map: self, bases, base, slots, filled: 0, through, longest, before: (0, 0) };
            work(&mut w);
        })
    }

    fn run_reducing(&self, bases: &Bases<'_>, pool: &Pool) {
        let g = self.geometry;
        let chunks = g.chunks();
        let units = g.outer * chunks;
        let unit = (g.middle * g.inner).div_ceil(chunks).max(1);
        // Whole units per task; short rows are walked many at a time.
        let per_task = (self.grain / unit).max(1);
        let tasks = units.div_ceil(per_task);
        let body = |t: usize| {
            let range = t * per_task..((t + 1) * per_task).min(units);
            // SAFETY: units are disjoint; pointers come from `run`.
            unsafe { self.with_tiles(bases, |w| w.units(range.start, range.end, chunks)) }
        };
        if tasks == 1 || self.n < 2 * self.grain {
            (0..tasks).for_each(body)
        } else {
            pool.run(tasks, &body)
        }
        if chunks > 1 {
            let mut offset = 0;
            for (o, out) in self.outputs.iter().zip(bases.outputs) {
                if let Some(kind) = o.reduce {
                    let count = g.inner;
                    for outer in 0..g.outer {
                        let size = Class::of(o.dtype).size();
                        let partial = bases.partial.wrapping_add(offset + outer * chunks * count * size);
                        let target = out.wrapping_add(outer * count * o.dtype.size());
                        // SAFETY: `scratch` gave room for all partial results; every unit filled its own.
                        unsafe { reduce::finish(o.dtype, kind, partial, chunks, count, target) }
                    }
                    offset += self.partial_bytes(o);
                }
            }
        }
    }

    fn partial_bytes(&self, o: &Output) -> usize {
        let g = self.geometry;
        (g.outer * g.chunks() * g.inner * Class::of(o.dtype).size()).next_multiple_of(64)
    }
}

/// Whether instructions can write output `k` where it belongs: it is no reduction, its memory is a tile as it is, and no input, constant or
/// other output shares the slot.
fn writes_through(k: usize, inputs: &[Input], constants: &[(DType, f64, i64, Slot)], outputs: &[Output]) -> bool {
    let output = &outputs[k];
    output.reduce.is_none()
        && Class::is_native(output.dtype)
        && !inputs.iter().any(|i| i.slot == output.slot)
        && !constants.iter().any(|c| c.3 == output.slot)
        && !outputs[..k].iter().any(|o| o.slot == output.slot && o.reduce.is_none())
}

/// Whether the last instruction reads its operands block by block before it writes output `k`, which shares its slot with no value before,
/// and nobody needs the operands later.
fn writes_over(k: usize, inputs: &[Input], instrs: &[Instr], outputs: &[Output]) -> bool {
    let writes = |i: &Instr, slot: Slot| match &i.code {
        Code::Adam(step) => step.after.contains(&slot),
        _ => i.dst == slot,
    };
    let Some((last, before)) = instrs.split_last() else { return false };
    let slot = outputs[k].slot;
    matches!(last.code, Code::Adam(_))
        && writes(last, slot)
        && !before.iter().any(|i| writes(i, slot))
        && !outputs.iter().any(|o| inputs.iter().any(|i| i.slot == o.slot))
}

struct Worker<'a> {
    map: &'a Map,
    bases: &'a Bases<'a>,
    base: *mut u8,
    slots: &'a mut [*mut u8],
    /// How many elements of the constant tiles are filled.
    filled: usize,
    /// Bit k: tiles of whole blocks of output k are written where they belong.
    through: u64,
    /// Elements of a tile at most.
    longest: usize,
    /// First element and length of the tile before.
    before: (usize, usize),
}

impl Worker<'_> {
    fn own(&self, slot: Slot) -> *mut u8 {
        self.base.wrapping_add(self.map.offsets[slot as usize])
    }

    /// Constants and scalars: the same in every tile.
    unsafe fn fill(&mut self, len: usize) {
        let room = len.next_multiple_of(BLOCK).min(TILE);
        if self.filled >= room {
            return;
        }
        self.filled = room;
        // SAFETY: each slot has room for a tile; scalars have one element.
        unsafe {
            for (dtype, float, int, slot) in &self.map.constants {
                convert::fill(*dtype, *float, *int, self.own(*slot), room);
            }
            for (input, base) in self.map.inputs.iter().zip(self.bases.inputs) {
                match input.access {
                    Access::Scalar => convert::load(input.dtype, &input.access, *base, self.own(input.slot), 0, room),
                    Access::Whole => self.slots[input.slot as usize] = *base,
                    _ => {}
                }
            }
        }
    }

    /// Whether the tile before had the same elements of something that repeats.
    fn again(&self, repeat: usize, period: usize, first: usize, len: usize) -> bool {
        let (before, length) = self.before;
        match repeat {
            _ if length < len => false,
            1 => before % period == first % period,
            // One element all over both tiles.
            _ => before / repeat == (before + length - 1) / repeat && before / repeat == (first + len - 1) / repeat,
        }
    }

    /// Loads, instructions and stores of elements `first .. first + len` (at most `longest`).
    unsafe fn tile(&mut self, first: usize, len: usize) {
        let map = self.map;
        let whole = len.is_multiple_of(BLOCK);
        // SAFETY: operands reach as far as the iteration; slots have room for a tile; operands are used as tiles only where whole
        // blocks of them exist and nothing else lies on them.
        unsafe {
            self.fill(len);
            for (input, base) in map.inputs.iter().zip(self.bases.inputs) {
                match input.access {
                    Access::Scalar | Access::Whole => {}
                    Access::Direct if Class::is_native(input.dtype) => {
                        let size = input.dtype.size();
                        let source = base.wrapping_add(first * size);
                        if whole {
                            self.slots[input.slot as usize] = source;
                        } else {
                            let own = self.own(input.slot);
                            std::ptr::copy_nonoverlapping(source, own, len * size);
                            self.slots[input.slot as usize] = own;
                        }
                    }
                    // Whole rows of a matrix have the same vector beside them each time, parts of one row the same number.
                    Access::Cyclic { repeat, period } if self.again(repeat, period, first, len) => {}
                    Access::Cyclic { repeat: 1, period }
                        if whole && first % period + len <= period && Class::is_native(input.dtype) =>
                    {
                        self.slots[input.slot as usize] = base.wrapping_add(first % period * input.dtype.size());
                    }
                    _ => {
                        let own = self.own(input.slot);
                        convert::load(input.dtype, &input.access, *base, own, first, len);
                        self.slots[input.slot as usize] = own;
                    }
                }
            }
            self.before = (first, len);
            for (k, (output, base)) in map.outputs.iter().zip(self.bases.outputs).enumerate() {
                if self.through >> k & 1 == 1 {
                    self.slots[output.slot as usize] = match whole {
                        true => base.wrapping_add(first * output.dtype.size()),
                        false => self.own(output.slot),
                    };
                }
            }
            let blocks = len.div_ceil(BLOCK);
            tile::run(&map.instrs, &Tile { slots: self.slots, first, blocks, len });
            for (k, (output, base)) in map.outputs.iter().zip(self.bases.outputs).enumerate() {
                if output.reduce.is_none() && !(whole && self.through >> k & 1 == 1) {
                    convert::store(output.dtype, self.slots[output.slot as usize], *base, first, len);
                }
            }
        }
    }

    unsafe fn elements_inner(&mut self, from: usize, to: usize) {
        let mut at = from;
        while at < to {
            let len = match to - at {
                rest if rest <= TILE => rest,
                rest => self.longest.min(rest / BLOCK * BLOCK),
            };
            // SAFETY: within the iteration.
            unsafe { self.tile(at, len) };
            at += len;
        }
    }

    fn elements(&mut self, from: usize, to: usize) {
        // SAFETY: the caller of `run_ranges` promises the operands.
        unsafe { self.elements_inner(from, to) }
    }

    /// Units `from .. to`: unit `u` is chunk `u % chunks` of outer `u / chunks`.
    fn units(&mut self, from: usize, to: usize, chunks: usize) {
        let g = self.map.geometry;
        if g.inner == 1 && chunks == 1 && g.middle <= TILE {
            return self.short_rows(from, to);
        }
        let rows = g.middle.div_ceil(chunks);
        for u in from..to {
            let (outer, chunk) = (u / chunks, u % chunks);
            let (m0, m1) = ((chunk * rows).min(g.middle), ((chunk + 1) * rows).min(g.middle));
            let (first, end) = ((outer * g.middle + m0) * g.inner, (outer * g.middle + m1) * g.inner);
            self.unit(u, first, end, chunks);
        }
    }

    fn unit(&mut self, u: usize, first: usize, end: usize, chunks: usize) {
        let map = self.map;
        let inner = map.geometry.inner;
        // Accumulators lie in the partial results; with a single chunk in the output itself, if its memory has the class's form.
        let mut offset = 0;
        let mut accumulators = [std::ptr::null_mut(); 64];
        for (k, o) in map.outputs.iter().enumerate() {
            if let Some(kind) = o.reduce {
                let class = Class::of(o.dtype);
                let acc = match chunks == 1 && Class::is_native(o.dtype) {
                    true => self.bases.outputs[k].wrapping_add(u * inner * class.size()),
                    false => self.bases.partial.wrapping_add(offset + u * inner * class.size()),
                };
                // SAFETY: outputs and partial results have room for `inner` elements per unit.
                unsafe { reduce::start(class, kind, acc, inner) };
                accumulators[k] = acc;
                offset += map.partial_bytes(o);
            }
        }
        let mut at = first;
        while at < end {
            let len = TILE.min(end - at);
            // SAFETY: within the iteration; accumulators as above.
            unsafe {
                self.tile(at, len);
                for (k, o) in map.outputs.iter().enumerate() {
                    if let Some(kind) = o.reduce {
                        let part = Part { kind, start: at - first, inner, row: end - first };
                        let x = self.slots[o.slot as usize];
                        reduce::add(Class::of(o.dtype), &part, accumulators[k], inner, x, len);
                    }
                }
            }
            at += len;
        }
        if chunks == 1 {
            for (k, o) in map.outputs.iter().enumerate() {
                if let (Some(kind), false) = (o.reduce, Class::is_native(o.dtype)) {
                    let out = self.bases.outputs[k].wrapping_add(u * inner * o.dtype.size());
                    // SAFETY: as above.
                    unsafe { reduce::finish(o.dtype, kind, accumulators[k], 1, inner, out) };
                }
            }
        }
    }

    /// Rows shorter than a tile, reduced to one element each: as many rows per tile as fit.
    fn short_rows(&mut self, from: usize, to: usize) {
        let map = self.map;
        let row = map.geometry.middle;
        if row == 0 {
            for (k, o) in map.outputs.iter().enumerate() {
                if let Some(kind) = o.reduce {
                    for r in from..to {
                        let acc = self.own((map.offsets.len() - 1) as Slot);
                        // SAFETY: the last slot has room for accumulators; the output for every row.
                        unsafe {
                            reduce::start(Class::of(o.dtype), kind, acc, 1);
                            reduce::finish(
                                o.dtype,
                                kind,
                                acc,
                                1,
                                1,
                                self.bases.outputs[k].wrapping_add(r * o.dtype.size()),
                            );
                        }
                    }
                }
            }
            return;
        }
        // Whole blocks are read and written where they lie.
        let (most, even) = (TILE / row, BLOCK >> row.trailing_zeros().min(BLOCK.trailing_zeros()));
        let rows_per_tile = if most >= even { most / even * even } else { most };
        let mut r = from;
        while r < to {
            let rows = rows_per_tile.min(to - r);
            // SAFETY: within the iteration; the last slots have room for a tile of accumulators per output.
            unsafe {
                self.tile(r * row, rows * row);
                for (k, o) in map.outputs.iter().enumerate() {
                    if let Some(kind) = o.reduce {
                        let class = Class::of(o.dtype);
                        let acc = self.own((map.offsets.len() - 1) as Slot).wrapping_add(k * TILE * 8);
                        reduce::start(class, kind, acc, rows);
                        let part = Part { kind, start: 0, inner: 1, row };
                        reduce::add(class, &part, acc, rows, self.slots[o.slot as usize], rows * row);
                        reduce::finish(
                            o.dtype,
                            kind,
                            acc,
                            1,
                            rows,
                            self.bases.outputs[k].wrapping_add(r * o.dtype.size()),
                        );
                    }
                }
            }
            r += rows;
        }
    }
}

impl Kernel for Map {
    fn name(&self) -> &'static str {
        if self.reduces { "map_reduce" } else { "map" }
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let (ni, no) = (self.inputs.len(), self.outputs.len());
        let mut pointers = [std::ptr::null_mut(); 64];
        (0..ni).for_each(|i| pointers[i] = io.input_ptr(i).cast_mut());
        (0..no).for_each(|o| pointers[ni + o] = io.output_ptr(o));
        let partial = io.scratch_ptr();
        let bases = Bases { inputs: &pointers[..ni], outputs: &pointers[ni..ni + no], partial };
        if self.reduces {
            return self.run_reducing(&bases, pool);
        }
        if self.n < 2 * self.grain || pool.threads() == 1 {
            // SAFETY: the program was checked; operands reach as far as the iteration.
            return unsafe { self.run_ranges(bases.inputs, bases.outputs, std::iter::once(0..self.n)) };
        }
        let b = &bases;
        pool.run(self.n.div_ceil(self.grain), &|t| {
            let (from, to) = (t * self.grain, ((t + 1) * self.grain).min(self.n));
            // SAFETY: as above; tasks write disjoint stretches.
            unsafe { self.with_tiles(b, |w| w.elements(from, to)) }
        });
    }

    fn scratch(&self) -> usize {
        let needs = |o: &&Output| o.reduce.is_some() && (self.geometry.chunks() > 1 || !Class::is_native(o.dtype));
        match self.outputs.iter().find(needs) {
            Some(_) => self.outputs.iter().filter(|o| o.reduce.is_some()).map(|o| self.partial_bytes(o)).sum(),
            None => 0,
        }
    }

    fn in_place(&self, input: usize, output: usize) -> bool {
        let (i, o) = (&self.inputs[input], &self.outputs[output]);
        // What is reduced is read after the tile was stored.
        let reduced = self.outputs.iter().any(|o| o.reduce.is_some() && o.slot == i.slot);
        o.reduce.is_none() && i.access == Access::Direct && i.dtype.size() == o.dtype.size() && !reduced
    }

    fn flops(&self) -> f64 {
        (self.n * (self.instrs.len() + usize::from(self.reduces))) as f64
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(n={}", if self.reduces { "map_reduce" } else { "map" }, self.n)?;
        for i in &self.instrs {
            write!(f, " s{}={:?}{:?}", i.dst, i.code, i.args)?;
        }
        for o in self.outputs.iter().filter(|o| o.reduce.is_some()) {
            write!(f, " {:?}(s{})", o.reduce, o.slot)?;
        }
        write!(f, ")")
    }
}
