//! The scalar functions, by StableHLO's names.

use crate::dtype::DType;

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($variant:ident => $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum $name { $($variant),* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];
            /// StableHLO's (or CHLO's) name.
            pub fn name(self) -> &'static str { match self { $($name::$variant => $text),* } }
        }
    };
}

kinds! {
    /// Functions of one value.
    UnaryKind {
        Negate => "negate", Abs => "abs", Sign => "sign", Exp => "exponential", Expm1 => "exponential_minus_one", Log => "log",
        Log1p => "log_plus_one", Sqrt => "sqrt", Rsqrt => "rsqrt", Cbrt => "cbrt", Tanh => "tanh", Logistic => "logistic",
        Sin => "sine", Cos => "cosine", Tan => "tan", Asin => "asin", Acos => "acos", Atan => "atan", Sinh => "sinh", Cosh => "cosh",
        Asinh => "asinh", Acosh => "acosh", Atanh => "atanh", Erf => "erf", Erfc => "erfc", ErfInv => "erf_inv", Lgamma => "lgamma",
        Digamma => "digamma", Floor => "floor", Ceil => "ceil", RoundEven => "round_nearest_even", RoundAway => "round_nearest_afz",
        Not => "not", IsFinite => "is_finite",
    }
}

kinds! {
    /// Functions of two values.
    BinaryKind {
        Add => "add", Subtract => "subtract", Multiply => "multiply", Divide => "divide", Remainder => "remainder", Power => "power",
        Max => "maximum", Min => "minimum", Atan2 => "atan2", And => "and", Or => "or", Xor => "xor", ShiftLeft => "shift_left",
        ShiftRightLogical => "shift_right_logical", ShiftRightArithmetic => "shift_right_arithmetic",
    }
}

impl BinaryKind {
    /// One of the four rules of arithmetic.
    pub(crate) fn is_plain(self) -> bool {
        matches!(self, BinaryKind::Add | BinaryKind::Subtract | BinaryKind::Multiply | BinaryKind::Divide)
    }
}

kinds! {
    /// Comparisons.
    CompareKind { Equal => "EQ", NotEqual => "NE", Less => "LT", LessEqual => "LE", Greater => "GT", GreaterEqual => "GE" }
}

kinds! {
    /// Reductions.
    ReduceKind {
        Sum => "reduce_sum", Product => "reduce_product", Max => "reduce_max", Min => "reduce_min", Any => "reduce_any",
        All => "reduce_all",
    }
}

/// One scalar function as an op states it.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Of one value.
    Unary(UnaryKind),
    /// Of two values.
    Binary(BinaryKind),
    /// Of two values, to bool.
    Compare(CompareKind),
    /// `p ? a : b`.
    Select,
    /// `min(max(x, low), high)`, operands low, x, high.
    Clamp,
    /// To another element type.
    Convert(DType),
    /// `(i / repeat) % length` of the flat element number `i`.
    Iota {
        /// Elements with the same number in a row.
        repeat: usize,
        /// Numbers before they start again.
        length: usize,
    },
    /// Philox bits of the flat element number; the operand is the whole `u32[3]` key.
    RandomBits {
        /// The stream.
        stream: u32,
    },
    /// A reduction of an operand of shape `shape` along `axes`: the end of a chain.
    Reduce {
        /// Which.
        kind: ReduceKind,
        /// Along which axes.
        axes: Vec<usize>,
        /// The operand's shape.
        shape: Vec<usize>,
    },
}

impl Scalar {
    /// How long it takes an element in f32, in additions; about.
    pub fn weight(&self) -> usize {
        use UnaryKind::*;
        match self {
            Scalar::Unary(Negate | Abs | Sign | Sqrt | Floor | Ceil | RoundEven | Not | IsFinite) => 1,
            Scalar::Unary(Exp | Log | Tanh | Logistic | Erf | Rsqrt | Expm1 | Log1p) => 5,
            Scalar::Unary(_) | Scalar::Binary(BinaryKind::Power | BinaryKind::Atan2 | BinaryKind::Remainder) => 25,
            Scalar::RandomBits { .. } => 8,
            _ => 1,
        }
    }
}

/// The machine type in which a tile holds values of a dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    F32,
    F64,
    I32,
    U32,
    I64,
    U64,
}

impl Class {
    pub(crate) fn of(dtype: DType) -> Class {
        match dtype {
            DType::F16 | DType::BF16 | DType::F32 => Class::F32,
            DType::F64 => Class::F64,
            DType::Bool | DType::I8 | DType::I16 | DType::I32 | DType::U8 | DType::U16 => Class::I32,
            DType::U32 => Class::U32,
            DType::I64 => Class::I64,
            DType::U64 => Class::U64,
        }
    }

    pub(crate) fn size(self) -> usize {
        match self {
            Class::F32 | Class::I32 | Class::U32 => 4,
            Class::F64 | Class::I64 | Class::U64 => 8,
        }
    }

    /// Whether memory of this dtype can be used as a tile without conversion.
    pub(crate) fn is_native(dtype: DType) -> bool {
        matches!(dtype, DType::F32 | DType::F64 | DType::I32 | DType::U32 | DType::I64 | DType::U64)
    }
}
