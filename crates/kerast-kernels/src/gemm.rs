//! Matrix products, plain, transposed and batched.
//!
//! f32 goes through the micro-kernels in [`micro`] and the driver in [`drive`]; every other element type through plain
//! loops in [`element`]. The sum behind every element of C is taken in an order that depends on the shape alone:
//! results are bit-identical for any number of threads.

pub(crate) mod ahead;
pub(crate) mod drive;
mod element;
pub(crate) mod micro;
pub(crate) mod pack;
mod vector;

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plan;
mod portable;
mod slices;
mod split;
pub(crate) mod toom;

pub use element::gemm_element;

use crate::chain::Chain;
use crate::dtype::DType;
use crate::isa::{Isa, isa};
use crate::machine::{Io, Kernel, Packing};
use crate::pool::Pool;
use crate::with_element;
use micro::Kernels;
use std::ops::Range;

/// Strides of one operand in elements: element (i, j) of matrix b lies at `batch*b + row*i + col*j`. Any of them may be
/// 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strides {
    /// From one matrix to the next.
    pub batch: usize,
    /// From one row to the next.
    pub row: usize,
    /// From one column to the next.
    pub col: usize,
}

/// C[b] = A[b] · B[b] for b in 0..batch, with A of `m` x `k`, B of `k` x `n` and C of `m` x `n` with unit column
/// stride.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// How many products.
    pub batch: usize,
    /// After so many of them A and B begin anew, `outer` elements from where they began; `usize::MAX` if they never do.
    pub group: usize,
    /// From one group of matrices to the next, in A and B.
    pub outer: [usize; 2],
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Where A lies.
    pub a: Strides,
    /// Where B lies.
    pub b: Strides,
    /// Elements of C from one matrix to the next.
    pub c_batch: usize,
    /// Elements of C from one row to the next; at least `n` unless `m` is 1.
    pub c_row: usize,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
}

impl Gemm {
    /// Row-major operands without gaps, one product.
    pub fn plain(m: usize, n: usize, k: usize) -> Gemm {
        let strides = |rows, cols| Strides { batch: rows * cols, row: cols, col: 1 };
        let (a, b) = (strides(m, k), strides(k, n));
        let (c_batch, c_row) = (m * n, n);
        Gemm { batch: 1, group: usize::MAX, outer: [0; 2], m, n, k, a, b, c_batch, c_row, accumulate: false }
    }

    /// Where matrix `index` of A, B and C begins.
    pub fn starts(&self, index: usize) -> [usize; 3] {
        let (group, place) = (index / self.group, index % self.group);
        let [a, b] = [(0, self.a), (1, self.b)].map(|(i, s)| group * self.outer[i] + place * s.batch);
        [a, b, index * self.c_batch]
    }

    /// Multiplications and additions.
    pub fn flops(&self) -> f64 {
        2.0 * self.batch as f64 * self.m as f64 * self.n as f64 * self.k as f64
    }

    /// How many elements A, B and C must have: one past the last that is touched.
    pub fn extents(&self) -> [usize; 3] {
        let group = self.group.min(self.batch).max(1);
        let reach = |rows: usize, columns: usize, strides: [usize; 4]| {
            let counts = [self.batch.div_ceil(group), group, rows, columns];
            if counts.contains(&0) { 0 } else { 1 + (0..4).map(|i| (counts[i] - 1) * strides[i]).sum::<usize>() }
        };
        let of = |outer: usize, s: Strides| [outer, s.batch, s.row, s.col];
        [
            reach(self.m, self.k, of(self.outer[0], self.a)),
            reach(self.k, self.n, of(self.outer[1], self.b)),
            reach(self.m, self.n, [group * self.c_batch, self.c_batch, self.c_row, 1]),
        ]
    }
}

/// Called with ranges of rows (counted through all products of the batch) and of columns of C once this block is complete,
/// on the thread that finished it, while it is in its cache. Every element is reported once.
pub type Epilogue<'a> = &'a (dyn Fn(Range<usize>, Range<usize>) + Sync);

/// The product in f32.
///
/// # Safety
/// `a` and `b` are readable and `c` is writable (and readable when it accumulates) for [`Gemm::extents`] elements; C
/// overlaps neither of them and its rows do not overlap each other; nobody else uses C until the call returns.
pub unsafe fn gemm_f32(
    g: &Gemm,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    pool: &Pool,
    epilogue: Option<Epilogue<'_>>,
) {
    // SAFETY: passed on; `isa` returns what the machine has.
    unsafe { gemm_f32_on(isa(), g, a, b, c, pool, epilogue) }
}

/// [`gemm_f32`] on a given instruction set, for tests and benches.
///
/// # Safety
/// As for [`gemm_f32`], and the machine has the instruction set.
pub unsafe fn gemm_f32_on(
    isa: Isa,
    g: &Gemm,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    pool: &Pool,
    epilogue: Option<Epilogue<'_>>,
) {
    // SAFETY: passed on.
    unsafe { drive::batched(Kernels::of(isa), g, drive::Operands { a, b, c }, pool, epilogue) }
}

/// The machine's matrix product: inputs A and B, output C, with an element-wise chain behind it if wished (f32 only).
#[derive(Debug)]
pub struct GemmKernel {
    dtype: DType,
    gemm: Gemm,
    chain: Option<Chain>,
    /// B comes as [`Kernel::prepack`] made it, this many elements long.
    packed: Option<usize>,
}

impl GemmKernel {
    /// The product of operands of one element type.
    pub fn new(dtype: DType, gemm: Gemm) -> GemmKernel {
        GemmKernel { dtype, gemm, chain: None, packed: None }
    }

    /// The f32 product with the chain applied to every block of rows that is complete.
    fn run_chained(&self, chain: &Chain, io: &mut Io<'_>, pool: &Pool) {
        let g = &self.gemm;
        let (a, b) = (io.input::<f32>(0), io.input::<f32>(1));
        self.check(a.len(), b.len(), usize::MAX);
        assert!(g.c_row == g.n && (g.batch == 1 || g.c_batch == g.m * g.n), "a chain needs rows without gaps: {g:?}");
        let bound = chain.bind(io);
        // SAFETY: this block is complete and reported once.
        let epilogue = |rows: Range<usize>, columns: Range<usize>| unsafe { bound.apply(g.n, rows, columns) };
        // SAFETY: the lengths were checked; the chain's memory for the raw result is as long as C and overlaps no
        // input.
        unsafe { self.multiply(drive::Operands { a: a.as_ptr(), b: b.as_ptr(), c: bound.raw }, pool, Some(&epilogue)) }
    }

    /// # Safety
    /// As for [`gemm_f32`].
    unsafe fn multiply(&self, o: drive::Operands, pool: &Pool, epilogue: Option<Epilogue<'_>>) {
        let kernels = Kernels::of(isa());
        // SAFETY: passed on.
        unsafe {
            match self.packed {
                None => drive::batched(kernels, &self.gemm, o, pool, epilogue),
                Some(_) => {
                    let team = drive::Team(drive::parallel(&self.gemm, pool).then_some(pool));
                    drive::prepacked(kernels, &self.gemm, o, team, epilogue);
                }
            }
        }
    }

    fn check(&self, a: usize, b: usize, c: usize) {
        let [na, nb, nc] = self.gemm.extents();
        assert!(
            na <= a && self.packed.unwrap_or(nb) <= b && nc <= c,
            "operands are shorter than {:?} needs",
            self.gemm
        );
    }
}

impl Kernel for GemmKernel {
    fn name(&self) -> &'static str {
        "gemm"
    }

    fn fuses(&self) -> bool {
        self.dtype == DType::F32
    }

    fn fuse(mut self: Box<Self>, chain: Chain) -> Box<dyn Kernel> {
        self.chain = Some(chain);
        self
    }

    fn prepack(&mut self, input: usize) -> Option<Packing> {
        if input != 1 || self.dtype != DType::F32 || self.packed.is_some() {
            return None;
        }
        let kernels = Kernels::of(isa());
        let length = drive::packed_len(kernels, &self.gemm)?;
        self.packed = Some(length);
        let g = self.gemm.clone();
        // SAFETY: a packing is given as much memory as it asks for.
        let pack = move |b: *const u8, to: *mut u8, pool: Option<&Pool>| unsafe {
            drive::prepack(kernels, &g, b.cast(), to.cast(), drive::Team(pool))
        };
        let [_, from, _] = self.gemm.extents();
        Some(Packing::new(from * size_of::<f32>(), length * size_of::<f32>(), Box::new(pack)))
    }

    fn scratch(&self) -> usize {
        self.chain.as_ref().map_or(0, Chain::scratch)
    }

    fn in_place(&self, input: usize, output: usize) -> bool {
        self.chain.as_ref().is_some_and(|c| c.in_place(input, output))
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        if let Some(chain) = &self.chain {
            return self.run_chained(chain, io, pool);
        }
        with_element!(self.dtype, T => {
            let (a, b, c) = (io.input::<T>(0), io.input::<T>(1), io.output::<T>(0));
            self.check(a.len(), b.len(), c.len());
            if self.dtype == DType::F32 {
                // SAFETY: the lengths were checked; `Io` hands out operands that do not overlap.
                unsafe {
                    let (a, b, c) = (a.as_ptr().cast(), b.as_ptr().cast(), c.as_mut_ptr().cast());
                    self.multiply(drive::Operands { a, b, c }, pool, None)
                }
            } else {
                // SAFETY: as above.
                unsafe { gemm_element(&self.gemm, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), pool) }
            }
        });
    }

    fn flops(&self) -> f64 {
        self.gemm.flops() + self.chain.as_ref().map_or(0.0, Chain::flops)
    }
}
