//! All rows about a learner, page by page, as they are stored.

use async_trait::async_trait;

use super::{ListedSession, StoreError};
use crate::key::{CourseProgressId, SessionId, UserId};
use crate::rows::{ProgressRow, UserRow};

/// Where a session lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionTable {
    /// Among the live ones.
    Live,
    /// In the archive.
    Archive,
}

/// Reading whole rows of one learner, in the order of their ids. A learner without a row of their own may have rows.
///
/// Instants outside of the accepted range are handed out as the nearest inside.
#[async_trait]
pub trait Export {
    /// The learner's own row.
    async fn export_user(&self, user: UserId) -> Result<Option<UserRow>, StoreError>;

    /// Course progress after an id, at most `limit` rows.
    async fn export_progress(
        &self,
        user: UserId,
        after: Option<CourseProgressId>,
        limit: u32,
    ) -> Result<Vec<ProgressRow>, StoreError>;

    /// Sessions after an id, at most `limit` rows. An id may lie in both tables.
    async fn export_sessions(
        &self,
        user: UserId,
        table: SessionTable,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<ListedSession>, StoreError>;
}
