//! Orders about sessions.

use jiff::SignedDuration;

use super::super::super::tables::Tables;
use super::super::super::writes::{
    Expected, NewId, Outcome, Refusal, Standing, Value, absent, before_change, foreign_course, known_as, live,
    session_value, to_complete, unknown_learner,
};
use super::super::super::{ListedSession, StoreError};
use super::super::wire::{SqlKey, micros};
use super::{Writing, read_session};
use crate::key::{Key, KeyType, SessionId};
use crate::rows::SessionRow;
use crate::session_change::{Completion, FieldFault, NewSession, SessionChange, occupied};

/// How often an id is made that turns out to be taken.
const MADE_IDS: usize = 16;
/// How far before a session others are looked at that may last into it.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Writing<'_> {
    pub(super) fn create(&self, id: NewId, session: &NewSession) -> Result<Outcome, StoreError> {
        let keys = self.shared.keys;
        let (id, is_chosen) = match id {
            NewId::Chosen(id) => (id, true),
            NewId::Made(uuid) if keys == KeyType::Uuid => (SessionId::new(Key::Uuid(uuid)), false),
            // stands in until the database has made one
            NewId::Made(_) => (SessionId::new(Key::Int(0)), false),
        };
        let row = match session.row(id, self.now) {
            Ok(row) => row,
            Err(faults) => return Ok(Outcome::Refused(Refusal::Fields(faults))),
        };
        let mut faults = self.shared.rows.unstorable(&session.content);
        if id.key().key_type() != keys {
            let accepted = format!("an id of type {keys}, as this database has them, or none");
            faults.push(FieldFault::new("id", &id.to_string(), accepted));
        }
        match self.standing(row.user_id)? {
            Standing::Erased => return Ok(Outcome::Refused(Refusal::ErasedLearner(row.user_id))),
            Standing::Unknown => faults.push(unknown_learner(&row)),
            Standing::Known if faults.is_empty() => faults.extend(self.course_fault(&row)?),
            Standing::Known => {}
        }
        if !faults.is_empty() {
            return Ok(Outcome::Refused(Refusal::Fields(faults)));
        }
        if is_chosen || keys == KeyType::Uuid { self.create_as(row) } else { self.create_unnamed(row) }
    }

    /// Inserts a row under its id, or finds what is there.
    fn create_as(&self, row: SessionRow) -> Result<Outcome, StoreError> {
        let statement = &self.shared.rows.insert_session;
        let values: Vec<Value<'_>> = statement.columns.iter().map(|column| session_value(&row, column)).collect();
        match known_as(&row, self.read(row.id)?, self.elsewhere(row.id)?.1) {
            Some(Ok(found)) => return Ok(Outcome::Replayed(self.written(found)?)),
            Some(Err(refusal)) => return Ok(Outcome::Refused(refusal)),
            None => {}
        }
        match self.insert(&statement.text, &values)? {
            Ok(_) => Ok(Outcome::Created(self.written(self.stored(row)?)?)),
            // not the id, but something else of the row that a platform has once only
            Err(taken) => Ok(Outcome::Refused(taken)),
        }
    }

    /// Inserts a row under an integer id that the database makes.
    fn create_unnamed(&self, mut row: SessionRow) -> Result<Outcome, StoreError> {
        if self.shared.tables != Tables::Own {
            let statement = &self.shared.rows.insert_session_unnamed;
            let values: Vec<Value<'_>> = statement.columns.iter().map(|column| session_value(&row, column)).collect();
            let id = match self.insert(&statement.text, &values)? {
                Ok(id) => id,
                Err(taken) => return Ok(Outcome::Refused(taken)),
            };
            row.id = SessionId::new(id);
            return Ok(Outcome::Created(self.written(self.stored(row)?)?));
        }
        let statement = &self.shared.rows.insert_session;
        for _ in 0..MADE_IDS {
            row.id = SessionId::new(self.made_id()?);
            if self.read(row.id)?.is_none() && self.elsewhere(row.id)? == (false, false) {
                let values: Vec<Value<'_>> =
                    statement.columns.iter().map(|column| session_value(&row, column)).collect();
                return match self.insert(&statement.text, &values)? {
                    Ok(_) => Ok(Outcome::Created(self.written(live(row))?)),
                    Err(taken) => Ok(Outcome::Refused(taken)),
                };
            }
            self.pass_ids()?;
        }
        Err(StoreError::State { reason: "every integer id that was made for a session was taken".to_owned() })
    }

    pub(super) fn change(
        &self,
        id: SessionId,
        change: &SessionChange,
        expected: &Expected,
    ) -> Result<Outcome, StoreError> {
        match self.writable(id, expected)? {
            Ok(before) => self.apply(before, change),
            Err(refusal) => Ok(Outcome::Refused(refusal)),
        }
    }

    pub(super) fn complete(
        &self,
        id: SessionId,
        completion: &Completion,
        expected: &Expected,
    ) -> Result<Outcome, StoreError> {
        let before = match self.writable(id, expected)? {
            Ok(before) => before,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        match to_complete(&before.row, completion, self.now) {
            Ok(Some(change)) => self.apply(before, &change),
            Ok(None) => Ok(Outcome::Changed(self.written(before)?)),
            Err(refusal) => Ok(Outcome::Refused(refusal)),
        }
    }

    pub(super) fn delete(&self, id: SessionId, expected: &Expected) -> Result<Outcome, StoreError> {
        let before = match self.locked(id, expected)? {
            Ok(before) => before,
            Err(Refusal::Deleted(_)) => return Ok(Outcome::AlreadyDeleted),
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        self.execute(&self.shared.rows.delete_session, &[Value::Key(id.key())])?;
        self.db.prepare_cached(&self.shared.sql.write_deleted)?.execute((SqlKey(id.key()), micros(self.now)))?;
        Ok(Outcome::Deleted(before.row.user_id))
    }

    /// A live session in the version expected.
    fn locked(&self, id: SessionId, expected: &Expected) -> Result<Result<ListedSession, Refusal>, StoreError> {
        if id.key().key_type() != self.shared.keys {
            return Ok(Err(Refusal::UnknownSession(id)));
        }
        if let Some(found) = self.read(id)?.filter(|found| !found.archived) {
            return Ok(before_change(&found, expected).map(|()| found));
        }
        let (is_archived, is_deleted) = self.elsewhere(id)?;
        Ok(Err(absent(id, is_archived, is_deleted)))
    }

    /// The same of a learner who was not erased.
    fn writable(&self, id: SessionId, expected: &Expected) -> Result<Result<ListedSession, Refusal>, StoreError> {
        let before = match self.locked(id, expected)? {
            Ok(before) => before,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(self.erased(before.row.user_id)?.map_or(Ok(before), Err))
    }

    fn apply(&self, before: ListedSession, change: &SessionChange) -> Result<Outcome, StoreError> {
        let after = match change.applied(&before.row, self.now) {
            Ok(after) => after,
            Err(faults) => return Ok(Outcome::Refused(Refusal::Fields(faults))),
        };
        let mut faults = self.shared.rows.unstorable(change);
        if faults.is_empty() && after.course_progress_id != before.row.course_progress_id {
            faults.extend(self.course_fault(&after)?);
        }
        if !faults.is_empty() {
            return Ok(Outcome::Refused(Refusal::Fields(faults)));
        }
        let Some(statement) = self.shared.rows.update_session(&before.row, &after)? else {
            return Ok(Outcome::Changed(self.written(before)?));
        };
        let mut values = vec![Value::Key(after.id.key())];
        values.extend(statement.columns.iter().map(|column| session_value(&after, column)));
        self.execute(&statement.text, &values)?;
        Ok(Outcome::Changed(self.written(self.stored(after)?)?))
    }

    /// A session names course progress of its own learner. A platform's own references say so for themselves.
    fn course_fault(&self, row: &SessionRow) -> Result<Option<FieldFault>, StoreError> {
        let (Some(course), Tables::Own) = (row.course_progress_id, self.shared.tables) else { return Ok(None) };
        let keys = [course.key(), row.user_id.key()].map(SqlKey);
        Ok(if self.exists(&self.shared.sql.write_course_of, keys)? { None } else { foreign_course(row) })
    }

    /// The row as it is stored: a platform's columns may keep less than what was written, or its triggers more.
    fn stored(&self, row: SessionRow) -> Result<ListedSession, StoreError> {
        match self.shared.tables {
            Tables::Own => Ok(live(row)),
            Tables::Attached | Tables::Platform => {
                let found = self.read(row.id)?;
                found.ok_or_else(|| StoreError::State { reason: format!("session {} was written and is gone", row.id) })
            }
        }
    }

    fn read(&self, id: SessionId) -> Result<Option<ListedSession>, StoreError> {
        read_session(self.shared, self.db, id)
    }

    /// Whether a session lies in the archive, and whether it was deleted.
    fn elsewhere(&self, id: SessionId) -> Result<(bool, bool), StoreError> {
        let mut statement = self.db.prepare_cached(&self.shared.sql.write_elsewhere)?;
        Ok(statement.query_row([SqlKey(id.key())], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    pub(super) fn overlaps(&self, session: &ListedSession) -> Result<bool, StoreError> {
        let row = &session.row;
        let time = occupied(row, self.now);
        if time.is_empty() {
            return Ok(false);
        }
        let first = time.start.checked_sub(LOOK_BACK).unwrap_or(time.start);
        let (user, id) = (SqlKey(row.user_id.key()), SqlKey(row.id.key()));
        let parameters = (user, id, micros(time.start), micros(time.end), micros(first), micros(self.now));
        Ok(self.db.prepare_cached(&self.shared.sql.write_overlap)?.query_row(parameters, |row| row.get(0))?)
    }
}
