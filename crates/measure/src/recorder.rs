//! What became of a function's calls: counters that many threads add to without waiting.
//!
//! The first threads have counters of their own, which nobody else writes: a load and a store take a tenth of what an addition
//! takes that must be one for all threads. Such counters are not cleared by others either: a reset begins an era, and whoever counts
//! next clears what is of an earlier one.

mod seat;

use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use self::seat::{OWN, SHARED, Seat};
use crate::nanos::Nanos;
use crate::report::FunctionReport;
use crate::scale::{BUCKETS, middle, place};

/// Sets of counters. Each takes 19 kB once a thread has counted there, so that a name takes at most 460 kB.
const SHARDS: usize = OWN + SHARED;

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
    /// Resets so far.
    era: AtomicU64,
    /// Too rare to be spread over threads.
    panics: AtomicU64,
    cancelled: AtomicU64,
}

/// What one thread has counted, or some together.
#[derive(Debug)]
struct Shard {
    /// The resets that the thread has seen. What it counted before the last one counts for nothing.
    era: AtomicU64,
    buckets: Box<[AtomicU64]>,
    total: AtomicU64,
    shortest: AtomicU64,
    longest: AtomicU64,
    errors: AtomicU64,
    busy: AtomicU64,
}

impl Recorder {
    pub(crate) fn new(name: &'static str) -> Self {
        let zero = || AtomicU64::new(0);
        Self { name, shards: [const { OnceLock::new() }; SHARDS], era: zero(), panics: zero(), cancelled: zero() }
    }

    /// Counts a call that ended. Two additions, and a comparison each for the shortest and the longest.
    #[inline]
    pub(crate) fn ended(&self, nanoseconds: u64, ending: Ending) {
        let seat = Seat::of_thread();
        let shard = self.shard(seat);
        if seat.is_own() {
            shard.ended::<Alone>(nanoseconds, ending);
        } else {
            shard.ended::<Among>(nanoseconds, ending);
        }
    }

    /// Adds to the time that futures were polled.
    pub(crate) fn was_busy(&self, nanoseconds: u64) {
        let seat = Seat::of_thread();
        let shard = self.shard(seat);
        if seat.is_own() { Alone::add(&shard.busy, nanoseconds) } else { Among::add(&shard.busy, nanoseconds) }
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    pub(crate) fn cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    /// The calling thread's counters, of this era.
    #[inline]
    fn shard(&self, seat: Seat) -> &Shard {
        let era = self.era.load(Relaxed);
        let shard = self.shards[seat.index()].get_or_init(|| Shard::new(era));
        if seat.is_own() && shard.era.load(Relaxed) != era {
            shard.clear();
            shard.era.store(era, Release);
        }
        shard
    }

    /// The counters of this era.
    fn counted(&self) -> impl Iterator<Item = &Shard> {
        let era = self.era.load(Relaxed);
        let (own, shared) = self.shards.split_at(OWN);
        let own = own.iter().filter_map(OnceLock::get).filter(move |shard| shard.era.load(Acquire) == era);
        own.chain(shared.iter().filter_map(OnceLock::get))
    }

    /// What was counted so far; `None` where nothing was. Calls that end meanwhile are in some of the numbers.
    pub(crate) fn read(&self) -> Option<FunctionReport> {
        let mut buckets = vec![0; BUCKETS];
        let (mut total, mut shortest, mut longest, mut errors, mut busy) = (0_u64, u64::MAX, 0, 0, 0_u64);
        for shard in self.counted() {
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
        self.era.fetch_add(1, Relaxed);
        self.shards[OWN..].iter().filter_map(OnceLock::get).for_each(Shard::clear);
        self.panics.store(0, Relaxed);
        self.cancelled.store(0, Relaxed);
    }
}

/// How counters are added to.
trait Adding {
    fn add(counter: &AtomicU64, number: u64);
    fn lower(least: &AtomicU64, number: u64);
    fn raise(most: &AtomicU64, number: u64);
}

/// By the only thread that writes them.
struct Alone;

impl Adding for Alone {
    #[inline]
    fn add(counter: &AtomicU64, number: u64) {
        counter.store(counter.load(Relaxed).wrapping_add(number), Relaxed);
    }

    #[inline]
    fn lower(least: &AtomicU64, number: u64) {
        least.store(number, Relaxed);
    }

    #[inline]
    fn raise(most: &AtomicU64, number: u64) {
        most.store(number, Relaxed);
    }
}

/// By several threads.
struct Among;

impl Adding for Among {
    fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Relaxed);
    }

    fn lower(least: &AtomicU64, number: u64) {
        least.fetch_min(number, Relaxed);
    }

    fn raise(most: &AtomicU64, number: u64) {
        most.fetch_max(number, Relaxed);
    }
}

impl Shard {
    fn new(era: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            era: AtomicU64::new(era),
            buckets: (0..BUCKETS).map(|_| zero()).collect(),
            total: zero(),
            shortest: AtomicU64::new(u64::MAX),
            longest: zero(),
            errors: zero(),
            busy: zero(),
        }
    }

    #[inline]
    fn ended<A: Adding>(&self, nanoseconds: u64, ending: Ending) {
        A::add(&self.buckets[place(nanoseconds)], 1);
        A::add(&self.total, nanoseconds);
        if nanoseconds < self.shortest.load(Relaxed) {
            A::lower(&self.shortest, nanoseconds);
        }
        if nanoseconds > self.longest.load(Relaxed) {
            A::raise(&self.longest, nanoseconds);
        }
        if ending == Ending::Error {
            A::add(&self.errors, 1);
        }
    }

    #[cold]
    fn clear(&self) {
        for counter in self.buckets.iter().chain([&self.total, &self.longest, &self.errors, &self.busy]) {
            counter.store(0, Relaxed);
        }
        self.shortest.store(u64::MAX, Relaxed);
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

#[cfg(test)]
mod tests;
