//! Owned memory, aligned for SIMD, with checked typed views.

use crate::dtype::{DType, Element};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ptr::NonNull;

/// Alignment of every buffer and of every planned offset, in bytes.
pub const ALIGN: usize = 64;

/// Memory so large comes in pages of its own.
const LARGE: usize = 4 << 20;

/// Memory straight from the system, which takes it back at once when it is dropped: zeroed page by page as it is touched, and in huge
/// pages where the system gives them.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod pages {
    use std::ptr::NonNull;

    const HUGE: usize = 2 << 20;
    const READ_WRITE: i32 = 1 | 2;
    const PRIVATE_ANONYMOUS: i32 = 0x02 | 0x20;
    const MADV_HUGEPAGE: i32 = 14;

    unsafe extern "C" {
        fn mmap(address: *mut u8, length: usize, protection: i32, flags: i32, file: i32, offset: i64) -> *mut u8;
        fn munmap(address: *mut u8, length: usize) -> i32;
        fn madvise(address: *mut u8, length: usize, advice: i32) -> i32;
    }

    /// Zeroed memory that begins with a huge page; `None` when the system refuses it.
    pub(super) fn take(bytes: usize) -> Option<NonNull<u8>> {
        let length = bytes.checked_add(2 * HUGE)? / HUGE * HUGE;
        // SAFETY: new memory, nobody else's.
        let base = unsafe { mmap(std::ptr::null_mut(), length, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0) };
        if base.addr() == usize::MAX {
            return None;
        }
        let before = base.align_offset(HUGE);
        let kept = bytes.next_multiple_of(HUGE);
        // SAFETY: `length` is at least a huge page more than `kept`; what is given back and advised are whole pages of our own. Nothing
        // depends on the advice.
        unsafe {
            let start = base.add(before);
            if before > 0 {
                munmap(base, before);
            }
            if length > before + kept {
                munmap(start.add(kept), length - before - kept);
            }
            madvise(start, bytes / HUGE * HUGE, MADV_HUGEPAGE);
            NonNull::new(start)
        }
    }

    /// Gives memory back.
    ///
    /// # Safety
    /// `ptr` is what [`take`] made of `bytes`, and nobody uses it any more.
    pub(super) unsafe fn give_back(ptr: NonNull<u8>, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { munmap(ptr.as_ptr(), bytes.next_multiple_of(HUGE)) };
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod pages {
    use super::{Buffer, NonNull};
    use std::alloc::{alloc_zeroed, dealloc};

    pub(super) fn take(bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: the layout has a non-zero size.
        NonNull::new(unsafe { alloc_zeroed(Buffer::layout(bytes)?) })
    }

    /// # Safety
    /// `ptr` is what [`take`] made of `bytes`, and nobody uses it any more.
    pub(super) unsafe fn give_back(ptr: NonNull<u8>, bytes: usize) {
        if let Some(layout) = Buffer::layout(bytes) {
            // SAFETY: the caller's promise.
            unsafe { dealloc(ptr.as_ptr(), layout) }
        }
    }
}

/// Zero-initialised bytes at an address that is a multiple of [`ALIGN`].
pub struct Buffer {
    ptr: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a Buffer owns its memory exclusively, like a `Box<[u8]>`.
unsafe impl Send for Buffer {}
// SAFETY: shared access only hands out shared slices.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `bytes` zero bytes, or `None` when the system refuses them. Large memory is in huge pages where the system gives them: a kernel
    /// that walks down columns, or picks rows of a data set at random, has a new page in every row.
    pub fn try_zeroed(bytes: usize) -> Option<Buffer> {
        let ptr = match bytes < LARGE {
            // SAFETY: the layout has a non-zero size.
            true => NonNull::new(unsafe { alloc_zeroed(Self::layout(bytes)?) })?,
            false => pages::take(bytes)?,
        };
        Some(Buffer { ptr, bytes })
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

    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes.max(ALIGN), ALIGN).ok()
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
        match Self::layout(self.bytes) {
            // SAFETY: allocated with this very layout in `try_zeroed`.
            Some(layout) if self.bytes < LARGE => unsafe { dealloc(self.ptr.as_ptr(), layout) },
            // SAFETY: taken with so many bytes in `try_zeroed`.
            _ => unsafe { pages::give_back(self.ptr, self.bytes) },
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
