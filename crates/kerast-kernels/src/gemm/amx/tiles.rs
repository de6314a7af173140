//! The instructions of the matrix unit. (Their intrinsics are not stable Rust, assembly is.)

use super::parts::{PANEL, TILE};
use std::arch::asm;
use std::marker::PhantomData;

/// How the eight tiles are shaped: 16 rows of 64 bytes each.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIGURATION: Configuration = {
    let (mut bytes, mut rows) = ([0; 16], [0; 16]);
    let mut i = 0;
    while i < 8 {
        (bytes[i], rows[i]) = (64, 16);
        i += 1;
    }
    Configuration { palette: 1, start: 0, reserved: [0; 14], bytes, rows }
};

/// The unit in use by this thread; it is put to rest at the end, lest every switch of threads saves its tiles.
pub(super) struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// # Safety
    /// The machine has the unit, and the process may use it.
    pub(super) unsafe fn begin() -> Tiles {
        // SAFETY: reads the configuration; no Rust code uses the tiles.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &CONFIGURATION, options(nostack, preserves_flags, readonly)) };
        Tiles(PhantomData)
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: no Rust code uses the tiles.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
    }
}

/// Adds the products of two panels, so many tiles deep, to a tile of C with rows `row` elements apart, or sets it to them.
///
/// One tile of sums, one of A, one of B, and not the eight there are: the unit runs as fast, and where another thread shares it nearly
/// twice as fast, because it has fewer tiles in flight then. The order of the six products loads one tile twice.
///
/// # Safety
/// The panels are this deep, the tile of C is readable and writable, and the unit is in use.
#[inline]
unsafe fn whole(a: *const f32, b: *const f32, depth: usize, c: *mut f32, row: usize, fresh: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "test {fresh:e}, {fresh:e}",
            "jz 3f",
            "tilezero tmm0",
            "jmp 2f",
            "3:",
            "tileloadd tmm0, [{c} + {row}]",
            "2:",
            "tileloadd tmm1, [{a} + {line} + 2048]",
            "tileloadd tmm2, [{b} + {line}]",
            "tdpbf16ps tmm0, tmm1, tmm2",
            "tileloadd tmm1, [{a} + {line} + 1024]",
            "tdpbf16ps tmm0, tmm1, tmm2",
            "tileloadd tmm2, [{b} + {line} + 1024]",
            "tdpbf16ps tmm0, tmm1, tmm2",
            "tileloadd tmm1, [{a} + {line}]",
            "tdpbf16ps tmm0, tmm1, tmm2",
            "tileloadd tmm2, [{b} + {line} + 2048]",
            "tdpbf16ps tmm0, tmm1, tmm2",
            "tileloadd tmm2, [{b} + {line}]",
            "tdpbf16ps tmm0, tmm1, tmm2",
            "add {a}, 3072",
            "add {b}, 3072",
            "dec {depth}",
            "jnz 2b",
            "tilestored [{c} + {row}], tmm0",
            a = inout(reg) a => _,
            b = inout(reg) b => _,
            depth = inout(reg) depth => _,
            c = in(reg) c,
            row = in(reg) row * size_of::<f32>(),
            line = in(reg) 64_usize,
            fresh = in(reg) u32::from(fresh),
            out("tmm0") _, out("tmm1") _, out("tmm2") _,
            options(nostack),
        );
    }
}

#[repr(align(64))]
struct Apart([f32; TILE]);

/// A block of C of at most 16 x 16: the products of two panels, so many tiles deep, `fresh` or added to what is there.
///
/// # Safety
/// The panels are this deep, and the block of C is readable and writable.
#[inline]
pub(super) unsafe fn block(
    _: &Tiles,
    (a, b, depth): (*const f32, *const f32, usize),
    c: *mut f32,
    c_row: usize,
    (rows, columns): (usize, usize),
    fresh: bool,
) {
    // SAFETY: passed on. Of a tile that C has in part, that part is copied.
    unsafe {
        if (rows, columns) == (PANEL, PANEL) {
            return whole(a, b, depth, c, c_row, fresh);
        }
        let mut apart = Apart([0.0; TILE]);
        let apart = apart.0.as_mut_ptr();
        if !fresh {
            for i in 0..rows {
                std::ptr::copy_nonoverlapping(c.add(i * c_row), apart.add(i * PANEL), columns);
            }
        }
        whole(a, b, depth, apart, PANEL, false);
        for i in 0..rows {
            std::ptr::copy_nonoverlapping(apart.add(i * PANEL), c.add(i * c_row), columns);
        }
    }
}
