//! What whoever uses the engine does in the transaction of a batch.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::Transaction as SqliteTransaction;
use tokio_postgres::Transaction as PostgresTransaction;

/// Why a companion could not do its part. The batch is rolled back and the run ends.
pub type CompanionError = Box<dyn std::error::Error + Send + Sync>;

/// Rows that a companion removed, by subject.
pub type Removed = BTreeMap<&'static str, u64>;

/// The part of a deletion, and of a move, that depends on what rows mean.
///
/// Deleting a row may have to leave a trace elsewhere in the same transaction: a sum that it was part of, say. So whoever
/// knows deletes, and the engine sees to everything before and after it.
#[async_trait]
pub trait Companion: Send + Sync {
    /// Deletes rows of a rule by their keys, all in this transaction, on PostgreSQL: the rows themselves, or for
    /// [`Action::DeleteDependants`](crate::Action::DeleteDependants) those that belong to them.
    ///
    /// # Errors
    /// Whatever speaks against it; nothing is committed then.
    async fn delete_postgres(
        &self,
        tx: &PostgresTransaction<'_>,
        rule: &'static str,
        keys: &[String],
    ) -> Result<Removed, CompanionError>;

    /// The same on SQLite.
    ///
    /// # Errors
    /// As there.
    fn delete_sqlite(
        &self,
        tx: &SqliteTransaction<'_>,
        rule: &'static str,
        keys: &[String],
    ) -> Result<Removed, CompanionError>;

    /// Told at the beginning of a transaction that only moves rows from one table to another and back.
    ///
    /// # Errors
    /// As [`delete_postgres`](Self::delete_postgres).
    async fn moving_postgres(&self, tx: &PostgresTransaction<'_>) -> Result<(), CompanionError> {
        let _ = tx;
        Ok(())
    }

    /// The same on SQLite, and with `is_over` at its end.
    ///
    /// # Errors
    /// As there.
    fn moving_sqlite(&self, tx: &SqliteTransaction<'_>, is_over: bool) -> Result<(), CompanionError> {
        let _ = (tx, is_over);
        Ok(())
    }
}
