//! Removing a learner.

use std::collections::BTreeSet;

use async_trait::async_trait;
use tokio_postgres::error::SqlState;
use tokio_postgres::{GenericClient, Statement, Transaction};

use super::super::aging::Presence;
use super::super::erasure::{DEPARTURES, Erased, Erasure, Grace, Traces};
use super::super::verification::Verification;
use super::super::{StoreError, tables::Tables};
use super::folding::FoldStatements;
use super::wire::{PgInstant, PgKey};
use super::{PostgresStore, key};
use crate::key::UserId;

/// Those who write rows of learners through a store hold this lock in a mode that lets each other pass and an erasure not.
const WRITING: &str = "lock table tierkeep_erased in row share mode";
/// An erasure waits for those writers, and they for it. Readers of tombstones are not concerned.
const ERASING: &str = "set local lock_timeout = '5s'; lock table tierkeep_erased in exclusive mode";

/// Makes erasures wait until the transaction ends: how a transaction begins that writes or deletes rows of learners.
pub(in crate::store) async fn hold_off_erasures(tx: &Transaction<'_>) -> Result<(), StoreError> {
    Ok(tx.batch_execute(WRITING).await?)
}

#[async_trait]
impl Erasure for PostgresStore {
    async fn erase(&self, user: UserId) -> Result<Option<Erased>, StoreError> {
        self.refuse_read_only()?;
        self.erase_healed(user, None).await
    }

    async fn traces(&self, user: UserId) -> Result<Traces, StoreError> {
        if self.tables == Tables::Platform || user.key().key_type() != self.keys {
            return Ok(Traces::new());
        }
        let db = self.connection().await?;
        self.count_traces(&*db, &db.prepared(&self.sql.erase_traces).await?, user).await
    }

    async fn erased_among(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        if self.tables == Tables::Platform {
            return Ok(Vec::new());
        }
        let db = self.connection().await?;
        self.erased_in(&*db, users.iter().copied()).await
    }

    async fn note_departures(&self) -> Result<u64, StoreError> {
        self.refuse_read_only()?;
        let db = self.connection().await?;
        db.execute(&db.prepared(&self.sql.erase_returned).await?, &[]).await?;
        let rows = db.query(&db.prepared(&self.sql.erase_leaving).await?, &[&i64::from(DEPARTURES)]).await?;
        drop(db);
        let mut leaving = Vec::with_capacity(rows.len());
        for row in &rows {
            leaving.extend(key(row, 0)?.map(UserId::new));
        }
        if !leaving.is_empty() {
            self.fold(&leaving).await?;
        }
        Ok(leaving.len() as u64)
    }

    async fn erase_departed(&self, grace: Grace, limit: u32) -> Result<Vec<Erased>, StoreError> {
        self.refuse_read_only()?;
        let db = self.connection().await?;
        let due = db.prepared(&self.sql.erase_due).await?;
        let now = grace.now.map(PgInstant);
        let rows = db.query(&due, &[&now, &grace.micros(), &i64::from(limit)]).await?;
        drop(db);
        let mut erased = Vec::new();
        for row in &rows {
            let Some(user) = key(row, 0)?.map(UserId::new) else { continue };
            match self.erase_healed(user, Some(grace)).await {
                Ok(done) => erased.extend(done),
                Err(StoreError::Postgres(error)) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                    tracing::warn!("a departed learner is not erased yet: somebody holds the learners' table");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(erased)
    }
}

impl PostgresStore {
    /// Summaries that cannot be read must not keep a learner from being erased: they are forgotten first.
    async fn erase_healed(&self, user: UserId, grace: Option<Grace>) -> Result<Option<Erased>, StoreError> {
        if user.key().key_type() != self.keys {
            return Ok(None);
        }
        match self.erase_at_once(user, grace).await {
            Err(StoreError::Corrupt { .. }) => {
                self.forget(&[user]).await?;
                self.erase_at_once(user, grace).await
            }
            done => done,
        }
    }

    async fn erase_at_once(&self, user: UserId, grace: Option<Grace>) -> Result<Option<Erased>, StoreError> {
        let mut db = self.connection().await?;
        let fold = FoldStatements::prepared(&db, self).await?;
        let traces = db.prepared(&self.sql.erase_traces).await?;
        let is_due = db.prepared(&self.sql.erase_is_due).await?;
        let outbox = db.prepared(&self.sql.erase_outbox).await?;
        let tombstone = db.prepared(&self.sql.erase_tombstone).await?;
        let mut statements = Vec::new();
        for (table, text) in &self.removal.statements {
            statements.push((*table, db.prepared(text).await?));
        }
        let tx = db.transaction().await?;
        tx.batch_execute(ERASING).await?;
        if let Some(grace) = grace {
            tx.batch_execute(&self.removal.nobody_returns).await?;
            let parameters = (PgKey(user.key()), grace.now.map(PgInstant), grace.micros());
            let row = tx.query_one(&is_due, &[&parameters.0, &parameters.1, &parameters.2]).await?;
            if !row.try_get::<_, bool>(0)? {
                return Ok(None);
            }
        }
        let mut removed = self.count_traces(&tx, &traces, user).await?;
        if removed.values().all(|rows| *rows == 0) {
            return Ok(None);
        }
        for (table, statement) in &statements {
            let rows = tx.execute(statement, &[&PgKey(user.key())]).await?;
            removed.insert((*table).to_owned(), rows);
        }
        self.fold_within(&tx, &fold, &[user], Presence::Gone).await?;
        let erased_at = tx.query_one(&tombstone, &[&PgKey(user.key())]).await?.try_get::<_, PgInstant>(0)?.0;
        tx.commit().await?;

        // not in the transaction above, which would lock changes that others lock in another order
        db.execute(&outbox, &[&PgKey(user.key())]).await?;
        let mut remaining = self.count_traces(&*db, &traces, user).await?;
        if remaining.get("tierkeep_outbox").is_some_and(|changes| *changes > 0) {
            // somebody wrote while the rows were removed: what they noted is folded as every change is
            drop(db);
            self.fold(&[user]).await?;
            let db = self.connection().await?;
            db.execute(&db.prepared(&self.sql.erase_outbox).await?, &[&PgKey(user.key())]).await?;
            remaining = self.count_traces(&*db, &db.prepared(&self.sql.erase_traces).await?, user).await?;
        }
        Ok(Some(Erased { user_id: user, erased_at, removed, remaining }))
    }

    /// Fails if any of these learners was erased, and holds erasures off until the caller's transaction ends.
    pub(super) async fn refuse_erased(
        &self,
        tx: &Transaction<'_>,
        learners: impl Iterator<Item = UserId>,
    ) -> Result<(), StoreError> {
        hold_off_erasures(tx).await?;
        let erased = self.erased_in(tx, learners).await?;
        if erased.is_empty() { Ok(()) } else { Err(StoreError::Erased(erased)) }
    }

    /// Those of some learners who were erased, as a connection or a snapshot sees it.
    pub(super) async fn erased_in(
        &self,
        db: &impl GenericClient,
        learners: impl Iterator<Item = UserId>,
    ) -> Result<Vec<UserId>, StoreError> {
        let any: bool = db.query_one("select exists (select from tierkeep_erased)", &[]).await?.try_get(0)?;
        if !any {
            return Ok(Vec::new());
        }
        let learners: Vec<UserId> = learners.collect::<BTreeSet<_>>().into_iter().collect();
        let rows = db.query(&self.sql.erase_among, &[&self.pg_keys(&learners)]).await?;
        rows.iter().map(|row| Ok(UserId::new(row.try_get::<_, PgKey>(0)?.0))).collect()
    }

    async fn count_traces(
        &self,
        db: &impl GenericClient,
        statement: &Statement,
        user: UserId,
    ) -> Result<Traces, StoreError> {
        let mut traces = Traces::new();
        for row in db.query(statement, &[&PgKey(user.key())]).await? {
            traces.insert(row.try_get(0)?, u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0));
        }
        self.removal.leave_to_platform(&mut traces);
        Ok(traces)
    }
}
