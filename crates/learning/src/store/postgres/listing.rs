//! Rows as they lie, page by page.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::{ListedSession, SessionPlace, StoreError};
use super::wire::{PgHundredths, PgInstant, PgKey};
use super::{PostgresStore, estimator, instant_at, integer, key, text};
use crate::instant;
use crate::key::{SessionId, UserId};
use crate::rows::{SessionRow, UserRow};

impl PostgresStore {
    pub(super) async fn users_after(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserRow>, StoreError> {
        let db = self.connection().await?;
        let rows = match after {
            None => db.query(&db.prepared(&self.sql.users_first_page).await?, &[&i64::from(limit)]).await?,
            Some(after) if after.key().key_type() != self.keys => return Ok(Vec::new()),
            Some(after) => {
                let statement = db.prepared(&self.sql.users_next_page).await?;
                db.query(&statement, &[&i64::from(limit), &PgKey(after.key())]).await?
            }
        };
        rows.iter().map(user_row).collect()
    }

    pub(super) async fn list_sessions(
        &self,
        user: UserId,
        after: Option<SessionPlace>,
        limit: u32,
    ) -> Result<Option<Vec<ListedSession>>, StoreError> {
        let db = self.connection().await?;
        let facts = self.facts(&*db, &db.prepared(&self.sql.learner_facts).await?, &[user]).await?;
        if !facts.iter().any(|facts| facts.exists) {
            return Ok(None);
        }
        let accepted = instant::accepted();
        let rows = match after {
            None => {
                let statement = db.prepared(&self.sql.sessions_first_page).await?;
                let (first, end) = (PgInstant(accepted.start), PgInstant(accepted.end));
                db.query(&statement, &[&PgKey(user.key()), &i64::from(limit), &first, &end]).await?
            }
            Some(place) if place.id.key().key_type() != self.keys => return Ok(Some(Vec::new())),
            Some(place) => {
                let statement = db.prepared(&self.sql.sessions_next_page).await?;
                let (start, id) = (PgInstant(place.start_time), PgKey(place.id.key()));
                let first = PgInstant(accepted.start);
                db.query(&statement, &[&PgKey(user.key()), &i64::from(limit), &start, &id, &first]).await?
            }
        };
        rows.iter().map(listed_session).collect::<Result<Vec<_>, _>>().map(Some)
    }
}

pub(super) fn user_row(row: &Row) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        id: UserId::new(row.try_get::<_, PgKey>(0)?.0),
        email: text(row, 1)?.to_owned(),
        username: text(row, 2)?.to_owned(),
        is_active: row.try_get::<_, Option<bool>>(3)?.unwrap_or(false),
        last_login: instant_at(row, 4)?,
        created_at: instant_at(row, 5)?.unwrap_or(Timestamp::UNIX_EPOCH),
        time_zone: row.try_get(6)?,
    })
}

pub(super) fn listed_session(row: &Row) -> Result<ListedSession, StoreError> {
    let start_time = row.try_get::<_, PgInstant>(3)?.0;
    Ok(ListedSession {
        row: SessionRow {
            id: SessionId::new(row.try_get::<_, PgKey>(0)?.0),
            user_id: UserId::new(row.try_get::<_, PgKey>(1)?.0),
            course_progress_id: key(row, 2)?.map(crate::key::CourseProgressId::new),
            start_time,
            end_time: instant_at(row, 4)?,
            duration_minutes: integer(row, 5)?.unwrap_or_default(),
            effectiveness_rating: integer(row, 6)?,
            focus_hundredths: row.try_get::<_, Option<PgHundredths>>(7)?.map(|focus| focus.0),
            break_count: integer(row, 8)?.unwrap_or_default(),
            is_active: row.try_get::<_, Option<bool>>(9)?.unwrap_or(false),
            learning_environment: text(row, 10)?.to_owned(),
            device_type: text(row, 11)?.to_owned(),
            subject_category: text(row, 12)?.to_owned(),
            content_covered: text(row, 13)?.to_owned(),
            notes: text(row, 14)?.to_owned(),
            created_at: instant_at(row, 15)?.unwrap_or(start_time),
            updated_at: instant_at(row, 16)?.unwrap_or(start_time),
            goal_id: key(row, 17)?,
            learning_plan_id: key(row, 18)?,
            estimator: estimator(row, 19)?,
        },
        archived: row.try_get(20)?,
    })
}
