//! Numbers too small for full precision (denormals) cost a hundred cycles each; optimizers breed them (the moments of weights that get
//! no gradient decay towards 0). While a program runs they count as 0, as in XLA.

/// Flushes denormals to zero on this thread until it is dropped.
#[derive(Debug)]
pub(crate) struct FlushDenormals {
    #[cfg(target_arch = "x86_64")]
    before: u32,
}

impl FlushDenormals {
    /// From now on, on this thread.
    pub(crate) fn new() -> FlushDenormals {
        #[cfg(target_arch = "x86_64")]
        {
            let mut before: u32 = 0;
            // SAFETY: reads and writes the SSE control register of this thread; bits 15 and 6 are flush-to-zero and denormals-are-zero.
            unsafe {
                std::arch::asm!("stmxcsr [{}]", in(reg) &mut before, options(nostack, preserves_flags));
                let after = before | 0x8040;
                std::arch::asm!("ldmxcsr [{}]", in(reg) &after, options(nostack, preserves_flags, readonly));
            }
            FlushDenormals { before }
        }
        #[cfg(not(target_arch = "x86_64"))]
        FlushDenormals {}
    }
}

impl Drop for FlushDenormals {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: restores what `new` found.
        unsafe {
            std::arch::asm!("ldmxcsr [{}]", in(reg) &self.before, options(nostack, preserves_flags, readonly));
        }
    }
}
