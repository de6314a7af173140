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
        if p.wide == 1 && p.across == width {
            pack_rows(kernels, p, width, dst, 0)
        } else if p.wide == 1 && p.across < 12 {
            // Known to the compiler, so that none is a call.
            match p.across {
                11 => few::<11>(p, width, dst),
                10 => few::<10>(p, width, dst),
                9 => few::<9>(p, width, dst),
                8 => few::<8>(p, width, dst),
                7 => few::<7>(p, width, dst),
                6 => few::<6>(p, width, dst),
                5 => few::<5>(p, width, dst),
                4 => few::<4>(p, width, dst),
                3 => few::<3>(p, width, dst),
                2 => few::<2>(p, width, dst),
                1 => few::<1>(p, width, dst),
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

/// Writes dst[p*panel + d*width + w] = src[d*deep + p*width + w] for all panels p of a matrix of `across` columns, side
/// by side in memory, row by row: the source is read in its own order.
///
/// # Safety
/// As for [`pack`], with `panel` elements at `dst` for every panel.
pub(crate) unsafe fn pack_rows(kernels: &Kernels, p: Panel, width: usize, dst: *mut f32, panel: usize) {
    let vectors = width / kernels.lanes;
    // SAFETY: as demanded of the caller.
    unsafe {
        match (width.is_multiple_of(kernels.lanes), width) {
            (true, _) if vectors <= kernels.panels.len() => {
                let (whole, rest) = (p.across / width, p.across % width);
                (kernels.panels[vectors - 1])(p.src, p.deep, p.depth, dst, panel, whole);
                if rest > 0 {
                    let last = Panel { src: p.src.add(whole * width), across: rest, ..p };
                    pack(kernels, last, width, dst.add(whole * panel));
                }
            }
            (_, 12) => spread::<12>(p, dst, panel),
            (_, 9) => spread::<9>(p, dst, panel),
            (_, 8) => spread::<8>(p, dst, panel),
            (_, 4) => spread::<4>(p, dst, panel),
            _ if p.across == width => gather(p, width, dst),
            _ => unreachable!("no tile is {width} wide"),
        }
    }
}

unsafe fn spread<const W: usize>(p: Panel, dst: *mut f32, panel: usize) {
    let whole = p.across / W;
    let rest = p.across % W;
    for d in 0..p.depth {
        // SAFETY: see `pack_rows`.
        unsafe {
            let src = p.src.add(d * p.deep);
            let dst = dst.add(d * W);
            for i in 0..whole {
                dst.add(i * panel).cast::<[f32; W]>().write(src.add(i * W).cast::<[f32; W]>().read());
            }
            if rest > 0 {
                std::ptr::copy_nonoverlapping(src.add(whole * W), dst.add(whole * panel), rest);
                std::ptr::write_bytes(dst.add(whole * panel + rest), 0, W - rest);
            }
        }
    }
}

/// Rows of which only W elements exist.
unsafe fn few<const W: usize>(p: Panel, width: usize, dst: *mut f32) {
    for d in 0..p.depth {
        // SAFETY: W elements exist across, and `width` at the target; see `pack`.
        unsafe {
            let dst = dst.add(d * width);
            dst.cast::<[f32; W]>().write_unaligned(p.src.add(d * p.deep).cast::<[f32; W]>().read_unaligned());
            (W..width).for_each(|w| *dst.add(w) = 0.0);
        }
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
