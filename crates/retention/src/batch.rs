//! One batch: the rows that are moved, and the proof that they arrived as they left.

use std::collections::BTreeMap;

use crate::error::RetentionError;

pub(crate) mod postgres;
pub(crate) mod sqlite;

/// Where a sweep goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind this age and key, as the database writes them.
    Behind { age: String, key: String },
    /// From this page (PostgreSQL) or row number (SQLite) on.
    From(i64),
}

/// What a batch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Rows that were looked at, and locked.
    pub(crate) picked: u64,
    /// Rows that went by each rule.
    pub(crate) kinds: BTreeMap<String, u64>,
    /// References that were turned.
    pub(crate) repointed: u64,
    pub(crate) digest_left: Option<String>,
    pub(crate) digest_arrived: Option<String>,
    pub(crate) first_age: Option<String>,
    pub(crate) last_age: Option<String>,
    /// Age and key of the last row.
    pub(crate) last: Option<(String, String)>,
}

impl Batch {
    /// Rows that went.
    pub(crate) fn rows(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// Refuses a move whose rows did not arrive as they left; the caller rolls back.
    fn checked(self, rule: &str, left: i64, arrived: i64) -> Result<Self, RetentionError> {
        let picked = self.picked;
        if left != arrived || self.digest_left != self.digest_arrived {
            return Err(RetentionError::Mismatch(format!(
                "{rule}: {left} rows left and {arrived} arrived (of {picked}), digests {} and {}",
                self.digest_left.as_deref().unwrap_or("none"),
                self.digest_arrived.as_deref().unwrap_or("none"),
            )));
        }
        Ok(self)
    }
}

/// A count of the database's.
fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}
