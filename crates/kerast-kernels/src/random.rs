//! Counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011).
//!
//! The same counter and key give the same bits on any machine, in any order, on any number of threads.

const M0: u32 = 0xD251_1F53;
const M1: u32 = 0xCD9E_8D57;
const W0: u32 = 0x9E37_79B9;
const W1: u32 = 0xBB67_AE85;
const ROUNDS: usize = 10;
/// Blocks computed side by side in the bulk form.
const LANES: usize = 16;

/// One block: four words of a 128-bit counter under a 64-bit key.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..ROUNDS {
        let p0 = u64::from(M0) * u64::from(c[0]);
        let p1 = u64::from(M1) * u64::from(c[2]);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(W0), k[1].wrapping_add(W1)];
    }
    c
}

/// Sixteen consecutive blocks: the first words of all, then the second words, and so on. One turn of the loop is one block whose words lie
/// in 64 bits, where products need them: the compiler puts turns side by side in vectors.
#[inline(always)]
fn sixteen(first: u64, stream: [u32; 2], key: [u32; 2]) -> [[u32; LANES]; 4] {
    const LOW: u64 = u32::MAX as u64;
    let [mut w0, mut w1, mut w2, mut w3] = [[0u32; LANES]; 4];
    for i in 0..LANES {
        let block = first.wrapping_add(i as u64);
        let (mut c0, mut c1, mut c2, mut c3) = (block & LOW, block >> 32, u64::from(stream[0]), u64::from(stream[1]));
        let mut k = key;
        for _ in 0..ROUNDS {
            let (p0, p1) = (u64::from(M0) * c0, u64::from(M1) * c2);
            (c0, c1, c2, c3) = (p1 >> 32 ^ c1 ^ u64::from(k[0]), p1 & LOW, p0 >> 32 ^ c3 ^ u64::from(k[1]), p0 & LOW);
            k = [k[0].wrapping_add(W0), k[1].wrapping_add(W1)];
        }
        (w0[i], w1[i], w2[i], w3[i]) = (c0 as u32, c1 as u32, c2 as u32, c3 as u32);
    }
    [w0, w1, w2, w3]
}

/// Which word of which block element `element` is: 64 elements are the first words of 16 blocks, their second words, and so on.
pub fn place(element: u64) -> (u64, usize) {
    (element / 64 * 16 + element % 16, (element / 16 % 4) as usize)
}

/// Fills `out` with elements `first …` of a stream, each a word of block `[n, n >> 32, stream[0], stream[1]]` as [`place`] says.
#[inline(always)]
pub fn fill_bits_inline(out: &mut [u32], first: u64, stream: [u32; 2], key: [u32; 2]) {
    let mut at = 0;
    while at < out.len() {
        let element = first + at as u64;
        let skip = (element % 64) as usize;
        let words = sixteen(element / 64 * 16, stream, key);
        let n = (64 - skip).min(out.len() - at);
        if n == 64 {
            for (target, word) in out[at..at + 64].chunks_exact_mut(LANES).zip(&words) {
                target.copy_from_slice(word);
            }
        } else {
            out[at..at + n].copy_from_slice(&words.as_flattened()[skip..skip + n]);
        }
        at += n;
    }
}

/// A stream of random numbers on the host: initial weights, shuffles.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    stream: u32,
    /// The first block that is not in `words` yet.
    block: u64,
    words: [[u32; LANES]; 4],
    used: usize,
}

impl Stream {
    /// Stream number `stream` of this seed.
    pub fn new(seed: u64, stream: u32) -> Stream {
        Stream { key: [seed as u32, (seed >> 32) as u32], stream, block: 0, words: [[0; LANES]; 4], used: 4 * LANES }
    }

    /// 32 random bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 * LANES {
            self.refill();
        }
        self.used += 1;
        self.words[(self.used - 1) % 4][(self.used - 1) / 4]
    }

    #[inline(never)]
    fn refill(&mut self) {
        // The last counter word tells host streams from those of graphs, whose steps count from 0.
        self.words = sixteen(self.block, [self.stream, u32::MAX], self.key);
        self.block += LANES as u64;
        self.used = 0;
    }

    /// 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
    }

    /// Uniform in [0, 1), 53 bits.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }

    /// Uniform in `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_random123() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn bulk_equals_single_from_any_start() {
        for first in [0u64, 1, 5, 63, 64, 1000] {
            let mut out = vec![0; 150];
            fill_bits_inline(&mut out, first, [7, 3], [11, 13]);
            for (i, &v) in out.iter().enumerate() {
                let (block, word) = place(first + i as u64);
                assert_eq!(v, philox([block as u32, 0, 7, 3], [11, 13])[word]);
            }
        }
    }

    #[test]
    fn host_streams_take_blocks_word_by_word() {
        let mut s = Stream::new(5 << 32 | 3, 7);
        for i in 0..200u32 {
            assert_eq!(s.next_u32(), philox([i / 4, 0, 7, u32::MAX], [3, 5])[i as usize % 4]);
        }
    }

    #[test]
    fn host_streams_are_uniform_and_normal() {
        let mut s = Stream::new(5, 1);
        let n = 20_000;
        let mean = (0..n).map(|_| s.uniform()).sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 0.01);
        let squares = (0..n).map(|_| s.normal().powi(2)).sum::<f64>() / n as f64;
        assert!((squares - 1.0).abs() < 0.05);
        assert!((0..100).all(|_| s.below(7) < 7));
    }
}
