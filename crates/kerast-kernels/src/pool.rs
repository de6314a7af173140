//! A fork-join pool for tasks of a few microseconds.
//!
//! Workers spin for a while after the last task before they go to sleep, so that the kernels of one step find them
//! awake: entering costs 0.1 to 0.3 µs. Everything about the job at hand sits in one 64-bit ticket, epoch | task count
//! | tasks taken from the front | from the back; taking a task is one `fetch_add`, and a worker that comes late finds
//! either a finished ticket or the next job, never a stale one. The caller takes tasks from the front, workers from the
//! back: from job to job each works on the same end of what lies in memory, and finds it in its cache. The caller waits
//! for finished *tasks*, not for workers, so a sleeping worker never delays it.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Idle rounds before a worker sleeps: some hundred microseconds.
const SPINS: usize = 20_000;
/// Rounds that the caller waits for the last tasks before it offers its core to others.
const WAITS: usize = 4_000;
/// Bits of the ticket for the task count and for the tasks taken from each end.
const BITS: u32 = 16;
const MASK: u64 = (1 << BITS) - 1;
/// Tasks per ticket. Half the range, so that the failed attempts of every worker cannot overflow a count.
const MOST: usize = 1 << (BITS - 1);

/// The end of a job that a thread takes its tasks from.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

type Task<'a> = dyn Fn(usize) + Sync + 'a;

/// A value on a cache line of its own.
#[repr(align(128))]
struct Line<T>(T);

/// One job on offer: its ticket, its finished tasks, its closure.
struct Job {
    ticket: Line<AtomicU64>,
    done: Line<AtomicUsize>,
    task: UnsafeCell<Option<*const Task<'static>>>,
    /// Held by the caller whose job is on the ticket.
    busy: AtomicBool,
}

// SAFETY: `task` is written only by the holder of `busy` while no task of an earlier job is running, and read only by
// threads that hold a task of the current job; the ticket's release store and acquire `fetch_add` order the two.
unsafe impl Sync for Job {}
// SAFETY: the pointer in `task` is to a `Sync` closure.
unsafe impl Send for Job {}

impl Job {
    fn new() -> Job {
        Job {
            ticket: Line(AtomicU64::new(0)),
            done: Line(AtomicUsize::new(0)),
            task: UnsafeCell::new(None),
            busy: AtomicBool::new(false),
        }
    }

    /// Takes the next task from one end.
    fn take(&self, end: End) -> Option<usize> {
        let ticket = self.ticket.0.load(Ordering::Acquire);
        if !unfinished(ticket) {
            return None;
        }
        let one = match end {
            End::Front => 1 << BITS,
            End::Back => 1,
        };
        let ticket = self.ticket.0.fetch_add(one, Ordering::AcqRel);
        let (count, front, back) = parts(ticket);
        unfinished(ticket).then_some(match end {
            End::Front => front,
            End::Back => count - 1 - back,
        } as usize)
    }

    /// Offers `ntasks` tasks, at most [`MOST`], to all threads.
    ///
    /// # Safety
    /// The caller holds `busy`, all tasks of the job before are finished, and `task` lives until all of this one's are.
    unsafe fn publish(&self, ntasks: usize, task: &Task<'_>) {
        // SAFETY: only the lifetime changes; the caller vouches for it.
        let erased = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(task) };
        // SAFETY: nobody else reads or writes the cell: see above.
        unsafe { *self.task.get() = Some(erased) };
        self.done.0.store(0, Ordering::Relaxed);
        let epoch = (self.ticket.0.load(Ordering::Relaxed) >> (3 * BITS)).wrapping_add(1);
        self.ticket.0.store(epoch << (3 * BITS) | (ntasks as u64) << (2 * BITS), Ordering::SeqCst);
    }

    /// Waits until `ntasks` tasks, `mine` of them by the caller, are finished.
    fn wait(&self, ntasks: usize, mine: usize) {
        let mut waits = 0;
        while self.done.0.load(Ordering::Acquire) + mine < ntasks {
            waits += 1;
            if waits < WAITS {
                std::hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

struct Shared {
    /// What callers wait for.
    job: Job,
    /// What is done by threads that have nothing else to do.
    beside: Job,
    sleeping: Vec<Line<AtomicBool>>,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Shared {
    /// Runs a task and keeps the first panic.
    fn call(&self, task: &Task<'_>, index: usize) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(index))) {
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            match *first {
                None => *first = Some(payload),
                // Its destructor might panic in turn.
                Some(_) => std::mem::forget(payload),
            }
        }
    }

    /// Does one task of a job that has one to give.
    fn help(&self, job: &Job) -> bool {
        let Some(index) = job.take(End::Back) else { return false };
        // SAFETY: this thread holds an unfinished task, so the job's caller has not returned: the closure lives and `task` is not
        // written before `done` is counted up.
        if let Some(task) = unsafe { *job.task.get() } {
            // SAFETY: as above.
            self.call(unsafe { &*task }, index);
        }
        job.done.0.fetch_add(1, Ordering::AcqRel);
        true
    }

    fn idle(&self) -> bool {
        !unfinished(self.job.ticket.0.load(Ordering::SeqCst))
            && !unfinished(self.beside.ticket.0.load(Ordering::SeqCst))
    }

    fn work(&self, worker: usize) {
        let sleeping = &self.sleeping[worker].0;
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            if self.help(&self.job) || self.help(&self.beside) {
                idle = 0;
            } else if idle < SPINS {
                idle += 1;
                std::hint::spin_loop();
            } else {
                // The flag goes up before the last look and callers look at it after they publish: one of the two sees
                // the other.
                sleeping.store(true, Ordering::SeqCst);
                if self.idle() && !self.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                sleeping.store(false, Ordering::SeqCst);
                idle = 0;
            }
        }
    }
}

/// The task count of a ticket, and how many were taken from the front and from the back.
fn parts(ticket: u64) -> (u64, u64, u64) {
    (ticket >> (2 * BITS) & MASK, ticket >> BITS & MASK, ticket & MASK)
}

/// Whether a ticket still has tasks to give.
fn unfinished(ticket: u64) -> bool {
    let (count, front, back) = parts(ticket);
    front + back < count
}

/// Runs the same closure for task numbers `0..ntasks` on a fixed set of threads.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `threads` threads, the caller's own included. Where the system refuses threads there are fewer, down
    /// to the caller alone.
    pub fn new(threads: usize) -> Pool {
        let wanted = if cfg!(target_arch = "wasm32") { 0 } else { threads.saturating_sub(1) };
        let shared = Arc::new(Shared {
            job: Job::new(),
            beside: Job::new(),
            sleeping: (0..wanted).map(|_| Line(AtomicBool::new(false))).collect(),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let start = |worker: usize| {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("kerast-{}", worker + 1))
                .spawn(move || {
                    // The same arithmetic on every thread.
                    let _flush = crate::denormals::FlushDenormals::new();
                    shared.work(worker);
                })
                .ok()
        };
        let workers = (0..wanted).map_while(start).collect();
        Pool { shared, workers }
    }

    /// How many threads share the work, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(0) … task(ntasks - 1)`, each once, on any thread in any order, and returns when all are done.
    ///
    /// While a job is under way, further calls, from inside a task or from another thread, do their tasks one by one on
    /// the thread that calls. A panic in a task reaches the caller after the other tasks have finished.
    pub fn run(&self, ntasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if ntasks <= 1 || self.workers.is_empty() || self.shared.job.busy.swap(true, Ordering::Acquire) {
            return (0..ntasks).for_each(task);
        }
        for first in (0..ntasks).step_by(MOST) {
            let count = MOST.min(ntasks - first);
            if first == 0 {
                self.share(count, task);
            } else {
                self.share(count, &|i| task(first + i));
            }
        }
        self.shared.job.busy.store(false, Ordering::Release);
        self.rethrow();
    }

    /// Calls `work` on this thread, and `task(0) … task(ntasks - 1)` on threads that `work` leaves idle; what nobody has begun when `work`
    /// is over, this thread does. Tasks should be short: a thread that is on one joins `work`'s own jobs late.
    pub fn run_beside<T>(&self, ntasks: usize, task: &(dyn Fn(usize) + Sync), work: impl FnOnce() -> T) -> T {
        let job = &self.shared.beside;
        if ntasks == 0 || ntasks > MOST || self.workers.is_empty() || job.busy.swap(true, Ordering::Acquire) {
            let made = work();
            (0..ntasks).for_each(task);
            return made;
        }
        // SAFETY: `busy` is held; this function does not return, nor unwind, before all tasks are finished.
        unsafe { job.publish(ntasks, task) };
        self.wake(ntasks);
        let made = catch_unwind(AssertUnwindSafe(work));
        let mut mine = 0;
        while let Some(index) = job.take(End::Front) {
            self.shared.call(task, index);
            mine += 1;
        }
        job.wait(ntasks, mine);
        job.busy.store(false, Ordering::Release);
        match made {
            Ok(made) => {
                self.rethrow();
                made
            }
            Err(payload) => resume_unwind(payload),
        }
    }

    fn rethrow(&self) {
        if let Some(payload) = self.shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
            resume_unwind(payload);
        }
    }

    /// Wakes as many sleeping workers as there may be tasks for.
    fn wake(&self, tasks: usize) {
        for (worker, sleeping) in self.workers.iter().zip(&self.shared.sleeping).take(tasks) {
            if sleeping.0.load(Ordering::SeqCst) && sleeping.0.swap(false, Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
    }

    /// Publishes one job of at most [`MOST`] tasks and takes part in it. The caller holds `busy`. Does not unwind.
    fn share(&self, ntasks: usize, task: &Task<'_>) {
        let job = &self.shared.job;
        // SAFETY: `busy` is held; this function does not return, nor unwind, before all tasks are finished.
        unsafe { job.publish(ntasks, task) };
        self.wake(ntasks - 1);
        let mut mine = 0;
        while let Some(index) = job.take(End::Front) {
            self.shared.call(task, index);
            mine += 1;
        }
        job.wait(ntasks, mine);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches what its tasks throw, so there is no panic to hand on.
            let _ = worker.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sum_of(pool: &Pool, n: usize) -> usize {
        let sum = AtomicUsize::new(0);
        pool.run(n, &|i| {
            sum.fetch_add(i + 1, Ordering::Relaxed);
        });
        sum.into_inner()
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [0, 1, 2, 3, 5] {
            let pool = Pool::new(threads);
            for n in [0, 1, 2, 3, 7, 100, 1000] {
                for _ in 0..50 {
                    assert_eq!(sum_of(&pool, n), n * (n + 1) / 2);
                }
            }
        }
    }

    #[test]
    fn more_tasks_than_a_ticket_holds() {
        let n = MOST + 3;
        assert_eq!(sum_of(&Pool::new(2), n), n * (n + 1) / 2);
    }

    #[test]
    fn workers_wake_up_again() {
        let pool = Pool::new(3);
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(20));
            assert_eq!(sum_of(&pool, 10), 55);
        }
    }

    #[test]
    fn work_beside_work() {
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads);
            for ntasks in [0, 1, 5, 40] {
                let beside = AtomicUsize::new(0);
                let task = |i: usize| {
                    beside.fetch_add(i + 1, Ordering::Relaxed);
                };
                let sum = pool.run_beside(ntasks, &task, || (0..20).map(|n| sum_of(&pool, n)).sum::<usize>());
                assert_eq!(sum, (0..20).map(|n| n * (n + 1) / 2).sum::<usize>());
                assert_eq!(beside.into_inner(), ntasks * (ntasks + 1) / 2);
            }
        }
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "no threads")]
    fn nested_and_concurrent_runs() {
        let pool = Pool::new(2);
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    for _ in 0..300 {
                        let total = AtomicUsize::new(0);
                        pool.run(4, &|_| {
                            total.fetch_add(sum_of(&pool, 5), Ordering::Relaxed);
                        });
                        assert_eq!(total.into_inner(), 60);
                    }
                });
            }
        });
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "no unwinding")]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        for bad in 0..8 {
            let caught = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|i| assert_ne!(i, bad, "task {i}"))));
            assert!(caught.unwrap_err().downcast_ref::<String>().is_some_and(|m| m.contains("task")));
            assert_eq!(sum_of(&pool, 8), 36);
        }
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads);
            let caught = catch_unwind(AssertUnwindSafe(|| pool.run_beside(3, &|_| {}, || panic!("work"))));
            assert!(caught.is_err());
            assert_eq!(sum_of(&pool, 8), 36);
        }
    }
}
