//! Element types and their sizes.

use std::fmt;

pub use half::{bf16, f16};

/// The type of one element of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// 8-bit signed integer.
    I8,
    /// 16-bit signed integer.
    I16,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// 8-bit unsigned integer.
    U8,
    /// 16-bit unsigned integer.
    U16,
    /// 32-bit unsigned integer.
    U32,
    /// 64-bit unsigned integer.
    U64,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl DType {
    /// Every element type.
    pub const ALL: [DType; 13] = [
        DType::Bool,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
    ];

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::Bool | DType::I8 | DType::U8 => 1,
            DType::I16 | DType::U16 | DType::F16 | DType::BF16 => 2,
            DType::I32 | DType::U32 | DType::F32 => 4,
            DType::I64 | DType::U64 | DType::F64 => 8,
        }
    }

    /// StableHLO's name: `f32`, `i64`, `ui8`, `i1`, …
    pub fn hlo(self) -> &'static str {
        match self {
            DType::Bool => "i1",
            DType::I8 => "i8",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::U8 => "ui8",
            DType::U16 => "ui16",
            DType::U32 => "ui32",
            DType::U64 => "ui64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        }
    }

    /// NumPy's and Keras' name: `float32`, `int64`, `uint8`, `bool`, …
    pub fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::U8 => "uint8",
            DType::U16 => "uint16",
            DType::U32 => "uint32",
            DType::U64 => "uint64",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::F32 => "float32",
            DType::F64 => "float64",
        }
    }

    /// The type with this StableHLO or Keras name.
    pub fn parse(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.hlo() == name || d.name() == name)
    }

    /// f16, bf16, f32 or f64.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
    }

    /// A signed or unsigned integer; not bool.
    pub fn is_int(self) -> bool {
        !self.is_float() && self != DType::Bool
    }

    /// An unsigned integer.
    pub fn is_unsigned(self) -> bool {
        matches!(self, DType::U8 | DType::U16 | DType::U32 | DType::U64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that can be an element. Sealed: every bit pattern that a [`crate::buffer::Buffer`] can hold is valid for it.
///
/// `bool` is stored as `u8`; see [`DType::Bool`].
pub trait Element:
    Copy + Send + Sync + PartialEq + PartialOrd + fmt::Debug + Default + sealed::Sealed + 'static
{
    /// The element type that describes this Rust type.
    const DTYPE: DType;
    /// To f64, rounding where needed.
    fn to_f64(self) -> f64;
    /// From f64, saturating and truncating like `as`.
    fn from_f64(x: f64) -> Self;
    /// To i64; floats truncate, u64 wraps.
    fn to_i64(self) -> i64;
    /// From i64, wrapping.
    fn from_i64(x: i64) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($t:ty => $d:ident),*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn to_f64(self) -> f64 { self as f64 }
            fn from_f64(x: f64) -> Self { x as $t }
            fn to_i64(self) -> i64 { self as i64 }
            fn from_i64(x: i64) -> Self { x as $t }
        }
    )*};
}
elements!(i8 => I8, i16 => I16, i32 => I32, i64 => I64, u8 => U8, u16 => U16, u32 => U32, u64 => U64, f32 => F32, f64 => F64);

macro_rules! half_elements {
    ($($t:ty => $d:ident),*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn to_f64(self) -> f64 { self.to_f32() as f64 }
            fn from_f64(x: f64) -> Self { <$t>::from_f32(to_odd(x)) }
            fn to_i64(self) -> i64 { self.to_f32() as i64 }
            fn from_i64(x: i64) -> Self { Element::from_f64(x as f64) }
        }
    )*};
}
half_elements!(f16 => F16, bf16 => BF16);

/// f64 as f32, so that a second rounding to fewer bits gives what one rounding would: what is lost makes the last bit odd. (The crate
/// `half` drops bits of an f64 before it rounds.)
fn to_odd(x: f64) -> f32 {
    let y = x as f32;
    if f64::from(y) == x || x.is_nan() {
        return y;
    }
    let towards_zero = y.to_bits() - u32::from(f64::from(y.abs()) > x.abs());
    f32::from_bits(towards_zero | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_once() {
        // Just above the middle between two halves: the bits that decide are the last ones.
        let middle = 1.836_425_781_25f64;
        assert_eq!(<f16 as Element>::from_f64(f64::from(f32::from_bits(0x3feb_1003))).to_bits(), 0x3f59);
        assert_eq!(<f16 as Element>::from_f64(middle).to_bits(), 0x3f58);
        assert_eq!(<f16 as Element>::from_f64(middle + 1e-12).to_bits(), 0x3f59);
        assert_eq!(<f16 as Element>::from_f64(-middle - 1e-12).to_bits(), 0xbf59);
        assert_eq!(<f16 as Element>::from_f64(middle - 1e-12).to_bits(), 0x3f58);
        assert_eq!(<bf16 as Element>::from_f64(1.003_906_25 + 1e-12).to_bits(), 0x3f81);
        assert_eq!(<f16 as Element>::from_f64(1e300), f16::INFINITY);
        assert_eq!(<f16 as Element>::from_f64(-1e-300).to_bits(), 0x8000);
        assert!(<f16 as Element>::from_f64(f64::NAN).is_nan());
        assert_eq!(<f16 as Element>::from_f64(65_519.999), f16::MAX);
    }
}
