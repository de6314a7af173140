//! Rows picked by number: batches of a data set.

use crate::pool::Pool;

/// Bytes from which on the pool shares the work.
const LARGE: usize = 64 * 1024;

/// Copies rows `indices` of `source` (rows of `row` bytes) one after the other into `out`.
///
/// Panics when a row does not exist or `out` has not exactly the right length.
pub fn take_rows(source: &[u8], row: usize, indices: &[usize], out: &mut [u8], pool: &Pool) {
    assert_eq!(out.len(), indices.len() * row, "the output must hold exactly the rows");
    if row == 0 {
        return;
    }
    let rows = source.len() / row;
    assert!(indices.iter().all(|&i| i < rows), "a row does not exist");
    let tasks = if out.len() < LARGE { 1 } else { pool.threads() };
    let per = indices.len().div_ceil(tasks);
    let target = Target(out.as_mut_ptr());
    let copy = |t: usize| {
        let target = &target;
        for (k, &i) in indices.iter().enumerate().take(((t + 1) * per).min(indices.len())).skip(t * per) {
            // SAFETY: row `k` lies within `out`, row `i` within `source` (both checked above); tasks write different rows.
            unsafe { std::ptr::copy_nonoverlapping(source.as_ptr().add(i * row), target.0.add(k * row), row) }
        }
    };
    if tasks == 1 { copy(0) } else { pool.run(tasks, &copy) }
}

/// Rows of one array on their way into a batch.
#[derive(Debug)]
pub struct Take<'a> {
    /// All rows.
    pub source: &'a [u8],
    /// Bytes of a row, at least 1.
    pub row: usize,
    /// Where the picked rows go, one after the other.
    pub out: &'a mut [u8],
}

/// Does `work`, and meanwhile, on threads that `work` leaves idle, copies rows `indices` of every array.
///
/// Panics when a row does not exist or an output has not exactly the right length.
pub fn take_rows_beside<T>(takes: &mut [Take<'_>], indices: &[usize], pool: &Pool, work: impl FnOnce() -> T) -> T {
    /// Bytes that a task copies, about a microsecond's worth.
    const PIECE: usize = 16 * 1024;
    struct Part<'a>(&'a [u8], usize, Target, usize);
    let parts = takes.iter_mut().map(|t| {
        assert_eq!(t.out.len(), indices.len() * t.row, "the output must hold exactly the rows");
        assert!(t.row > 0 && indices.iter().all(|&i| (i + 1) * t.row <= t.source.len()), "a row does not exist");
        Part(t.source, t.row, Target(t.out.as_mut_ptr()), (PIECE / t.row).max(1))
    });
    let parts: Vec<Part<'_>> = parts.collect();
    let pieces = |p: &Part<'_>| indices.len().div_ceil(p.3);
    let task = |mut index: usize| {
        for p in &parts {
            if index < pieces(p) {
                for (k, &i) in indices.iter().enumerate().skip(index * p.3).take(p.3) {
                    // SAFETY: row `k` lies within the output, row `i` within the source (both checked above); tasks write different rows.
                    unsafe { std::ptr::copy_nonoverlapping(p.0.as_ptr().add(i * p.1), p.2.0.add(k * p.1), p.1) }
                }
                return;
            }
            index -= pieces(p);
        }
    };
    pool.run_beside(parts.iter().map(pieces).sum(), &task, work)
}

struct Target(*mut u8);

// SAFETY: tasks write disjoint rows through it.
unsafe impl Sync for Target {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_picked_on_any_number_of_threads() {
        let source: Vec<u8> = (0..60_000u32).map(|i| (i % 251) as u8).collect();
        let indices: Vec<usize> = (0..500).map(|i| (i * 37) % 200).collect();
        let expected: Vec<u8> = indices.iter().flat_map(|&i| source[i * 300..(i + 1) * 300].to_vec()).collect();
        for threads in [1, 2] {
            let mut out = vec![0; 150_000];
            take_rows(&source, 300, &indices, &mut out, &Pool::new(threads));
            assert_eq!(out, expected);
            let (mut beside, mut bytes) = (vec![0; 150_000], vec![0; 500]);
            let mut takes = [
                Take { source: &source, row: 300, out: &mut beside },
                Take { source: &source[..200], row: 1, out: &mut bytes },
            ];
            assert_eq!(take_rows_beside(&mut takes, &indices, &Pool::new(threads), || 7), 7);
            assert_eq!(beside, expected);
            assert!(bytes.iter().zip(&indices).all(|(b, &i)| *b == source[i]));
        }
    }
}
