//! What a node keeps for the time after it.

use async_trait::async_trait;

use super::StoreError;

/// Keeping some bytes under a name: what was hot, for the node that starts next. Whoever saves last is right. What is not
/// renewed for 90 days is swept ([`super::Housekeeping`]).
#[async_trait]
pub trait Snapshots {
    /// What was kept under a name; `None` if nothing was, or where nothing is stored.
    ///
    /// # Errors
    /// What the database says.
    async fn snapshot(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps bytes under a name, in place of what was there. Nothing is done through a store that only reads.
    ///
    /// # Errors
    /// What the database says.
    async fn save_snapshot(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;
}
