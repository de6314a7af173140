//! Memory that a thread keeps from call to call for packed panels and strips: it grows, it is never given back.

use crate::buffer::{ALIGN, Buffer};
use std::cell::Cell;
use std::thread::LocalKey;

thread_local! {
    /// Operands packed by the caller of a product for all threads.
    pub(crate) static SHARED: Slot = const { Cell::new(None) };
    /// The right-hand operand packed by one task for itself.
    pub(crate) static RIGHT: Slot = const { Cell::new(None) };
    /// The left-hand operand packed by one task for itself.
    pub(crate) static LEFT: Slot = const { Cell::new(None) };
    /// Partial sums of the caller of a product.
    pub(crate) static PARTIAL: Slot = const { Cell::new(None) };
    /// Windows of a convolution gathered into the rows of a matrix.
    pub(crate) static GATHERED: Slot = const { Cell::new(None) };
    /// Operands of two-byte floats as f32.
    pub(crate) static HALVES: Slot = const { Cell::new(None) };
    /// Rows of a window reduced to one.
    pub(crate) static ROW: Slot = const { Cell::new(None) };
    /// Blocks of a result that is never there as a whole.
    pub(crate) static KEPT: Slot = const { Cell::new(None) };
    /// A vector made contiguous.
    pub(crate) static VECTOR: Slot = const { Cell::new(None) };
}

/// One thread's memory for one purpose.
pub(crate) type Slot = Cell<Option<Buffer>>;

/// Calls `f` with at least `count` elements of arbitrary content, 64-byte aligned. A nested use of the same slot gets
/// memory of its own.
pub(crate) fn with_scratch<R>(slot: &'static LocalKey<Slot>, count: usize, f: impl FnOnce(*mut f32) -> R) -> R {
    if count == 0 {
        return f(std::ptr::without_provenance_mut(ALIGN));
    }
    let bytes = count * size_of::<f32>();
    let buffer = match slot.take() {
        Some(b) if b.len() >= bytes => b,
        _ => Buffer::zeroed(bytes.next_multiple_of(4096)),
    };
    let result = f(buffer.as_ptr().cast());
    slot.set(Some(buffer));
    result
}
