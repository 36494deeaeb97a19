//! SQLite has threads in the place of a pool.

use super::super::pool_use::PoolUse;
use super::SqliteStore;

impl PoolUse for SqliteStore {}
