//! The pool of PostgreSQL.

use tierkeep_db::{PoolCounts, PoolStatus};

use super::super::pool_use::PoolUse;
use super::PostgresStore;

impl PoolUse for PostgresStore {
    fn pool_status(&self) -> Option<PoolStatus> {
        Some(self.pool.status())
    }

    fn pool_counts(&self) -> Option<PoolCounts> {
        Some(self.pool.counts())
    }
}
