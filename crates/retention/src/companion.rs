//! What whoever uses the engine does in the transaction of a batch.

use std::any::Any;
use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::Transaction as SqliteTransaction;
use tierkeep_db::Connection;
use tokio_postgres::Transaction as PostgresTransaction;

use crate::error::RetentionError;

/// Why a companion could not do its part. The batch is rolled back and the run ends.
pub type CompanionError = Box<dyn std::error::Error + Send + Sync>;

/// What a companion has prepared on a connection.
pub type Preparation = Box<dyn Any + Send + Sync>;

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
        prepared: &Preparation,
        rule: &'static str,
        keys: &[String],
    ) -> Result<Removed, CompanionError>;

    /// Prepares what [`delete_postgres`](Self::delete_postgres) needs on a connection, before a transaction begins on it.
    ///
    /// # Errors
    /// As there.
    async fn prepare_postgres(&self, db: &Connection) -> Result<Preparation, CompanionError>;

    /// Told at the beginning of a transaction that is going to delete rows or to bring them back, before any row is locked.
    ///
    /// # Errors
    /// As [`delete_postgres`](Self::delete_postgres).
    async fn deleting_postgres(&self, tx: &PostgresTransaction<'_>) -> Result<(), CompanionError>;

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
    async fn moving_postgres(&self, tx: &PostgresTransaction<'_>) -> Result<(), CompanionError>;

    /// The same on SQLite: does the moving in between of what it does itself.
    ///
    /// # Errors
    /// As there, and those of the moving.
    fn moving_sqlite(
        &self,
        tx: &SqliteTransaction<'_>,
        moving: &mut dyn FnMut() -> Result<(), RetentionError>,
    ) -> Result<(), RetentionError>;

    /// Told before `table` (quoted) ceases to be a partition, or a part, of a subject's table; PostgreSQL only. What it returns
    /// is handed to [`passed_postgres`](Self::passed_postgres).
    ///
    /// # Errors
    /// As [`delete_postgres`](Self::delete_postgres).
    async fn passing_postgres(&self, tx: &PostgresTransaction<'_>, table: &str) -> Result<Preparation, CompanionError> {
        let _ = (tx, table);
        Ok(Box::new(()))
    }

    /// Told when that has happened: with the same rows it is a part of the table of the subject `into` now, or it is gone.
    ///
    /// # Errors
    /// As there.
    async fn passed_postgres(
        &self,
        tx: &PostgresTransaction<'_>,
        passing: Preparation,
        into: Option<&'static str>,
    ) -> Result<(), CompanionError> {
        let _ = (tx, passing, into);
        Ok(())
    }
}
