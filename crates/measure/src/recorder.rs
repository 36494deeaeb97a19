//! What became of a function's calls: counters that many threads add to without waiting.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::nanos::Nanos;
use crate::report::FunctionReport;
use crate::scale::{BUCKETS, middle, place};

/// Threads with more than this many before them share counters with an earlier one. A name takes 19 kB for each thread that
/// calls it, so at most 300 kB.
const SHARDS: usize = 16;

/// How a call ended that was not broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It returned something.
    Value,
    /// It returned an `Err`.
    Error,
}

/// The calls of all functions of one name.
#[derive(Debug)]
pub(crate) struct Recorder {
    name: &'static str,
    shards: [OnceLock<Shard>; SHARDS],
    /// Too rare to be spread over threads.
    panics: AtomicU64,
    cancelled: AtomicU64,
}

/// What some threads have counted.
#[derive(Debug)]
struct Shard {
    buckets: Box<[AtomicU64]>,
    total: AtomicU64,
    shortest: AtomicU64,
    longest: AtomicU64,
    errors: AtomicU64,
    busy: AtomicU64,
}

impl Recorder {
    pub(crate) fn new(name: &'static str) -> Self {
        let (panics, cancelled) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { name, shards: [const { OnceLock::new() }; SHARDS], panics, cancelled }
    }

    /// Counts a call that ended. Two additions, and a comparison each for the shortest and the longest.
    pub(crate) fn ended(&self, nanoseconds: u64, ending: Ending) {
        let shard = self.shard();
        shard.buckets[place(nanoseconds)].fetch_add(1, Relaxed);
        shard.total.fetch_add(nanoseconds, Relaxed);
        if nanoseconds < shard.shortest.load(Relaxed) {
            shard.shortest.fetch_min(nanoseconds, Relaxed);
        }
        if nanoseconds > shard.longest.load(Relaxed) {
            shard.longest.fetch_max(nanoseconds, Relaxed);
        }
        if ending == Ending::Error {
            shard.errors.fetch_add(1, Relaxed);
        }
    }

    /// Adds to the time that futures were polled.
    pub(crate) fn was_busy(&self, nanoseconds: u64) {
        self.shard().busy.fetch_add(nanoseconds, Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    pub(crate) fn cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    fn shard(&self) -> &Shard {
        self.shards[turn()].get_or_init(Shard::new)
    }

    /// What was counted so far; `None` where nothing was. Calls that end meanwhile are in some of the numbers.
    pub(crate) fn read(&self) -> Option<FunctionReport> {
        let mut buckets = vec![0; BUCKETS];
        let (mut total, mut shortest, mut longest, mut errors, mut busy) = (0_u64, u64::MAX, 0, 0, 0_u64);
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            for (sum, bucket) in buckets.iter_mut().zip(&shard.buckets) {
                *sum += bucket.load(Relaxed);
            }
            total = total.saturating_add(shard.total.load(Relaxed));
            shortest = shortest.min(shard.shortest.load(Relaxed));
            longest = longest.max(shard.longest.load(Relaxed));
            errors += shard.errors.load(Relaxed);
            busy = busy.saturating_add(shard.busy.load(Relaxed));
        }
        let (panics, cancelled) = (self.panics.load(Relaxed), self.cancelled.load(Relaxed));
        let ended: u64 = buckets.iter().sum();
        if ended + panics + cancelled == 0 {
            return None;
        }
        let (min, max) = if ended == 0 { (0, 0) } else { (shortest.min(longest), longest) };
        let percentile = |per_mille: u64| {
            let nanoseconds = at_rank(&buckets, (ended * per_mille).div_ceil(1000).max(1));
            Nanos::computed(nanoseconds.clamp(min as f64, max as f64))
        };
        Some(FunctionReport {
            name: self.name.to_owned(),
            values: ended.saturating_sub(errors),
            errors,
            panics,
            cancelled,
            total: Nanos::whole(total),
            mean: Nanos::computed((total as f64 / ended.max(1) as f64).clamp(min as f64, max as f64)),
            min: Nanos::whole(min),
            max: Nanos::whole(max),
            p50: percentile(500),
            p90: percentile(900),
            p95: percentile(950),
            p99: percentile(990),
            busy: (busy > 0).then(|| Nanos::whole(busy)),
        })
    }

    pub(crate) fn reset(&self) {
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            for counter in shard.buckets.iter().chain([&shard.total, &shard.longest, &shard.errors, &shard.busy]) {
                counter.store(0, Relaxed);
            }
            shard.shortest.store(u64::MAX, Relaxed);
        }
        self.panics.store(0, Relaxed);
        self.cancelled.store(0, Relaxed);
    }
}

impl Shard {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            buckets: (0..BUCKETS).map(|_| zero()).collect(),
            total: zero(),
            shortest: AtomicU64::new(u64::MAX),
            longest: zero(),
            errors: zero(),
            busy: zero(),
        }
    }
}

/// The middle of the bucket that holds the call of this rank, from 1.
fn at_rank(buckets: &[u64], rank: u64) -> f64 {
    let mut before = 0;
    for (place, count) in buckets.iter().enumerate() {
        before += count;
        if before >= rank {
            return middle(place);
        }
    }
    0.0
}

/// This thread's place among the shards.
fn turn() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static TURN: Cell<usize> = const { Cell::new(usize::MAX) });
    TURN.with(|turn| {
        if turn.get() == usize::MAX {
            turn.set(NEXT.fetch_add(1, Relaxed));
        }
        turn.get() % SHARDS
    })
}

#[cfg(test)]
mod tests;
