//! 1,797 handwritten digits of 8x8 pixels, inside the crate.
//!
//! The test half of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998), UCI Machine Learning Repository,
//! <https://doi.org/10.24432/C50P49>, licence CC BY 4.0; pixels count 0 to 16.

use super::{Data, Split};
use crate::data::{gunzip, malformed};
use crate::{Result, Tensor};

/// 64 pixels and the label of every digit, one byte each.
const PACKED: &[u8] = include_bytes!("../../data/digits.gz");
const COUNT: usize = 1797;

/// The digits: x `[n, 8, 8]` u8 (0 to 16), y `[n]` u8. Every fifth digit (the fifth, the tenth, …) is a test sample: 1,438 and 359.
pub fn digits() -> Result<Data> {
    let bytes = gunzip(PACKED, 1 << 20)?;
    if bytes.len() != COUNT * 65 {
        return Err(malformed("digits", "its length is wrong"));
    }
    let part = |test: bool| -> Result<Split> {
        let rows = || bytes.chunks_exact(65).enumerate().filter(|(i, _)| (i % 5 == 4) == test).map(|(_, r)| r);
        let labels: Vec<u8> = rows().map(|r| r[64]).collect();
        let pixels: Vec<u8> = rows().flat_map(|r| r[..64].to_vec()).collect();
        Ok(Split { x: Tensor::new(&[labels.len(), 8, 8], &pixels)?, y: Tensor::new(&[labels.len()], &labels)? })
    };
    Ok(Data {
        train: part(false)?,
        test: part(true)?,
        source: "built-in digits, 1,797 images of 8x8".into(),
        largest: 16.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_complete() {
        let d = digits().expect("inside the crate");
        assert_eq!((d.train.x.shape(), d.test.y.shape()), (&[1438, 8, 8][..], &[359][..]));
        let labels = d.train.y.as_slice::<u8>().expect("u8");
        assert!((0..10).all(|c| labels.iter().filter(|l| **l == c).count() > 100));
        let n = d.normalize().expect("numbers");
        assert!(n.train.x.to_f64_vec().iter().all(|p| (0.0..=1.0).contains(p)));
    }
}
