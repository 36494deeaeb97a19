//! How many rows the next batch may have, and how long to rest after it.
//!
//! Additive increase, multiplicative decrease, on the wall time of batches: what a batch costs differs by four orders of
//! magnitude between tables and machines, and only its time says what others have to wait.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use tierkeep_retention::{BatchSize, Pace};
//!
//! let mut pace = Pace::new(BatchSize::default(), Pace::TARGET);
//! assert_eq!(pace.next_rows().get(), 1000);
//!
//! pace.done(1000, Duration::from_millis(20));
//! assert_eq!(pace.next_rows().get(), 1100);
//!
//! pace.done(1100, Duration::from_secs(2));
//! assert_eq!(pace.next_rows().get(), 110);
//! ```

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use thiserror::Error;
use tierkeep_db::Database;

/// Where batches start and how large they may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// A size that somebody asked for: start and maximum. Time does not change it, so that the number of batches can be
    /// told beforehand; locks and timeouts do, and it recovers.
    Fixed(NonZeroU32),
    /// A size that follows the time batches take.
    Adaptive {
        /// Rows of the first batch; more than `max` counts as `max`. Default 1,000.
        start: NonZeroU32,
        /// Most rows of a batch; more than [`Pace::MAX_ROWS`] counts as that. Default 50,000.
        max: NonZeroU32,
    },
}

impl Default for BatchSize {
    fn default() -> Self {
        Self::Adaptive { start: rows(1000), max: Pace::MAX_ROWS }
    }
}

/// The size of batches, as it follows their time and what hinders them.
#[derive(Debug, Clone)]
pub struct Pace {
    size: BatchSize,
    rows: NonZeroU32,
    target: Duration,
    /// Hindered batches in a row.
    hindered: u32,
}

impl Pace {
    /// Time that a batch is to take unless told otherwise: 200 ms. Locks of a batch are held that long, and a person
    /// notices a wait of more.
    pub const TARGET: Duration = Duration::from_millis(200);
    /// The same on SQLite, where a batch has the write lock of the whole file: 50 ms.
    pub const TARGET_SQLITE: Duration = Duration::from_millis(50);
    /// Most rows of an adaptive batch: 50,000. Beyond it a batch gains nothing more and its transaction log comes in
    /// bursts.
    pub const MAX_ROWS: NonZeroU32 = rows(50_000);
    /// First pause after a hindered batch: 50 ms; each further one in a row doubles it.
    pub const FIRST_RETRY: Duration = Duration::from_millis(50);
    /// Longest pause after a hindered batch: 5 s.
    pub const LAST_RETRY: Duration = Duration::from_secs(5);

    /// A pace at its start. A `target` of less than 1 ms counts as 1 ms.
    #[must_use]
    pub fn new(size: BatchSize, target: Duration) -> Self {
        let start = match size {
            BatchSize::Fixed(rows) => rows,
            BatchSize::Adaptive { start, max } => start.min(max).min(Self::MAX_ROWS),
        };
        Self { size, rows: start, target: target.max(Duration::from_millis(1)), hindered: 0 }
    }

    /// Rows of the next batch: from 1 to [`max_rows`](Self::max_rows).
    #[must_use]
    pub fn next_rows(&self) -> NonZeroU32 {
        self.rows
    }

    /// Most rows that a batch can come to have.
    #[must_use]
    pub fn max_rows(&self) -> NonZeroU32 {
        match self.size {
            BatchSize::Fixed(rows) => rows,
            BatchSize::Adaptive { max, .. } => max.min(Self::MAX_ROWS),
        }
    }

    /// Notes a batch that was committed: how many rows it moved, and its time from `begin` to the answer to `commit`.
    ///
    /// - Below the target it grows by a tenth, at least by one row, if the batch had nine tenths of the rows it was
    ///   allowed: the time of one that found few rows, or was slowed, says nothing about a full one.
    /// - Above the target it shrinks in proportion, at once: `rows × target / took`. Halving would take ten batches,
    ///   each of them far too long, to follow a machine that became a thousand times slower, while growing again by
    ///   tenths harms nobody. Between the target and its double this shrinks by less than half, so that a batch just
    ///   above the target does not make the size swing.
    /// - A batch of less than half of its rows that took too long spent its time finding them; it counts as half.
    pub fn done(&mut self, moved: u32, took: Duration) {
        self.hindered = 0;
        let allowed = self.rows.get();
        let is_adaptive = matches!(self.size, BatchSize::Adaptive { .. });
        if is_adaptive && took > self.target {
            let measured = moved.clamp(allowed.div_ceil(2), allowed);
            let fitting = u128::from(measured) * self.target.as_nanos() / took.as_nanos();
            self.set(u32::try_from(fitting).unwrap_or(u32::MAX));
        } else if moved >= allowed - allowed / 10 {
            self.set(allowed.saturating_add((allowed / 10).max(1)));
        }
    }

    /// Time that a batch is to take on a database unless told otherwise.
    pub(crate) fn target(db: &Database) -> Duration {
        match db {
            Database::Postgres(_) => Self::TARGET,
            Database::Sqlite(_) => Self::TARGET_SQLITE,
        }
    }

    /// Notes a batch that was rolled back for a lock timeout, a deadlock, a statement timeout or because others waited
    /// for it: the next one has half of its rows, and comes after the pause that is returned.
    ///
    /// The pause doubles from 50 ms to 5 s while nothing succeeds; there is no last attempt that waits without limit.
    #[must_use = "the next attempt comes after this pause"]
    pub fn hindered(&mut self) -> Duration {
        self.set(self.rows.get() / 2);
        let pause = Self::FIRST_RETRY.saturating_mul(1_u32.checked_shl(self.hindered).unwrap_or(u32::MAX));
        self.hindered = self.hindered.saturating_add(1);
        pause.min(Self::LAST_RETRY)
    }

    fn set(&mut self, rows: u32) {
        self.rows = NonZeroU32::new(rows).unwrap_or(NonZeroU32::MIN).min(self.max_rows());
    }
}

/// A share in percent: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u8);

/// A number that is no [`Share`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a share of {0} percent; accepted: 1 to 100")]
pub struct ShareError(u8);

impl Share {
    /// All of it.
    pub const ALL: Self = Self(100);
    /// The smallest share.
    pub const LEAST: Self = Self(1);

    /// A share of so many percent.
    ///
    /// # Errors
    /// It is 0, or more than 100.
    pub const fn new(percent: u8) -> Result<Self, ShareError> {
        if percent == 0 || percent > 100 { Err(ShareError(percent)) } else { Ok(Self(percent)) }
    }

    /// The percent: 1 to 100.
    #[must_use]
    pub const fn percent(self) -> u8 {
        self.0
    }

    /// This share of so many rows, at least one.
    #[must_use]
    pub fn of_rows(self, rows: NonZeroU32) -> NonZeroU32 {
        let part = u64::from(rows.get()) * u64::from(self.0) / 100;
        u32::try_from(part).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
    }

    /// The pause after so much work that leaves work this share of the time: none at 100 %, three times the work at
    /// 25 %. Never to be spent inside a transaction.
    #[must_use]
    pub fn rest_after(self, work: Duration) -> Duration {
        work.saturating_mul(u32::from(100 - self.0)) / u32::from(self.0)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

const fn rows(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(rows) => rows,
        None => NonZeroU32::MIN,
    }
}

#[cfg(test)]
mod tests;
