//! Locks on a platform's tables, without making the platform wait for long or lose a statement to a deadlock.

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::super::StoreError;
use tierkeep_db::lock_migrations_postgres;

/// Longest wait for the first table, while nothing of the platform's is locked by us.
const FIRST: &str = "set local lock_timeout = '2s'";
/// Longest wait for each other table, in which whoever waits for the ones we have is held up. All of them together stay
/// below `deadlock_timeout`, 1 s unless somebody changed it: the server looks for deadlocks only after that time, so the
/// one that gives up is never the platform's statement.
const FURTHER: &str = "set local lock_timeout = '150ms'";

/// Begins: other nodes that migrate, attach or detach wait until the transaction ends.
pub(super) async fn begin(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.batch_execute(FIRST).await?;
    Ok(lock_migrations_postgres(tx).await?)
}

/// Locks some tables and all that have our triggers, for the rest of the transaction. Each attempt waits for another one.
pub(super) async fn take(tx: &Transaction<'_>, tables: &[String], attempt: usize) -> Result<(), StoreError> {
    let mut statements = statements(tx.client(), tables).await?;
    let first = attempt % statements.len().max(1);
    statements.rotate_left(first);
    for (n, statement) in statements.iter().enumerate() {
        tx.batch_execute(if n == 0 { FIRST } else { FURTHER }).await?;
        tx.batch_execute(statement).await?;
    }
    Ok(tx.batch_execute(FIRST).await?)
}

/// The statements that lock. The names are the server's own, and quoted by it.
pub(super) async fn statements(db: &tokio_postgres::Client, tables: &[String]) -> Result<Vec<String>, StoreError> {
    let rows = db.query_typed(include_str!("catalog/locks.sql"), &[(&tables, Type::TEXT_ARRAY)]).await?;
    let statement = |row: &tokio_postgres::Row| -> Result<String, StoreError> {
        let mode = if row.try_get(1)? { "access exclusive" } else { "share row exclusive" };
        Ok(format!("lock table {} in {mode} mode", row.try_get::<_, &str>(0)?))
    };
    rows.iter().map(statement).collect()
}
