//! Orders about sessions.

use jiff::SignedDuration;

use super::super::super::tables::Tables;
use super::super::super::writes::{
    Expected, NewId, Outcome, Refusal, Standing, Value, absent, before_change, foreign_course, known_as, live,
    session_value, to_complete, unknown_learner,
};
use super::super::super::{ListedSession, StoreError};
use super::super::listing::listed_session;
use super::super::wire::{PgInstant, PgKey};
use super::Writing;
use crate::key::{Key, KeyType, SessionId};
use crate::rows::SessionRow;
use crate::session_change::{Completion, FieldFault, NewSession, SessionChange, occupied};

/// How often an id is made that turns out to be taken.
const MADE_IDS: usize = 16;
/// How far before a session others are looked at that may last into it.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Writing<'_> {
    pub(super) async fn create(&self, id: NewId, session: &NewSession) -> Result<Outcome, StoreError> {
        let keys = self.store.keys;
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
        let mut faults = self.store.rows.unstorable(&session.content);
        if id.key().key_type() != keys {
            let accepted = format!("an id of type {keys}, as this database has them, or none");
            faults.push(FieldFault::new("id", &id.to_string(), accepted));
        }
        match self.standing(row.user_id).await? {
            Standing::Erased => return Ok(Outcome::Refused(Refusal::ErasedLearner(row.user_id))),
            Standing::Unknown => faults.push(unknown_learner(&row)),
            Standing::Known if faults.is_empty() => faults.extend(self.course_fault(&row).await?),
            Standing::Known => {}
        }
        if !faults.is_empty() {
            return Ok(Outcome::Refused(Refusal::Fields(faults)));
        }
        if is_chosen || keys == KeyType::Uuid { self.create_as(row).await } else { self.create_unnamed(row).await }
    }

    /// Inserts a row under its id, or finds what is there.
    async fn create_as(&self, row: SessionRow) -> Result<Outcome, StoreError> {
        let statement = &self.store.rows.insert_session;
        let values: Vec<Value<'_>> = statement.columns.iter().map(|column| session_value(&row, column)).collect();
        let taken = match self.insert(&statement.text, &values).await? {
            Ok(_) => {
                // asked after the insert: whoever archives a row takes it out of the live ones first
                let (is_archived, is_deleted) = self.elsewhere(row.id).await?;
                if !is_archived && !is_deleted {
                    return Ok(Outcome::Created(self.written(self.stored(row).await?).await?));
                }
                self.undo_order().await?;
                None
            }
            Err(taken) => Some(taken),
        };
        let found = self.read(row.id).await?;
        let is_deleted = self.elsewhere(row.id).await?.1;
        match known_as(&row, found, is_deleted) {
            Some(Ok(found)) => Ok(Outcome::Replayed(self.written(found).await?)),
            Some(Err(refusal)) => Ok(Outcome::Refused(refusal)),
            // not the id, but something else of the row that a platform has once only
            None => Ok(Outcome::Refused(taken.unwrap_or(Refusal::OtherContent(row.id)))),
        }
    }

    /// Inserts a row under an integer id that the database makes.
    async fn create_unnamed(&self, mut row: SessionRow) -> Result<Outcome, StoreError> {
        if self.store.tables != Tables::Own {
            let statement = &self.store.rows.insert_session_unnamed;
            let values: Vec<Value<'_>> = statement.columns.iter().map(|column| session_value(&row, column)).collect();
            let id = match self.insert(&statement.text, &values).await? {
                Ok(id) => id,
                Err(taken) => return Ok(Outcome::Refused(taken)),
            };
            row.id = SessionId::new(id);
            return Ok(Outcome::Created(self.written(self.stored(row).await?).await?));
        }
        let statement = &self.store.rows.insert_session;
        for _ in 0..MADE_IDS {
            row.id = SessionId::new(self.made_id().await?);
            let values: Vec<Value<'_>> = statement.columns.iter().map(|column| session_value(&row, column)).collect();
            if self.insert(&statement.text, &values).await?.is_ok() {
                if self.elsewhere(row.id).await? == (false, false) {
                    return Ok(Outcome::Created(self.written(live(row)).await?));
                }
                self.undo_order().await?;
            }
            self.pass_ids().await?;
            // undoing has given the learner's lock back
            if self.standing(row.user_id).await? != Standing::Known {
                return Ok(Outcome::Refused(Refusal::Fields(vec![unknown_learner(&row)])));
            }
        }
        Err(StoreError::State { reason: "every integer id that was made for a session was taken".to_owned() })
    }

    pub(super) async fn change(
        &self,
        id: SessionId,
        change: &SessionChange,
        expected: &Expected,
    ) -> Result<Outcome, StoreError> {
        match self.writable(id, expected).await? {
            Ok(before) => self.apply(before, change).await,
            Err(refusal) => Ok(Outcome::Refused(refusal)),
        }
    }

    pub(super) async fn complete(
        &self,
        id: SessionId,
        completion: &Completion,
        expected: &Expected,
    ) -> Result<Outcome, StoreError> {
        let before = match self.writable(id, expected).await? {
            Ok(before) => before,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        match to_complete(&before.row, completion, self.now) {
            Ok(Some(change)) => self.apply(before, &change).await,
            Ok(None) => Ok(Outcome::Changed(self.written(before).await?)),
            Err(refusal) => Ok(Outcome::Refused(refusal)),
        }
    }

    pub(super) async fn delete(&self, id: SessionId, expected: &Expected) -> Result<Outcome, StoreError> {
        let before = match self.locked(id, expected).await? {
            Ok(before) => before,
            Err(Refusal::Deleted(_)) => return Ok(Outcome::AlreadyDeleted),
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        self.execute(&self.store.rows.delete_session, &[&Value::Key(id.key())]).await?;
        self.execute(&self.store.sql.write_deleted, &[&PgKey(id.key()), &PgInstant(self.now)]).await?;
        Ok(Outcome::Deleted(before.row.user_id))
    }

    /// A live session in the version expected, locked until the transaction ends.
    async fn locked(&self, id: SessionId, expected: &Expected) -> Result<Result<ListedSession, Refusal>, StoreError> {
        if id.key().key_type() != self.store.keys {
            return Ok(Err(Refusal::UnknownSession(id)));
        }
        if self.query(&self.store.rows.lock_session, &[&Value::Key(id.key())]).await?.is_some()
            // a statement of its own, which sees what the one before had waited for
            && let Some(found) = self.read(id).await?
        {
            return Ok(before_change(&found, expected).map(|()| found));
        }
        let (is_archived, is_deleted) = self.elsewhere(id).await?;
        Ok(Err(absent(id, is_archived, is_deleted)))
    }

    /// The same of a learner who was not erased.
    async fn writable(&self, id: SessionId, expected: &Expected) -> Result<Result<ListedSession, Refusal>, StoreError> {
        let before = match self.locked(id, expected).await? {
            Ok(before) => before,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(self.erased(before.row.user_id).await?.map_or(Ok(before), Err))
    }

    async fn apply(&self, before: ListedSession, change: &SessionChange) -> Result<Outcome, StoreError> {
        let after = match change.applied(&before.row, self.now) {
            Ok(after) => after,
            Err(faults) => return Ok(Outcome::Refused(Refusal::Fields(faults))),
        };
        let mut faults = self.store.rows.unstorable(change);
        if faults.is_empty() && after.course_progress_id != before.row.course_progress_id {
            faults.extend(self.course_fault(&after).await?);
        }
        if !faults.is_empty() {
            return Ok(Outcome::Refused(Refusal::Fields(faults)));
        }
        let Some(statement) = self.store.rows.update_session(&before.row, &after)? else {
            return Ok(Outcome::Changed(self.written(before).await?));
        };
        let mut values = vec![Value::Key(after.id.key())];
        values.extend(statement.columns.iter().map(|column| session_value(&after, column)));
        self.execute(&statement.text, &super::parameters(&values)).await?;
        Ok(Outcome::Changed(self.written(self.stored(after).await?).await?))
    }

    /// A session names course progress of its own learner. A platform's own references say so for themselves.
    async fn course_fault(&self, row: &SessionRow) -> Result<Option<FieldFault>, StoreError> {
        let (Some(course), Tables::Own) = (row.course_progress_id, self.store.tables) else { return Ok(None) };
        let found =
            self.query(&self.store.sql.write_course_of, &[&PgKey(course.key()), &PgKey(row.user_id.key())]).await?;
        Ok(if found.is_some() { None } else { foreign_course(row) })
    }

    /// The row as it is stored: a platform's columns may keep less than what was written, or its triggers more.
    async fn stored(&self, row: SessionRow) -> Result<ListedSession, StoreError> {
        match self.store.tables {
            Tables::Own => Ok(live(row)),
            Tables::Attached | Tables::Platform => {
                let found = self.read(row.id).await?;
                found.ok_or_else(|| StoreError::State { reason: format!("session {} was written and is gone", row.id) })
            }
        }
    }

    async fn read(&self, id: SessionId) -> Result<Option<ListedSession>, StoreError> {
        let row = self.query(&self.store.sql.write_session, &[&PgKey(id.key())]).await?;
        row.as_ref().map(listed_session).transpose()
    }

    /// Whether a session lies in the archive, and whether it was deleted.
    async fn elsewhere(&self, id: SessionId) -> Result<(bool, bool), StoreError> {
        let statement = self.db.prepared(&self.store.sql.write_elsewhere).await?;
        let row = self.db.query_one(&statement, &[&PgKey(id.key())]).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    pub(super) async fn overlaps(&self, session: &ListedSession) -> Result<bool, StoreError> {
        let row = &session.row;
        let time = occupied(row, self.now);
        if time.is_empty() {
            return Ok(false);
        }
        let first = time.start.checked_sub(LOOK_BACK).unwrap_or(time.start);
        let instants = [time.start, time.end, first, self.now].map(PgInstant);
        let (user, id) = (PgKey(row.user_id.key()), PgKey(row.id.key()));
        let statement = self.db.prepared(&self.store.sql.write_overlap).await?;
        let parameters: &super::Parameters<'_> = &[&user, &id, &instants[0], &instants[1], &instants[2], &instants[3]];
        Ok(self.db.query_one(&statement, parameters).await?.try_get(0)?)
    }
}
