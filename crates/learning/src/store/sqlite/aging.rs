//! Deleting archived sessions because of their age. A write transaction holds the lock of the whole database, so nobody
//! writes meanwhile.

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};

use super::super::StoreError;
use super::super::aging::{Aging, DATA, DERIVED, Deleted, KEPT_BESIDE, Keep, Presence};
use super::folding::fold_as;
use super::reading::base_of;
use super::wire::{SqlKey, key_at, session_facts};
use super::{Shared, SqliteStore, each};
use crate::instant::{END_MICROS, MIN_MICROS};
use crate::key::{SessionId, UserId};
use crate::month_page::MonthPages;

/// Columns of `aging_facts` before the learner's.
const FACTS: usize = 11;

#[async_trait]
impl Aging for SqliteStore {
    async fn delete_archived(&self, ids: &[SessionId], keep: Keep) -> Result<u64, StoreError> {
        let ids = ids.to_vec();
        self.write(move |shared, tx| {
            let deleted = deleted_facts(shared, tx, &ids)?;
            let mut rows = 0;
            for id in &ids {
                rows += tx.prepare_cached(&shared.removal.delete_archived)?.execute([SqlKey(id.key())])? as u64;
            }
            fold_deleted(shared, tx, &deleted, keep)?;
            Ok(rows)
        })
        .await
    }

    async fn delete_data(&self, users: &[UserId]) -> Result<u64, StoreError> {
        let users = users.to_vec();
        self.write(move |shared, tx| Ok(remove(shared, tx, &DATA, &users)? + forget_learners(shared, tx, &users)?))
            .await
    }
}

/// What archived rows count for, to be asked before they are deleted.
pub(in crate::store) fn deleted_facts(
    shared: &Shared,
    tx: &Transaction<'_>,
    ids: &[SessionId],
) -> Result<Deleted, StoreError> {
    let mut deleted = Deleted::new();
    for id in ids.iter().collect::<std::collections::BTreeSet<_>>() {
        each(tx, &shared.sql.aging_facts, (SqlKey(id.key()), MIN_MICROS, END_MICROS), &mut |row| {
            let user = UserId::new(key_at(shared.keys, row, FACTS)?);
            deleted.entry(user).or_default().push(session_facts(row)?);
            Ok(())
        })?;
    }
    Ok(deleted)
}

/// Folds the learners of archived rows that this transaction has deleted, so that no number changes or, with
/// [`Keep::Nothing`], the numbers are those of the rows that are left.
pub(in crate::store) fn fold_deleted(
    shared: &Shared,
    tx: &Transaction<'_>,
    deleted: &Deleted,
    keep: Keep,
) -> Result<(), StoreError> {
    let users: Vec<UserId> = deleted.keys().copied().collect();
    let presence = match keep {
        Keep::Summaries => Presence::Aged(deleted),
        Keep::Nothing => Presence::AsFound,
    };
    fold_as(shared, tx, &users, presence)?;
    Ok(())
}

/// Makes learners whose rows this transaction has deleted learners without sessions; how many rows beside them went.
pub(in crate::store) fn forget_learners(
    shared: &Shared,
    tx: &Transaction<'_>,
    users: &[UserId],
) -> Result<u64, StoreError> {
    let rows = remove(shared, tx, &KEPT_BESIDE, users)?;
    fold_as(shared, tx, users, Presence::Anew)?;
    remove(shared, tx, &DERIVED, users)?;
    Ok(rows)
}

pub(super) fn remove(
    shared: &Shared,
    tx: &Transaction<'_>,
    tables: &[&str],
    users: &[UserId],
) -> Result<u64, StoreError> {
    let mut rows = 0;
    for text in shared.removal.only(tables) {
        for user in users.iter().filter(|user| user.key().key_type() == shared.keys) {
            rows += tx.prepare_cached(text)?.execute([SqlKey(user.key())])? as u64;
        }
    }
    Ok(rows)
}

/// Adds to the bases of a learner.
pub(super) fn add_to_bases(
    shared: &Shared,
    db: &Connection,
    user: UserId,
    added: &MonthPages,
) -> Result<(), StoreError> {
    let key = SqlKey(user.key());
    for (month, page) in added {
        let mut base = page.clone();
        each(db, &shared.sql.base_read, (key, month.number()), &mut |row| {
            base_of(row, 0, user)?.1.iter().for_each(|(day, summary)| base.add(day, summary));
            Ok(())
        })?;
        db.prepare_cached(&shared.sql.base_save)?.execute((key, month.number(), base.to_bytes()))?;
    }
    Ok(())
}
