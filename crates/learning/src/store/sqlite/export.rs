//! Whole rows of one learner.

use async_trait::async_trait;

use super::super::export::{BaseDay, Export, QuarantineId, QuarantinedRow, SessionTable, base_days};
use super::super::verification::first_key;
use super::super::{ListedSession, StoreError};
use super::reading::base_of;
use super::wire::{SqlKey, listed_session, progress_row, user_row};
use super::{SqliteStore, each};
use crate::key::{CourseProgressId, SessionId, UserId};
use crate::rows::{ProgressRow, UserRow};

#[async_trait]
impl Export for SqliteStore {
    async fn export_user(&self, user: UserId) -> Result<Option<UserRow>, StoreError> {
        self.read(move |shared, db| {
            let mut found = None;
            each(db, &shared.sql.export_user, [SqlKey(user.key())], &mut |row| {
                found = Some(user_row(shared.keys, row)?);
                Ok(())
            })?;
            Ok(found)
        })
        .await
    }

    async fn export_progress(
        &self,
        user: UserId,
        after: Option<CourseProgressId>,
        limit: u32,
    ) -> Result<Vec<ProgressRow>, StoreError> {
        self.read(move |shared, db| {
            let from = after.map_or_else(|| first_key(shared.keys), CourseProgressId::key);
            // one more than asked for: the last of the page before is among them
            let parameters = (SqlKey(user.key()), SqlKey(from), i64::from(limit) + 1);
            let mut rows = Vec::new();
            each(db, &shared.sql.export_progress, parameters, &mut |row| {
                rows.push(progress_row(shared.keys, row)?);
                Ok(())
            })?;
            rows.retain(|row: &ProgressRow| Some(row.id) != after);
            rows.truncate(limit as usize);
            Ok(rows)
        })
        .await
    }

    async fn export_sessions(
        &self,
        user: UserId,
        table: SessionTable,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<ListedSession>, StoreError> {
        self.read(move |shared, db| {
            let text = match table {
                SessionTable::Live => &shared.sql.export_sessions,
                SessionTable::Archive => &shared.sql.export_archive,
            };
            let from = after.map_or_else(|| first_key(shared.keys), SessionId::key);
            let parameters = (SqlKey(user.key()), SqlKey(from), i64::from(limit) + 1);
            let mut rows = Vec::new();
            each(db, text, parameters, &mut |row| {
                rows.push(listed_session(shared.keys, row)?);
                Ok(())
            })?;
            rows.retain(|listed: &ListedSession| Some(listed.row.id) != after);
            rows.truncate(limit as usize);
            Ok(rows)
        })
        .await
    }

    async fn export_quarantine(
        &self,
        user: UserId,
        after: Option<QuarantineId>,
        limit: u32,
    ) -> Result<Vec<QuarantinedRow>, StoreError> {
        if !self.shared.tables.have_summaries() {
            return Ok(Vec::new());
        }
        self.read(move |shared, db| {
            let from = after.map_or(i64::MIN, |after| after.0);
            let parameters = (SqlKey(user.key()), from, i64::from(limit) + 1);
            let mut rows = Vec::new();
            each(db, &shared.sql.export_quarantine, parameters, &mut |row| {
                rows.push(QuarantinedRow::new((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
                Ok(())
            })?;
            rows.retain(|row| Some(row.id) != after);
            rows.truncate(limit as usize);
            Ok(rows)
        })
        .await
    }

    async fn export_base(&self, user: UserId) -> Result<Vec<BaseDay>, StoreError> {
        if !self.shared.tables.have_summaries() {
            return Ok(Vec::new());
        }
        self.read(move |shared, db| {
            let mut days = Vec::new();
            each(db, &shared.sql.export_base, [SqlKey(user.key())], &mut |row| {
                days.extend(base_days(&base_of(row, 0, user)?.1));
                Ok(())
            })?;
            Ok(days)
        })
        .await
    }
}
