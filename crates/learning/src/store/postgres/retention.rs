//! Retention on PostgreSQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tierkeep_db::feed::{Feed, Rehanging};
use tierkeep_db::{Connection, Database, Dialect, columns_postgres};
use tierkeep_retention::{
    Broken, Companion, CompanionError, Engine, Ledger, Order, Outcome, Plan, PlanLimits, Policy, Preparation, Removed,
    RestoreOrder, RestoreReport, Restored, RetentionError, RunEntry, RunId,
};
use tokio_postgres::types::Type;
use tokio_postgres::{Statement, Transaction};

use super::super::StoreError;
use super::super::aging::{DATA, Keep};
use super::super::retention::{Catalog, Cleanup, HAS_EXEMPT_POSTGRES, NOTHING_KEPT, Retention, all_rules, check_owner};
use super::super::tables::Tables;
use super::PostgresStore;
use super::erasure::hold_off_erasures;
use super::feed::Follower;
use super::folding::FoldStatements;
use super::wire::PgKeys;
use crate::key::{SessionId, UserId};
use crate::mapping::Source;
use crate::retention::{ARCHIVED_SESSIONS, INACTIVE_USERS, OPTIMIZE, QUARANTINED_ROWS, Situation, policy};

#[async_trait]
impl Retention for PostgresStore {
    async fn plan_cleanup(
        self: Arc<Self>,
        cleanup: &Cleanup,
        limits: PlanLimits,
        is_forced: bool,
    ) -> Result<Plan, StoreError> {
        Ok(self.engine(cleanup).await?.plan(limits, is_forced).await?)
    }

    async fn clean_up(self: Arc<Self>, cleanup: &Cleanup, order: &Order) -> Result<Outcome, StoreError> {
        self.refuse_read_only()?;
        Ok(self.engine(cleanup).await?.run(order).await?)
    }

    async fn plan_restore(self: Arc<Self>, order: &RestoreOrder) -> Result<RestoreReport, StoreError> {
        check_owner(order, self.keys)?;
        if !self.tables.have_summaries() {
            return Err(RetentionError::Refused(NOTHING_KEPT.to_owned()).into());
        }
        Ok(self.engine(&all_rules(order)).await?.plan_restore(order).await?)
    }

    async fn restore(self: Arc<Self>, order: &RestoreOrder) -> Result<Restored, StoreError> {
        self.refuse_read_only()?;
        check_owner(order, self.keys)?;
        Ok(self.engine(&all_rules(order)).await?.restore(order).await?)
    }

    async fn retention_runs(&self, before: Option<RunId>, limit: u32) -> Result<Vec<RunEntry>, StoreError> {
        if !self.tables.have_summaries() {
            return Ok(Vec::new());
        }
        Ok(Ledger::new(&Database::Postgres(self.pool.clone())).cleanups(before, limit).await?)
    }

    async fn audit_runs(&self) -> Result<Vec<Broken>, StoreError> {
        Ok(Ledger::new(&Database::Postgres(self.pool.clone())).audit().await?)
    }
}

impl PostgresStore {
    async fn engine(self: Arc<Self>, cleanup: &Cleanup) -> Result<Engine, StoreError> {
        let policy = self.policy(cleanup).await?;
        let db = Database::Postgres(self.pool.clone());
        let companion = PostgresCompanion { store: self, keep: cleanup.keep };
        Ok(Engine::new(db, policy, Arc::new(companion)).optimizing(cleanup.phases.contains(&OPTIMIZE)))
    }

    async fn policy(&self, cleanup: &Cleanup) -> Result<Policy, StoreError> {
        let catalog = self.catalog(cleanup.cutoffs.now.as_microsecond()).await?;
        let [users, courses, sessions] = &catalog.tables;
        policy(&Situation {
            dialect: Dialect::Postgres,
            keys: self.keys,
            mapping: &self.names,
            columns: [users, courses, sessions],
            archive: catalog.archive.as_deref(),
            has_exempt: catalog.has_exempt,
            cutoffs: cleanup.cutoffs,
            phases: &cleanup.phases,
        })
    }

    async fn catalog(&self, now: i64) -> Result<Catalog, StoreError> {
        let db = self.connection().await?;
        let mut tables = Vec::new();
        for source in Source::ALL {
            tables.push(columns_postgres(&db, &self.names.table(source)).await?.unwrap_or_default());
        }
        let tables = tables.try_into().unwrap_or_default();
        if self.tables == Tables::Platform {
            return Ok(Catalog { tables, archive: None, has_exempt: false });
        }
        let archive = columns_postgres(&db, &self.names.archive()).await?;
        let exempt = db.query_typed_one(HAS_EXEMPT_POSTGRES, &[(&now, Type::INT8)]).await?;
        Ok(Catalog { tables, archive, has_exempt: exempt.try_get(0)? })
    }
}

/// What the engine leaves to whoever knows what sessions mean.
struct PostgresCompanion {
    store: Arc<PostgresStore>,
    keep: Keep,
}

/// The statements that a deletion needs, on a connection.
struct Prepared {
    fold: FoldStatements,
    facts: Statement,
    delete: Statement,
}

#[async_trait]
impl Companion for PostgresCompanion {
    async fn prepare_postgres(&self, db: &Connection) -> Result<Preparation, CompanionError> {
        let store = &self.store;
        Ok(Box::new(Prepared {
            fold: FoldStatements::prepared(db, store).await?,
            facts: db.prepared(&store.sql.aging_facts).await?,
            delete: db.prepared(&store.removal.delete_archived).await?,
        }))
    }

    async fn deleting_postgres(&self, tx: &Transaction<'_>) -> Result<(), CompanionError> {
        Ok(hold_off_erasures(tx).await?)
    }

    async fn passing_postgres(&self, tx: &Transaction<'_>, table: &str) -> Result<Preparation, CompanionError> {
        let feed = self.store.follower.as_ref().map(Follower::feed).ok_or("nobody follows the changes here")?;
        Ok(Box::new(feed.begin_rehanging_postgres(tx, table).await?))
    }

    async fn passed_postgres(
        &self,
        tx: &Transaction<'_>,
        passing: Preparation,
        into: Option<&'static str>,
    ) -> Result<(), CompanionError> {
        let feed = self.store.follower.as_ref().map(Follower::feed).ok_or("nobody follows the changes here")?;
        let before = passing.downcast::<Rehanging>().map_err(|_| "what was prepared by another")?;
        Ok(feed.end_rehanging_postgres(tx, *before, into).await?)
    }

    async fn delete_postgres(
        &self,
        tx: &Transaction<'_>,
        prepared: &Preparation,
        rule: &'static str,
        keys: &[String],
    ) -> Result<Removed, CompanionError> {
        let prepared = prepared.downcast_ref::<Prepared>().ok_or("statements that were prepared by another")?;
        match rule {
            ARCHIVED_SESSIONS => self.delete_sessions(tx, prepared, keys).await,
            INACTIVE_USERS => self.delete_learners(tx, prepared, keys).await,
            QUARANTINED_ROWS => {
                let ids: Vec<i64> = keys.iter().map(|key| key.parse()).collect::<Result<_, _>>()?;
                tx.execute("delete from tierkeep_quarantine where id = any($1)", &[&ids]).await?;
                Ok(Removed::new())
            }
            other => Err(format!("nobody knows how to delete by the rule {other}").into()),
        }
    }

    async fn moving_postgres(&self, tx: &Transaction<'_>) -> Result<(), CompanionError> {
        Ok(tx.batch_execute(Feed::MOVE_POSTGRES).await?)
    }

    fn delete_sqlite(
        &self,
        _: &rusqlite::Transaction<'_>,
        _: &'static str,
        _: &[String],
    ) -> Result<Removed, CompanionError> {
        Err("this store is on PostgreSQL".into())
    }

    fn moving_sqlite(
        &self,
        _: &rusqlite::Transaction<'_>,
        moving: &mut dyn FnMut() -> Result<(), RetentionError>,
    ) -> Result<(), RetentionError> {
        moving()
    }
}

impl PostgresCompanion {
    async fn delete_sessions(
        &self,
        tx: &Transaction<'_>,
        prepared: &Prepared,
        keys: &[String],
    ) -> Result<Removed, CompanionError> {
        let ids: Vec<SessionId> = keys.iter().map(|key| key.parse()).collect::<Result<_, _>>()?;
        let deleted = self.store.deleted_facts(tx, &prepared.facts, &ids).await?;
        let ids = PgKeys::new(self.store.keys, ids.iter().map(|id| id.key()));
        let rows = tx.execute(&prepared.delete, &[&ids]).await?;
        if rows != keys.len() as u64 {
            return Err(format!("{} rows were to be deleted and {rows} were", keys.len()).into());
        }
        self.store.fold_deleted(tx, &prepared.fold, &deleted, self.keep).await?;
        Ok(Removed::new())
    }

    async fn delete_learners(
        &self,
        tx: &Transaction<'_>,
        prepared: &Prepared,
        keys: &[String],
    ) -> Result<Removed, CompanionError> {
        let users: Vec<UserId> = keys.iter().map(|key| key.parse()).collect::<Result<_, _>>()?;
        let mut removed: Removed = BTreeMap::new();
        for table in DATA {
            removed.insert(table, self.store.remove(tx, &[table], &users).await?);
        }
        self.store.forget_learners(tx, &prepared.fold, &users).await?;
        Ok(removed)
    }
}
