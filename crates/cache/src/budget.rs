//! How many loads may run, for all of a cache: readers, refreshes and warm-up alike.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Bounds of the loads of one cache.
///
/// ```
/// use std::time::Duration;
/// use tierkeep_cache::LoadLimit;
///
/// let limit = LoadLimit::concurrent(64).per_second(500).wait(Duration::from_secs(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadLimit {
    concurrent: usize,
    per_second: Option<u32>,
    wait: Duration,
}

impl LoadLimit {
    /// At most this many loads at once (1 to 1,000,000), no bound on their rate, and a reader waits up to 10 s for its turn.
    pub fn concurrent(loads: usize) -> Self {
        Self { concurrent: loads.clamp(1, 1_000_000), per_second: None, wait: Duration::from_secs(10) }
    }

    /// Begins no more loads than this in any second, evenly spread.
    pub fn per_second(self, loads: u32) -> Self {
        Self { per_second: Some(loads.max(1)), ..self }
    }

    /// A load that could not begin after this time fails with [`LoadError::Overloaded`](crate::LoadError::Overloaded).
    pub fn wait(self, longest: Duration) -> Self {
        Self { wait: longest, ..self }
    }
}

impl Default for LoadLimit {
    /// 256 at once.
    fn default() -> Self {
        Self::concurrent(256)
    }
}

/// For whom a load is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody waits.
    Reader,
    /// A value that is still there is replaced: only if a load may begin at once.
    Refresh,
    /// Nobody waits: takes at most half of what may run at once.
    WarmUp,
}

/// Hands out the right to load.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: LoadLimit,
    running: Arc<Semaphore>,
    warming: Arc<Semaphore>,
    next: Mutex<Option<Instant>>,
}

/// The right to run one load, until dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _running: OwnedSemaphorePermit,
    _warming: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(limit: LoadLimit) -> Self {
        let half = limit.concurrent.div_ceil(2);
        Self {
            limit,
            running: Arc::new(Semaphore::new(limit.concurrent)),
            warming: Arc::new(Semaphore::new(half)),
            next: Mutex::new(None),
        }
    }

    /// Loads that run now.
    pub(crate) fn running(&self) -> usize {
        self.limit.concurrent - self.running.available_permits()
    }

    /// Waits for a turn; `None` if it did not come in time.
    pub(crate) async fn acquire(&self, urgency: Urgency) -> Option<Permit> {
        // Nobody waits longer than a century; the clock would overflow with some wishes.
        let deadline = Instant::now() + self.limit.wait.min(Duration::from_secs(100 * 365 * 24 * 3600));
        match urgency {
            Urgency::Reader => {
                let running = self.turn(deadline).await?;
                Some(Permit { _running: running, _warming: None })
            }
            Urgency::Refresh => {
                let running = Arc::clone(&self.running).try_acquire_owned().ok()?;
                self.pace(Instant::now())?;
                Some(Permit { _running: running, _warming: None })
            }
            Urgency::WarmUp => {
                let warming = Arc::clone(&self.warming).acquire_owned();
                let warming = tokio::time::timeout_at(deadline, warming).await.ok()?.ok()?;
                let running = self.turn(deadline).await?;
                Some(Permit { _running: running, _warming: Some(warming) })
            }
        }
    }

    async fn turn(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        let running = Arc::clone(&self.running).acquire_owned();
        let running = tokio::time::timeout_at(deadline, running).await.ok()?.ok()?;
        tokio::time::sleep_until(self.pace(deadline)?).await;
        Some(running)
    }

    /// When the next load may begin, by rate; its place is taken unless that is after the deadline.
    fn pace(&self, deadline: Instant) -> Option<Instant> {
        let now = Instant::now();
        let Some(rate) = self.limit.per_second else { return Some(now) };
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.unwrap_or(now).max(now);
        if at > deadline {
            return None;
        }
        *next = Some(at + Duration::from_secs(1) / rate);
        Some(at)
    }
}
