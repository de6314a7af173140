//! One input channel per group: products channel by channel, side by side in vectors.

use super::cut::Cut;
use super::finish::Finish;
use super::problem::{Operands, Problem};
use super::weights;
use crate::gemm::drive::Team;
use crate::gemm::micro::{Kernels, STRANDS, Segment, Strand, even};
use crate::scratch::{SHARED, with_scratch};
use std::ops::Range;

/// Solves all groups at once if each has one channel of x; `p` describes one group.
///
/// # Safety
/// As for [`super::conv_f32`].
pub(super) unsafe fn solve(
    kernels: &Kernels,
    p: &Problem,
    groups: usize,
    batch_groups: usize,
    o: Operands,
    team: Team<'_>,
) -> bool {
    let one_each = if groups > 1 { p.inputs == 1 } else { p.batch == 1 };
    if !one_each {
        return false;
    }
    // Several outputs per channel are as many convolutions with one.
    let times = p.outputs;
    let mut all = p.clone();
    all.outputs = groups * batch_groups;
    all.w_output *= times;
    all.y_channel *= times;
    for i in 0..times {
        let o = o.at(0, i * p.w_output, i * p.y_channel);
        // SAFETY: every `times`th output channel from i on.
        unsafe {
            if groups > 1 {
                all.inputs = groups;
                pixels(kernels, &all, o, team);
            } else {
                all.batch = batch_groups;
                weights::solve(kernels, &all, o, team, None, true);
            }
        }
    }
    true
}

/// Sums over taps.
unsafe fn pixels(kernels: &Kernels, p: &Problem, o: Operands, team: Team<'_>) {
    let (taps, channels) = (p.taps(), p.outputs);
    with_scratch(&SHARED, taps * channels, |packed| {
        let [d, h, w] = p.axes;
        for tap in 0..taps {
            let (kd, kh, kw) = (tap / (h.kernel * w.kernel), tap / w.kernel % h.kernel, tap % w.kernel);
            let place = kd as isize * d.w + kh as isize * h.w + kw as isize * w.w;
            for c in 0..channels {
                // SAFETY: a tap of channel c, to its place in the scratch memory.
                unsafe { *packed.add(tap * channels + c) = *o.weight(place + (c * p.w_output) as isize) };
            }
        }
        let cut = Cut::new(p, team.threads(), 0, 1);
        let segments: Vec<Segment> = cut.taps(p, false, channels);
        let weights = Operands { w: packed, ..o };
        let work = |left: *const f32, c: *mut f32, c_line: usize, c_row: usize, size: [usize; 2], _: Range<usize>| {
            let tiles = size[1].div_ceil(STRANDS);
            for line in 0..size[0] {
                for t in 0..tiles {
                    let pixels = even(size[1], tiles, t);
                    let strand = Strand {
                        segments: &segments,
                        k: 1,
                        x: left.wrapping_add(line * h.stride * cut.pitch[1] + pixels.start * w.stride * cut.pitch[2]),
                        x_step: w.stride * cut.pitch[2],
                        x_tap: 0,
                        w: weights.weight(0),
                        w_step: 0,
                        y: c.wrapping_add(line * c_line + pixels.start * c_row),
                        y_step: c_row,
                        channels,
                        accumulate: false,
                    };
                    // SAFETY: the pixels lie within the block, their inputs within its strip.
                    unsafe { (kernels.across[pixels.len() - 1])(&strand) };
                }
            }
        };
        // SAFETY: passed on.
        unsafe { cut.run(kernels, p, o, team, Finish::Nothing, &work) };
    });
}
