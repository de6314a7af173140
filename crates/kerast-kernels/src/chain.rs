//! An element-wise chain that a kernel applies to its own result, block by block, while the block is still in cache.

use crate::machine::{Io, Kernel};
use crate::map::Map;
use std::ops::Range;

/// A chain behind a kernel with a single f32 result.
#[derive(Clone, Debug)]
pub struct Chain {
    map: Map,
    /// For each input of the map: `None` is the kernel's raw result, `Some(i)` input `i` of the step.
    inputs: Vec<Option<usize>>,
    /// An output of the chain whose memory can hold the raw result until the chain overwrites it.
    host: Option<usize>,
    /// The only output goes no further than the kernel, which has memory for blocks of it.
    within: bool,
    /// The input that the only output equals where the raw result is 0.
    keeps: Option<usize>,
}

/// The operands of one run of a chain.
#[derive(Debug)]
pub struct Bound<'a> {
    chain: &'a Chain,
    inputs: [*mut u8; 64],
    outputs: [*mut u8; 64],
    /// Where the kernel writes its raw result.
    pub raw: *mut f32,
    /// Elements whose raw result is 0 are complete without the chain.
    pub keeps: bool,
}

// SAFETY: the pointers stay valid and disjoint for the run; tasks apply the chain to disjoint ranges.
unsafe impl Sync for Bound<'_> {}

impl Chain {
    /// A chain without reductions; see the fields.
    pub fn new(map: Map, inputs: Vec<Option<usize>>) -> Chain {
        assert!(!map.reduces(), "a chain behind a kernel has no reductions");
        // An output that may lie on an input cannot hold the raw result first: it would overwrite what the chain still reads.
        let in_place = (0..inputs.len()).any(|i| inputs[i].is_some() && (0..map.outputs()).any(|o| map.in_place(i, o)));
        let host = if in_place { None } else { map.host() };
        Chain { map, inputs, host, within: false, keeps: None }
    }

    /// The same chain, known to leave input `input` of the step as it is where the raw result is 0 and all numbers are finite: if the only
    /// output lies on that input, such elements need not be computed.
    pub fn keeping(self, input: Option<usize>) -> Chain {
        Chain { keeps: input.filter(|_| self.map.outputs() == 1), ..self }
    }

    /// The same chain for a kernel that does more with its only output.
    pub fn within(self) -> Chain {
        assert!(self.map.outputs() == 1 && self.map.host() == Some(0), "one f32 output is handed on");
        Chain { within: true, keeps: None, host: Some(0), ..self }
    }

    /// Whether output `output` may lie on input `input` of the step.
    pub fn in_place(&self, input: usize, output: usize) -> bool {
        let mut places = (0..self.inputs.len()).filter(|&i| self.inputs[i] == Some(input));
        self.host.is_none()
            && places.next().is_some_and(|i| self.map.in_place(i, output))
            && places.all(|i| self.map.in_place(i, output))
    }

    /// Bytes of scratch for the raw result of `elements` elements.
    pub fn scratch(&self) -> usize {
        if self.host.is_some() { 0 } else { self.map.len() * 4 }
    }

    /// Floating-point operations.
    pub fn flops(&self) -> f64 {
        self.map.flops()
    }

    /// Resolves the operands; the raw result goes to an output that can hold it, else to scratch memory.
    pub fn bind(&self, io: &mut Io<'_>) -> Bound<'_> {
        let mut inputs = [std::ptr::null_mut(); 64];
        let mut outputs = [std::ptr::null_mut(); 64];
        if !self.within {
            (0..self.map.outputs()).for_each(|o| outputs[o] = io.output_ptr(o));
        }
        let raw = match self.host {
            Some(o) => outputs[o],
            None => io.scratch_ptr(),
        };
        for (slot, input) in inputs.iter_mut().zip(&self.inputs) {
            *slot = input.map_or(raw, |i| io.input_ptr(i).cast_mut());
        }
        let keeps = self.keeps.is_some_and(|i| std::ptr::eq(io.input_ptr(i), outputs[0]));
        Bound { chain: self, inputs, outputs, raw: raw.cast(), keeps }
    }
}

impl Bound<'_> {
    /// The output that holds the raw result until the chain overwrites it, if one does.
    pub fn hosted(&self) -> Option<*mut f32> {
        self.chain.host.map(|_| self.raw)
    }

    /// Applies the chain to stretches of elements of a raw result that lies at `raw`, wherever [`Bound::raw`] is.
    ///
    /// # Safety
    /// These elements of the raw result are complete, and no other thread works on them.
    pub unsafe fn apply_to(&self, raw: *mut f32, ranges: impl IntoIterator<Item = Range<usize>>) {
        // SAFETY: the caller's promise.
        unsafe { self.run(&self.inputs_at(raw), ranges) }
    }

    /// The same for a chain [`Chain::within`] a kernel, whose raw result lies, or would begin, at `raw`, and is overwritten there.
    pub fn at(&self, raw: *mut f32) -> Bound<'_> {
        let mut outputs = self.outputs;
        outputs[0] = raw.cast();
        Bound { inputs: self.inputs_at(raw), outputs, raw, ..*self }
    }

    /// The inputs with the raw result at `raw`.
    fn inputs_at(&self, raw: *mut f32) -> [*mut u8; 64] {
        let mut inputs = self.inputs;
        let own = inputs.iter_mut().zip(&self.chain.inputs).filter(|(_, input)| input.is_none());
        own.for_each(|(place, _)| *place = raw.cast());
        inputs
    }

    /// Applies the chain to a block of the raw result, which has rows of `width` elements.
    ///
    /// # Safety
    /// These elements of the raw result are complete, and no other thread works on them.
    pub unsafe fn apply(&self, width: usize, rows: Range<usize>, columns: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe {
            match columns.len() == width {
                true => self.run(&self.inputs, std::iter::once(rows.start * width..rows.end * width)),
                false => self.run(&self.inputs, rows.map(|r| r * width + columns.start..r * width + columns.end)),
            }
        }
    }

    unsafe fn run(&self, inputs: &[*mut u8; 64], ranges: impl IntoIterator<Item = Range<usize>>) {
        let (ni, no) = (self.chain.inputs.len(), self.chain.map.outputs());
        // SAFETY: `bind` took the operands from a checked step; the caller vouches for the elements.
        unsafe { self.chain.map.run_ranges(&inputs[..ni], &self.outputs[..no], ranges) }
    }
}
