//! Comparing what is stored with the rows.

use async_trait::async_trait;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::super::StoreError;
use super::super::checks::check_days;
use super::super::tables::Tables;
use super::super::verification::inspection::{Era, StoredLearner, StoredRecord, look};
use super::super::verification::sums::Sums;
use super::super::verification::{Difference, Verification, Verified, first_key};
use super::erasure::erased_among;
use super::folding::{add_global, change};
use super::reading::{corrupt, facts, gather};
use super::wire::{SqlKey, key_at};
use super::{Shared, SqliteStore, each};
use crate::calendar::ZoneHistory;
use crate::fold::GlobalKey;
use crate::key::UserId;
use crate::local_day::LocalDay;

#[async_trait]
impl Verification for SqliteStore {
    async fn verify(&self, users: &[UserId]) -> Result<Verified, StoreError> {
        if self.shared.tables == Tables::Platform {
            return Ok(Verified { learners: users.len() as u64, ..Verified::default() });
        }
        let users = users.to_vec();
        self.read(move |shared, db| {
            let mut verified = Verified { learners: users.len() as u64, ..Verified::default() };
            let era = era(shared, db)?;
            for user in users {
                let looked = look(user, stored_learner(shared, db, user)?, era, &shared.rules);
                verified.differences.extend(looked.differences);
                let Some(inspection) = looked.inspection else {
                    verified.unbuilt += 1;
                    continue;
                };
                let rows = gather(shared, db, user, inspection.plan(&shared.rules), true)?;
                let (days, differences) = inspection.compare(rows);
                verified.days += days;
                verified.differences.extend(differences);
            }
            Ok(verified)
        })
        .await
    }

    async fn verify_totals(&self) -> Result<Vec<Difference>, StoreError> {
        if self.shared.tables == Tables::Platform {
            return Ok(Vec::new());
        }
        self.read(|shared, db| {
            let (sums, mut differences) = add_up(shared, db)?;
            let mut totals = Vec::new();
            each(db, &shared.sql.verify_totals, [], &mut |row| {
                let key = GlobalKey { day: row.get(0)?, kind: row.get(1)?, name: row.get(2)? };
                totals.push((key, (row.get(3)?, row.get(4)?)));
                Ok(())
            })?;
            differences.extend(sums.compare(totals));
            Ok(differences)
        })
        .await
    }

    async fn known_learners(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        if self.shared.tables == Tables::Platform {
            return Ok(super::Store::users(self, after, limit).await?.into_iter().map(|row| row.id).collect());
        }
        let from = after.map_or_else(|| first_key(self.shared.keys), UserId::key);
        self.read(move |shared, db| {
            let mut learners = Vec::new();
            if from.key_type() != shared.keys {
                return Ok(learners);
            }
            each(db, &shared.sql.verify_learners, (SqlKey(from), i64::from(limit) + 1), &mut |row| {
                learners.push(UserId::new(key_at(shared.keys, row, 0)?));
                Ok(())
            })?;
            learners.retain(|user| Some(*user) != after);
            learners.truncate(limit as usize);
            Ok(learners)
        })
        .await
    }

    async fn random_learners(&self, limit: u32) -> Result<Vec<UserId>, StoreError> {
        if self.shared.tables == Tables::Platform {
            return self.known_learners(None, limit).await;
        }
        self.read(move |shared, db| {
            let mut learners = Vec::new();
            each(db, &shared.sql.verify_random, [limit], &mut |row| {
                learners.push(UserId::new(key_at(shared.keys, row, 0)?));
                Ok(())
            })?;
            Ok(learners)
        })
        .await
    }

    async fn forget(&self, users: &[UserId]) -> Result<(), StoreError> {
        let users = users.to_vec();
        self.write(move |shared, db| forget(shared, db, &users)).await
    }
}

/// Forgets learners in the caller's transaction.
pub(super) fn forget(shared: &Shared, db: &Connection, users: &[UserId]) -> Result<(), StoreError> {
    for user in users.iter().filter(|user| user.key().key_type() == shared.keys) {
        let key = SqlKey(user.key());
        let mut is_unreadable = false;
        each(db, &shared.sql.fold_read, [key], &mut |row| {
            let zones: Value = row.get(1)?;
            is_unreadable = match zones {
                Value::Null => false,
                Value::Text(text) => text.parse::<ZoneHistory>().is_err(),
                _ => true,
            };
            Ok(())
        })?;
        db.prepare_cached(&shared.sql.repair_pages)?.execute([key])?;
        db.prepare_cached(&shared.sql.repair_learners)?.execute((key, is_unreadable))?;
        db.prepare_cached(&shared.sql.repair_note)?.execute([key])?;
        // the fold to come cannot tell what days there were
        db.prepare_cached(&shared.sql.nightly_note)?.execute((key, LocalDay::MIN.number()))?;
    }
    let (sums, _) = add_up(shared, db)?;
    db.prepare_cached(&shared.sql.repair_totals)?.execute([])?;
    add_global(shared, db, &sums.into_delta())
}

fn era(shared: &Shared, db: &Connection) -> Result<Era, StoreError> {
    let mut era = Err(StoreError::State { reason: "it has no row".to_owned() });
    each(db, &shared.sql.verify_state, [], &mut |row| {
        check_days(row.get_ref(3)?.as_str_or_null().ok().flatten(), row.get(4)?, &shared.rules)?;
        era = Ok(Era { is_built: row.get(1)?, everything_waits: row.get(2)? });
        Ok(())
    })?;
    era
}

/// What is stored of a learner, as it lies there.
fn stored_learner(shared: &Shared, db: &Connection, user: UserId) -> Result<StoredLearner, StoreError> {
    let key = SqlKey(user.key());
    let zone = facts(shared, db, user)?;
    let mut learner = StoredLearner { exists: zone.is_some(), zone: zone.flatten(), ..StoredLearner::default() };
    each(db, &shared.sql.fold_read, [key], &mut |row| {
        learner.record = Some(StoredRecord {
            is_built: row.get(0)?,
            zones: row.get(1)?,
            active_days: row.get(2)?,
            sessions: row.get(3)?,
        });
        Ok(())
    })?;
    each(db, &shared.sql.fold_changes, [key], &mut |row| {
        learner.changes.extend(change(row)?);
        Ok(())
    })?;
    learner.is_erased = !erased_among(shared, db, std::iter::once(user))?.is_empty();
    each(db, &shared.sql.fold_pages, (key, i32::MIN, i32::MAX), &mut |row| {
        let months = if row.get(2)? { &mut learner.bases } else { &mut learner.pages };
        months.push((row.get(0)?, row.get(1)?));
        Ok(())
    })?;
    Ok(learner)
}

/// The sums of all that is stored, and months that cannot be read and so are not in them.
fn add_up(shared: &Shared, db: &Connection) -> Result<(Sums, Vec<Difference>), StoreError> {
    let (mut sums, mut unreadable) = (Sums::default(), Vec::new());
    each(db, &shared.sql.verify_pages, [], &mut |row| {
        let bytes: Vec<u8> = row.get(2)?;
        if let Err(error) = sums.add_page(row.get(1)?, &bytes) {
            let user = UserId::new(key_at(shared.keys, row, 0)?);
            unreadable.push(Difference::of_error(user, &corrupt("month page", user, &error)));
        }
        Ok(())
    })?;
    sums.add_learners(db.prepare_cached(&shared.sql.verify_studying)?.query_row([], |row| row.get(0))?);
    Ok((sums, unreadable))
}
