//! Weights brought into the order in which kernels read them: the same bits as from weights as they are, on any number of threads.

use crate::run::{noise, run, values};
use kerast_kernels::buffer::Buffer;
use kerast_kernels::conv::{Conv, ConvKernel, Dim};
use kerast_kernels::dtype::DType;
use kerast_kernels::gemm::{Gemm, GemmKernel};
use kerast_kernels::machine::Kernel;

fn check(make: &dyn Fn() -> Box<dyn Kernel>, name: &str, [x, w, y]: [usize; 3]) {
    let buffer = |count: usize, seed: u64| {
        let numbers: Vec<f64> = noise(count, seed, 2001).iter().map(|v| v / 1000.0 - 1.0).collect();
        values(DType::F32, &numbers)
    };
    let (x, w) = (buffer(x, 1), buffer(w, 2));
    let plain = run(make, &[&x, &w], &[4 * y]);
    let packing = make().prepack(1).unwrap_or_else(|| panic!("{name} packs its weights"));
    let packed: Buffer = packing.apply(&w).expect("memory");
    let expecting = || {
        let mut kernel = make();
        kernel.prepack(1);
        kernel
    };
    let result = run(expecting, &[&x, &packed], &[4 * y]);
    assert!(plain[0].as_bytes() == result[0].as_bytes(), "{name}: packed weights give another result");
}

#[test]
fn products() {
    // Many rows; few, which threads share by columns; columns that are no multiple of anything.
    for (m, n, k) in [(130, 96, 200), (12, 512, 700), (49, 1000, 90), (7, 70, 40), (3, 300, 2000)] {
        let g = Gemm::plain(m, n, k);
        let make = || -> Box<dyn Kernel> { Box::new(GemmKernel::new(DType::F32, g.clone())) };
        check(&make, &format!("{m} x {k} x {n}"), [m * k, k * n, m * n]);
    }
}

#[test]
fn convolutions() {
    let same = |size: usize, kernel: usize| Dim::new(size, kernel, 1, kernel as isize / 2, kernel as isize / 2);
    let step = |size: usize| Dim::new(size, 1, 2, 0, 0);
    for (name, n, inputs, outputs, dims) in [
        ("pixels", 2, 20, 40, vec![same(30, 4), same(31, 3)]),
        ("narrow", 1, 40, 600, vec![same(7, 3), same(7, 3)]),
        ("strided", 1, 40, 70, vec![step(14), step(15)]),
        ("tiles", 2, 32, 40, vec![same(16, 3), same(18, 3)]),
        ("tiles with many weights", 1, 190, 200, vec![same(10, 3), same(9, 3)]),
    ] {
        let c = Conv::channels_last(n, inputs, outputs, 1, dims);
        let make = || -> Box<dyn Kernel> { Box::new(ConvKernel::new(DType::F32, c.clone())) };
        check(&make, name, c.extents());
    }
}
