//! Numbers whose order as integers is the order of elements: comparing and sorting them needs no branches.

use crate::number::Number;

/// In which order, and where NaN goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Smallest first, NaN last.
    Ascending,
    /// Largest first, NaN last.
    Descending,
    /// Largest first, NaN before all.
    NanFirst,
}

/// An element's key and its number in the line, ordered by key, then by number: sorting such pairs is stable.
pub(super) trait Ranked: Ord + Copy + Send + Sync {
    /// Element number `i` of a line.
    fn of<T: Number>(x: T, i: usize, order: Order) -> Self;
    /// The number in the line.
    fn number(self) -> usize;
}

/// Elements of at most four bytes: the key above the number.
impl Ranked for u64 {
    #[inline(always)]
    fn of<T: Number>(x: T, i: usize, order: Order) -> u64 {
        let key = match T::DTYPE.is_float() {
            true => {
                // The sum makes -0 equal to 0.
                let bits = (x.to_single() + 0.0).to_bits();
                let negative = (bits as i32 >> 31) as u32;
                bits ^ (negative | 1 << 31)
            }
            false if T::DTYPE.is_unsigned() => x.to_i64() as u32,
            false => x.to_i64() as u32 ^ 1 << 31,
        };
        u64::from(arranged(key, u32::MAX, x.is_nan(), order)) << 32 | i as u64 & 0xffff_ffff
    }

    #[inline(always)]
    fn number(self) -> usize {
        self as u32 as usize
    }
}

/// Elements of eight bytes.
impl Ranked for (u64, u32) {
    #[inline(always)]
    fn of<T: Number>(x: T, i: usize, order: Order) -> (u64, u32) {
        let key = match T::DTYPE.is_float() {
            true => {
                let bits = (x.to_f64() + 0.0).to_bits();
                let negative = (bits as i64 >> 63) as u64;
                bits ^ (negative | 1 << 63)
            }
            false if T::DTYPE.is_unsigned() => x.to_i64() as u64,
            false => x.to_i64() as u64 ^ 1 << 63,
        };
        (arranged(key, u64::MAX, x.is_nan(), order), i as u32)
    }

    #[inline(always)]
    fn number(self) -> usize {
        self.1 as usize
    }
}

/// No number has the key of NaN: the infinities are at some distance from both ends.
#[inline(always)]
fn arranged<K: Default + std::ops::Not<Output = K>>(key: K, last: K, nan: bool, order: Order) -> K {
    match order {
        Order::NanFirst if nan => K::default(),
        _ if nan => last,
        Order::Ascending => key,
        Order::Descending | Order::NanFirst => !key,
    }
}
