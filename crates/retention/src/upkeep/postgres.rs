//! Upkeep on PostgreSQL.

use std::time::Duration;

use tierkeep_db::Connection;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{DEAD_SHARE, FORGOTTEN_AT_ONCE, LEAST_CHANGED, Sizes};
use crate::engine::Order;
use crate::error::RetentionError;
use crate::lease::Keeper;
use crate::rule::Policy;

/// Most time to measure one table. It samples, so it takes seconds also where there are billions of rows.
const MEASURING: Duration = Duration::from_secs(300);
/// How many times as many dead rows as autovacuum begins at it may leave before it counts as behind.
const BEHIND: u64 = 2;

/// How a table fares, its partitions taken together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fares {
    pub(super) bytes: u64,
    /// Rows that changed since it was measured.
    pub(super) modified: u64,
    pub(super) alive: u64,
    pub(super) dead: u64,
    pub(super) may_analyze: bool,
    pub(super) is_autovacuum_off: bool,
    /// Dead rows from which on autovacuum looks after it.
    pub(super) vacuumed_from: u64,
}

/// How long measuring may wait and take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    lock: Duration,
    whole: Duration,
}

impl Bounds {
    pub(super) fn of(order: &Order) -> Self {
        let whole = order.stop.remaining().map_or(MEASURING, |left| left.min(MEASURING));
        // 0 would be no bound
        Self { lock: order.lock_timeout, whole: whole.max(Duration::from_millis(1)) }
    }
}

impl Fares {
    /// What should be done about dead rows, if anything. `changed` rows are of this run: autovacuum cannot have come to them.
    pub(super) fn advice(&self, table: &str, changed: u64) -> Option<String> {
        let waiting = if self.is_autovacuum_off { self.dead } else { self.dead.saturating_sub(changed) };
        let is_much = waiting > LEAST_CHANGED && waiting > self.alive.saturating_add(self.dead) / DEAD_SHARE;
        let why = if self.is_autovacuum_off { "autovacuum is off for it" } else { "autovacuum is far behind with it" };
        let is_left = self.is_autovacuum_off || waiting > self.vacuumed_from.saturating_mul(BEHIND);
        (is_much && is_left).then(|| {
            format!(
                "{} of {} rows of {table} are dead, and {why}; at a quiet hour: vacuum (analyze) {table}",
                self.dead,
                self.alive.saturating_add(self.dead)
            )
        })
    }
}

pub(super) async fn fares(db: &Client, table: &str) -> Result<Fares, RetentionError> {
    let row = db.query_typed_one(include_str!("../sql/postgres/upkeep.sql"), &[(&table, Type::TEXT)]).await?;
    let number = |name| -> Result<u64, RetentionError> { Ok(u64::try_from(row.try_get::<_, i64>(name)?).unwrap_or(0)) };
    Ok(Fares {
        bytes: number("bytes")?,
        modified: number("modified")?,
        alive: number("alive")?,
        dead: number("dead")?,
        may_analyze: row.try_get("may_analyze")?,
        is_autovacuum_off: row.try_get("is_autovacuum_off")?,
        vacuumed_from: number("vacuumed_from")?,
    })
}

/// Makes the server count what this session did before the tables are looked at: it would within a second, and then take rows
/// for changed since they were measured that had changed before. Before version 15 nothing can make it.
pub(super) async fn flush(db: &Client) -> Result<(), RetentionError> {
    let has_it = "select to_regproc('pg_catalog.pg_stat_force_next_flush') is not null";
    if db.query_typed_one(has_it, &[]).await?.try_get(0)? {
        db.batch_execute("select pg_stat_force_next_flush()").await?;
    }
    Ok(())
}

pub(super) async fn sizes(db: &Client, policy: &Policy) -> Result<Sizes, RetentionError> {
    let mut sizes = Sizes::default();
    for subject in &policy.subjects {
        let bytes = fares(db, &subject.relation.table().quoted()).await?.bytes;
        sizes.tables.insert(subject.name.to_owned(), bytes);
    }
    Ok(sizes)
}

/// Measures a table for the planner; what an operator should do if that cannot be done. The server only warns whoever may not.
pub(super) async fn analyze(
    db: &mut Connection,
    table: &str,
    may_analyze: bool,
    bounds: Bounds,
) -> Result<Option<String>, RetentionError> {
    if !may_analyze {
        return Ok(Some(format!(
            "the planner knows {table} as it was before many of its rows changed, and this role may not measure it; \
             as its owner: analyze {table}"
        )));
    }
    let tx = db.transaction().await?;
    tx.batch_execute(&format!(
        "set local lock_timeout = {}; set local statement_timeout = {}",
        bounds.lock.as_millis(),
        bounds.whole.as_millis()
    ))
    .await?;
    match tx.batch_execute(&format!("analyze {table}")).await {
        Ok(()) => {
            tx.commit().await?;
            Ok(None)
        }
        Err(error) => {
            let why = match error.code() {
                Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => "others held a lock on it",
                Some(code) if *code == SqlState::QUERY_CANCELED => "it took too long",
                Some(code) if *code == SqlState::T_R_DEADLOCK_DETECTED => "others held locks on it",
                _ => return Err(error.into()),
            };
            tx.rollback().await?;
            Ok(Some(format!("{table} was not measured for the planner, as {why}; later: analyze {table}")))
        }
    }
}

/// Returns how many were forgotten.
pub(super) async fn prune_exempt(
    db: &mut Connection,
    keeper: &Keeper,
    settings: &str,
    now: i64,
) -> Result<u64, RetentionError> {
    let tx = db.transaction().await?;
    tx.batch_execute(settings).await?;
    keeper.keep_postgres(&tx).await?;
    let text = include_str!("../sql/postgres/exempt_prune.sql");
    let gone = tx.execute_typed(text, &[(&now, Type::INT8), (&FORGOTTEN_AT_ONCE, Type::INT8)]).await?;
    tx.commit().await?;
    Ok(gone)
}
