//! Writing for the API: one transaction for a request, a savepoint for each order.

use async_trait::async_trait;
use jiff::Timestamp;
use tierkeep_db::Connection;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::super::writes::{
    IdempotencyKey, Order, Outcome, Refusal, Reply, Standing, Value, WriteRequest, Writes, WrittenSession, spoken_of,
};
use super::super::{ListedSession, StoreError};
use super::PostgresStore;
use super::listing::listed_session;
use super::wire::{PgInstant, PgKey};
use crate::key::{Key, SessionId, UserId};

mod courses;
mod sessions;

/// How often a transaction is begun that the database asked to repeat: two that wait for each other, or a platform's table
/// that was altered after the statement was prepared.
const ATTEMPTS: usize = 3;

/// A rule that a platform checks at the end of the transaction would otherwise refuse all rows for one. The lock is that of
/// everybody who writes rows of learners: taken before any other, and outside of the savepoints, which give theirs back, it
/// keeps an erasure from beginning between the look at its tombstones and the end of the transaction.
const BEGIN: &str = "begin isolation level read committed; set constraints all immediate; \
                     lock table tierkeep_erased in row share mode";

type Parameters<'a> = [&'a (dyn ToSql + Sync)];

/// A request on its connection.
struct Writing<'a> {
    store: &'a PostgresStore,
    db: &'a Connection,
    now: Timestamp,
}

#[async_trait]
impl Writes for PostgresStore {
    async fn write(&self, request: WriteRequest) -> Result<Reply, StoreError> {
        self.refuse_read_only()?;
        let mut attempt = 1;
        loop {
            match self.attempt(&request).await {
                Err(StoreError::Postgres(error)) if attempt < ATTEMPTS && is_worth_repeating(&error) => attempt += 1,
                reply => return reply,
            }
        }
    }

    async fn session(&self, id: SessionId) -> Result<Option<ListedSession>, StoreError> {
        if id.key().key_type() != self.keys {
            return Ok(None);
        }
        let db = self.connection().await?;
        let row = db.query_opt(&db.prepared(&self.sql.write_session).await?, &[&PgKey(id.key())]).await?;
        row.as_ref().map(listed_session).transpose()
    }

    async fn forget_idempotency_keys(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.refuse_read_only()?;
        let db = self.connection().await?;
        Ok(db.execute(&db.prepared(&self.sql.write_forget_keys).await?, &[&PgInstant(before)]).await?)
    }
}

impl PostgresStore {
    /// One transaction. A connection that is given back in the middle of it is rolled back by the pool.
    async fn attempt(&self, request: &WriteRequest) -> Result<Reply, StoreError> {
        let db = self.connection().await?;
        db.batch_execute(BEGIN).await?;
        let writing = Writing { store: self, db: &db, now: request.now };
        match writing.carry_out(request).await {
            Ok((reply, Ending::Commit)) => {
                db.batch_execute("commit").await?;
                Ok(reply)
            }
            Ok((reply, Ending::Rollback)) => {
                db.batch_execute("rollback").await?;
                Ok(reply)
            }
            Err(error) => {
                db.forget_prepared();
                Err(error)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Commit,
    Rollback,
}

impl Writing<'_> {
    async fn carry_out(&self, request: &WriteRequest) -> Result<(Reply, Ending), StoreError> {
        if let Some(key) = &request.idempotency
            && let Some(known) = self.take(key).await?
        {
            return Ok((known, Ending::Rollback));
        }
        let mut outcomes = Vec::with_capacity(request.orders.len());
        for order in &request.orders {
            outcomes.push(self.order_apart(order, outcomes.is_empty()).await?);
        }
        let answer = (request.respond)(&outcomes);
        if outcomes.iter().all(Outcome::is_refused) {
            return Ok((Reply::Done(outcomes, answer), Ending::Rollback));
        }
        if let Some(key) = &request.idempotency {
            self.execute(&self.store.sql.write_keep_answer, &[&key.key, &answer]).await?;
            let learners = self.store.pg_keys(&spoken_of(&request.orders, &outcomes, self.store.keys));
            self.execute(&self.store.sql.write_keep_learners, &[&key.key, &learners]).await?;
        }
        Ok((Reply::Done(outcomes, answer), Ending::Commit))
    }

    /// Takes a key, or says what is known under it. Waits for a transaction that is taking it.
    async fn take(&self, key: &IdempotencyKey) -> Result<Option<Reply>, StoreError> {
        let request: &[u8] = &key.request;
        loop {
            let taken: &Parameters<'_> = &[&key.key, &request, &PgInstant(self.now)];
            if self.execute(&self.store.sql.write_take_key, taken).await? == 1 {
                return Ok(None);
            }
            // none = forgotten in between
            if let Some(row) = self.query(&self.store.sql.write_read_key, &[&key.key]).await? {
                let asked: &[u8] = row.try_get(0)?;
                return Ok(Some(match asked {
                    [] => Reply::AnswerErased,
                    asked if asked == request => Reply::Repeated(row.try_get(1)?),
                    _ => Reply::KeyTaken,
                }));
            }
        }
    }

    /// Carries out one order in a savepoint: what the database refuses of it leaves the others alone.
    async fn order_apart(&self, order: &Order, is_first: bool) -> Result<Outcome, StoreError> {
        let place = if is_first { "" } else { "release savepoint tierkeep_row; " };
        self.db.batch_execute(&format!("{place}savepoint tierkeep_row")).await?;
        let outcome = match self.order(order).await {
            Ok(outcome) => outcome,
            Err(StoreError::Postgres(error)) => match rule(&error) {
                Some(refusal) => Outcome::Refused(refusal),
                None => return Err(error.into()),
            },
            Err(error) => return Err(error),
        };
        if outcome.is_refused() {
            self.undo_order().await?;
        }
        Ok(outcome)
    }

    async fn undo_order(&self) -> Result<(), StoreError> {
        Ok(self.db.batch_execute("rollback to savepoint tierkeep_row").await?)
    }

    async fn order(&self, order: &Order) -> Result<Outcome, StoreError> {
        match order {
            Order::Create { id, session } => self.create(*id, session).await,
            Order::Change { id, change, expected } => self.change(*id, change, expected).await,
            Order::Complete { id, completion, expected } => self.complete(*id, completion, expected).await,
            Order::Delete { id, expected } => self.delete(*id, expected).await,
            Order::PutCourse(course) => self.put_course(course).await,
            Order::DeleteCourse { user_id, content_id } => self.delete_course(*user_id, *content_id).await,
        }
    }

    async fn execute(&self, text: &str, parameters: &Parameters<'_>) -> Result<u64, StoreError> {
        Ok(self.db.execute(&self.db.prepared(text).await?, parameters).await?)
    }

    async fn query(&self, text: &str, parameters: &Parameters<'_>) -> Result<Option<tokio_postgres::Row>, StoreError> {
        Ok(self.db.query_opt(&self.db.prepared(text).await?, parameters).await?)
    }

    /// Inserts a row; `None` if its key, or another one that must be unique, is taken: then nothing of this order is done.
    /// Otherwise the key that the row has.
    async fn insert(&self, text: &str, values: &[Value<'_>]) -> Result<Result<Key, Refusal>, StoreError> {
        let statement = self.db.prepared(text).await?;
        match self.db.query_one(&statement, &parameters(values)).await {
            Ok(row) => Ok(Ok(row.try_get::<_, PgKey>(0)?.0)),
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                let refusal = rule(&error);
                self.undo_order().await?;
                refusal.map(Err).ok_or_else(|| error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn standing(&self, user: UserId) -> Result<Standing, StoreError> {
        if user.key().key_type() != self.store.keys {
            return Ok(Standing::Unknown);
        }
        let text = match self.store.tables {
            super::Tables::Own => &self.store.sql.write_learner_kept,
            _ => &self.store.sql.write_learner,
        };
        let row = self.db.query_one(&self.db.prepared(text).await?, &[&PgKey(user.key())]).await?;
        Ok(Standing::of(row.try_get(0)?, row.try_get(1)?))
    }

    /// The refusal to write about a learner who was erased and of whom rows are there all the same.
    async fn erased(&self, user: UserId) -> Result<Option<Refusal>, StoreError> {
        let erased = self.store.erased_in(&**self.db, std::iter::once(user)).await?;
        Ok(erased.first().map(|user| Refusal::ErasedLearner(*user)))
    }

    /// An integer id that nobody has had from here.
    async fn made_id(&self) -> Result<Key, StoreError> {
        let statement = self.db.prepared(&self.store.sql.write_made_id).await?;
        Ok(Key::Int(self.db.query_one(&statement, &[]).await?.try_get(0)?))
    }

    /// Makes the next ids beyond all that are taken.
    async fn pass_ids(&self) -> Result<(), StoreError> {
        let statement = self.db.prepared(&self.store.sql.write_pass_ids).await?;
        self.db.query_one(&statement, &[]).await?;
        Ok(())
    }

    /// What is stored, and what is odd about it.
    async fn written(&self, session: ListedSession) -> Result<WrittenSession, StoreError> {
        let overlaps = self.overlaps(&session).await?;
        let flags = crate::session_change::flags(&session.row, overlaps, self.now);
        Ok(WrittenSession { session, flags })
    }
}

fn parameters<'a>(values: &'a [Value<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn is_worth_repeating(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else { return false };
    [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE].contains(error.code())
        || (*error.code() == SqlState::FEATURE_NOT_SUPPORTED && error.message().contains("cached plan"))
}

/// What a rule of the tables says; `None` for what no other row would mend. The detail of the error repeats the row, so it
/// is left out.
fn rule(error: &tokio_postgres::Error) -> Option<Refusal> {
    let error = error.as_db_error()?;
    let code = error.code();
    let is_rule = code.code().starts_with("23")
        || code.code().starts_with("22")
        || [SqlState::DATATYPE_MISMATCH, SqlState::RAISE_EXCEPTION].contains(code);
    is_rule.then(|| Refusal::Rule {
        name: error.column().or(error.constraint()).unwrap_or_default().to_owned(),
        reason: error.message().to_owned(),
        is_conflict: [SqlState::UNIQUE_VIOLATION, SqlState::FOREIGN_KEY_VIOLATION, SqlState::EXCLUSION_VIOLATION]
            .contains(code),
    })
}
