//! Placeholder until the real file is merged: on a conflict take the real one whole.
use crate::chain::Chain;
use crate::dtype::*;
use crate::machine::*;
use crate::pool::Pool;
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq)]
pub struct Strides {
    pub batch: usize,
    pub row: usize,
    pub col: usize,
}
#[allow(missing_docs)]
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Strides,
    pub b: Strides,
    pub c_batch: usize,
    pub c_row: usize,
    pub accumulate: bool,
}
#[allow(missing_docs)]
#[derive(Debug)]
pub struct GemmKernel {
    d: DType,
    g: Gemm,
    chain: Option<Chain>,
}
impl GemmKernel {
    #[allow(missing_docs)]
    pub fn new(d: DType, g: Gemm) -> Self {
        Self { d, g, chain: None }
    }
}
impl Kernel for GemmKernel {
    fn name(&self) -> &'static str {
        "gemm"
    }
    fn fuses(&self) -> bool {
        self.d == DType::F32
    }
    fn fuse(mut self: Box<Self>, chain: Chain) -> Box<dyn Kernel> {
        self.chain = Some(chain);
        self
    }
    fn scratch(&self) -> usize {
        self.chain.as_ref().map_or(0, |c| c.scratch())
    }
    fn run(&self, io: &mut Io<'_>, _: &Pool) {
        crate::with_element!(self.d, T => { let g = &self.g; let (a, b) = (io.input::<T>(0), io.input::<T>(1));
         let bound = self.chain.as_ref().map(|c| c.bind(io));
         let n = g.batch*g.m*g.n;
         let c: &mut [T] = match &bound { Some(b) => unsafe { std::slice::from_raw_parts_mut(b.raw.cast(), n) }, None => io.output::<T>(0) };
         for q in 0..g.batch { for i in 0..g.m { for j in 0..g.n { let mut s = 0f64; for k in 0..g.k { s += a[q*g.a.batch+i*g.a.row+k*g.a.col].to_f64() * b[q*g.b.batch+k*g.b.row+j*g.b.col].to_f64(); } c[q*g.c_batch+i*g.c_row+j] = T::from_f64(s); } } }
         if let Some(b) = &bound { unsafe { b.apply(0, n) } }
        })
    }
}
