//! The store on PostgreSQL.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use jiff::Timestamp;
use tierkeep_db::{Connection, Database, Pool};
use tokio_postgres::Row;

use self::wire::{Bounded, PgHundredths, PgInstant, PgInteger, PgKey, PgKeys, PgLearners};
use super::erasure::Removal;
use super::incoming::Known;
use super::statements::Statements;
use super::tables::Tables;
use super::writes::RowStatements;
use super::{
    GlobalSnapshot, LearnerActivity, LearnerCourses, LearnerDays, ListedSession, SessionPlace, Settled, Store,
    StoreError, Written,
};
use crate::fold::DayRules;
use crate::key::{Key, KeyType, UserId};
use crate::local_day::LocalDay;
use crate::mapping::Mapping;
use crate::rows::{ProgressRow, SessionRow, UserRow};
use crate::session::SessionFacts;

mod active;
pub(super) mod aging;
mod backlog;
mod copy;
pub(super) mod drift;
pub(super) mod erasure;
mod export;
pub(super) mod feed;
pub(super) mod folding;
mod healing;
mod housekeeping;
mod lease;
mod listing;
mod nightly;
mod platform;
mod pool_use;
mod reading;
mod retention;
mod tokens;
mod totals;
mod verification;
mod wire;
mod writes;
mod writing;

/// A store on PostgreSQL.
#[derive(Debug)]
pub(super) struct PostgresStore {
    pub(super) pool: Pool,
    pub(super) keys: KeyType,
    pub(super) rules: DayRules,
    pub(super) sql: Statements,
    /// The same for a question about one learner.
    pub(super) sql_of_one: Statements,
    pub(super) removal: Removal,
    /// Statements that write one row.
    pub(super) rows: RowStatements,
    pub(super) tables: Tables,
    /// The names of the tables and columns.
    pub(super) names: Mapping,
    /// The mapping that this store is attached with, as the database keeps it.
    pub(super) mapping: Option<String>,
    /// The change feed; `None` where changes cannot be told.
    pub(super) follower: Option<feed::Follower>,
    pub(super) read_only: bool,
    /// Address without its password, for messages.
    pub(super) address: String,
}

impl PostgresStore {
    async fn connection(&self) -> Result<Connection, StoreError> {
        if self.follower.as_ref().is_some_and(feed::Follower::is_misfit) {
            return Err(StoreError::MappingChanged);
        }
        Ok(self.pool.get().await?)
    }

    /// The statements that ask about these learners, and the learners as their first parameter.
    fn about(&self, users: &[UserId]) -> (&Statements, PgLearners) {
        match users {
            [one] => {
                let key = Some(one.key()).filter(|key| key.key_type() == self.keys);
                (&self.sql_of_one, PgLearners::One(key.map(PgKey)))
            }
            many => (&self.sql, PgLearners::Many(self.pg_keys(many))),
        }
    }

    fn pg_keys(&self, users: &[UserId]) -> PgKeys {
        PgKeys::new(self.keys, users.iter().map(|user| user.key()))
    }

    fn refuse_read_only(&self) -> Result<(), StoreError> {
        if self.read_only { Err(StoreError::ReadOnly(self.address.clone())) } else { Ok(()) }
    }

    /// Rows are written to Tierkeep's own tables only.
    fn refuse_rows(&self) -> Result<(), StoreError> {
        self.refuse_read_only()?;
        match self.tables {
            Tables::Own => Ok(()),
            Tables::Attached | Tables::Platform => Err(StoreError::PlatformTables("writing rows")),
        }
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn key_type(&self) -> KeyType {
        self.keys
    }

    fn database(&self) -> Option<Database> {
        (!self.is_read_only()).then(|| Database::Postgres(self.pool.clone()))
    }

    fn looked_at(&self) -> Database {
        Database::Postgres(self.pool.clone())
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    async fn learner_days(
        &self,
        users: &[UserId],
        days: RangeInclusive<LocalDay>,
    ) -> Result<Vec<Option<LearnerDays>>, StoreError> {
        self.healed(|| self.read_days(users, days.clone())).await
    }

    async fn learner_activity(&self, users: &[UserId]) -> Result<Vec<Option<LearnerActivity>>, StoreError> {
        self.healed(|| self.read_activity(users)).await
    }

    async fn learner_courses(&self, users: &[UserId]) -> Result<Vec<Option<LearnerCourses>>, StoreError> {
        self.healed(|| self.read_courses(users)).await
    }

    async fn global_totals(&self, today: LocalDay) -> Result<GlobalSnapshot, StoreError> {
        self.healed(|| self.read_totals(today)).await
    }

    async fn users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserRow>, StoreError> {
        self.healed(|| self.users_after(after, limit)).await
    }

    async fn sessions(
        &self,
        user: UserId,
        after: Option<SessionPlace>,
        limit: u32,
    ) -> Result<Option<Vec<ListedSession>>, StoreError> {
        self.healed(|| self.list_sessions(user, after, limit)).await
    }

    async fn write_users(&self, rows: Vec<UserRow>) -> Result<Written, StoreError> {
        self.refuse_rows()?;
        self.save_users(rows, Known::Replace).await
    }

    async fn add_missing_users(&self, rows: Vec<UserRow>) -> Result<Written, StoreError> {
        self.refuse_rows()?;
        self.save_users(rows, Known::Keep).await
    }

    async fn write_progress(&self, rows: Vec<ProgressRow>) -> Result<Written, StoreError> {
        self.refuse_rows()?;
        self.save_progress(rows).await
    }

    async fn write_sessions(&self, rows: Vec<SessionRow>) -> Result<Written, StoreError> {
        self.refuse_rows()?;
        self.save_sessions(rows).await
    }

    async fn settle(&self) -> Result<Settled, StoreError> {
        self.refuse_read_only()?;
        self.healed(|| self.settle_batch()).await
    }

    async fn installation(&self) -> Result<Option<String>, StoreError> {
        if !self.tables.have_summaries() {
            return Ok(None);
        }
        let row = self.connection().await?.query_one("select installation::text from tierkeep_state", &[]).await?;
        Ok(Some(row.try_get(0)?))
    }

    async fn check(&self) -> Result<(), StoreError> {
        let db = self.connection().await?;
        match self.tables {
            Tables::Own | Tables::Attached => super::checks::check_built_postgres(&db, &self.rules).await,
            Tables::Platform => {
                db.query(&db.prepared(&self.sql.users_first_page).await?, &[&1_i64]).await?;
                Ok(())
            }
        }
    }

    async fn close(&self) {
        if let Some(follower) = &self.follower {
            follower.close().await;
        }
        self.pool.close().await;
    }
}

/// The columns of `session_rows`, which begin with the learner's place.
fn session_facts(row: &Row) -> Result<SessionFacts, StoreError> {
    Ok(SessionFacts {
        start: row.try_get::<_, PgInstant>(1)?.0,
        end: instant_at(row, 2)?,
        duration_minutes: integer(row, 3)?.unwrap_or_default(),
        rating: integer(row, 4)?,
        focus_hundredths: row.try_get::<_, Option<PgHundredths>>(5)?.map(|focus| focus.0),
        break_count: integer(row, 6)?.unwrap_or_default(),
        is_active: row.try_get::<_, Option<bool>>(7)?.unwrap_or(false),
        environment: text(row, 8)?.into(),
        device: text(row, 9)?.into(),
        subject: text(row, 10)?.into(),
        estimator: estimator(row, 11)?,
    })
}

fn text(row: &Row, column: usize) -> Result<&str, StoreError> {
    Ok(row.try_get::<_, Option<&str>>(column)?.unwrap_or_default())
}

fn key(row: &Row, column: usize) -> Result<Option<Key>, StoreError> {
    Ok(row.try_get::<_, Option<PgKey>>(column)?.map(|key| key.0))
}

fn instant_at(row: &Row, column: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.try_get::<_, Option<PgInstant>>(column)?.map(|instant| instant.0))
}

fn estimator(row: &Row, column: usize) -> Result<Option<crate::estimator::Estimator>, StoreError> {
    // a rule that this binary does not know cannot be named; the session counts all the same
    Ok(row.try_get::<_, Option<&str>>(column)?.and_then(|text| text.parse().ok()))
}

/// A number that fits our column, or the nearest one that does; a platform's column may be wider.
fn integer<T: TryFrom<i64> + Bounded>(row: &Row, column: usize) -> Result<Option<T>, StoreError> {
    Ok(row.try_get::<_, Option<PgInteger>>(column)?.map(PgInteger::clamped))
}
