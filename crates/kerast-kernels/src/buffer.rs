//! Owned memory, aligned for SIMD, with checked typed views.

use crate::dtype::{DType, Element};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ptr::NonNull;

/// Alignment of every buffer and of every planned offset, in bytes.
pub const ALIGN: usize = 64;

/// A huge page.
const HUGE: usize = 2 << 20;
/// Memory so large comes in pages of its own.
const LARGE: usize = 2 * HUGE;

/// Asks for huge pages, as far as memory fills them, before it is touched. The system may refuse; nothing depends on it.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages(ptr: NonNull<u8>, bytes: usize) {
    const MADV_HUGEPAGE: i32 = 14;
    unsafe extern "C" {
        fn madvise(address: *mut u8, length: usize, advice: i32) -> i32;
    }
    // SAFETY: whole pages of our own; the advice changes no content.
    let _ = unsafe { madvise(ptr.as_ptr(), bytes / HUGE * HUGE, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_: NonNull<u8>, _: usize) {}

/// Zero-initialised bytes at an address that is a multiple of [`ALIGN`].
pub struct Buffer {
    ptr: NonNull<u8>,
    bytes: usize,
    /// Bytes of the allocation before `ptr`.
    skipped: usize,
    /// What `ptr` is a multiple of.
    align: usize,
}

// SAFETY: a Buffer owns its memory exclusively, like a `Box<[u8]>`.
unsafe impl Send for Buffer {}
// SAFETY: shared access only hands out shared slices.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `bytes` zero bytes, or `None` when the system refuses them.
    pub fn try_zeroed(bytes: usize) -> Option<Buffer> {
        Self::aligned(bytes, ALIGN)
    }

    /// The same for memory that is worked on again and again: in huge pages where the system gives them, which take long to get and
    /// spare kernels that walk down columns a new page in every row.
    pub(crate) fn try_workspace(bytes: usize) -> Option<Buffer> {
        if bytes < LARGE {
            return Self::try_zeroed(bytes);
        }
        let made = Self::aligned(bytes, HUGE)?;
        ask_for_huge_pages(made.ptr, bytes);
        Some(made)
    }

    fn aligned(bytes: usize, align: usize) -> Option<Buffer> {
        let layout = Self::layout(bytes, align)?;
        // SAFETY: the layout has a non-zero size.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let skipped = base.align_offset(align);
        // SAFETY: memory that is not aligned from its beginning has `align` bytes more than was asked for.
        let ptr = unsafe { base.add(skipped) };
        Some(Buffer { ptr, bytes, skipped, align })
    }

    /// `bytes` zero bytes. Panics when the system has no memory left; sizes from files go through [`Buffer::try_zeroed`].
    pub fn zeroed(bytes: usize) -> Buffer {
        Self::try_zeroed(bytes).unwrap_or_else(|| panic!("out of memory: {bytes} bytes were asked for"))
    }

    /// A copy of a slice.
    pub fn from_slice<T: Element>(values: &[T]) -> Buffer {
        let mut b = Buffer::zeroed(std::mem::size_of_val(values));
        b.as_mut_slice::<T>().copy_from_slice(values);
        b
    }

    /// Large memory is aligned by hand: the system gives it zeroed, page by page as it is touched, but only at its own alignment.
    fn layout(bytes: usize, align: usize) -> Option<Layout> {
        match bytes < LARGE {
            true => Layout::from_size_align(bytes.max(ALIGN), align).ok(),
            false => Layout::from_size_align(bytes.checked_add(align)?, 16).ok(),
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// No bytes at all.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.as_slice::<u8>()
    }

    /// The bytes, writable.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        self.as_mut_slice::<u8>()
    }

    /// The content as elements of `T`; trailing bytes that do not fill an element are left out.
    pub fn as_slice<T: Element>(&self) -> &[T] {
        // SAFETY: the memory is initialised, aligned to 64 >= align_of::<T>(), and any bits are a valid `T` (sealed trait).
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr().cast(), self.bytes / size_of::<T>()) }
    }

    /// The content as writable elements of `T`.
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, and `&mut self` makes the view exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr().cast(), self.bytes / size_of::<T>()) }
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut b = Buffer::zeroed(self.bytes);
        b.as_mut_bytes().copy_from_slice(self.as_bytes());
        b
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.bytes, self.align) {
            // SAFETY: allocated with this very layout in `aligned`, so many bytes before.
            unsafe { dealloc(self.ptr.as_ptr().sub(self.skipped), layout) }
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes)
    }
}

/// Calls `f` with a value of the Rust type that stores `dtype`; `bool` is stored as `u8`.
///
/// The value itself is zero: only its type matters.
#[macro_export]
macro_rules! with_element {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::DType::Bool | $crate::dtype::DType::U8 => {
                type $t = u8;
                $body
            }
            $crate::dtype::DType::I8 => {
                type $t = i8;
                $body
            }
            $crate::dtype::DType::I16 => {
                type $t = i16;
                $body
            }
            $crate::dtype::DType::I32 => {
                type $t = i32;
                $body
            }
            $crate::dtype::DType::I64 => {
                type $t = i64;
                $body
            }
            $crate::dtype::DType::U16 => {
                type $t = u16;
                $body
            }
            $crate::dtype::DType::U32 => {
                type $t = u32;
                $body
            }
            $crate::dtype::DType::U64 => {
                type $t = u64;
                $body
            }
            $crate::dtype::DType::F16 => {
                type $t = $crate::dtype::f16;
                $body
            }
            $crate::dtype::DType::BF16 => {
                type $t = $crate::dtype::bf16;
                $body
            }
            $crate::dtype::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::dtype::DType::F64 => {
                type $t = f64;
                $body
            }
        }
    };
}

/// Bytes of `count` elements, or `None` on overflow.
pub fn checked_bytes(dtype: DType, shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d)).filter(|&n| n <= isize::MAX as usize)
}
