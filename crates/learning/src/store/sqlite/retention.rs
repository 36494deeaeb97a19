//! Retention on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Transaction;
use tierkeep_db::feed::Feed;
use tierkeep_db::{Connection, Database, Dialect, columns_sqlite};
use tierkeep_retention::{
    Broken, Companion, CompanionError, Engine, Ledger, Order, Outcome, Plan, PlanLimits, Policy, Preparation, Removed,
    RestoreOrder, RestoreReport, Restored, RetentionError, RunEntry, RunId,
};

use super::super::StoreError;
use super::super::aging::{DATA, Keep};
use super::super::retention::{Catalog, Cleanup, HAS_EXEMPT_SQLITE, NOTHING_KEPT, Retention, all_rules, check_owner};
use super::super::tables::Tables;
use super::aging::{deleted_facts, fold_deleted, forget_learners, remove};
use super::wire::SqlKey;
use super::{Shared, SqliteStore};
use crate::key::{SessionId, UserId};
use crate::mapping::Source;
use crate::retention::{ARCHIVED_SESSIONS, INACTIVE_USERS, OPTIMIZE, QUARANTINED_ROWS, Situation, policy};

#[async_trait]
impl Retention for SqliteStore {
    async fn plan_cleanup(
        self: Arc<Self>,
        cleanup: &Cleanup,
        limits: PlanLimits,
        is_forced: bool,
    ) -> Result<Plan, StoreError> {
        Ok(self.engine(cleanup).await?.plan(limits, is_forced).await?)
    }

    async fn clean_up(self: Arc<Self>, cleanup: &Cleanup, order: &Order) -> Result<Outcome, StoreError> {
        if self.shared.read_only {
            return Err(StoreError::ReadOnly(self.shared.address.clone()));
        }
        Ok(self.engine(cleanup).await?.run(order).await?)
    }

    async fn plan_restore(self: Arc<Self>, order: &RestoreOrder) -> Result<RestoreReport, StoreError> {
        check_owner(order, self.shared.keys)?;
        if !self.shared.tables.have_summaries() {
            return Err(RetentionError::Refused(NOTHING_KEPT.to_owned()).into());
        }
        Ok(self.engine(&all_rules(order)).await?.plan_restore(order).await?)
    }

    async fn restore(self: Arc<Self>, order: &RestoreOrder) -> Result<Restored, StoreError> {
        if self.shared.read_only {
            return Err(StoreError::ReadOnly(self.shared.address.clone()));
        }
        check_owner(order, self.shared.keys)?;
        Ok(self.engine(&all_rules(order)).await?.restore(order).await?)
    }

    async fn retention_runs(&self, before: Option<RunId>, limit: u32) -> Result<Vec<RunEntry>, StoreError> {
        if !self.shared.tables.have_summaries() {
            return Ok(Vec::new());
        }
        Ok(Ledger::new(&Database::Sqlite(self.db.clone())).cleanups(before, limit).await?)
    }

    async fn audit_runs(&self) -> Result<Vec<Broken>, StoreError> {
        Ok(Ledger::new(&Database::Sqlite(self.db.clone())).audit().await?)
    }
}

impl SqliteStore {
    async fn engine(&self, cleanup: &Cleanup) -> Result<Engine, StoreError> {
        let policy = self.policy(cleanup).await?;
        let companion = SqliteCompanion { shared: Arc::clone(&self.shared), keep: cleanup.keep };
        Ok(Engine::new(Database::Sqlite(self.db.clone()), policy, Arc::new(companion))
            .optimizing(cleanup.phases.contains(&OPTIMIZE)))
    }

    async fn policy(&self, cleanup: &Cleanup) -> Result<Policy, StoreError> {
        let now = cleanup.cutoffs.now.as_microsecond();
        let catalog = self.read(move |shared, db| catalog(shared, db, now)).await?;
        let [users, courses, sessions] = &catalog.tables;
        policy(&Situation {
            dialect: Dialect::Sqlite,
            keys: self.shared.keys,
            mapping: &self.shared.names,
            columns: [users, courses, sessions],
            archive: catalog.archive.as_deref(),
            has_exempt: catalog.has_exempt,
            cutoffs: cleanup.cutoffs,
            phases: &cleanup.phases,
        })
    }
}

fn catalog(shared: &Shared, db: &rusqlite::Connection, now: i64) -> Result<Catalog, StoreError> {
    let mut tables = Vec::new();
    for source in Source::ALL {
        tables.push(columns_sqlite(db, &shared.names.table(source))?.unwrap_or_default());
    }
    let tables = tables.try_into().unwrap_or_default();
    if shared.tables == Tables::Platform {
        return Ok(Catalog { tables, archive: None, has_exempt: false });
    }
    let archive = columns_sqlite(db, &shared.names.archive())?;
    Ok(Catalog { tables, archive, has_exempt: db.query_row(HAS_EXEMPT_SQLITE, [now], |row| row.get(0))? })
}

/// What the engine leaves to whoever knows what sessions mean.
struct SqliteCompanion {
    shared: Arc<Shared>,
    keep: Keep,
}

#[async_trait]
impl Companion for SqliteCompanion {
    fn delete_sqlite(
        &self,
        tx: &Transaction<'_>,
        rule: &'static str,
        keys: &[String],
    ) -> Result<Removed, CompanionError> {
        match rule {
            ARCHIVED_SESSIONS => self.delete_sessions(tx, keys),
            INACTIVE_USERS => self.delete_learners(tx, keys),
            QUARANTINED_ROWS => {
                for key in keys {
                    let id: i64 = key.parse()?;
                    tx.prepare_cached("delete from tierkeep_quarantine where id = ?1")?.execute([id])?;
                }
                Ok(Removed::new())
            }
            other => Err(format!("nobody knows how to delete by the rule {other}").into()),
        }
    }

    fn moving_sqlite(
        &self,
        tx: &Transaction<'_>,
        moving: &mut dyn FnMut() -> Result<(), RetentionError>,
    ) -> Result<(), RetentionError> {
        Feed::quietly_sqlite(tx, |_| moving())
    }

    async fn prepare_postgres(&self, _: &Connection) -> Result<Preparation, CompanionError> {
        Err("this store is on SQLite".into())
    }

    async fn deleting_postgres(&self, _: &tokio_postgres::Transaction<'_>) -> Result<(), CompanionError> {
        Err("this store is on SQLite".into())
    }

    async fn delete_postgres(
        &self,
        _: &tokio_postgres::Transaction<'_>,
        _: &Preparation,
        _: &'static str,
        _: &[String],
    ) -> Result<Removed, CompanionError> {
        Err("this store is on SQLite".into())
    }

    async fn moving_postgres(&self, _: &tokio_postgres::Transaction<'_>) -> Result<(), CompanionError> {
        Err("this store is on SQLite".into())
    }
}

impl SqliteCompanion {
    fn delete_sessions(&self, tx: &Transaction<'_>, keys: &[String]) -> Result<Removed, CompanionError> {
        let ids: Vec<SessionId> = keys.iter().map(|key| key.parse()).collect::<Result<_, _>>()?;
        let deleted = deleted_facts(&self.shared, tx, &ids)?;
        let mut rows = 0;
        for id in &ids {
            rows += tx.prepare_cached(&self.shared.removal.delete_archived)?.execute([SqlKey(id.key())])?;
        }
        if rows != keys.len() {
            return Err(format!("{} rows were to be deleted and {rows} were", keys.len()).into());
        }
        fold_deleted(&self.shared, tx, &deleted, self.keep)?;
        Ok(Removed::new())
    }

    fn delete_learners(&self, tx: &Transaction<'_>, keys: &[String]) -> Result<Removed, CompanionError> {
        let users: Vec<UserId> = keys.iter().map(|key| key.parse()).collect::<Result<_, _>>()?;
        let mut removed = Removed::new();
        for table in DATA {
            removed.insert(table, remove(&self.shared, tx, &[table], &users)?);
        }
        forget_learners(&self.shared, tx, &users)?;
        Ok(removed)
    }
}
