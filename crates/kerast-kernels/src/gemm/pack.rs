//! Copies of operands in the order in which micro-kernels read them.

use super::micro::Kernels;

/// A panel to be copied: element (depth d, across w) lies at `src + d*deep + w*wide`.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub(crate) src: *const f32,
    pub(crate) deep: usize,
    pub(crate) wide: usize,
    pub(crate) depth: usize,
    /// How many elements exist across.
    pub(crate) across: usize,
}

/// Writes dst[d*width + w], zero for `across` <= w < `width`.
///
/// # Safety
/// Every element of the panel is readable, `depth * width` elements at `dst` are writable, and the machine has the
/// kernels' instruction set.
pub(crate) unsafe fn pack(kernels: &Kernels, p: Panel, width: usize, dst: *mut f32) {
    // SAFETY: as demanded of the caller; each branch stays within depth x across elements of the source.
    unsafe {
        if p.wide == 1 {
            pack_rows(kernels, p, width, dst, 0);
        } else if p.deep == 1 {
            (kernels.transpose)(p.src, p.wide, p.across, p.depth, dst, width, width);
        } else {
            for d in 0..p.depth {
                for w in 0..width {
                    let value = if w < p.across { *p.src.add(d * p.deep + w * p.wide) } else { 0.0 };
                    dst.add(d * width + w).write(value);
                }
            }
        }
    }
}

/// Writes dst[q*panel + d*width + w] = src[d*deep + q*width + w] for all panels q of a matrix of `across` columns, side
/// by side in memory, row by row: the source is read in its own order. The last panel is filled up with zeros.
///
/// # Safety
/// As for [`pack`], with `panel` elements at `dst` for every panel.
pub(crate) unsafe fn pack_rows(kernels: &Kernels, p: Panel, width: usize, dst: *mut f32, panel: usize) {
    let vectors = width.div_ceil(kernels.lanes);
    // SAFETY: as demanded of the caller.
    unsafe {
        if (1..=kernels.panels.len()).contains(&vectors) {
            return (kernels.panels[vectors - 1])(&p, width, dst, panel);
        }
        for first in (0..p.across).step_by(width) {
            let (count, dst) = (width.min(p.across - first), dst.add(first / width * panel));
            for d in 0..p.depth {
                std::ptr::copy_nonoverlapping(p.src.add(d * p.deep + first), dst.add(d * width), count);
                std::ptr::write_bytes(dst.add(d * width + count), 0, width - count);
            }
        }
    }
}
