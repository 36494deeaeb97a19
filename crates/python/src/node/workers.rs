//! Threads of our own for calls that nobody waits for in a thread: the asynchronous forms.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most threads of a process. Each holds a connection while it waits, and a node answers in well under a millisecond.
const THREADS: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one process. They begin when there is work, and wait for more until they are closed.
pub struct Workers {
    process: u32,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    is_closed: bool,
}

impl Workers {
    /// No thread yet.
    #[must_use]
    pub fn new() -> Self {
        Self { process: std::process::id(), shared: Arc::default() }
    }

    /// Whether they belong to this process. A forked child has none of its parent's threads, and must not touch their
    /// queue, whose lock one of them may have held: it forgets it.
    #[must_use]
    pub fn is_of_this_process(&self) -> bool {
        self.process == std::process::id()
    }

    /// Has it done by one of them. `false`: they are closed, or no thread could be made.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> bool {
        let mut queue = self.shared.queue();
        if queue.is_closed {
            return false;
        }
        if queue.idle <= queue.jobs.len() && queue.threads < THREADS {
            let shared = Arc::clone(&self.shared);
            let begun = std::thread::Builder::new().name("tierkeep-worker".to_owned()).spawn(move || shared.work());
            match begun {
                Ok(_) => queue.threads += 1,
                Err(_) if queue.threads == 0 => return false,
                Err(_) => {}
            }
        }
        queue.jobs.push_back(Box::new(job));
        drop(queue);
        self.shared.changed.notify_one();
        true
    }

    /// Takes no more work, drops what nobody began, and waits for the rest. `false`: it took longer.
    pub fn close(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut queue = self.shared.queue();
        queue.is_closed = true;
        let dropped = std::mem::take(&mut queue.jobs);
        self.shared.changed.notify_all();
        while queue.threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            queue = self.shared.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(queue);
        drop(dropped);
        true
    }
}

impl Drop for Workers {
    /// Has the threads end once they have nothing to do; waits for none.
    fn drop(&mut self) {
        if self.is_of_this_process() {
            self.shared.queue().is_closed = true;
            self.shared.changed.notify_all();
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // jobs run outside the lock
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let _ending = Ending(self);
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job();
                queue = self.queue();
            } else if queue.is_closed {
                return;
            } else {
                queue.idle += 1;
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            }
        }
    }
}

/// Says that a thread is gone, whether or not its last job panicked.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.queue().threads -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn work_is_done_by_several_threads_at_once() {
        let workers = Workers::new();
        let (sender, receiver) = mpsc::sync_channel(THREADS);
        let meeting = Arc::new(std::sync::Barrier::new(THREADS));
        for _ in 0..THREADS {
            let (sender, meeting) = (sender.clone(), Arc::clone(&meeting));
            assert!(workers.submit(move || {
                meeting.wait();
                sender.send(()).unwrap();
            }));
        }

        for _ in 0..THREADS {
            receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        }

        assert!(workers.close(Duration::from_secs(10)));
        assert!(!workers.submit(|| {}));
    }

    #[test]
    fn closing_waits_for_what_has_begun_and_no_longer_than_it_may() {
        let workers = Workers::new();
        let (begun, has_begun) = mpsc::sync_channel(1);
        let (release, released) = mpsc::sync_channel::<()>(1);
        workers.submit(move || {
            begun.send(()).unwrap();
            released.recv().unwrap();
        });
        has_begun.recv_timeout(Duration::from_secs(10)).unwrap();

        assert!(!workers.close(Duration::from_millis(20)));
        release.send(()).unwrap();
        assert!(workers.close(Duration::from_secs(10)));
    }

    #[test]
    fn a_job_that_panics_takes_its_thread_and_nothing_else() {
        let workers = Workers::new();
        workers.submit(|| panic!("as the test wants it"));
        let (sender, receiver) = mpsc::sync_channel(THREADS);

        workers.submit(move || sender.send(7).unwrap());

        assert_eq!(receiver.recv_timeout(Duration::from_secs(10)), Ok(7));
    }

    #[test]
    fn threads_end_with_what_they_belong_to() {
        let workers = Workers::new();
        let shared = Arc::downgrade(&workers.shared);
        let (sender, receiver) = mpsc::sync_channel(THREADS);
        workers.submit(move || sender.send(()).unwrap());
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();

        drop(workers);

        let deadline = Instant::now() + Duration::from_secs(10);
        while shared.strong_count() > 0 {
            assert!(Instant::now() < deadline, "a thread holds on to the queue");
            std::thread::yield_now();
        }
    }
}
