//! Orders about course progress.

use tokio_postgres::Row;

use super::super::super::StoreError;
use super::super::super::tables::Tables;
use super::super::super::writes::{CourseWrite, Outcome, Refusal, Standing, Value, progress_value};
use super::super::wire::PgKey;
use super::super::{instant_at, integer, text};
use super::Writing;
use crate::key::{ContentId, CourseProgressId, Key, KeyType, UserId};
use crate::rows::ProgressRow;

/// How often an id is made that turns out to be taken.
const MADE_IDS: usize = 16;

impl Writing<'_> {
    pub(super) async fn put_course(&self, course: &CourseWrite) -> Result<Outcome, StoreError> {
        let faults = self.store.rows.unstorable_course(course);
        if !faults.is_empty() {
            return Ok(Outcome::Refused(Refusal::Fields(faults)));
        }
        let is_unnamed = self.store.keys == KeyType::Int;
        let rows = &self.store.rows;
        for _ in 0..MADE_IDS {
            self.lock_course(course.user_id, course.content_id).await?;
            if let Some(refusal) = self.standing(course.user_id).await?.refusal(course.user_id) {
                return Ok(Outcome::Refused(refusal));
            }
            if let Some(before) = self.course(course.user_id, course.content_id).await? {
                return self
                    .replace_course(course.row(before.id, Some((before.created_at, before.updated_at)), self.now))
                    .await;
            }
            let (id, statement) = match (is_unnamed, self.store.tables) {
                (false, _) => (Key::Uuid(course.made), &rows.insert_progress),
                (true, Tables::Own) => (self.made_id().await?, &rows.insert_progress),
                (true, _) => (Key::Int(0), &rows.insert_progress_unnamed),
            };
            let row = course.row(CourseProgressId::new(id), None, self.now);
            let values: Vec<Value<'_>> = statement.columns.iter().map(|column| progress_value(&row, column)).collect();
            match self.insert(&statement.text, &values).await? {
                Ok(id) => {
                    let row = ProgressRow { id: CourseProgressId::new(id), ..row };
                    return Ok(Outcome::CourseCreated(self.stored_course(row).await?));
                }
                // undone, and with it the lock
                Err(_) if is_unnamed && self.store.tables == Tables::Own => self.pass_ids().await?,
                Err(taken) => return Ok(Outcome::Refused(taken)),
            }
        }
        Err(StoreError::State { reason: "every integer id that was made for course progress was taken".to_owned() })
    }

    async fn replace_course(&self, row: ProgressRow) -> Result<Outcome, StoreError> {
        let statement = &self.store.rows.update_progress;
        let mut values = vec![Value::Key(row.id.key())];
        values.extend(statement.columns.iter().map(|column| progress_value(&row, column)));
        self.execute(&statement.text, &super::parameters(&values)).await?;
        Ok(Outcome::CourseReplaced(self.stored_course(row).await?))
    }

    pub(super) async fn delete_course(&self, user: UserId, content: ContentId) -> Result<Outcome, StoreError> {
        if self.standing(user).await? == Standing::Unknown {
            return Ok(Outcome::Refused(Refusal::UnknownLearner(user)));
        }
        let unknown = Outcome::Refused(Refusal::UnknownCourse { user_id: user, content_id: content });
        if !self.store.rows.is_content(content.key()) {
            return Ok(unknown);
        }
        self.lock_course(user, content).await?;
        let keys: &super::Parameters<'_> = &[&Value::Key(user.key()), &Value::Key(content.key())];
        let gone = self.execute(&self.store.rows.delete_progress, keys).await?;
        Ok(if gone == 0 { unknown } else { Outcome::CourseDeleted(user) })
    }

    /// Writers of one course go one after the other, or each would insert a row of its own: no key forbids that.
    async fn lock_course(&self, user: UserId, content: ContentId) -> Result<(), StoreError> {
        let name = format!("tierkeep course {user} {content}");
        self.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", &[&name]).await?;
        Ok(())
    }

    async fn course(&self, user: UserId, content: ContentId) -> Result<Option<ProgressRow>, StoreError> {
        let row = self.query(&self.store.sql.write_course, &[&PgKey(user.key()), &content.to_string()]).await?;
        row.as_ref().map(progress_row).transpose()
    }

    async fn stored_course(&self, row: ProgressRow) -> Result<ProgressRow, StoreError> {
        match self.store.tables {
            Tables::Own => Ok(row),
            Tables::Attached | Tables::Platform => Ok(self.course(row.user_id, row.content_id).await?.unwrap_or(row)),
        }
    }
}

fn progress_row(row: &Row) -> Result<ProgressRow, StoreError> {
    let key = |column| row.try_get::<_, PgKey>(column).map(|key| key.0);
    let created_at = instant_at(row, 9)?.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Ok(ProgressRow {
        id: CourseProgressId::new(key(0)?),
        user_id: UserId::new(key(1)?),
        content_id: ContentId::new(key(2)?),
        subject_name: text(row, 3)?.to_owned(),
        proficiency_level: integer(row, 4)?.unwrap_or_default(),
        learning_hour_week: integer(row, 5)?.unwrap_or_default(),
        learning_hour_total: integer(row, 6)?.unwrap_or_default(),
        est_finish_hour: integer(row, 7)?,
        difficulty: integer(row, 8)?.unwrap_or_default(),
        created_at,
        updated_at: instant_at(row, 10)?.unwrap_or(created_at),
    })
}
