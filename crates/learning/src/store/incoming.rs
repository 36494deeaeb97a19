//! Rows that are about to be written: whether they fit this database, and which of several with one id counts.

use std::collections::HashSet;

use super::StoreError;
use crate::key::{CourseProgressId, Key, KeyType, UserId};
use crate::rows::{ProgressRow, SessionRow, UserRow};

/// What to do with a row whose id is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Replace,
    Keep,
}

/// A row that knows its keys.
pub(super) trait Incoming {
    fn id(&self) -> Key;
    /// Whom it is about.
    fn learner(&self) -> UserId;
    /// The other keys.
    fn references(&self) -> impl Iterator<Item = Key>;
}

/// Of several rows with one id the last, in their order.
///
/// # Errors
/// [`StoreError::OtherKeyType`] when a row has a key of the other type; SQLite would store it as text.
pub(super) fn accepted<R: Incoming>(mut rows: Vec<R>, keys: KeyType) -> Result<Vec<R>, StoreError> {
    let other = |key: &Key| key.key_type() != keys;
    if let Some(key) = rows.iter().find_map(|row| std::iter::once(row.id()).chain(row.references()).find(other)) {
        return Err(StoreError::OtherKeyType { found: keys, asked: key.key_type() });
    }
    let mut seen = HashSet::with_capacity(rows.len());
    if rows.iter().all(|row| seen.insert(row.id())) {
        return Ok(rows);
    }
    seen.clear();
    rows.reverse();
    rows.retain(|row| seen.insert(row.id()));
    rows.reverse();
    Ok(rows)
}

impl Incoming for UserRow {
    fn id(&self) -> Key {
        self.id.key()
    }

    fn learner(&self) -> UserId {
        self.id
    }

    fn references(&self) -> impl Iterator<Item = Key> {
        std::iter::empty()
    }
}

impl Incoming for ProgressRow {
    fn id(&self) -> Key {
        self.id.key()
    }

    fn learner(&self) -> UserId {
        self.user_id
    }

    fn references(&self) -> impl Iterator<Item = Key> {
        [self.user_id.key(), self.content_id.key()].into_iter()
    }
}

impl Incoming for SessionRow {
    fn id(&self) -> Key {
        self.id.key()
    }

    fn learner(&self) -> UserId {
        self.user_id
    }

    fn references(&self) -> impl Iterator<Item = Key> {
        let optional = [self.course_progress_id.map(CourseProgressId::key), self.goal_id, self.learning_plan_id];
        std::iter::once(self.user_id.key()).chain(optional.into_iter().flatten())
    }
}
