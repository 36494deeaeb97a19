//! How far retention is behind, and by which clock.

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreError;

/// Telling what waits to be archived.
#[async_trait]
pub trait Backlog {
    /// The present by the clock of the database, which all nodes share. Works on a platform's tables as well.
    ///
    /// # Errors
    /// What the database says.
    async fn database_now(&self) -> Result<Timestamp, StoreError>;

    /// Start of the oldest live session that a clean-up with this cutoff would archive; `None` if there is none. Rows that
    /// were restored and still have their grace count as well. One look at the index of starts.
    ///
    /// # Errors
    /// What the database says.
    async fn retention_backlog(&self, cutoff: Timestamp) -> Result<Option<Timestamp>, StoreError>;
}
