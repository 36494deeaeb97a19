//! The store on SQLite.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};
use tierkeep_db::feed::Feed;
use tierkeep_db::{Database, SqliteDatabase};

use self::wire::{SqlKey, listed_session, micros, user_row};
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
use crate::instant::{END_MICROS, MIN_MICROS};
use crate::key::{KeyType, UserId};
use crate::local_day::LocalDay;
use crate::mapping::Mapping;
use crate::rows::{ProgressRow, SessionRow, UserRow};

mod active;
pub(super) mod aging;
mod backlog;
mod erasure;
mod export;
mod feed;
mod folding;
mod housekeeping;
mod lease;
mod nightly;
mod pool_use;
mod reading;
mod retention;
mod tokens;
mod totals;
mod verification;
mod wire;
mod writes;
mod writing;

/// A store on SQLite.
#[derive(Debug)]
pub(super) struct SqliteStore {
    db: SqliteDatabase,
    /// One reader of its own for the change feed: whoever asks for changes must not wait until readers are done.
    /// `None` where changes cannot be told.
    follower: Option<SqliteDatabase>,
    shared: Arc<Shared>,
}

/// What the closures that run on the database's threads need.
#[derive(Debug)]
pub(super) struct Shared {
    keys: KeyType,
    /// The names of the tables and columns.
    names: Mapping,
    rules: DayRules,
    sql: Statements,
    removal: Removal,
    /// Statements that write one row.
    rows: RowStatements,
    tables: Tables,
    feed: Feed,
    /// Whether a change may go unnoticed, so that what is stored proves nothing.
    is_broken: AtomicBool,
    read_only: bool,
    address: String,
}

impl Shared {
    /// Whether stored summaries count: not where nobody looks whether every change is noted.
    fn trusts_summaries(&self) -> bool {
        self.tables.have_summaries() && !self.read_only && !self.is_broken.load(Ordering::Acquire)
    }
}

/// What a store is made of beside its connections.
pub(super) struct Parts {
    pub(super) keys: KeyType,
    pub(super) names: Mapping,
    pub(super) rules: DayRules,
    pub(super) sql: Statements,
    pub(super) removal: Removal,
    pub(super) rows: RowStatements,
    pub(super) tables: Tables,
    pub(super) feed: Feed,
    pub(super) read_only: bool,
    pub(super) address: String,
}

impl SqliteStore {
    pub(super) fn new(db: SqliteDatabase, follower: Option<SqliteDatabase>, parts: Parts) -> Self {
        let Parts { keys, names, rules, sql, removal, rows, tables, feed, read_only, address } = parts;
        let is_broken = AtomicBool::new(false);
        Self {
            db,
            follower,
            shared: Arc::new(Shared {
                keys,
                names,
                rules,
                sql,
                removal,
                rows,
                tables,
                feed,
                is_broken,
                read_only,
                address,
            }),
        }
    }

    /// Runs `work` in one read transaction: everything it reads is of one snapshot.
    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Shared, &Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        self.db
            .read(move |db| {
                let tx = db.transaction()?;
                let answer = work(&shared, &tx)?;
                tx.commit()?;
                Ok(answer)
            })
            .await
    }

    /// Runs `work` in one write transaction.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Shared, &Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        if self.shared.read_only {
            return Err(StoreError::ReadOnly(self.shared.address.clone()));
        }
        let shared = Arc::clone(&self.shared);
        self.db.write(move |tx| work(&shared, tx)).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn key_type(&self) -> KeyType {
        self.shared.keys
    }

    fn database(&self) -> Option<Database> {
        (!self.is_read_only()).then(|| Database::Sqlite(self.db.clone()))
    }

    fn looked_at(&self) -> Database {
        Database::Sqlite(self.db.clone())
    }

    fn is_read_only(&self) -> bool {
        self.shared.read_only
    }

    async fn learner_days(
        &self,
        users: &[UserId],
        days: RangeInclusive<LocalDay>,
    ) -> Result<Vec<Option<LearnerDays>>, StoreError> {
        self.read_days(users, days).await
    }

    async fn learner_activity(&self, users: &[UserId]) -> Result<Vec<Option<LearnerActivity>>, StoreError> {
        self.read_activity(users).await
    }

    async fn learner_courses(&self, users: &[UserId]) -> Result<Vec<Option<LearnerCourses>>, StoreError> {
        self.read_courses(users).await
    }

    async fn global_totals(&self, today: LocalDay) -> Result<GlobalSnapshot, StoreError> {
        self.read_totals(today).await
    }

    async fn users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserRow>, StoreError> {
        self.read(move |shared, db| {
            let mut rows = Vec::new();
            let mut push = |row: &rusqlite::Row<'_>| -> Result<(), StoreError> {
                rows.push(user_row(shared.keys, row)?);
                Ok(())
            };
            match after {
                None => each(db, &shared.sql.users_first_page, [limit], &mut push)?,
                Some(after) if after.key().key_type() != shared.keys => {}
                Some(after) => each(db, &shared.sql.users_next_page, (limit, SqlKey(after.key())), &mut push)?,
            }
            Ok(rows)
        })
        .await
    }

    async fn sessions(
        &self,
        user: UserId,
        after: Option<SessionPlace>,
        limit: u32,
    ) -> Result<Option<Vec<ListedSession>>, StoreError> {
        self.read(move |shared, db| {
            if reading::facts(shared, db, user)?.is_none() {
                return Ok(None);
            }
            let mut rows = Vec::new();
            let mut push = |row: &rusqlite::Row<'_>| -> Result<(), StoreError> {
                rows.push(listed_session(shared.keys, row)?);
                Ok(())
            };
            let user = SqlKey(user.key());
            match after {
                None => {
                    let parameters = (user, limit, MIN_MICROS, END_MICROS);
                    each(db, &shared.sql.sessions_first_page, parameters, &mut push)?;
                }
                Some(place) if place.id.key().key_type() != shared.keys => {}
                Some(place) => {
                    let parameters = (user, limit, micros(place.start_time), SqlKey(place.id.key()), MIN_MICROS);
                    each(db, &shared.sql.sessions_next_page, parameters, &mut push)?;
                }
            }
            Ok(Some(rows))
        })
        .await
    }

    async fn write_users(&self, rows: Vec<UserRow>) -> Result<Written, StoreError> {
        self.write(move |shared, db| writing::users(shared, db, rows, Known::Replace)).await
    }

    async fn add_missing_users(&self, rows: Vec<UserRow>) -> Result<Written, StoreError> {
        self.write(move |shared, db| writing::users(shared, db, rows, Known::Keep)).await
    }

    async fn write_progress(&self, rows: Vec<ProgressRow>) -> Result<Written, StoreError> {
        self.write(move |shared, db| writing::progress(shared, db, rows)).await
    }

    async fn write_sessions(&self, rows: Vec<SessionRow>) -> Result<Written, StoreError> {
        self.write(move |shared, db| writing::sessions(shared, db, rows)).await
    }

    async fn settle(&self) -> Result<Settled, StoreError> {
        self.write(|shared, tx| folding::settle_batch(shared, tx)).await
    }

    async fn installation(&self) -> Result<Option<String>, StoreError> {
        if !self.shared.tables.have_summaries() {
            return Ok(None);
        }
        let text = "select installation from tierkeep_state";
        self.read(move |_, db| Ok(Some(db.query_row(text, [], |row| row.get(0))?))).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        match self.shared.tables {
            Tables::Own | Tables::Attached => super::checks::check_built_sqlite(&self.db, &self.shared.rules).await,
            Tables::Platform => self.users(None, 1).await.map(|_| ()),
        }
    }

    async fn close(&self) {
        if let Some(follower) = &self.follower {
            follower.close().await;
        }
        self.db.close().await;
    }
}

/// Runs a cached statement and hands each row on.
fn each(
    db: &Connection,
    text: &str,
    parameters: impl rusqlite::Params,
    handle: &mut dyn FnMut(&rusqlite::Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(text)?;
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        handle(row)?;
    }
    Ok(())
}
