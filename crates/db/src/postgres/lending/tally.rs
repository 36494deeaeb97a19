//! What a pool has done since it was made, counted without a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::postgres::{ClosedConnections, PoolCounts};

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Overflow,
    Recycled,
    Dead,
    Outdated,
    Unfinished,
    Discarded,
    Ended,
}

/// The reasons, by their numbers.
const REASONS: usize = Reason::Ended as usize + 1;

#[derive(Debug, Default)]
pub(super) struct Tally {
    made: AtomicU64,
    refused: AtomicU64,
    lent: AtomicU64,
    timed_out: AtomicU64,
    waiting: AtomicUsize,
    /// Microseconds.
    waited: AtomicU64,
    longest_wait: AtomicU64,
    closed: [AtomicU64; REASONS],
}

impl Tally {
    pub(super) fn made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lent(&self) {
        self.lent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn timed_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self, reason: Reason) {
        self.closed[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Callers that wait at this moment.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn read(&self) -> PoolCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let closed = |reason: Reason| read(&self.closed[reason as usize]);
        PoolCounts {
            made: read(&self.made),
            refused: read(&self.refused),
            lent: read(&self.lent),
            timed_out: read(&self.timed_out),
            waited: Duration::from_micros(read(&self.waited)),
            longest_wait: Duration::from_micros(read(&self.longest_wait)),
            closed: ClosedConnections {
                overflow: closed(Reason::Overflow),
                recycled: closed(Reason::Recycled),
                dead: closed(Reason::Dead),
                outdated: closed(Reason::Outdated),
                unfinished: closed(Reason::Unfinished),
                discarded: closed(Reason::Discarded),
                ended: closed(Reason::Ended),
            },
        }
    }
}

/// Counts a caller as waiting, and the time, until it is dropped.
pub(super) struct Waiting<'a> {
    tally: &'a Tally,
    since: Instant,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(tally: &'a Tally) -> Self {
        tally.waiting.fetch_add(1, Ordering::Relaxed);
        Self { tally, since: Instant::now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waited = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.tally.waiting.fetch_sub(1, Ordering::Relaxed);
        self.tally.waited.fetch_add(waited, Ordering::Relaxed);
        self.tally.longest_wait.fetch_max(waited, Ordering::Relaxed);
    }
}
