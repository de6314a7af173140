//! Boxes of an operand copied with their padding, channels innermost.

use crate::gemm::micro::Kernels;

/// A data operand with three spatial dimensions.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) base: *const f32,
    /// Strides of the spatial dimensions.
    pub(super) step: [isize; 3],
    /// Positions that exist.
    pub(super) size: [usize; 3],
    /// Stride of the channels.
    pub(super) channel: usize,
    pub(super) channels: usize,
}

/// Copies the box of `count` positions from `first` on to `dst`, laid out [.., .., .., channel] without gaps; zeros
/// where the source has no positions.
///
/// # Safety
/// The source has the size it names, and `dst` is writable for the whole box.
pub(super) unsafe fn load(kernels: &Kernels, s: &Source, first: [isize; 3], count: [usize; 3], dst: *mut f32) {
    let row = count[2] * s.channels;
    // The stretch of each row that exists.
    let start = (-first[2]).clamp(0, count[2] as isize) as usize;
    let end = (s.size[2] as isize - first[2]).clamp(start as isize, count[2] as isize) as usize;
    for i in 0..count[0] {
        for j in 0..count[1] {
            let (z, r) = (first[0] + i as isize, first[1] + j as isize);
            let exists = (0..s.size[0] as isize).contains(&z) && (0..s.size[1] as isize).contains(&r);
            // SAFETY: row (i, j) of the box; the stretch read exists in the source.
            unsafe {
                let dst = dst.add((i * count[1] + j) * row);
                if !exists || start == end {
                    std::ptr::write_bytes(dst, 0, row);
                    continue;
                }
                std::ptr::write_bytes(dst, 0, start * s.channels);
                let offset = z * s.step[0] + r * s.step[1] + (first[2] + start as isize) * s.step[2];
                copy(kernels, s, s.base.wrapping_offset(offset), end - start, dst.add(start * s.channels));
                std::ptr::write_bytes(dst.add(end * s.channels), 0, row - end * s.channels);
            }
        }
    }
}

/// Copies `count` positions of one row.
unsafe fn copy(kernels: &Kernels, s: &Source, src: *const f32, count: usize, dst: *mut f32) {
    let (channels, step) = (s.channels, s.step[2]);
    // SAFETY: as demanded of the caller.
    unsafe {
        if s.channel == 1 && step == channels as isize {
            std::ptr::copy_nonoverlapping(src, dst, count * channels);
        } else if s.channel == 1 {
            for p in 0..count {
                std::ptr::copy_nonoverlapping(src.wrapping_offset(p as isize * step), dst.add(p * channels), channels);
            }
        } else if step == 1 {
            (kernels.transpose)(src, s.channel, channels, count, dst, channels, channels);
        } else {
            for p in 0..count {
                for c in 0..channels {
                    *dst.add(p * channels + c) = *src.wrapping_offset(p as isize * step).wrapping_add(c * s.channel);
                }
            }
        }
    }
}
