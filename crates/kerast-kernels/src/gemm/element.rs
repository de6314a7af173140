//! Products of any element type in plain loops.

use super::micro::even;
use super::{Gemm, Strides, gemm_f32};
use crate::isa::per_isa;
use crate::number::{Number, narrow_all, widen_all};
use crate::pool::Pool;
use crate::scratch::{HALVES, with_scratch};

/// Columns of C that are summed up at once.
const WIDE: usize = 16;
/// Rows of C that share each element of B.
const HIGH: usize = 4;
/// Multiplications per task at least.
const TASK: usize = 1 << 18;

/// The product for any element type. Halves are summed in f32 and rounded once, integers wrap.
///
/// # Safety
/// As for [`super::gemm_f32`].
pub unsafe fn gemm_element<T: Number>(g: &Gemm, a: *const T, b: *const T, c: *mut T, pool: &Pool) {
    if T::HALF {
        // SAFETY: passed on.
        return unsafe { halves(g, a, b, c, pool) };
    }
    let panels = g.n.div_ceil(WIDE);
    let all = g.batch * panels;
    let work = (g.m * g.k.max(1)).saturating_mul(WIDE);
    let tasks = all.min((work.saturating_mul(all) / TASK).clamp(1, 8 * pool.threads()));
    let operands = (Pointer(a), Pointer(b), Pointer(c));
    pool.run(tasks, &|t| {
        let (a, b, c) = (operands.0.get(), operands.1.get(), operands.2.get().cast_mut());
        let mut right = Vec::new();
        for item in even(all, tasks, t) {
            let (batch, j) = (item / panels, item % panels * WIDE);
            let columns = WIDE.min(g.n - j);
            let [of_a, of_b, of_c] = g.starts(batch);
            // SAFETY: matrix `batch`, columns from j on; tasks have disjoint columns of C.
            unsafe {
                pack(b.wrapping_add(of_b + j * g.b.col), g.b, g.k, columns, &mut right);
                panel(g, a.wrapping_add(of_a), &right, c.wrapping_add(of_c + j), columns);
            }
        }
    });
}

/// The product of two-byte floats by way of f32.
unsafe fn halves<T: Number>(g: &Gemm, a: *const T, b: *const T, c: *mut T, pool: &Pool) {
    let [na, nb, nc] = g.extents();
    // Whole cache lines, so that operands begin at one.
    let [sa, sb] = [na, nb].map(|n| n.next_multiple_of(16));
    with_scratch(&HALVES, sa + sb + nc, |memory| {
        // SAFETY: the scratch memory holds the three operands; rows of C may have gaps, which keep their content.
        unsafe {
            let (wa, wb, wc) = (memory, memory.add(sa), memory.add(sa + sb));
            widen_all(a, wa, na, pool);
            widen_all(b, wb, nb, pool);
            if g.accumulate || nc > g.batch * g.m * g.n {
                widen_all(c, wc, nc, pool);
            }
            gemm_f32(g, wa, wb, wc, pool, None);
            narrow_all(wc, c, nc, pool);
        }
    });
}

#[derive(Clone, Copy)]
struct Pointer<T>(*const T);
// SAFETY: tasks read the inputs and write disjoint parts of the output.
unsafe impl<T> Sync for Pointer<T> {}

impl<T> Pointer<T> {
    fn get(&self) -> *const T {
        self.0
    }
}

unsafe fn pack<T: Number>(b: *const T, s: Strides, k: usize, columns: usize, right: &mut Vec<[T::Sum; WIDE]>) {
    right.clear();
    right.resize(k, [T::Sum::default(); WIDE]);
    for (p, row) in right.iter_mut().enumerate() {
        for j in 0..columns {
            // SAFETY: row p and column j of B exist.
            row[j] = unsafe { *b.wrapping_add(p * s.row + j * s.col) }.to_sum();
        }
    }
}

per_isa! {
    /// # Safety
    /// The left side is readable, these columns of the result are writable, and nobody else uses them.
    unsafe fn panel<T: Number>(g: &Gemm, a: *const T, right: &[[T::Sum; WIDE]], c: *mut T, columns: usize) =>
        // SAFETY: passed on.
        unsafe { panel_with(g, a, right, c, columns) }
}

#[inline(always)]
unsafe fn panel_with<T: Number>(g: &Gemm, a: *const T, right: &[[T::Sum; WIDE]], c: *mut T, columns: usize) {
    for i in (0..g.m).step_by(HIGH) {
        let rows = HIGH.min(g.m - i);
        let mut acc = [[T::Sum::default(); WIDE]; HIGH];
        for (p, row) in right.iter().enumerate() {
            for r in 0..HIGH {
                let i = i + r.min(rows - 1);
                // SAFETY: row i and column p of A exist.
                let left = unsafe { *a.wrapping_add(i * g.a.row + p * g.a.col) }.to_sum();
                for j in 0..WIDE {
                    acc[r][j] = T::multiply_add(left, row[j], acc[r][j]);
                }
            }
        }
        for r in 0..rows {
            for j in 0..columns {
                let place = c.wrapping_add((i + r) * g.c_row + j);
                // SAFETY: row i + r and column j of C exist.
                unsafe {
                    let before = if g.accumulate { (*place).to_sum() } else { T::Sum::default() };
                    *place = T::narrow(T::plus(before, acc[r][j]));
                }
            }
        }
    }
}
