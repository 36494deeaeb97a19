//! Orders about course progress.

use super::super::super::StoreError;
use super::super::super::tables::Tables;
use super::super::super::writes::{CourseWrite, Outcome, Refusal, Standing, Value, progress_value};
use super::super::wire::{SqlKey, progress_row};
use super::Writing;
use crate::key::{ContentId, CourseProgressId, Key, KeyType, UserId};
use crate::rows::ProgressRow;

/// How often an id is made that turns out to be taken.
const MADE_IDS: usize = 16;

impl Writing<'_> {
    pub(super) fn put_course(&self, course: &CourseWrite) -> Result<Outcome, StoreError> {
        let faults = self.shared.rows.unstorable_course(course);
        if !faults.is_empty() {
            return Ok(Outcome::Refused(Refusal::Fields(faults)));
        }
        let is_unnamed = self.shared.keys == KeyType::Int;
        let rows = &self.shared.rows;
        for _ in 0..MADE_IDS {
            if let Some(refusal) = self.standing(course.user_id)?.refusal(course.user_id) {
                return Ok(Outcome::Refused(refusal));
            }
            if let Some(before) = self.course(course.user_id, course.content_id)? {
                return self.replace_course(course.row(
                    before.id,
                    Some((before.created_at, before.updated_at)),
                    self.now,
                ));
            }
            let (id, statement) = match (is_unnamed, self.shared.tables) {
                (false, _) => (Key::Uuid(course.made), &rows.insert_progress),
                (true, Tables::Own) => (self.made_id()?, &rows.insert_progress),
                (true, _) => (Key::Int(0), &rows.insert_progress_unnamed),
            };
            let row = course.row(CourseProgressId::new(id), None, self.now);
            let values: Vec<Value<'_>> = statement.columns.iter().map(|column| progress_value(&row, column)).collect();
            match self.insert(&statement.text, &values)? {
                Ok(id) => {
                    let row = ProgressRow { id: CourseProgressId::new(id), ..row };
                    return Ok(Outcome::CourseCreated(self.stored_course(row)?));
                }
                Err(_) if is_unnamed && self.shared.tables == Tables::Own => self.pass_ids()?,
                Err(taken) => return Ok(Outcome::Refused(taken)),
            }
        }
        Err(StoreError::State { reason: "every integer id that was made for course progress was taken".to_owned() })
    }

    fn replace_course(&self, row: ProgressRow) -> Result<Outcome, StoreError> {
        let statement = &self.shared.rows.update_progress;
        let mut values = vec![Value::Key(row.id.key())];
        values.extend(statement.columns.iter().map(|column| progress_value(&row, column)));
        self.execute(&statement.text, &values)?;
        Ok(Outcome::CourseReplaced(self.stored_course(row)?))
    }

    pub(super) fn delete_course(&self, user: UserId, content: ContentId) -> Result<Outcome, StoreError> {
        if self.standing(user)? == Standing::Unknown {
            return Ok(Outcome::Refused(Refusal::UnknownLearner(user)));
        }
        let unknown = Outcome::Refused(Refusal::UnknownCourse { user_id: user, content_id: content });
        if !self.shared.rows.is_content(content.key()) {
            return Ok(unknown);
        }
        let keys = [Value::Key(user.key()), Value::Key(content.key())];
        let gone = self.execute(&self.shared.rows.delete_progress, &keys)?;
        Ok(if gone == 0 { unknown } else { Outcome::CourseDeleted(user) })
    }

    fn course(&self, user: UserId, content: ContentId) -> Result<Option<ProgressRow>, StoreError> {
        let mut statement = self.db.prepare_cached(&self.shared.sql.write_course)?;
        let mut rows = statement.query((SqlKey(user.key()), content.to_string()))?;
        rows.next()?.map(|row| progress_row(self.shared.keys, row)).transpose()
    }

    fn stored_course(&self, row: ProgressRow) -> Result<ProgressRow, StoreError> {
        match self.shared.tables {
            Tables::Own => Ok(row),
            Tables::Attached | Tables::Platform => Ok(self.course(row.user_id, row.content_id)?.unwrap_or(row)),
        }
    }
}
