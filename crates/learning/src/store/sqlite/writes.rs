//! Writing for the API: one transaction for a request. It holds the lock of the whole database, so nothing happens in
//! between, and a statement that is refused undoes itself alone.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params_from_iter};

use super::super::writes::{
    IdempotencyKey, Order, Outcome, Refusal, Reply, Standing, Value, WriteRequest, Writes, WrittenSession, spoken_of,
};
use super::super::{ListedSession, StoreError};
use super::erasure::erased_among;
use super::wire::{SqlKey, key_at, listed_session, micros};
use super::{Shared, SqliteStore};
use crate::key::{Key, SessionId, UserId};

mod courses;
mod sessions;

/// A request in its transaction.
struct Writing<'a> {
    shared: &'a Shared,
    db: &'a Connection,
    now: Timestamp,
}

#[async_trait]
impl Writes for SqliteStore {
    async fn write(&self, request: WriteRequest) -> Result<Reply, StoreError> {
        let request = Arc::new(request);
        self.write(move |shared, db| Writing { shared, db, now: request.now }.carry_out(&request)).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<ListedSession>, StoreError> {
        self.read(move |shared, db| read_session(shared, db, id)).await
    }

    async fn forget_idempotency_keys(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(move |shared, db| {
            let forgotten = db.prepare_cached(&shared.sql.write_forget_keys)?.execute([micros(before)])?;
            Ok(u64::try_from(forgotten).unwrap_or(u64::MAX))
        })
        .await
    }
}

fn read_session(shared: &Shared, db: &Connection, id: SessionId) -> Result<Option<ListedSession>, StoreError> {
    if id.key().key_type() != shared.keys {
        return Ok(None);
    }
    let mut statement = db.prepare_cached(&shared.sql.write_session)?;
    let mut rows = statement.query([SqlKey(id.key())])?;
    rows.next()?.map(|row| listed_session(shared.keys, row)).transpose()
}

impl Writing<'_> {
    fn carry_out(&self, request: &WriteRequest) -> Result<Reply, StoreError> {
        if let Some(key) = &request.idempotency
            && let Some(known) = self.known(key)?
        {
            return Ok(known);
        }
        let mut outcomes = Vec::with_capacity(request.orders.len());
        for order in &request.orders {
            outcomes.push(match self.order(order) {
                Err(StoreError::Sqlite(error)) => match rule(&error) {
                    Some(refusal) => Outcome::Refused(refusal),
                    None => return Err(error.into()),
                },
                outcome => outcome?,
            });
        }
        let answer = (request.respond)(&outcomes);
        let is_accepted = !outcomes.iter().all(Outcome::is_refused);
        if let Some(IdempotencyKey { key, request: asked }) = request.idempotency.as_ref().filter(|_| is_accepted) {
            let taken = (key, asked.as_slice(), micros(self.now));
            self.db.prepare_cached(&self.shared.sql.write_take_key)?.execute(taken)?;
            self.db.prepare_cached(&self.shared.sql.write_keep_answer)?.execute((key, &answer))?;
            let mut statement = self.db.prepare_cached(&self.shared.sql.write_keep_learners)?;
            for user in spoken_of(&request.orders, &outcomes, self.shared.keys) {
                statement.execute((key, SqlKey(user.key())))?;
            }
        }
        Ok(Reply::Done(outcomes, answer))
    }

    /// What is known under a key.
    fn known(&self, key: &IdempotencyKey) -> Result<Option<Reply>, StoreError> {
        let mut statement = self.db.prepare_cached(&self.shared.sql.write_read_key)?;
        let row: Option<(Vec<u8>, Vec<u8>)> =
            statement.query_row([&key.key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        Ok(row.map(|(asked, answer)| match asked.as_slice() {
            [] => Reply::AnswerErased,
            asked if asked == key.request => Reply::Repeated(answer),
            _ => Reply::KeyTaken,
        }))
    }

    fn order(&self, order: &Order) -> Result<Outcome, StoreError> {
        match order {
            Order::Create { id, session } => self.create(*id, session),
            Order::Change { id, change, expected } => self.change(*id, change, expected),
            Order::Complete { id, completion, expected } => self.complete(*id, completion, expected),
            Order::Delete { id, expected } => self.delete(*id, expected),
            Order::PutCourse(course) => self.put_course(course),
            Order::DeleteCourse { user_id, content_id } => self.delete_course(*user_id, *content_id),
        }
    }

    fn execute(&self, text: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        Ok(self.db.prepare_cached(text)?.execute(params_from_iter(values))?)
    }

    fn exists(&self, text: &str, parameters: impl rusqlite::Params) -> Result<bool, StoreError> {
        Ok(self.db.prepare_cached(text)?.exists(parameters)?)
    }

    /// Inserts a row and returns its key; the refusal if that, or another one that must be unique, is taken.
    fn insert(&self, text: &str, values: &[Value<'_>]) -> Result<Result<Key, Refusal>, StoreError> {
        let mut statement = self.db.prepare_cached(text)?;
        let inserted = statement.query(params_from_iter(values)).and_then(|mut rows| {
            let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            Ok(key_at(self.shared.keys, row, 0))
        });
        match inserted {
            // a table whose key is no `integer primary key` takes null for one
            Ok(key) => key.map(Ok).map_err(|_| StoreError::State {
                reason: "the platform's table makes no ids: a row without an id was given none".to_owned(),
            }),
            Err(error) => match rule(&error) {
                Some(refusal @ Refusal::Rule { is_conflict: true, .. }) => Ok(Err(refusal)),
                _ => Err(error.into()),
            },
        }
    }

    fn standing(&self, user: UserId) -> Result<Standing, StoreError> {
        if user.key().key_type() != self.shared.keys {
            return Ok(Standing::Unknown);
        }
        let text = match self.shared.tables {
            super::Tables::Own => &self.shared.sql.write_learner_kept,
            _ => &self.shared.sql.write_learner,
        };
        let mut statement = self.db.prepare_cached(text)?;
        Ok(statement.query_row([SqlKey(user.key())], |row| Ok(Standing::of(row.get(0)?, row.get(1)?)))?)
    }

    /// The refusal to write about a learner who was erased and of whom rows are there all the same.
    fn erased(&self, user: UserId) -> Result<Option<Refusal>, StoreError> {
        let erased = erased_among(self.shared, self.db, std::iter::once(user))?;
        Ok(erased.first().map(|user| Refusal::ErasedLearner(*user)))
    }

    /// An integer id that nobody has had from here.
    fn made_id(&self) -> Result<Key, StoreError> {
        let mut statement = self.db.prepare_cached(&self.shared.sql.write_made_id)?;
        Ok(Key::Int(statement.query_row([], |row| row.get(0))?))
    }

    /// Makes the next ids beyond all that are taken.
    fn pass_ids(&self) -> Result<(), StoreError> {
        self.db.prepare_cached(&self.shared.sql.write_pass_ids)?.query_row([], |_| Ok(()))?;
        Ok(())
    }

    /// What is stored, and what is odd about it.
    fn written(&self, session: ListedSession) -> Result<WrittenSession, StoreError> {
        let flags = crate::session_change::flags(&session.row, self.overlaps(&session)?, self.now);
        Ok(WrittenSession { session, flags })
    }
}

/// What a rule of the tables says; `None` for what no other row would mend.
fn rule(error: &rusqlite::Error) -> Option<Refusal> {
    let rusqlite::Error::SqliteFailure(code, message) = error else { return None };
    if ![ErrorCode::ConstraintViolation, ErrorCode::TypeMismatch, ErrorCode::TooBig].contains(&code.code) {
        return None;
    }
    let reason = message.clone().unwrap_or_else(|| error.to_string());
    // "NOT NULL constraint failed: study_sessions.place"
    let name = reason.rsplit_once(": ").map_or("", |(_, name)| name.rsplit('.').next().unwrap_or(name)).to_owned();
    let conflicts = [
        rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
        rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE,
        rusqlite::ffi::SQLITE_CONSTRAINT_ROWID,
        rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY,
    ];
    Some(Refusal::Rule { name, reason, is_conflict: conflicts.contains(&code.extended_code) })
}
