//! `[retention]`: how long data is kept, and how what is older goes.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;
use tierkeep_learning::mapping::Mapping;
use tierkeep_retention::{Limits, Share, Source};

/// How long data is kept, and how what is older goes.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Whether anything is removed without being asked for; `None` = on Tierkeep's own tables only.
    pub enabled: Option<bool>,
    /// When rows are too old.
    pub ages: Ages,
    /// How a run works.
    pub work: Work,
    /// When a run may work.
    pub hours: Hours,
    /// What must be true before rows are deleted, and what is left of them.
    pub deletion: Deletion,
    /// Rows that were restored are left alone for this time.
    pub restore_grace: Duration,
    /// A learner whose own row is gone for this time is erased.
    pub erase_grace: Duration,
}

/// When rows are too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// Sessions are archived at this age.
    pub archive_after: Days,
    /// Archived sessions, and the data of inactive learners, are deleted at this age; `None` = scheduled runs delete nothing.
    pub delete_after: Option<Days>,
    /// Rows are kept in quarantine for this time.
    pub quarantine: Days,
}

/// How a run works.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Rows of the first batch.
    pub batch_size: NonZeroU32,
    /// Longest wait for a lock.
    pub lock_timeout: Duration,
    /// Share of a table's rows, 0 to 1, above which a plan is refused.
    pub max_fraction: f64,
    /// Share of the time that is spent working.
    pub share: Share,
    /// What is not looked at between batches.
    pub throttle_off: Vec<Source>,
}

/// When a run may work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// The hours in which scheduled runs may work, in `days.time_zone`; none = always.
    pub windows: Vec<String>,
    /// While this file exists no batch begins.
    pub stop_file: Option<PathBuf>,
}

/// What must be true before rows are deleted, and what is left of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The directory that rows are exported to before.
    pub export_dir: PathBuf,
    /// A command that must succeed before.
    pub before_delete: Option<String>,
    /// Whether what deleted sessions counted for stays in the statistics.
    pub keep_summaries: bool,
}

impl Retention {
    /// Whether anything is removed without being asked for, of the tables of a mapping: of a platform's only if that was said.
    #[must_use]
    pub fn is_enabled(&self, mapping: &Mapping) -> bool {
        self.enabled.unwrap_or_else(|| mapping.is_own())
    }
}

impl Work {
    /// The limits of the throttle, without what is not looked at.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        for source in &self.throttle_off {
            match source {
                Source::ReplicationLag => limits.replication = None,
                Source::LockWaiters => limits.waiters = None,
                Source::WalArchive => limits.wal_archive = None,
                Source::SlotRetention => limits.slots = None,
                Source::Load => limits.load = None,
                Source::Autovacuum => limits.tables = None,
                Source::WalFile => limits.sqlite.wal_file = None,
                Source::WriteLock => limits.sqlite.write_lock_ms = None,
                // one that this version cannot switch off has no word that is accepted
                _ => {}
            }
        }
        limits
    }
}

/// A source of the throttle by its word.
pub(super) fn source(word: &str) -> Option<Source> {
    Source::POSTGRES.into_iter().chain(Source::SQLITE).find(|source| source.word() == word)
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            enabled: None,
            ages: Ages { archive_after: Days(365), delete_after: None, quarantine: Days(90) },
            work: Work {
                batch_size: const { NonZeroU32::new(1000).unwrap() },
                lock_timeout: Duration::from_secs(2),
                max_fraction: 0.2,
                share: Share::ALL,
                throttle_off: Vec::new(),
            },
            hours: Hours { windows: Vec::new(), stop_file: None },
            deletion: Deletion {
                export_dir: PathBuf::from("tierkeep-export"),
                before_delete: None,
                keep_summaries: true,
            },
            restore_grace: Duration::from_hours(30 * 24),
            erase_grace: Duration::from_hours(7 * 24),
        }
    }
}

/// An age in days of 24 hours: 1 to 36500.
///
/// # Examples
/// ```
/// use tierkeep::config::Days;
///
/// let year: Days = "365".parse()?;
/// assert_eq!(year.before("2026-01-01T00:00:00Z".parse()?), Some("2025-01-01T00:00:00Z".parse()?));
/// assert!("0".parse::<Days>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Days(u16);

/// What was given is no age.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0} is no number of days; accepted: 1 to 36500")]
pub struct DaysError(String);

impl Days {
    /// The age at which the command line and the API delete where nothing else is said: three years.
    pub const DELETE_AFTER: Self = Self(1095);

    /// Checks a number.
    ///
    /// # Errors
    /// It is less than 1 or more than 36500.
    pub fn new(days: i64) -> Result<Self, DaysError> {
        let fits = (1..=36_500).contains(&days).then(|| u16::try_from(days).ok()).flatten();
        fits.map(Self).ok_or_else(|| DaysError(days.to_string()))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }

    /// The instant this long before another; `None` before the year -9999.
    #[must_use]
    pub fn before(self, now: Timestamp) -> Option<Timestamp> {
        now.checked_sub(SignedDuration::from_hours(24 * i64::from(self.0))).ok()
    }
}

impl FromStr for Days {
    type Err = DaysError;

    fn from_str(text: &str) -> Result<Self, DaysError> {
        let number = text.parse().map_err(|_| DaysError(format!("{text:?}")))?;
        Self::new(number)
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
