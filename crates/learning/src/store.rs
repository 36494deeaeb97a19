//! Where rows and day summaries live: one trait, implemented for PostgreSQL and SQLite.
//!
//! A store answers in one snapshot and says as of when. What it answers is exact by itself: it takes the stored day
//! summaries together with the learner's changes that are not folded into them yet, and folds those first.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use jiff::Timestamp;
use tierkeep_db::Database;

use crate::active_days::ActiveDays;
use crate::calendar::Calendar;
use crate::key::{KeyType, SessionId, UserId};
use crate::local_day::LocalDay;
use crate::rows::{ProgressRow, SessionRow, UserRow};
use crate::statistic::{CourseRow, GlobalTotals};
use crate::summary::DaySummary;
use writes::Writes;

pub mod active;
pub mod aging;
mod attach;
pub mod backlog;
mod checks;
pub mod effort;
pub mod erasure;
pub mod error;
pub mod export;
pub mod feed;
pub mod housekeeping;
mod incoming;
pub mod lease;
pub mod nightly;
mod open;
mod own_indexes;
pub mod pool_use;
mod postgres;
mod rederive;
pub mod retention;
pub mod snapshots;
mod sqlite;
mod statements;
mod tables;
mod tokens;
mod totals;
pub mod verification;
pub mod writes;

pub use active::{Active, ActiveWithin};
pub use aging::{Aging, Keep};
pub use attach::{ArchivedRows, AttachOptions, Attached, Detached, attach, attach_sql, detach};
pub use backlog::Backlog;
pub use effort::Effort;
pub use erasure::{Erased, Erasure};
pub use error::StoreError;
pub use export::Export;
pub use feed::{ChangeFeed, Changes};
pub use housekeeping::{Housekeeping, Queues, Swept, TableSize};
pub use lease::Leases;
pub use nightly::{NightlyAnalytics, Updated};
pub use open::{Migrated, OpenMode, OpenOptions, migrate, open};
pub use own_indexes::{OwnIndex, own_indexes};
pub use pool_use::PoolUse;
pub use rederive::rederive;
pub use retention::{Cleanup, Retention};
pub use snapshots::Snapshots;
pub use tokens::{NewToken, Scope, Token, TokenHash, TokenName, TokenTextError, Tokens};
pub use verification::{Difference, Verification, Verified};

/// What an answer was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Stored day summaries, or what is stored beside them.
    Summaries,
    /// Rows.
    Rows,
}

/// What every answer about a learner rests on.
#[derive(Debug, Clone)]
pub struct LearnerClock {
    /// Which instants make which local day, for this learner.
    pub calendar: Calendar,
    /// Database clock read before the snapshot: every change whose commit was acknowledged before is in the answer.
    pub as_of: Timestamp,
    /// Where the answer was read.
    pub basis: Basis,
}

/// A learner's days in a range.
#[derive(Debug, Clone)]
pub struct LearnerDays {
    /// The learner's calendar, and as of when.
    pub clock: LearnerClock,
    /// Days with sessions; an absent day is empty.
    pub days: BTreeMap<LocalDay, DaySummary>,
}

impl LearnerDays {
    /// The days with a duration above 0 among these.
    pub(crate) fn into_activity(self) -> LearnerActivity {
        let active = self.days.iter().filter(|(_, summary)| summary.minutes > 0).map(|(day, _)| *day);
        LearnerActivity { active_days: active.collect(), clock: self.clock }
    }
}

/// All days on which a learner studied.
#[derive(Debug, Clone)]
pub struct LearnerActivity {
    /// The learner's calendar, and as of when.
    pub clock: LearnerClock,
    /// Days with a duration above 0, over all history.
    pub active_days: ActiveDays,
}

/// A learner's course progress.
#[derive(Debug, Clone)]
pub struct LearnerCourses {
    /// The learner's calendar, and as of when.
    pub clock: LearnerClock,
    /// All rows, superseded duplicates included.
    pub rows: Vec<CourseRow>,
}

/// Totals over all learners.
#[derive(Debug, Clone)]
pub struct GlobalSnapshot {
    /// As [`LearnerClock::as_of`].
    pub as_of: Timestamp,
    /// Where they were read.
    pub basis: Basis,
    /// The totals.
    pub totals: GlobalTotals,
}

/// A session in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSession {
    /// The row.
    pub row: SessionRow,
    /// Whether it lies in the archive.
    pub archived: bool,
}

/// Where a listing of sessions goes on: the last row of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPlace {
    /// Its start.
    pub start_time: Timestamp,
    /// Its key, which makes the place unique.
    pub id: SessionId,
}

/// What a write of many rows did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that were new.
    pub inserted: u64,
    /// Rows whose id was known; they were replaced where they lie.
    pub updated: u64,
}

/// How far [`Store::settle`] has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Learners whose summaries were brought up to date.
    pub learners: u64,
    /// Rows read for that.
    pub rows: u64,
    /// Whether another call may find more to do.
    pub more: bool,
}

/// A database of sessions and of what was derived from them.
///
/// All answers about learners come in the order in which the learners were asked for; `None` = unknown learner.
#[async_trait]
pub trait Store:
    ChangeFeed
    + Leases
    + PoolUse
    + Tokens
    + Verification
    + Erasure
    + Aging
    + Active
    + Retention
    + Backlog
    + Export
    + NightlyAnalytics
    + Housekeeping
    + Snapshots
    + Writes
    + Debug
    + Send
    + Sync
{
    /// Which keys this database uses.
    fn key_type(&self) -> KeyType;

    /// The database itself, for what is no business of a store; `None` where nothing is stored.
    fn database(&self) -> Option<Database>;

    /// The database itself, for whoever only looks.
    fn looked_at(&self) -> Database;

    /// Whether nothing is ever stored through this store.
    fn is_read_only(&self) -> bool;

    /// Day summaries of some learners (at most 1,000) in a range of days. One query when they are up to date.
    async fn learner_days(
        &self,
        users: &[UserId],
        days: RangeInclusive<LocalDay>,
    ) -> Result<Vec<Option<LearnerDays>>, StoreError>;

    /// Active days of some learners (at most 1,000). One key read each when they are up to date.
    async fn learner_activity(&self, users: &[UserId]) -> Result<Vec<Option<LearnerActivity>>, StoreError>;

    /// Course progress of some learners (at most 1,000). One query.
    async fn learner_courses(&self, users: &[UserId]) -> Result<Vec<Option<LearnerCourses>>, StoreError>;

    /// Totals over all learners; `today` is the date in the installation's zone.
    ///
    /// From stored totals when every change is folded, else one pass over the rows.
    async fn global_totals(&self, today: LocalDay) -> Result<GlobalSnapshot, StoreError>;

    /// Learners in the order of their ids.
    async fn users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserRow>, StoreError>;

    /// A learner's sessions, live and archived, newest first; `None` = unknown learner. Those that start at no accepted
    /// instant (`infinity`, the year 20000) are left out: there is no place after which a listing could go on.
    async fn sessions(
        &self,
        user: UserId,
        after: Option<SessionPlace>,
        limit: u32,
    ) -> Result<Option<Vec<ListedSession>>, StoreError>;

    /// Inserts learners or replaces those whose id is known, in one transaction. Of several rows with one id the last
    /// counts, here and in every write; a row with a key of the other type is an error, and then nothing is written.
    async fn write_users(&self, rows: Vec<UserRow>) -> Result<Written, StoreError>;

    /// Inserts learners whose id is unknown and leaves the others as they are, in one transaction.
    async fn add_missing_users(&self, rows: Vec<UserRow>) -> Result<Written, StoreError>;

    /// Inserts course progress or replaces rows whose id is known, in one transaction.
    async fn write_progress(&self, rows: Vec<ProgressRow>) -> Result<Written, StoreError>;

    /// Inserts sessions or replaces those whose id is known (live or archived, where they lie), in one transaction.
    /// The days they touch, before and after, are marked for folding.
    async fn write_sessions(&self, rows: Vec<SessionRow>) -> Result<Written, StoreError>;

    /// Folds changes that are not in the day summaries yet: one bounded batch of learners.
    ///
    /// Call again while `more` is true. Interrupting between calls loses nothing; answers are exact all the while.
    async fn settle(&self) -> Result<Settled, StoreError>;

    /// The random name that the database got with its tables; `None` on a platform's tables.
    async fn installation(&self) -> Result<Option<String>, StoreError>;

    /// Whether the database answers and has the tables this binary expects.
    async fn check(&self) -> Result<(), StoreError>;

    /// Ends all connections; further calls fail.
    async fn close(&self);
}
