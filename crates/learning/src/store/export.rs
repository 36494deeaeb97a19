//! All rows about a learner, page by page, as they are stored.

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::{ListedSession, StoreError};
use crate::key::{CourseProgressId, SessionId, UserId};
use crate::local_day::LocalDay;
use crate::month_page::MonthPage;
use crate::rows::{ProgressRow, UserRow};

/// Where a session lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionTable {
    /// Among the live ones.
    Live,
    /// In the archive.
    Archive,
}

/// Where a listing of quarantined rows goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineId(pub(super) i64);

/// A row that a run of retention took out of the live tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuarantinedRow {
    /// Its place in the quarantine.
    #[serde(skip)]
    pub id: QuarantineId,
    /// Why it was taken out.
    pub kind: String,
    /// By which run.
    pub run_id: i64,
    /// From which table.
    pub source: String,
    /// Its columns by their names, each as the database writes it.
    pub content: Value,
}

/// What sessions that were deleted by age contributed to a local day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BaseDay {
    /// Which.
    pub date: LocalDay,
    /// Valid sessions.
    pub sessions: u64,
    /// Minutes studied in them.
    pub minutes: u64,
}

impl QuarantinedRow {
    pub(super) fn new((id, run_id, kind, source, content): (i64, i64, String, String, String)) -> Self {
        // what is no JSON was not written by us, and belongs to the learner all the same
        let content = serde_json::from_str(&content).unwrap_or(Value::String(content));
        Self { id: QuarantineId(id), kind, run_id, source, content }
    }
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

    /// Quarantined rows after a place, at most `limit`. None on a platform's tables to which nothing is attached.
    async fn export_quarantine(
        &self,
        user: UserId,
        after: Option<QuarantineId>,
        limit: u32,
    ) -> Result<Vec<QuarantinedRow>, StoreError>;

    /// What is left of sessions that were deleted by age, day by day. As [`Export::export_quarantine`] on a platform's tables.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] among others.
    async fn export_base(&self, user: UserId) -> Result<Vec<BaseDay>, StoreError>;
}

/// The days of a learner's bases, in order.
pub(super) fn base_days(base: &MonthPage) -> impl Iterator<Item = BaseDay> {
    base.iter().map(|(date, summary)| BaseDay { date, sessions: summary.sessions, minutes: summary.minutes })
}
