//! How often things happened over time: counts by the minute for an hour, and by the hour for a day.
//!
//! Pure: whoever owns a [`History`] calls [`tick`](History::tick) now and then with a view's counts, and asks for the
//! [`ratios`](History::ratios) of a table. It knows no view and no clock.
//!
//! ```
//! use std::time::Duration;
//! use tierkeep_cache::{Cache, Tick, history::History};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = Cache::builder("shop").build()?;
//! let prices = cache.view::<u64, u64>("prices").build()?;
//! let mut history = History::new(Tick::from_millis(0), prices.counts());
//!
//! prices.get_or_load(&7, async |_| Ok::<_, String>(9)).await?;
//! prices.get(&7).await;
//! let now = Tick::from_millis(30_000);
//! history.tick(now, prices.counts());
//!
//! assert_eq!(history.ratios(now).last_minutes[0].hit_ratio(), Some(0.5));
//! # Ok(()) }
//! ```

use std::time::Duration;

use crate::clock::Tick;
use crate::counters::Counts;

/// Minutes that are kept one by one.
pub const MINUTES: usize = 60;
/// Hours that are kept one by one.
pub const HOURS: usize = 24;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// What was counted in one minute or hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// Reads that memory answered.
    pub memory_hits: u64,
    /// Reads that the remote tier answered.
    pub remote_hits: u64,
    /// Reads that no tier could answer.
    pub misses: u64,
    /// Reads that were given a value marked stale.
    pub stale_served: u64,
    /// Loaders that were started, whoever they were for.
    pub loads: u64,
    /// Of these, those that failed.
    pub load_failures: u64,
}

impl Span {
    /// What was counted between two readings. Counts that fell were begun anew: what they show now came since.
    fn between(before: &Counts, now: &Counts) -> Self {
        let since = |before: u64, now: u64| now.checked_sub(before).unwrap_or(now);
        Self {
            memory_hits: since(before.memory_hits, now.memory_hits),
            remote_hits: since(before.remote_hits, now.remote_hits),
            misses: since(before.misses, now.misses),
            stale_served: since(before.stale_served, now.stale_served),
            loads: since(before.loads, now.loads),
            load_failures: since(before.load_failures, now.load_failures),
        }
    }

    /// Reads, however they were answered.
    pub fn reads(&self) -> u64 {
        self.memory_hits + self.remote_hits + self.misses
    }

    /// The share of reads that a tier answered, 0 to 1; `None` where nobody read.
    pub fn hit_ratio(&self) -> Option<f64> {
        let reads = self.reads();
        (reads > 0).then(|| (self.memory_hits + self.remote_hits) as f64 / reads as f64)
    }
}

impl std::ops::AddAssign for Span {
    fn add_assign(&mut self, other: Self) {
        self.memory_hits += other.memory_hits;
        self.remote_hits += other.remote_hits;
        self.misses += other.misses;
        self.stale_served += other.stale_served;
        self.loads += other.loads;
        self.load_failures += other.load_failures;
    }
}

impl std::iter::Sum for Span {
    fn sum<I: Iterator<Item = Self>>(spans: I) -> Self {
        spans.fold(Self::default(), |mut sum, span| {
            sum += span;
            sum
        })
    }
}

/// A view's counts over the last hour and the last day; 4 KiB, whatever happens.
#[derive(Clone, Debug)]
pub struct History {
    began: Tick,
    last: Counts,
    minutes: Ring<MINUTES>,
    hours: Ring<HOURS>,
}

/// The spans of a [`History`], the running one first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ratios {
    /// Up to 60 minutes; the first is the one that runs.
    pub last_minutes: Vec<Span>,
    /// Up to 24 hours; the first is the one that runs.
    pub last_hours: Vec<Span>,
}

impl Ratios {
    /// All of the last so many minutes together, at most 60; the running one is the first.
    pub fn minutes(&self, last: usize) -> Span {
        self.last_minutes.iter().take(last).copied().sum()
    }

    /// All of the last so many hours together, at most 24; the running one is the first.
    pub fn hours(&self, last: usize) -> Span {
        self.last_hours.iter().take(last).copied().sum()
    }
}

impl History {
    /// Begins now; what was counted before is not part of it.
    pub fn new(now: Tick, counts: Counts) -> Self {
        Self { began: now, last: counts, minutes: Ring::new(MINUTE), hours: Ring::new(HOUR) }
    }

    /// Takes what was counted since the last call into the running minute and hour. Called less than once a minute it
    /// is right in sum, and the reads of the minutes between are found in the last one. A clock that went back is taken
    /// to stand still.
    pub fn tick(&mut self, now: Tick, counts: Counts) {
        let span = Span::between(&self.last, &counts);
        self.last = counts;
        let elapsed = now.since(self.began);
        self.minutes.add(elapsed, span);
        self.hours.add(elapsed, span);
    }

    /// What was counted, minute by minute and hour by hour, as of the last [`tick`](Self::tick).
    pub fn ratios(&self, now: Tick) -> Ratios {
        let elapsed = now.since(self.began);
        Ratios { last_minutes: self.minutes.newest_first(elapsed), last_hours: self.hours.newest_first(elapsed) }
    }
}

/// The last `N` spans of one length. Where a span lies follows from its number.
#[derive(Clone, Debug)]
struct Ring<const N: usize> {
    spans: [Span; N],
    length_ms: u64,
    /// The number of the newest span since the beginning.
    newest: u64,
}

impl<const N: usize> Ring<N> {
    fn new(length_ms: u64) -> Self {
        Self { spans: [Span::default(); N], length_ms, newest: 0 }
    }

    fn number(&self, elapsed: Duration) -> u64 {
        elapsed.as_millis() as u64 / self.length_ms
    }

    fn slot(number: u64) -> usize {
        (number % N as u64) as usize
    }

    fn add(&mut self, elapsed: Duration, span: Span) {
        let number = self.number(elapsed);
        for passed in (self.newest + 1..=number).take(N) {
            self.spans[Self::slot(passed)] = Span::default();
        }
        self.newest = self.newest.max(number);
        self.spans[Self::slot(self.newest)] += span;
    }

    fn newest_first(&self, elapsed: Duration) -> Vec<Span> {
        let number = self.number(elapsed).max(self.newest);
        let oldest = (number + 1).saturating_sub(N as u64);
        let kept = self.newest.saturating_sub(N as u64 - 1);
        let span =
            |at: u64| if (kept..=self.newest).contains(&at) { self.spans[Self::slot(at)] } else { Span::default() };
        (oldest..=number).rev().map(span).collect()
    }
}

#[cfg(test)]
mod tests;
