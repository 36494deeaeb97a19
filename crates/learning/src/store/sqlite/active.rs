//! Who studied lately, on SQLite.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;

use super::super::StoreError;
use super::super::active::{Active, ActiveWithin, Reach, Selection};
use super::super::verification::first_key;
use super::reading::zones;
use super::totals::moved_zones;
use super::wire::{SqlKey, key_at, micros, optional_instant_at};
use super::{Shared, SqliteStore, each};
use crate::key::{Key, UserId};

#[async_trait]
impl Active for SqliteStore {
    async fn active_learners(
        &self,
        within: ActiveWithin,
        now: Timestamp,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<UserId>, StoreError> {
        let from = after.map_or_else(|| first_key(self.shared.keys), UserId::key);
        if limit == 0 || from.key_type() != self.shared.keys {
            return Ok(Vec::new());
        }
        self.read(move |shared, db| {
            let moved = moved_zones(shared, db)?;
            let mut selection = Selection::new((within, now), (after, limit), &shared.rules, moved);
            select(shared, db, from, &Reach::new(within, now), &mut selection)?;
            Ok(selection.into_found())
        })
        .await
    }

    async fn learner_ids(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let from = after.map_or_else(|| first_key(self.shared.keys), UserId::key);
        if from.key_type() != self.shared.keys {
            return Ok(Vec::new());
        }
        self.read(move |shared, db| {
            let mut learners = Vec::new();
            each(db, &shared.sql.learner_ids, (SqlKey(from), i64::from(limit) + 1), &mut |row| {
                learners.push(UserId::new(key_at(shared.keys, row, 0)?));
                Ok(())
            })?;
            learners.retain(|user| Some(*user) != after);
            learners.truncate(limit as usize);
            Ok(learners)
        })
        .await
    }
}

fn select(
    shared: &Shared,
    db: &Connection,
    from: Key,
    Reach { possible, certain }: &Reach,
    selection: &mut Selection<'_>,
) -> Result<(), StoreError> {
    let instants = [possible.start, possible.end, certain.start, certain.end].map(micros);
    let [first, end, sure, unsure] = instants;
    let mut statement = db.prepare_cached(&shared.sql.active_learners)?;
    let mut rows = statement.query((SqlKey(from), first, end, sure, unsure))?;
    while !selection.is_full()
        && let Some(row) = rows.next()?
    {
        let user = UserId::new(key_at(shared.keys, row, 0)?);
        let zone: Option<String> = row.get(2)?;
        let stored = || zones(row.get_ref(3)?.as_str_or_null(), user);
        selection.add(user, optional_instant_at(row, 1)?, zone.as_deref(), stored)?;
    }
    Ok(())
}
