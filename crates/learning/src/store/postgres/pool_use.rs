//! The pool of PostgreSQL.

use tierkeep_db::PoolStatus;

use super::super::pool_use::PoolUse;
use super::PostgresStore;

impl PoolUse for PostgresStore {
    fn pool_status(&self) -> Option<PoolStatus> {
        Some(self.pool.status())
    }
}
