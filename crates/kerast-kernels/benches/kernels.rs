//! Speed of matrix products and convolutions on one and two threads: `cargo bench -p kerast-kernels [-- part of a name]`.

#[path = "../tests/gradients/mod.rs"]
mod gradients;

use gradients::{by_input, by_weights};
use kerast_kernels::buffer::Buffer;
use kerast_kernels::chain::Chain;
use kerast_kernels::conv::{Conv, Dim, conv_f32};
use kerast_kernels::dtype::DType;
use kerast_kernels::gemm::{Gemm, GemmKernel, Strides, gemm_f32};
use kerast_kernels::isa::isa;
use kerast_kernels::machine::{Kernel, Place, Program, Role, Session, Slot, Step};
use kerast_kernels::map::{Access, BinaryKind as B, Map, MapBuilder, Reg, Scalar, UnaryKind as U};
use kerast_kernels::pool::Pool;
use kerast_kernels::segment_sum::SegmentSum;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// Best time of one call in seconds.
fn best(mut f: impl FnMut()) -> f64 {
    f();
    let start = Instant::now();
    f();
    let once = start.elapsed().as_secs_f64().max(1e-9);
    let calls = (0.004 / once).clamp(1.0, 1e6) as usize;
    let mut best = f64::MAX;
    for _ in 0..12 {
        let start = Instant::now();
        (0..calls).for_each(|_| f());
        best = best.min(start.elapsed().as_secs_f64() / calls as f64);
    }
    best
}

/// Fused multiply-adds in registers: the speed that nothing exceeds, in GFLOP/s.
fn peak(pool: &Pool) -> f64 {
    const ROUNDS: usize = 20_000;
    let lanes = match isa().name() {
        "avx512" => 16,
        "avx2" => 8,
        _ => 4,
    };
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn wide() {
        use std::arch::x86_64::*;
        let (x, y) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(1e-9));
        let mut acc = [_mm512_set1_ps(1.0); 16];
        for _ in 0..ROUNDS {
            acc.iter_mut().for_each(|a| *a = _mm512_fmadd_ps(*a, x, y));
        }
        black_box(acc);
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn narrow() {
        use std::arch::x86_64::*;
        let (x, y) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(1e-9));
        let mut acc = [_mm256_set1_ps(1.0); 12];
        for _ in 0..ROUNDS {
            acc.iter_mut().for_each(|a| *a = _mm256_fmadd_ps(*a, x, y));
        }
        black_box(acc);
    }
    let work = || {
        #[cfg(target_arch = "x86_64")]
        match isa().name() {
            // SAFETY: `isa` names what the machine has.
            "avx512" => return unsafe { wide() },
            // SAFETY: as above.
            "avx2" => return unsafe { narrow() },
            _ => {}
        }
        let mut acc = [black_box(1.0f32); 32];
        for _ in 0..ROUNDS {
            acc.iter_mut().for_each(|a| *a = *a * 0.999 + 1e-9);
        }
        black_box(acc);
    };
    let vectors = match lanes {
        16 => 16,
        8 => 12,
        _ => 8,
    };
    let time = best(|| pool.run(pool.threads(), &|_| work()));
    2.0 * (pool.threads() * ROUNDS * vectors * lanes) as f64 / time / 1e9
}

struct Report {
    pools: Vec<(Arc<Pool>, f64)>,
    filter: String,
}

impl Report {
    /// One line: GFLOP/s and share of the peak for every pool.
    fn line(&self, name: &str, flops: f64, mut f: impl FnMut(&Arc<Pool>)) {
        if !name.contains(&self.filter) {
            return;
        }
        let mut line = format!("{name:40}");
        for (pool, peak) in &self.pools {
            let time = best(|| f(pool));
            let speed = flops / time / 1e9;
            line += &format!("  {:9.2} us {speed:6.1} GF/s {:4.0} %", time * 1e6, 100.0 * speed / peak);
        }
        println!("{line}");
    }
}

fn noise(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + 13) % 1000) as f32 / 1000.0 - 0.5).collect()
}

fn gemm(r: &Report, m: usize, k: usize, n: usize, form: &str) {
    let strides = |rows: usize, cols: usize, transposed: bool| match transposed {
        false => Strides { batch: 0, row: cols, col: 1 },
        true => Strides { batch: 0, row: 1, col: rows },
    };
    let (ta, tb) = (form.starts_with('T'), form.ends_with('T'));
    let g = Gemm { a: strides(m, k, ta), b: strides(k, n, tb), ..Gemm::plain(m, n, k) };
    let (a, b, mut c) = (noise(m * k), noise(k * n), vec![0.0f32; m * n]);
    r.line(&format!("gemm {m},{k},{n} {form}"), g.flops(), |pool| {
        // SAFETY: the operands have the sizes of the product.
        unsafe { gemm_f32(&g, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), pool, None) }
    });
}

const BIAS: &str = "bias";
const GELU: &str = "gelu";
const ADAM: &str = "adam";

/// What follows a product of `n` columns: its inputs beside the product, its outputs that are inputs too, its other outputs.
fn follows(name: &str, elements: usize, n: usize) -> (Map, usize, usize, usize) {
    let mut m = MapBuilder::new(elements);
    let constant = |m: &mut MapBuilder, v: f64| m.constant(DType::F32, v, 0);
    let binary = |m: &mut MapBuilder, k: B, x: Reg, y: Reg| m.op(&Scalar::Binary(k), &[x, y], DType::F32);
    let unary = |m: &mut MapBuilder, k: U, x: Reg| m.op(&Scalar::Unary(k), &[x], DType::F32);
    let raw = m.input(DType::F32, Access::Direct);
    if name == ADAM {
        let [mean, square, w] = [(); 3].map(|()| m.input(DType::F32, Access::Direct));
        let (slow, slower) = (constant(&mut m, 0.1), constant(&mut m, 0.001));
        let (rate, epsilon) = (constant(&mut m, 0.01), constant(&mut m, 1e-7));
        let lerp = |m: &mut MapBuilder, from: Reg, to: Reg, by: Reg| {
            let way = binary(m, B::Subtract, to, from);
            let step = binary(m, B::Multiply, way, by);
            binary(m, B::Add, from, step)
        };
        let mean = lerp(&mut m, mean, raw, slow);
        let gradient = binary(&mut m, B::Multiply, raw, raw);
        let square = lerp(&mut m, square, gradient, slower);
        let above = binary(&mut m, B::Multiply, mean, rate);
        let root = unary(&mut m, U::Sqrt, square);
        let below = binary(&mut m, B::Add, root, epsilon);
        let step = binary(&mut m, B::Divide, above, below);
        let w = binary(&mut m, B::Subtract, w, step);
        [mean, square, w].into_iter().for_each(|y| m.store(y));
        return (m.finish(), 3, 3, 0);
    }
    let bias = m.input(DType::F32, Access::Cyclic { repeat: 1, period: n });
    let x = binary(&mut m, B::Add, raw, bias);
    if name == BIAS {
        m.store(x);
        return (m.finish(), 1, 0, 1);
    }
    let (root, half, one) = (constant(&mut m, 0.5f64.sqrt()), constant(&mut m, 0.5), constant(&mut m, 1.0));
    let scaled = binary(&mut m, B::Multiply, x, root);
    let erf = unary(&mut m, U::Erf, scaled);
    let sum = binary(&mut m, B::Add, erf, one);
    let halved = binary(&mut m, B::Multiply, x, half);
    let y = binary(&mut m, B::Multiply, halved, sum);
    [x, y].into_iter().for_each(|y| m.store(y));
    (m.finish(), 1, 0, 2)
}

/// A product with a chain behind it.
fn chained(r: &Report, m: usize, k: usize, n: usize, form: &str, name: &str) {
    let by_column = form.starts_with('T');
    let a = if by_column { Strides { batch: 0, row: 1, col: m } } else { Strides { batch: 0, row: k, col: 1 } };
    let g = Gemm { a, ..Gemm::plain(m, n, k) };
    let operands = [noise(m * k), noise(k * n)].map(|x| Buffer::from_slice(&x));
    let kernel = || -> Box<dyn Kernel> { Box::new(GemmKernel::new(DType::F32, g.clone())) };
    let sessions = |pool: &Arc<Pool>| session(kernel(), &operands, m * n, n, name, pool);
    in_session(r, &format!("gemm {m},{k},{n} {form} + {name}"), g.flops(), sessions);
}

/// The step of an embedding: `rows` gradients summed by the words they belong to, and Adam on all words. It moves 24 bytes per weight.
fn embedding(r: &Report, words: usize, rows: usize, width: usize) {
    let ids: Vec<i32> = (0..rows).map(|i| (i * 7919 % 65_537 * 31 % words) as i32).collect();
    let operands = [Buffer::from_slice(&noise(rows * width)), Buffer::from_slice(&ids)];
    let kernel = || -> Box<dyn Kernel> { Box::new(SegmentSum::new(words, rows, width)) };
    let sessions = |pool: &Arc<Pool>| session(kernel(), &operands, words * width, width, ADAM, pool);
    in_session(r, &format!("segment_sum {words},{rows},{width} + {ADAM}"), (12 * words * width) as f64, sessions);
}

/// One line about a session per pool.
fn in_session(r: &Report, name: &str, flops: f64, make: impl Fn(&Arc<Pool>) -> Session) {
    let mut sessions: Vec<(usize, Session)> = vec![];
    r.line(name, flops, |pool| {
        let at = sessions.iter().position(|(threads, _)| *threads == pool.threads()).unwrap_or_else(|| {
            sessions.push((pool.threads(), make(pool)));
            sessions.len() - 1
        });
        sessions[at].1.run();
    });
}

/// A kernel on two operands, whose result has `cells` elements in rows of `n`, with a chain behind it.
fn session(kernel: Box<dyn Kernel>, of: &[Buffer; 2], cells: usize, n: usize, name: &str, pool: &Arc<Pool>) -> Session {
    let (map, inputs, kept, made) = follows(name, cells, n);
    let chain = Chain::new(map, (0..=inputs).map(|i| i.checked_sub(1).map(|i| i + 2)).collect());
    let kernel = kernel.fuse(chain);
    let beside = vec![if kept == 0 { n } else { cells }; inputs];
    let more: Vec<usize> = beside.into_iter().chain(vec![cells; made]).collect();
    let sizes: Vec<usize> = of.iter().map(Buffer::len).chain(more.iter().map(|n| n * 4)).collect();
    let place = |k: usize| Place { slot: k + 1, offset: 0, bytes: sizes[k] };
    let step = Step {
        inputs: (0..2 + inputs).map(place).collect(),
        outputs: (2..2 + kept).chain(2 + inputs..2 + inputs + made).map(place).collect(),
        scratch: Place { slot: 0, offset: 0, bytes: kernel.scratch() },
        label: name.into(),
        kernel,
    };
    let slots = sizes.iter().map(|&bytes| Slot { bytes, role: Role::State }).collect();
    let program = Program::new(step.scratch.bytes, slots, vec![step]).expect("a valid program");
    let mut session = Session::new(Arc::new(program), pool.clone()).expect("memory");
    of.iter().enumerate().for_each(|(k, x)| session.put(k, x.clone()));
    more.iter().enumerate().for_each(|(k, n)| session.put(2 + k, Buffer::from_slice(&noise(*n))));
    session
}

/// The two products of an attention layer, on heads side by side: [length, heads, size].
fn attention(r: &Report, batch: usize, heads: usize, length: usize, size: usize) {
    let row = heads * size;
    let along = Strides { batch: size, row, col: 1 };
    let turned = Strides { batch: size, row: 1, col: row };
    let dense = Strides { batch: length * length, row: length, col: 1 };
    let scores = Gemm { batch: heads, a: along, b: turned, ..Gemm::plain(length, length, size) };
    let values = Gemm { a: dense, b: along, c_batch: size, c_row: row, n: size, k: length, ..scores.clone() };
    for (name, g) in [("scores", scores), ("values", values)] {
        let [na, nb, nc] = g.extents();
        let (a, b, mut c) = (noise(na * batch), noise(nb * batch), vec![0.0f32; nc * batch]);
        r.line(&format!("attention {batch},{heads},{length},{size} {name}"), g.flops() * batch as f64, |pool| {
            for i in 0..batch {
                // SAFETY: the operands have the sizes of `batch` products of all heads.
                unsafe {
                    gemm_f32(&g, a[i * na..].as_ptr(), b[i * nb..].as_ptr(), c[i * nc..].as_mut_ptr(), pool, None)
                }
            }
        });
    }
}

/// Forward and both gradients.
fn conv(r: &Report, name: &str, c: Conv) {
    for (form, c) in [("y", c.clone()), ("dx", by_input(&c)), ("dw", by_weights(&c))] {
        let [nx, nw, ny] = c.extents();
        let (x, w, mut y) = (noise(nx), noise(nw), vec![0.0f32; ny]);
        r.line(&format!("conv {name} {form}"), c.flops(), |pool| {
            // SAFETY: the operands have the sizes that `extents` names.
            unsafe { conv_f32(&c, x.as_ptr(), w.as_ptr(), y.as_mut_ptr(), pool, None) }
        });
    }
}

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let pools =
        [1, 2].map(|n| Arc::new(Pool::new(n))).into_iter().map(|p| (peak(&p), p)).map(|(peak, p)| (p, peak)).collect();
    let r = Report { pools, filter };
    let entry = best(|| r.pools[1].0.run(2, &|_| {}));
    println!("entering the pool: {:.0} ns", entry * 1e9);
    println!("{}: {:.0} GFLOP/s on one thread, {:.0} on two", isa(), r.pools[0].1, r.pools[1].1);
    for (m, k, n, forms) in [
        (128, 784, 128, "NN"),
        (784, 128, 128, "TN"),
        (128, 128, 10, "NN"),
        (128, 10, 128, "NT"),
        (128, 128, 10, "TN"),
        (128, 512, 512, "NN NT"),
        (512, 128, 512, "TN"),
        (128, 2450, 500, "NN NT"),
        (2450, 128, 500, "TN"),
        (2048, 1024, 1024, "NN TN NT"),
        (25088, 288, 32, "NN"),
        (288, 25088, 32, "TN"),
        (6272, 576, 64, "NN"),
        (576, 6272, 64, "TN"),
        (18432, 25, 32, "NN"),
        (25, 18432, 32, "NT TN"),
        (1568, 2304, 256, "NN"),
        (1, 512, 512, "NN NT"),
        (512, 512, 1, "NN"),
        (32, 32, 32, "NN NT"),
        (10, 8, 12, "NN NT TN"),
        (8, 1024, 1024, "NN NT"),
        (32, 256, 1024, "NN NT"),
        (128, 256, 1024, "NN NT"),
        (1024, 128, 1024, "TN"),
        (1024, 1024, 256, "TN"),
        (256, 1024, 256, "TN"),
        (256, 1024, 1024, "TN"),
        (128, 2560, 512, "TN"),
        (4096, 256, 1024, "NN"),
    ] {
        forms.split(' ').for_each(|form| gemm(&r, m, k, n, form));
    }
    for (m, k, n, form, name) in [
        (128, 784, 128, "NN", BIAS),
        (784, 128, 128, "TN", ADAM),
        (1024, 256, 1024, "NN", GELU),
        (1024, 1024, 256, "NN", BIAS),
        (256, 1024, 1024, "TN", ADAM),
        (1024, 1024, 256, "TN", ADAM),
        (1024, 256, 10_000, "NN", BIAS),
        (256, 1024, 10_000, "TN", ADAM),
    ] {
        chained(&r, m, k, n, form, name);
    }
    embedding(&r, 20_000, 2560, 128);
    attention(&r, 8, 8, 128, 64);
    attention(&r, 1, 12, 512, 64);
    attention(&r, 16, 4, 32, 16);
    for (n, h, w, ci, co, k, stride, groups) in [
        (128, 32, 32, 16, 16, 3, 1, 1),
        (128, 32, 32, 32, 32, 3, 1, 1),
        (128, 16, 16, 64, 64, 3, 1, 1),
        (1, 56, 56, 64, 64, 3, 1, 1),
        (8, 14, 14, 256, 256, 3, 1, 1),
        (128, 28, 28, 1, 32, 5, 1, 1),
        (128, 28, 28, 1, 32, 3, 1, 1),
        (128, 14, 14, 32, 64, 3, 1, 1),
        (32, 32, 32, 3, 32, 3, 1, 1),
        (128, 12, 12, 20, 50, 5, 1, 1),
        (8, 56, 56, 64, 128, 3, 2, 1),
        (8, 56, 56, 64, 128, 1, 2, 1),
        (8, 56, 56, 64, 64, 1, 1, 1),
        (1, 224, 224, 3, 64, 7, 2, 1),
        (8, 7, 7, 512, 512, 3, 1, 1),
        (32, 4, 4, 512, 512, 3, 1, 1),
        (128, 2, 2, 256, 256, 3, 1, 1),
        (32, 1, 512, 64, 64, 5, 1, 1),
        (8, 56, 56, 128, 128, 3, 1, 128),
        (8, 28, 28, 256, 256, 3, 2, 256),
    ] {
        let same = |size: usize, kernel: usize| {
            let low = (kernel as isize - 1) / 2;
            Dim::new(size, kernel, stride, low, kernel as isize - 1 - low)
        };
        let kh = if h == 1 { 1 } else { k };
        let name = format!("{n},{h},{w},{ci}>{co},{k}/{stride} g{groups}");
        conv(&r, &name, Conv::channels_last(n, ci, co, groups, vec![same(h, kh), same(w, k)]));
    }
}
