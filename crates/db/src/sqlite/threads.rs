//! Threads that each own a connection and take jobs from one bounded queue.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::ease::Ease;
use crate::Error;

/// A closure with everything it needs.
pub(super) type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Some threads and their queue. Dropping it lets the threads finish the queue and end.
pub(super) struct Crew {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Queue {
    /// Bounds `jobs`: a job carries its place until a thread takes it.
    places: Arc<Semaphore>,
    state: Mutex<State>,
    /// Signalled once per job, and to all when the queue closes.
    changed: Condvar,
}

struct State {
    jobs: VecDeque<(Job, OwnedSemaphorePermit)>,
    /// Threads that wait for `changed`. Nobody is signalled when all are busy: they look before they sleep.
    sleeping: usize,
    closed: bool,
}

/// What a thread does next.
enum Next {
    Job(Job),
    /// Nothing yet: its moment has come.
    Pause,
    /// Nothing any more: the queue is closed and empty.
    Closed,
}

impl Crew {
    /// Starts threads and returns once each has its connection.
    ///
    /// # Errors
    ///
    /// The first error of `open`, or [`Error::InvalidSetting`] if the system gives no more threads. Threads that started
    /// then end by themselves.
    pub(super) async fn start<F>(name: &str, count: usize, places: usize, open: F) -> Result<Self, Error>
    where
        F: Fn() -> Result<Connection, Error> + Send + Sync + 'static,
    {
        let crew = Self {
            queue: Arc::new(Queue {
                places: Arc::new(Semaphore::new(places)),
                state: Mutex::new(State { jobs: VecDeque::new(), sleeping: 0, closed: false }),
                changed: Condvar::new(),
            }),
            threads: Mutex::new(Vec::with_capacity(count)),
        };
        let open = Arc::new(open);
        for _ in 0..count {
            let (ready, opened) = oneshot::channel();
            let (queue, open) = (Arc::clone(&crew.queue), Arc::clone(&open));
            let thread = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || match open() {
                    Ok(connection) => {
                        // Nobody listens if `open` was dropped; the queue is then closed.
                        let _ = ready.send(Ok(()));
                        queue.serve(connection);
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                })
                .map_err(|source| Error::InvalidSetting {
                    setting: "readers",
                    given: format!("{count} ({source})"),
                    accepted: "fewer threads",
                })?;
            lock(&crew.threads).push(thread);
            opened.await.map_err(|_| Error::Closed)??;
        }
        Ok(crew)
    }

    /// Queues a job, waiting for a place if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub(super) async fn submit(&self, job: Job) -> Result<(), Error> {
        let place = Arc::clone(&self.queue.places).acquire_owned().await.map_err(|_| Error::Closed)?;
        let wake = {
            let mut state = lock(&self.queue.state);
            if state.closed {
                return Err(Error::Closed);
            }
            state.jobs.push_back((job, place));
            state.sleeping > 0
        };
        if wake {
            self.queue.changed.notify_one();
        }
        Ok(())
    }

    /// Refuses further jobs and waits until the threads have done the queued ones and ended.
    pub(super) async fn close(&self) {
        self.queue.close();
        let threads = std::mem::take(&mut *lock(&self.threads));
        // The only failure is that the runtime shuts down; the threads end without being waited for then.
        let _ = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // Panics of jobs were caught, so there is none to pass on.
                let _ = thread.join();
            }
        })
        .await;
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Queue {
    fn serve(&self, mut connection: Connection) {
        let mut ease = Ease::new(Instant::now());
        loop {
            match self.next(ease.due()) {
                Next::Job(job) => {
                    let began = Instant::now();
                    // A job catches what its closure throws. What is left is the drop of an answer nobody waits for.
                    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| job(&mut connection)));
                    ease.worked(began, Instant::now());
                }
                Next::Pause => {}
                Next::Closed => break,
            }
            if ease.gives_back(Instant::now()) {
                // It may fail to free anything, and never more than that.
                let _ = connection.execute_batch("pragma shrink_memory");
            }
        }
        // Best effort, as other processes may be reading; a reader's connection has nothing to write and says so.
        if !connection.is_readonly("main").unwrap_or(true) {
            let _ = connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()));
        }
    }

    /// Waits for a job, until a moment if there is one.
    fn next(&self, until: Option<Instant>) -> Next {
        let mut state = lock(&self.state);
        loop {
            if let Some((job, _place)) = state.jobs.pop_front() {
                return Next::Job(job);
            }
            if state.closed {
                return Next::Closed;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Next::Pause;
            }
            state.sleeping += 1;
            state = match left {
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.sleeping -= 1;
        }
    }

    fn close(&self) {
        self.places.close();
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}

/// No code that holds these locks can panic, so a poisoned one is as good as new.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
