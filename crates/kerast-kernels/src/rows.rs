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
        }
    }
}
