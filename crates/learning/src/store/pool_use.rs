//! How busy the way to the database is, for those who watch it.

use tierkeep_db::{PoolCounts, PoolStatus};

/// Telling how a store's connections are used.
pub trait PoolUse {
    /// What the connections that answer are doing at this moment; `None` where there is no pool, as on SQLite.
    fn pool_status(&self) -> Option<PoolStatus> {
        None
    }

    /// What they have done since the store was opened.
    fn pool_counts(&self) -> Option<PoolCounts> {
        None
    }
}
