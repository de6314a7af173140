//! What happens to blocks of a result that are complete.

use crate::gemm::Epilogue;
use crate::scratch::{KEPT, with_scratch};
use std::ops::Range;

/// Gets where the whole result would begin, and the output positions, counted through all examples, and channels that are complete.
pub(super) type Done<'a> = &'a (dyn Fn(*mut f32, Range<usize>, Range<usize>) + Sync);

/// What happens to blocks of a result that are complete.
#[derive(Clone, Copy)]
pub(super) enum Finish<'a> {
    /// Nothing.
    Nothing,
    /// They are reported.
    Report(Epilogue<'a>),
    /// They are reported and forgotten: the whole result has no memory. Blocks begin at multiples of `rows` rows of output and are whole
    /// rows.
    Forget { rows: usize, done: Done<'a> },
}

impl<'a> Finish<'a> {
    /// Rows of output that belong together.
    pub(super) fn rows(self) -> usize {
        match self {
            Finish::Forget { rows, .. } => rows,
            _ => 1,
        }
    }

    /// For those who write the whole result.
    pub(super) fn epilogue(self) -> Option<Epilogue<'a>> {
        match self {
            Finish::Report(epilogue) => Some(epilogue),
            Finish::Nothing => None,
            Finish::Forget { .. } => unreachable!("asked of `keeps` before"),
        }
    }

    /// Lets `work` make a block of a result that begins at `y`, or would do so, and has `width` elements per position.
    pub(super) fn block(
        self,
        y: *mut f32,
        width: usize,
        pixels: Range<usize>,
        channels: Range<usize>,
        work: impl FnOnce(*mut f32),
    ) {
        match self {
            Finish::Nothing => work(y),
            Finish::Report(epilogue) => {
                work(y);
                epilogue(pixels, channels);
            }
            Finish::Forget { done, .. } => with_scratch(&KEPT, pixels.len() * width, |own| {
                let y = own.wrapping_sub(pixels.start * width);
                work(y);
                done(y, pixels, channels);
            }),
        }
    }
}
