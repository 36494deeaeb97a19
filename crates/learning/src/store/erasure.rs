//! Removing a learner: every row about them, wherever it lies, and what was derived from it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use tierkeep_db::{Dialect, Ident, TableName};

use super::StoreError;
use super::nightly::NIGHTLY;
use super::statements::{body, render};
use super::tables::Tables;
use crate::key::{KeyType, UserId};
use crate::mapping::{Mapping, Source};

/// Rows by the table they lie in.
pub type Traces = BTreeMap<String, u64>;

/// What an erasure did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Whom.
    pub user_id: UserId,
    /// When, by the database's clock.
    pub erased_at: Timestamp,
    /// Rows that were removed, by table; tables that held none are listed with 0.
    pub removed: Traces,
    /// Rows that were found when every table was looked at again after the commit. More than 0 only if somebody wrote rows of
    /// this learner meanwhile; erase again.
    pub remaining: Traces,
}

impl Erased {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.remaining.values().all(|rows| *rows == 0)
    }
}

/// Who has been gone long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// How long a learner's own row must have been gone.
    pub length: SignedDuration,
    /// The present; `None` = the database's clock.
    pub now: Option<Timestamp>,
}

impl Grace {
    /// Its length in whole microseconds, cut off at the ends of the range.
    pub(super) fn micros(&self) -> i64 {
        i64::try_from(self.length.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Removing learners.
///
/// An erasure is **one transaction**: a crash leaves all or nothing. A learner's rows are thousands at most, so it is short.
/// It deletes the rows, folds what that changes (so that the global sums are those of a database that never had the learner)
/// and writes a tombstone, which makes [`super::Store`] refuse rows of this learner from then on ([`StoreError::Erased`]).
/// Writes through a store that are under way end before it.
#[async_trait]
pub trait Erasure {
    /// Removes a learner; `None` if there is nothing about them anywhere.
    ///
    /// If the future is dropped the transaction is undone, or has been committed and is not reported.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] among others.
    async fn erase(&self, user: UserId) -> Result<Option<Erased>, StoreError>;

    /// Rows about a learner, by table: what an erasure would remove. All tables are listed. Empty on a platform's tables.
    async fn traces(&self, user: UserId) -> Result<Traces, StoreError>;

    /// Those of some learners who were erased.
    async fn erased_among(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError>;

    /// Takes note of learners whose own row is gone while rows about them are left, since when, and of those who are back: at
    /// most some hundred learners; how many left.
    ///
    /// Sessions of a learner who never had a row of their own are nobody's departure.
    async fn note_departures(&self) -> Result<u64, StoreError>;

    /// Removes learners who departed and stayed away for a grace, the longest first, each in a transaction of its own that
    /// looks once more, under a lock on the learners' table, whether they are still gone. Any number of nodes may do so at once.
    /// A learner who cannot be locked within a few seconds is left for the next time.
    async fn erase_departed(&self, grace: Grace, limit: u32) -> Result<Vec<Erased>, StoreError>;
}

/// Learners whose departure is noted at once.
pub(super) const DEPARTURES: u32 = 200;

/// The statements that remove a learner's rows from the tables under the names that the mapping gives them.
#[derive(Debug)]
pub(super) struct Removal {
    /// Each table by the name it has in a receipt. The learner's own row first: from then on nothing of theirs counts. What
    /// is derived is removed by the fold that follows. `erase_traces` counts in the same tables and in the derived ones: a
    /// later table with rows of learners needs a line here and a line there.
    pub(super) statements: Vec<(&'static str, String)>,
    /// Locks archived rows by their ids.
    pub(super) lock_archived: String,
    /// Deletes them.
    pub(super) delete_archived: String,
    /// Keeps everybody from bringing a learner back.
    pub(super) nobody_returns: String,
}

impl Removal {
    /// On a platform's tables the learner's own row is the platform's.
    pub(super) fn new(dialect: Dialect, keys: KeyType, mapping: &Mapping, tables: Tables) -> Result<Self, StoreError> {
        let text = body(match dialect {
            Dialect::Postgres => include_str!("sql/postgres/erase_rows.sql"),
            Dialect::Sqlite => include_str!("sql/sqlite/erase_rows.sql"),
        });
        let fill = |table: &TableName, owner: &Ident| {
            text.replace("{table}", &table.quoted()).replace("{owner}", &owner.quoted())
        };
        let mut statements = Vec::new();
        if tables == Tables::Own {
            let id = mapping.column(Source::Users, "id")?;
            statements.push(("users", fill(&mapping.table(Source::Users), &id)));
        }
        let owner = mapping.column(Source::StudySessions, "user_id")?;
        statements.push(("study_sessions", fill(&mapping.table(Source::StudySessions), &owner)));
        statements.push(("study_sessions_archive", fill(&mapping.archive(), &owner)));
        let owner = mapping.column(Source::CourseProgress, "user_id")?;
        statements.push(("course_progress", fill(&mapping.table(Source::CourseProgress), &owner)));
        let answers = body(match dialect {
            Dialect::Postgres => include_str!("sql/postgres/erase_answers.sql"),
            Dialect::Sqlite => include_str!("sql/sqlite/erase_answers.sql"),
        });
        statements.push(("tierkeep_idempotency", answers));
        let named = own("tierkeep_idempotency_learner");
        statements.push(("tierkeep_idempotency_learner", fill(&named, &ident("user_id"))));
        statements.push(("tierkeep_departed", fill(&own("tierkeep_departed"), &ident("user_id"))));
        statements.push(("tierkeep_base", fill(&own("tierkeep_base"), &ident("user_id"))));
        for name in NIGHTLY {
            statements.push((name, fill(&own(name), &ident("user_id"))));
        }
        let [quarantine, lock_archived, delete_archived] = match dialect {
            Dialect::Postgres => [
                include_str!("sql/postgres/erase_quarantine.sql"),
                include_str!("sql/postgres/aging_lock.sql"),
                include_str!("sql/postgres/aging_delete.sql"),
            ],
            Dialect::Sqlite => [
                include_str!("sql/sqlite/erase_quarantine.sql"),
                include_str!("sql/sqlite/aging_lock.sql"),
                include_str!("sql/sqlite/aging_delete.sql"),
            ],
        };
        statements.push(("tierkeep_quarantine", render(quarantine, dialect, keys)));
        let (archive, id) = (mapping.archive().quoted(), mapping.column(Source::StudySessions, "id")?.quoted());
        let of_archive = |text: &str| render(text, dialect, keys).replace("{table}", &archive).replace("{id}", &id);
        let nobody_returns =
            "lock table {table} in share mode".replace("{table}", &mapping.table(Source::Users).quoted());
        Ok(Self {
            statements,
            lock_archived: of_archive(lock_archived),
            delete_archived: of_archive(delete_archived),
            nobody_returns,
        })
    }

    /// Those of the statements that remove from these tables.
    pub(super) fn only(&self, tables: &[&str]) -> impl Iterator<Item = &str> {
        self.statements.iter().filter(|(table, _)| tables.contains(table)).map(|(_, text)| text.as_str())
    }

    /// Takes the learner's own row off a count where it is the platform's: an erasure neither removes it nor misses it.
    pub(super) fn leave_to_platform(&self, traces: &mut Traces) {
        if self.statements.iter().all(|(table, _)| *table != "users") {
            traces.remove("users");
        }
    }
}

/// A table of ours by its name.
pub(super) fn own(name: &str) -> TableName {
    TableName::new(None, ident(name))
}

fn ident(name: &str) -> Ident {
    Ident::new(name).expect("a name of ours is short and has no NUL")
}
