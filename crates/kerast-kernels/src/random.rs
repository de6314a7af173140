//! Placeholder until the real file is merged: on a conflict take the real one whole.
#[allow(missing_docs)]
pub fn fill_bits_inline(out: &mut [u32], first: u64, s: [u32; 2], k: [u32; 2]) {
    for (i, o) in out.iter_mut().enumerate() {
        *o = ((first as u32 + i as u32) ^ s[0] ^ k[0]).wrapping_mul(2654435761);
    }
}
/// stub
#[derive(Debug)]
pub struct Stream;
