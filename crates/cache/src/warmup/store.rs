//! Where a snapshot of hot keys outlives the process.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

/// Why a snapshot could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SnapshotStoreError(Box<dyn std::error::Error + Send + Sync>);

impl SnapshotStoreError {
    /// What the store said.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// Keeps one snapshot: the last that was saved. Bytes that are not whole do no harm, they are refused when they are read.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// The snapshot that was saved last; `None` if there is none.
    ///
    /// # Errors
    /// The store is away. Nothing is saved over a snapshot that could not be loaded.
    async fn load(&self) -> Result<Option<Vec<u8>>, SnapshotStoreError>;

    /// Keeps these bytes in place of all that were saved before.
    ///
    /// # Errors
    /// The store is away.
    async fn save(&self, bytes: &[u8]) -> Result<(), SnapshotStoreError>;
}

/// A store that lives as long as the process: for tests, and for caches that are built anew within one process.
#[derive(Debug, Default)]
pub struct InProcessSnapshots(Mutex<Option<Vec<u8>>>);

impl InProcessSnapshots {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl SnapshotStore for InProcessSnapshots {
    async fn load(&self) -> Result<Option<Vec<u8>>, SnapshotStoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn save(&self, bytes: &[u8]) -> Result<(), SnapshotStoreError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes.to_vec());
        Ok(())
    }
}
