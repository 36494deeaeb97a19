//! Whether the database has room for the next batch.
//!
//! Several sources are read before each batch; each gives a [`Verdict`], and the worst counts. A source that says nothing
//! does not mean that all is well: after a grace it stops the run, and the decision names it. A source that nobody wants
//! is switched off in the [`Limits`], by somebody, and not by its silence.
//!
//! The rows of the next batch are `verdict.share()?.of_rows(pace.next_rows())`; where there is no share, the run rests
//! for the pause of the verdict, outside of a transaction, and asks again.
//!
//! Reading is [`health_postgres`] and [`health_sqlite`], which never fail but say [`Reading::Unknown`]; everything else
//! here is computed.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use tierkeep_retention::{Limits, Reading, Source, Throttle, Verdict};
//! use tokio::time::Instant;
//!
//! let mut throttle = Throttle::new(Limits::default(), &Source::SQLITE);
//! let now = Instant::now();
//! let lock = Reading::WriteLock { waited: Duration::from_millis(3) };
//!
//! let decision = throttle.decide(now, &[Reading::WalFile { bytes: 0 }, lock.clone()]);
//! assert_eq!(decision.verdict, Verdict::Go);
//!
//! let decision = throttle.decide(now, &[lock.clone()]);
//! assert!(matches!(decision.verdict, Verdict::Unknown { .. }));
//!
//! let decision = throttle.decide(now + Duration::from_secs(10), &[lock]);
//! assert_eq!(decision.source(), Some(Source::WalFile));
//! assert!(matches!(decision.verdict, Verdict::Stop { .. }));
//! ```

mod limits;
mod postgres;
mod sqlite;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::pace::Share;
use crate::stop_sign::Ending;

pub use limits::{Band, Limits, LoadLimits, ReplicationLimits, SqliteLimits, TableLimits};
pub use postgres::{Watched, health_postgres};
pub use sqlite::health_sqlite;
pub(crate) use sqlite::write_back;

/// What can hold a run back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Source {
    /// How far replicas are behind.
    ReplicationLag,
    /// Sessions that wait for a lock of ours. They are there only while a batch is under way: a stop of this source that
    /// comes then is a reason to roll it back and call [`Pace::hindered`](crate::Pace::hindered).
    LockWaiters,
    /// Log that waits to be archived.
    WalArchive,
    /// Log that is kept for replication slots.
    SlotRetention,
    /// What others are doing.
    Load,
    /// Vacuum of the tables that a run works on, and what there is for it to do.
    Autovacuum,
    /// Log of SQLite that cannot be written back into the file, for a reader that needs it.
    WalFile,
    /// Waits for the write lock of SQLite.
    WriteLock,
}

impl Source {
    /// The sources that PostgreSQL has.
    pub const POSTGRES: [Self; 6] =
        [Self::ReplicationLag, Self::LockWaiters, Self::WalArchive, Self::SlotRetention, Self::Load, Self::Autovacuum];
    /// The sources that SQLite has.
    pub const SQLITE: [Self; 2] = [Self::WalFile, Self::WriteLock];

    /// Its name in metrics and reports; stable.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ReplicationLag => "replication_lag",
            Self::LockWaiters => "lock_waiters",
            Self::WalArchive => "wal_archive",
            Self::SlotRetention => "slot_retention",
            Self::Load => "load",
            Self::Autovacuum => "autovacuum",
            Self::WalFile => "wal_file",
            Self::WriteLock => "write_lock",
        }
    }
}

/// What one source said.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reading {
    /// The replicas that are connected; none is fine.
    Replicas(Vec<Replica>),
    /// So many sessions wait for a lock that a session of ours holds or waits for.
    Waiters {
        /// Sessions, ours not counted.
        sessions: u64,
    },
    /// Archiving of the log; without it nothing waits and nothing fails.
    Archive {
        /// Whether the last attempt failed.
        is_failing: bool,
        /// Finished segments that were not archived.
        waiting_segments: u64,
    },
    /// What the slot that is furthest behind keeps.
    Slots {
        /// Bytes of log.
        retained_bytes: u64,
    },
    /// Client sessions that run a statement.
    Load {
        /// Such sessions, ours not counted.
        active: u64,
        /// The server's `max_connections`.
        max_connections: u64,
    },
    /// The tables a run works on, with their partitions.
    Tables {
        /// Whether one is being vacuumed, analysed or indexed without a lock by somebody else.
        is_vacuumed: bool,
        /// Rows of each.
        rows: Vec<TableRows>,
    },
    /// Log of SQLite that was not yet written back.
    WalFile {
        /// Bytes.
        bytes: u64,
    },
    /// How long the last batch waited for SQLite's write lock.
    WriteLock {
        /// The wait.
        waited: Duration,
    },
    /// A source that could not be read.
    Unknown {
        /// Which.
        source: Source,
        /// Why, and what helps.
        why: String,
    },
}

/// A replica that is connected.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica {
    /// Its `application_name`.
    pub name: String,
    /// Bytes of log that it has not applied, or has not written if it applies none; `None` if it has not told.
    pub bytes: Option<u64>,
    /// Delay of what it applied last; `None` if it has not told, as when nothing was written for long.
    pub delay: Option<Duration>,
}

/// Rows of a table, as the server counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableRows {
    /// Rows that somebody may see.
    pub live: u64,
    /// Versions of rows that nobody sees and that were not yet removed.
    pub dead: u64,
}

impl Reading {
    /// Where it is from.
    #[must_use]
    pub fn source(&self) -> Source {
        match self {
            Self::Replicas(_) => Source::ReplicationLag,
            Self::Waiters { .. } => Source::LockWaiters,
            Self::Archive { .. } => Source::WalArchive,
            Self::Slots { .. } => Source::SlotRetention,
            Self::Load { .. } => Source::Load,
            Self::Tables { .. } => Source::Autovacuum,
            Self::WalFile { .. } => Source::WalFile,
            Self::WriteLock { .. } => Source::WriteLock,
            Self::Unknown { source, .. } => *source,
        }
    }
}

/// What a source, or all of them together, say about the next batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As large as the pace allows.
    Go,
    /// This share of it.
    Slow(Share),
    /// Nobody can tell, and not for long enough to stop.
    Unknown {
        /// Why.
        why: String,
    },
    /// No batch now.
    Stop {
        /// What is in the way.
        reason: Source,
        /// When to ask again.
        retry: Duration,
    },
}

impl Verdict {
    /// Share of the rows that the pace allows while nobody can tell: the tenth.
    pub const WHILE_UNKNOWN: Share = limits::LEAST_SHARE;

    /// The worse of two: `Stop`, `Unknown`, `Slow`, `Go`; of two pauses the longer, of two shares the smaller.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        use Verdict::{Go, Slow, Stop, Unknown};
        match (&self, &other) {
            (Stop { retry: left, .. }, Stop { retry: right, .. }) if right > left => other,
            (Slow(left), Slow(right)) if right < left => other,
            (Go, _) | (Slow(_), Unknown { .. } | Stop { .. }) | (Unknown { .. }, Stop { .. }) => other,
            _ => self,
        }
    }

    /// Share of the rows that the pace allows; `None` for no batch.
    #[must_use]
    pub fn share(&self) -> Option<Share> {
        match self {
            Self::Go => Some(Share::ALL),
            Self::Slow(share) => Some(*share),
            Self::Unknown { .. } => Some(Self::WHILE_UNKNOWN),
            Self::Stop { .. } => None,
        }
    }
}

/// What was decided, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The worst of all.
    pub verdict: Verdict,
    /// What each source gave, in the order of the sources, for metrics.
    pub each: Vec<(Source, Verdict)>,
    /// How the run is to end, if nothing but stops came for the patience of the limits.
    pub ending: Option<Ending>,
}

impl Decision {
    /// The source that decided; `None` if all is well.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        let decided = |(_, verdict): &&(Source, Verdict)| *verdict == self.verdict;
        self.each.iter().find(decided).filter(|(_, verdict)| *verdict != Verdict::Go).map(|(source, _)| *source)
    }
}

/// Decides before each batch, and remembers since when a source has said nothing.
#[derive(Debug, Clone)]
pub struct Throttle {
    limits: Limits,
    sources: Vec<Source>,
    unknown_since: BTreeMap<Source, Instant>,
    /// Since when every decision was a stop.
    stopped_since: Option<Instant>,
}

impl Throttle {
    /// A throttle that wants to hear of these sources, [`Source::POSTGRES`] or [`Source::SQLITE`].
    #[must_use]
    pub fn new(limits: Limits, sources: &[Source]) -> Self {
        Self { limits, sources: sources.to_vec(), unknown_since: BTreeMap::new(), stopped_since: None }
    }

    /// The verdict on readings just made, at an instant of a clock that nobody can set.
    ///
    /// A source without a reading is unknown. One that has been unknown for the grace of the limits without a break is
    /// a `Stop`; one that is switched off is `Go`, whatever it says. A source that no batch needs (not among those
    /// wanted) is not looked at.
    pub fn decide(&mut self, now: Instant, readings: &[Reading]) -> Decision {
        let mut each = Vec::with_capacity(self.sources.len());
        for source in self.sources.clone() {
            let verdict = readings
                .iter()
                .filter(|reading| reading.source() == source)
                .map(|reading| self.limits.judge(reading))
                .reduce(Verdict::worse)
                .unwrap_or_else(|| self.limits.judge(&not_read(source)));
            each.push((source, self.after_grace(now, source, verdict)));
        }
        let verdict = each.iter().map(|(_, verdict)| verdict.clone()).fold(Verdict::Go, Verdict::worse);
        let ending = self.after_patience(now, &verdict);
        Decision { verdict, each, ending }
    }

    fn after_patience(&mut self, now: Instant, verdict: &Verdict) -> Option<Ending> {
        let Verdict::Stop { reason, .. } = verdict else {
            self.stopped_since = None;
            return None;
        };
        let since = *self.stopped_since.get_or_insert(now);
        let is_over = now.saturating_duration_since(since) >= self.limits.patience;
        is_over.then_some(Ending::Throttled(*reason))
    }

    fn after_grace(&mut self, now: Instant, source: Source, verdict: Verdict) -> Verdict {
        if !matches!(verdict, Verdict::Unknown { .. }) {
            self.unknown_since.remove(&source);
            return verdict;
        }
        let since = *self.unknown_since.entry(source).or_insert(now);
        if now.saturating_duration_since(since) < self.limits.grace {
            return verdict;
        }
        Verdict::Stop { reason: source, retry: self.limits.retry }
    }
}

fn not_read(source: Source) -> Reading {
    Reading::Unknown { source, why: format!("{} was not read", source.word()) }
}

#[cfg(test)]
mod tests;
