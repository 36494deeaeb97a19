//! What is stored and of no use any more, how much is stored, and what waits.

use async_trait::async_trait;
use jiff::SignedDuration;

use tierkeep_db::TableName;

use super::StoreError;
use super::attach::own_tables;
use crate::local_day::LocalDay;
use crate::mapping::{Mapping, Source};

/// Waiting things that are counted; of more it is only known that there are as many.
pub const COUNTED: u32 = 100_000;

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Learners who are nobody and of whom summaries were stored.
    pub learners: u64,
    /// Nightly rows of nobody, or older than they are kept.
    pub nightly_rows: u64,
    /// What told whom an answer spoke of that is gone.
    pub answers: u64,
    /// Snapshots that no node renewed for 90 days.
    pub snapshots: u64,
    /// Whether another call may find more.
    pub more: bool,
}

impl Swept {
    /// Notes whether a batch was as large as it may be.
    pub(super) fn bounded(mut self, limit: u32) -> Self {
        let limit = u64::from(limit);
        // two kinds of nightly rows, each up to the bound
        self.more = [self.learners, self.nightly_rows, self.answers, self.snapshots].iter().any(|many| *many >= limit);
        self
    }
}

/// How large a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSize {
    /// Its name in the database; `database` for a whole file whose tables cannot be told apart.
    pub table: String,
    /// Bytes on disk, indexes included.
    pub bytes: u64,
    /// Rows, as far as the database knows without counting.
    pub rows_estimate: Option<u64>,
}

/// What waits. Numbers stop at [`COUNTED`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queues {
    /// Changes that are kept because not every node has been told, or that are not folded.
    pub outbox_rows: u64,
    /// Learners with changes that are not folded.
    pub dirty_learners: u64,
    /// Days of theirs on which those changes begin, by the dates of UTC: an estimate.
    pub dirty_days: u64,
    /// How long the oldest change that is not folded has waited, by the clock of the database; `None` if none waits.
    pub oldest_change_age: Option<SignedDuration>,
    /// Learners who wait for nightly rows, or will from tomorrow on.
    pub analytics_due: u64,
}

/// Looking after what is stored. Nothing is done, and nothing found, through a store that only reads.
#[async_trait]
pub trait Housekeeping {
    /// Removes what is of no use any more, at most `limit` of each kind: summaries of learners without a row of their own and
    /// without a change that is still to be folded, nightly rows of such learners and of days before `nightly_before`, and the
    /// rest that [`Swept`] names. Summaries go by a fold, so that the global sums stay right.
    ///
    /// Nightly rows of the last [`super::nightly::LOOK_BACK_DAYS`] days should stay: a late change writes them again. One pass
    /// over the stored months and over the nightly rows.
    ///
    /// # Errors
    /// What the database says.
    async fn sweep_summaries(&self, nightly_before: Option<LocalDay>, limit: u32) -> Result<Swept, StoreError>;

    /// Sizes of Tierkeep's tables and of those of rows, in the order of their names. On SQLite every page of the file is looked
    /// at: ask seldom.
    ///
    /// # Errors
    /// What the database says.
    async fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError>;

    /// What waits: cheap enough to be asked every few seconds.
    ///
    /// # Errors
    /// What the database says.
    async fn queues(&self) -> Result<Queues, StoreError>;
}

/// The tables that belong to an installation, quoted where need be.
pub(super) fn tables(mapping: &Mapping) -> Vec<String> {
    let rows = [Source::Users, Source::CourseProgress, Source::StudySessions].map(|source| mapping.table(source));
    let rows = rows.iter().chain([&mapping.archive()]).map(TableName::quoted).collect::<Vec<_>>();
    rows.into_iter().chain(own_tables().map(str::to_owned)).collect()
}
