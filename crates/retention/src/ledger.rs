//! What was done: runs, and the batches that were committed.
//!
//! A run is recorded before its first batch, and each batch in its own transaction together with the run's report, so that
//! what is recorded is never ahead of the data or behind them, wherever a run is killed. A run that never said how it ended is
//! `crashed`: the next run writes that down, and until then whoever reads the list sees it by the lease.
//!
//! A run that a guard refused after planning is begun and [finished](Ledger::finish) as [`Ended::Refused`]; one that did not
//! get the lease is not recorded, as it planned nothing.
//!
//! Runs and batches are a [chain](Broken) of digests, which [`Ledger::audit`] follows.

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tierkeep_db::Database;

use crate::chain::{self, Broken};
use crate::{Hold, RetentionError};

pub use run_id::{RunId, RunIdError};

mod postgres;
mod run_id;
mod sqlite;

/// The record of the runs of one database.
#[derive(Debug, Clone)]
pub struct Ledger {
    db: Database,
}

/// How a run ended. The words are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// `done`: there is nothing left to do.
    Done,
    /// `budget`: its time or its number of rows was used up. The next run goes on.
    Budget,
    /// `signal`: it was told to stop. The next run goes on.
    Signal,
    /// `refused`: a guard refused its plan; nothing was changed.
    Refused,
    /// `failed`: an error ended it. The reason says which.
    Failed,
    /// `crashed`: it never said how it ended.
    Crashed,
}

/// Whether a run works, and else how it ended. Written as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// `running`: it has the lease.
    Running,
    /// It has ended.
    Ended(Ended),
}

/// A run as the ledger has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunEntry {
    /// Its number; later runs have higher ones.
    pub run_id: RunId,
    /// What was asked for.
    pub command: String,
    /// By the clock of the database.
    pub started_at: Timestamp,
    /// By the clock of the database. Absent while it works, and of one that crashed until the next run begins.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    #[serde(rename = "ended")]
    pub state: RunState,
    /// Why it ended so.
    pub reason: Option<String>,
    /// What it was to do.
    pub plan: Value,
    /// What it did.
    pub report: Value,
    /// Batches that were committed.
    pub batches: u64,
    /// Rows in them.
    pub rows: u64,
}

/// A batch, to be recorded in its own transaction.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Whose it is.
    pub run: RunId,
    /// The rule it carried out.
    pub rule: &'a str,
    /// Rows that it moved, changed or deleted.
    pub rows: u64,
    /// Sum of the digests of the rows that left, if there are any.
    pub digest_left: Option<&'a str>,
    /// Sum of the digests of the rows that arrived.
    pub digest_arrived: Option<&'a str>,
    /// What the rule goes by, of the first row.
    pub first_age: Option<&'a str>,
    /// What the rule goes by, of the last row.
    pub last_age: Option<&'a str>,
    /// What the run has done, this batch included.
    pub report: &'a Value,
}

/// The command of a run that brings rows back.
pub(crate) const RESTORE: &str = "restore";

/// Most runs that one call of [`Ledger::runs`] gives.
const MAX_PAGE: u32 = 1000;

impl Ledger {
    /// The ledger of a database, which has the engine's tables.
    #[must_use]
    pub fn new(db: &Database) -> Self {
        Self { db: db.clone() }
    }

    /// Records that a run begins, and that those before it which never said how they ended have crashed.
    ///
    /// # Errors
    ///
    /// As [`Keeper::keep_postgres`](crate::Keeper::keep_postgres); nothing was recorded then.
    pub async fn begin(&self, hold: &Hold, command: &str, plan: &Value) -> Result<RunId, RetentionError> {
        let (keeper, command, plan) = (hold.keeper(), command.to_owned(), plan.to_string());
        match &self.db {
            Database::Postgres(pool) => postgres::begin(pool, &keeper, &command, &plan).await,
            Database::Sqlite(file) => file.write(move |tx| sqlite::begin(tx, &keeper, &command, &plan)).await,
        }
    }

    /// Records that a run ended, also while the switch `tierkeep_retention.stop` is set.
    ///
    /// # Errors
    ///
    /// [`RetentionError::Fenced`] if the lease has passed on: the successor has recorded the end, or will;
    /// [`RetentionError::NotUnderWay`] if the run has ended before; what the database says.
    pub async fn finish(
        &self,
        hold: &Hold,
        run: RunId,
        ended: Ended,
        reason: Option<&str>,
        report: &Value,
    ) -> Result<(), RetentionError> {
        let keeper = hold.keeper();
        let end = End { run, ended, reason: reason.map(str::to_owned), report: report.to_string() };
        match &self.db {
            Database::Postgres(pool) => postgres::finish(pool, &keeper, &end).await,
            Database::Sqlite(file) => file.write(move |tx| sqlite::finish(tx, &keeper, &end)).await,
        }
    }

    /// Records a batch in its transaction, after [`Keeper::keep_postgres`](crate::Keeper::keep_postgres); its number in the
    /// run, from 1.
    ///
    /// The end of the chain is read in the same transaction, so it does not matter whether an earlier batch was rolled
    /// back, or committed without anybody learning of it. Three round trips.
    ///
    /// # Errors
    ///
    /// [`RetentionError::NotUnderWay`] if the run has ended; what the database says.
    pub async fn record_postgres(
        tx: &tokio_postgres::Transaction<'_>,
        batch: &Batch<'_>,
    ) -> Result<u64, RetentionError> {
        postgres::record(tx, batch).await
    }

    /// As [`record_postgres`](Self::record_postgres), on SQLite.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn record_sqlite(tx: &rusqlite::Transaction<'_>, batch: &Batch<'_>) -> Result<u64, RetentionError> {
        sqlite::record(tx, batch)
    }

    /// Up to `limit` runs (1 to 1000), newest first; those that are older than `after`, if that is given.
    ///
    /// A run without an end is [`Running`](RunState::Running) if the lease is its own and not run out, else it is shown as
    /// crashed. So one that was killed is shown as running for up to half a minute, unless the next run begins before.
    ///
    /// # Errors
    ///
    /// [`RetentionError::Unreadable`] if a row is not what this program writes; what the database says.
    pub async fn runs(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunEntry>, RetentionError> {
        self.runs_without(after, limit, None).await
    }

    /// As [`runs`](Self::runs), without those that brought rows back.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn cleanups(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunEntry>, RetentionError> {
        self.runs_without(after, limit, Some(RESTORE)).await
    }

    async fn runs_without(
        &self,
        after: Option<RunId>,
        limit: u32,
        without: Option<&'static str>,
    ) -> Result<Vec<RunEntry>, RetentionError> {
        let newest = after.map_or(i64::MAX, |run| run.get() - 1);
        let rows = self.page(newest, limit.clamp(1, MAX_PAGE), without).await?;
        rows.into_iter().map(RunRow::entry).collect()
    }

    /// One run.
    ///
    /// # Errors
    ///
    /// [`RetentionError::UnknownRun`] if there is none of this number; as [`runs`](Self::runs).
    pub async fn run(&self, run: RunId) -> Result<RunEntry, RetentionError> {
        let newest = self.page(run.get(), 1, None).await?.pop();
        newest.filter(|row| row.id == run.get()).ok_or(RetentionError::UnknownRun(run))?.entry()
    }

    /// Follows the chain from its beginning, in one snapshot and bounded memory, and says where it does not hold; nothing if
    /// it does, and at most a thousand places.
    ///
    /// What it can see, and what not, is written at [`Broken`].
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn audit(&self) -> Result<Vec<Broken>, RetentionError> {
        match &self.db {
            Database::Postgres(pool) => chain::audit_postgres(pool).await,
            Database::Sqlite(file) => file.read(chain::audit_sqlite).await,
        }
    }

    async fn page(
        &self,
        newest: i64,
        limit: u32,
        without: Option<&'static str>,
    ) -> Result<Vec<RunRow>, RetentionError> {
        match &self.db {
            Database::Postgres(pool) => postgres::page(pool, newest, limit, without).await,
            Database::Sqlite(file) => {
                file.read(move |connection| sqlite::page(connection, newest, limit, without)).await
            }
        }
    }
}

/// How a run ends.
struct End {
    run: RunId,
    ended: Ended,
    reason: Option<String>,
    report: String,
}

/// A row of `run_page.sql`.
struct RunRow {
    id: i64,
    command: String,
    started_at: i64,
    ended_at: Option<i64>,
    ended: Option<String>,
    reason: Option<String>,
    plan: String,
    report: String,
    batches: i64,
    rows: i64,
    has_lease: bool,
}

impl RunRow {
    fn entry(self) -> Result<RunEntry, RetentionError> {
        let id = self.id;
        let unreadable = |why: String| RetentionError::Unreadable { place: format!("row {id} of tierkeep_run"), why };
        let instant = |microseconds: i64| {
            Timestamp::from_microsecond(microseconds).map_err(|_| unreadable("its time is out of range".to_owned()))
        };
        let json = |column: &str, text: &str| {
            serde_json::from_str(text).map_err(|error| unreadable(format!("its {column} is not JSON: {error}")))
        };
        let count = |column: &str, count: i64| {
            u64::try_from(count).map_err(|_| unreadable(format!("its {column} are {count}, less than none")))
        };
        let state = match (self.ended.as_deref(), self.has_lease) {
            (None, true) => RunState::Running,
            (None, false) => RunState::Ended(Ended::Crashed),
            (Some(word), _) => RunState::Ended(
                Ended::from_word(word)
                    .ok_or_else(|| unreadable(format!("it ended as {word}, which has no meaning")))?,
            ),
        };
        Ok(RunEntry {
            run_id: RunId::new(id).map_err(|error| unreadable(error.to_string()))?,
            started_at: instant(self.started_at)?,
            ended_at: self.ended_at.map(instant).transpose()?,
            state,
            plan: json("plan", &self.plan)?,
            report: json("report", &self.report)?,
            batches: count("batches", self.batches)?,
            rows: count("rows", self.rows)?,
            command: self.command,
            reason: self.reason,
        })
    }
}

impl Ended {
    /// Every way to end.
    pub const ALL: [Self; 6] = [Self::Done, Self::Budget, Self::Signal, Self::Refused, Self::Failed, Self::Crashed];

    /// The word it is stored and shown as.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Budget => "budget",
            Self::Signal => "signal",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ended| ended.word() == word)
    }
}

impl RunState {
    /// The word it is shown as.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended(ended) => ended.word(),
        }
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl std::fmt::Display for RunState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for Ended {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl Serialize for RunState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}
