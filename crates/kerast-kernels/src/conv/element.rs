//! Convolutions of any element type and shape in plain loops.

use super::{Conv, Dim, conv_f32};
use crate::gemm::micro::even;
use crate::number::{Number, narrow_all, widen_all};
use crate::pool::Pool;
use crate::scratch::{HALVES, with_scratch};

/// The convolution for any element type. Halves are summed in f32 and rounded once, integers wrap.
///
/// # Safety
/// As for [`super::conv_f32`].
pub unsafe fn conv_element<T: Number>(c: &Conv, x: *const T, w: *const T, y: *mut T, pool: &Pool) {
    let pixels = c.pixels();
    if pixels == 0 || c.out_channels == 0 {
        return;
    }
    if T::HALF {
        // SAFETY: passed on.
        return unsafe { halves(c, x, w, y, pool) };
    }
    let tasks = pixels.min((c.flops() / 1e6).clamp(1.0, 8.0 * pool.threads() as f64) as usize);
    let operands = (Pointer(x), Pointer(w), Pointer(y));
    pool.run(tasks, &|t| {
        let (x, w, y) = (operands.0.get(), operands.1.get(), operands.2.get().cast_mut());
        let mut sums = vec![T::Sum::default(); c.out_channels];
        for pixel in even(pixels, tasks, t) {
            // SAFETY: tasks have disjoint pixels of y.
            unsafe { compute(c, x, w, y, pixel, &mut sums) };
        }
    });
}

/// The convolution of two-byte floats by way of f32.
unsafe fn halves<T: Number>(c: &Conv, x: *const T, w: *const T, y: *mut T, pool: &Pool) {
    let [nx, nw, ny] = c.extents();
    // Whole cache lines, so that operands begin at one.
    let [sx, sw] = [nx, nw].map(|n| n.next_multiple_of(16));
    with_scratch(&HALVES, sx + sw + ny, |memory| {
        // SAFETY: the scratch memory holds the three operands; y may have gaps, which keep their content.
        unsafe {
            let (wx, ww, wy) = (memory, memory.add(sx), memory.add(sx + sw));
            widen_all(x, wx, nx, pool);
            widen_all(w, ww, nw, pool);
            if ny > c.pixels() * c.out_channels {
                widen_all(y, wy, ny, pool);
            }
            conv_f32(c, wx, ww, wy, pool, None);
            narrow_all(wy, y, ny, pool);
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

/// Where tap `k` of output `s` lies in the input, if it hits one.
fn hit(d: &Dim, s: usize, k: usize) -> Option<usize> {
    let at = (s * d.stride + k * d.kernel_dilation) as isize - d.pad_low;
    let dilation = d.input_dilation as isize;
    (at >= 0 && at % dilation == 0 && at / dilation < d.input as isize).then_some((at / dilation) as usize)
}

/// All channels of one output position.
unsafe fn compute<T: Number>(c: &Conv, x: *const T, w: *const T, y: *mut T, pixel: usize, sums: &mut [T::Sum]) {
    let rank = c.spatial.len();
    let mut at = [0; 3];
    let mut rest = pixel;
    let mut place = 0;
    for i in (0..rank).rev() {
        at[i] = rest % c.spatial[i].output;
        rest /= c.spatial[i].output;
        place += at[i] * c.y.spatial[i];
    }
    let example = rest;
    sums.fill(T::Sum::default());
    let taps: usize = c.spatial.iter().map(|d| d.kernel).product();
    let (inputs, outputs) = (c.in_channels / c.groups, c.out_channels / c.groups);
    let batch_outputs = c.out_channels / c.batch_groups;
    'taps: for tap in 0..taps {
        let (mut rest, mut from, mut weight) = (tap, 0, 0);
        for i in (0..rank).rev() {
            let d = &c.spatial[i];
            let k = rest % d.kernel;
            rest /= d.kernel;
            match hit(d, at[i], k) {
                Some(p) => from += p * c.x.spatial[i],
                None => continue 'taps,
            }
            weight += if d.reversed { d.kernel - 1 - k } else { k } * c.w.spatial[i];
        }
        for channel in 0..inputs {
            for (o, sum) in sums.iter_mut().enumerate() {
                let n = example + o / batch_outputs * c.out_batch();
                let channel_of_x = o / outputs * inputs + channel;
                // SAFETY: the caller vouches for the operands; the position was checked by `hit`.
                let (a, b) = unsafe {
                    (
                        *x.add(n * c.x.batch + channel_of_x * c.x.channel + from),
                        *w.add(o * c.w.output + channel * c.w.input + weight),
                    )
                };
                *sum = T::multiply_add(a.to_sum(), b.to_sum(), *sum);
            }
        }
    }
    for (o, sum) in sums.iter().enumerate() {
        // SAFETY: output channel o of this position.
        unsafe { *y.add(example * c.y.batch + o * c.y.channel + place) = T::narrow(*sum) };
    }
}
