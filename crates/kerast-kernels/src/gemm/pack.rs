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
/// Every element of the panel is readable, `depth * width` elements at `dst` are writable, and the machine has the kernels'
/// instruction set.
pub(crate) unsafe fn pack(kernels: &Kernels, p: Panel, width: usize, dst: *mut f32) {
    // SAFETY: as demanded of the caller; each branch stays within depth x across elements of the source.
    unsafe {
        if p.wide == 1 && p.across == width {
            match width {
                32 => rows::<32>(p, dst),
                16 => rows::<16>(p, dst),
                12 => rows::<12>(p, dst),
                8 => rows::<8>(p, dst),
                6 => rows::<6>(p, dst),
                _ => gather(p, width, dst),
            }
        } else if p.wide == 1 {
            for d in 0..p.depth {
                std::ptr::copy_nonoverlapping(p.src.add(d * p.deep), dst.add(d * width), p.across);
                std::ptr::write_bytes(dst.add(d * width + p.across), 0, width - p.across);
            }
        } else if p.deep == 1 {
            (kernels.transpose)(p.src, p.wide, p.across, p.depth, dst, width, width);
        } else {
            gather(p, width, dst);
        }
    }
}

/// Rows of a length known to the compiler.
unsafe fn rows<const W: usize>(p: Panel, dst: *mut f32) {
    for d in 0..p.depth {
        // SAFETY: W elements exist across; see `pack`.
        unsafe { dst.add(d * W).cast::<[f32; W]>().write(p.src.add(d * p.deep).cast::<[f32; W]>().read()) };
    }
}

unsafe fn gather(p: Panel, width: usize, dst: *mut f32) {
    for d in 0..p.depth {
        for w in 0..width {
            // SAFETY: element (d, w) exists for w < across; see `pack`.
            unsafe { *dst.add(d * width + w) = if w < p.across { *p.src.add(d * p.deep + w * p.wide) } else { 0.0 } };
        }
    }
}
