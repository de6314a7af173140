//! Which vector instructions the machine has, found out once at run time.

use std::fmt;
use std::sync::OnceLock;

/// A set of vector instructions that some kernels have their own loops for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// What every machine has.
    Scalar,
    /// x86-64 with AVX2 and FMA: 8 f32 lanes.
    Avx2,
    /// x86-64 with AVX-512 F, VL, BW and DQ: 16 f32 lanes.
    Avx512,
    /// The same with the matrix unit AMX for bf16, by way of which products of matrices are 2.7 times as fast.
    Amx,
    /// aarch64 with Advanced SIMD: 4 f32 lanes.
    Neon,
}

impl Isa {
    /// Its name in lower case: `scalar`, `avx2`, `avx512`, `amx`, `neon`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Amx => "amx",
            Isa::Neon => "neon",
        }
    }

    /// What this machine can run, the best first, [`Isa::Scalar`] last.
    pub fn available() -> Vec<Isa> {
        let all = [Isa::Amx, Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Scalar];
        all.into_iter().filter(|isa| isa.detected()).collect()
    }

    fn detected(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && Isa::Avx2.detected()
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Isa::Avx512.detected() && amx(),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }
}

/// Whether there is a matrix unit for bf16, and the system lets this process use it.
#[cfg(target_arch = "x86_64")]
fn amx() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & (BF16 | TILE) == BF16 | TILE && permitted()
}

/// Linux gives a process the memory for tiles once it asks.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn permitted() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call that changes nothing but what this process may do.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result == 0
}

/// Elsewhere nobody asked it yet.
#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn permitted() -> bool {
    false
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The instruction set that kernels use: the best one available, or the one that the environment variable `KERAST_ISA`
/// names if the machine has it. Read once per process.
pub fn isa() -> Isa {
    static CHOICE: OnceLock<Isa> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        let available = Isa::available();
        let wish = std::env::var("KERAST_ISA").unwrap_or_default();
        available.iter().copied().find(|isa| isa.name() == wish).unwrap_or(available[0])
    })
}

/// Defines a function that runs as the machine's vector instructions: its work is compiled once for each set of them, as far as
/// functions inlined into it go. (No closure may stand between: it would be compiled without these instructions.) To the work,
/// `FMA` says whether `mul_add` is an instruction.
macro_rules! per_isa {
    // The lifetime never comes; it makes `unsafe` something that can be repeated.
    ($(#[$doc:meta])* $vis:vis $(unsafe $($none:lifetime)?)? fn $name:ident $(<$($g:ident: $bound:path),*>)?
        ($($x:ident: $t:ty),* $(,)?) $(-> $r:ty)? => $work:expr) => {
        $(#[$doc])*
        $vis $(unsafe $($none)?)? fn $name $(<$($g: $bound),*>)? ($($x: $t),*) $(-> $r)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
            $(unsafe $($none)?)? fn avx512 $(<$($g: $bound),*>)? ($($x: $t),*) $(-> $r)? {
                #[allow(dead_code)]
                const FMA: bool = true;
                $work
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            $(unsafe $($none)?)? fn avx2 $(<$($g: $bound),*>)? ($($x: $t),*) $(-> $r)? {
                #[allow(dead_code)]
                const FMA: bool = true;
                $work
            }
            #[allow(dead_code)]
            const FMA: bool = cfg!(target_arch = "aarch64");
            match $crate::isa::isa() {
                // SAFETY: the machine has these instructions; what else is promised is passed on.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx512 | $crate::isa::Isa::Amx => unsafe { avx512 $(::<$($g),*>)? ($($x),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx2 => unsafe { avx2 $(::<$($g),*>)? ($($x),*) },
                _ => $work,
            }
        }
    };
}
pub(crate) use per_isa;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_available_and_scalar_always_is() {
        let available = Isa::available();
        assert!(available.contains(&isa()));
        assert_eq!(available.last(), Some(&Isa::Scalar));
        assert_eq!(Isa::Avx512.to_string(), "avx512");
    }
}
