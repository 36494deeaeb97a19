//! Whole rows of one learner.

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::export::{BaseDay, Export, QuarantineId, QuarantinedRow, SessionTable, base_days};
use super::super::verification::first_key;
use super::super::{ListedSession, StoreError};
use super::listing::{listed_session, user_row};
use super::reading::base_of;
use super::wire::PgKey;
use super::{PostgresStore, instant_at, integer, text};
use crate::key::{ContentId, CourseProgressId, Key, SessionId, UserId};
use crate::rows::{ProgressRow, UserRow};

#[async_trait]
impl Export for PostgresStore {
    async fn export_user(&self, user: UserId) -> Result<Option<UserRow>, StoreError> {
        if user.key().key_type() != self.keys {
            return Ok(None);
        }
        let db = self.connection().await?;
        let row = db.query_opt(&db.prepared(&self.sql.export_user).await?, &[&PgKey(user.key())]).await?;
        row.as_ref().map(user_row).transpose()
    }

    async fn export_progress(
        &self,
        user: UserId,
        after: Option<CourseProgressId>,
        limit: u32,
    ) -> Result<Vec<ProgressRow>, StoreError> {
        let rows = self.export_page(&self.sql.export_progress, user, after.map(CourseProgressId::key), limit).await?;
        let rows: Vec<ProgressRow> = rows.iter().map(progress_row).collect::<Result<_, _>>()?;
        Ok(rows.into_iter().filter(|row| Some(row.id) != after).take(limit as usize).collect())
    }

    async fn export_sessions(
        &self,
        user: UserId,
        table: SessionTable,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<ListedSession>, StoreError> {
        let statement = match table {
            SessionTable::Live => &self.sql.export_sessions,
            SessionTable::Archive => &self.sql.export_archive,
        };
        let rows = self.export_page(statement, user, after.map(SessionId::key), limit).await?;
        let rows: Vec<ListedSession> = rows.iter().map(listed_session).collect::<Result<_, _>>()?;
        Ok(rows.into_iter().filter(|listed| Some(listed.row.id) != after).take(limit as usize).collect())
    }

    async fn export_quarantine(
        &self,
        user: UserId,
        after: Option<QuarantineId>,
        limit: u32,
    ) -> Result<Vec<QuarantinedRow>, StoreError> {
        if user.key().key_type() != self.keys || !self.tables.have_summaries() {
            return Ok(Vec::new());
        }
        let from = after.map_or(i64::MIN, |after| after.0);
        let db = self.connection().await?;
        let statement = db.prepared(&self.sql.export_quarantine).await?;
        let mut rows = Vec::new();
        for row in db.query(&statement, &[&PgKey(user.key()), &from, &(i64::from(limit) + 1)]).await? {
            let columns = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
            rows.push(QuarantinedRow::new(columns));
        }
        rows.retain(|row| Some(row.id) != after);
        rows.truncate(limit as usize);
        Ok(rows)
    }

    async fn export_base(&self, user: UserId) -> Result<Vec<BaseDay>, StoreError> {
        if user.key().key_type() != self.keys || !self.tables.have_summaries() {
            return Ok(Vec::new());
        }
        let db = self.connection().await?;
        let mut days = Vec::new();
        for row in db.query(&db.prepared(&self.sql.export_base).await?, &[&PgKey(user.key())]).await? {
            days.extend(base_days(&base_of(row.try_get(0)?, row.try_get(1)?, user)?.1));
        }
        Ok(days)
    }
}

impl PostgresStore {
    /// One row more than asked for: the last of the page before is among them.
    async fn export_page(
        &self,
        text: &str,
        user: UserId,
        after: Option<Key>,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        let from = after.unwrap_or_else(|| first_key(self.keys));
        if user.key().key_type() != self.keys || from.key_type() != self.keys {
            return Ok(Vec::new());
        }
        let db = self.connection().await?;
        let statement = db.prepared(text).await?;
        Ok(db.query(&statement, &[&PgKey(user.key()), &PgKey(from), &(i64::from(limit) + 1)]).await?)
    }
}

fn progress_row(row: &Row) -> Result<ProgressRow, StoreError> {
    Ok(ProgressRow {
        id: CourseProgressId::new(row.try_get::<_, PgKey>(0)?.0),
        user_id: UserId::new(row.try_get::<_, PgKey>(1)?.0),
        content_id: ContentId::new(row.try_get::<_, PgKey>(2)?.0),
        subject_name: text(row, 3)?.to_owned(),
        proficiency_level: integer(row, 4)?.unwrap_or_default(),
        learning_hour_week: integer(row, 5)?.unwrap_or_default(),
        learning_hour_total: integer(row, 6)?.unwrap_or_default(),
        est_finish_hour: integer(row, 7)?,
        difficulty: integer(row, 8)?.unwrap_or_default(),
        created_at: instant_at(row, 9)?.unwrap_or(Timestamp::UNIX_EPOCH),
        updated_at: instant_at(row, 10)?.unwrap_or(Timestamp::UNIX_EPOCH),
    })
}
