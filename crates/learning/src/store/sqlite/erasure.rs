//! Removing a learner. A write transaction holds the lock of the whole database, so nobody writes meanwhile.

use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use super::super::aging::Presence;
use super::super::erasure::{DEPARTURES, Erased, Erasure, Grace, Traces};
use super::super::{StoreError, tables::Tables};
use super::verification::forget;
use super::wire::{SqlKey, instant_at, key_at, micros};
use super::{Shared, SqliteStore, each, folding};
use crate::key::UserId;

#[async_trait]
impl Erasure for SqliteStore {
    async fn erase(&self, user: UserId) -> Result<Option<Erased>, StoreError> {
        self.erase_healed(user, None).await
    }

    async fn traces(&self, user: UserId) -> Result<Traces, StoreError> {
        if self.shared.tables == Tables::Platform || user.key().key_type() != self.shared.keys {
            return Ok(Traces::new());
        }
        self.read(move |shared, db| traces(shared, db, user)).await
    }

    async fn erased_among(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        if self.shared.tables == Tables::Platform {
            return Ok(Vec::new());
        }
        let users = users.to_vec();
        self.read(move |shared, db| erased_among(shared, db, users.into_iter())).await
    }

    async fn note_departures(&self) -> Result<u64, StoreError> {
        self.write(|shared, db| {
            db.prepare_cached(&shared.sql.erase_returned)?.execute([])?;
            let mut leaving = Vec::new();
            each(db, &shared.sql.erase_leaving, [DEPARTURES], &mut |row| {
                leaving.push(UserId::new(key_at(shared.keys, row, 0)?));
                Ok(())
            })?;
            folding::fold(shared, db, &leaving)?;
            Ok(leaving.len() as u64)
        })
        .await
    }

    async fn erase_departed(&self, grace: Grace, limit: u32) -> Result<Vec<Erased>, StoreError> {
        let due = self
            .read(move |shared, db| {
                let mut due = Vec::new();
                each(db, &shared.sql.erase_due, (grace.now.map(micros), grace.micros(), limit), &mut |row| {
                    due.push(UserId::new(key_at(shared.keys, row, 0)?));
                    Ok(())
                })?;
                Ok(due)
            })
            .await?;
        let mut erased = Vec::new();
        for user in due {
            erased.extend(self.erase_healed(user, Some(grace)).await?);
        }
        Ok(erased)
    }
}

impl SqliteStore {
    /// Summaries that cannot be read must not keep a learner from being erased: they are forgotten first.
    async fn erase_healed(&self, user: UserId, grace: Option<Grace>) -> Result<Option<Erased>, StoreError> {
        let erased = match self.write(move |shared, db| erase(shared, db, user, grace)).await {
            Err(StoreError::Corrupt { .. }) => {
                self.write(move |shared, db| {
                    forget(shared, db, &[user])?;
                    erase(shared, db, user, grace)
                })
                .await?
            }
            done => done?,
        };
        let Some(mut erased) = erased else { return Ok(None) };
        erased.remaining = self.traces(user).await?;
        Ok(Some(erased))
    }
}

/// Removes a learner in the caller's transaction; what remains is counted after it.
fn erase(shared: &Shared, db: &Connection, user: UserId, grace: Option<Grace>) -> Result<Option<Erased>, StoreError> {
    if user.key().key_type() != shared.keys {
        return Ok(None);
    }
    let key = SqlKey(user.key());
    if let Some(grace) = grace {
        let parameters = (key, grace.now.map(micros), grace.micros());
        let is_due: bool = db.prepare_cached(&shared.sql.erase_is_due)?.query_row(parameters, |row| row.get(0))?;
        if !is_due {
            return Ok(None);
        }
    }
    let mut removed = traces(shared, db, user)?;
    if removed.values().all(|rows| *rows == 0) {
        return Ok(None);
    }
    for (table, text) in &shared.removal.statements {
        let rows = db.prepare_cached(text)?.execute([key])?;
        removed.insert((*table).to_owned(), rows as u64);
    }
    folding::fold_as(shared, db, &[user], Presence::Gone)?;
    db.prepare_cached(&shared.sql.erase_outbox)?.execute([key])?;
    let mut tombstone = db.prepare_cached(&shared.sql.erase_tombstone)?;
    let mut rows = tombstone.query([key])?;
    let erased_at = instant_at(rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?, 0)?;
    Ok(Some(Erased { user_id: user, erased_at, removed, remaining: Traces::new() }))
}

fn traces(shared: &Shared, db: &Connection, user: UserId) -> Result<Traces, StoreError> {
    let mut traces = Traces::new();
    each(db, &shared.sql.erase_traces, [SqlKey(user.key())], &mut |row| {
        traces.insert(row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0));
        Ok(())
    })?;
    shared.removal.leave_to_platform(&mut traces);
    Ok(traces)
}

/// Fails if any of these learners was erased.
pub(super) fn refuse_erased(
    shared: &Shared,
    db: &Connection,
    learners: impl Iterator<Item = UserId>,
) -> Result<(), StoreError> {
    let erased = erased_among(shared, db, learners)?;
    if erased.is_empty() { Ok(()) } else { Err(StoreError::Erased(erased)) }
}

pub(super) fn erased_among(
    shared: &Shared,
    db: &Connection,
    learners: impl Iterator<Item = UserId>,
) -> Result<Vec<UserId>, StoreError> {
    let mut erased = Vec::new();
    let any: bool =
        db.prepare_cached("select exists (select 1 from tierkeep_erased)")?.query_row([], |row| row.get(0))?;
    if any {
        let mut statement = db.prepare_cached(&shared.sql.erase_among)?;
        for user in learners.collect::<BTreeSet<_>>() {
            if statement.query_row([SqlKey(user.key())], |_| Ok(())).optional()?.is_some() {
                erased.push(user);
            }
        }
    }
    Ok(erased)
}
