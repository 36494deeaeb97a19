//! Bringing stored summaries up to date. A write transaction holds the lock of the whole database, so nobody writes
//! between what is read and what is saved.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::super::aging::Presence;
use super::super::checks::check_days;
use super::super::nightly::NIGHTLY;
use super::super::{Settled, StoreError};
use super::aging::add_to_bases;
use super::reading::{active_days, base_of, corrupt, facts, gather, month_of, zones};
use super::wire::{SqlKey, instant_at, key_at};
use super::{Shared, each};
use crate::fold::{Change, Folded, GlobalDelta, LearnerRecord, Plan, Standing};
use crate::key::UserId;
use crate::month_page::{MonthPage, MonthPages};
use crate::store::tables::zone_of;

/// Learners folded in one transaction by [`settle_batch`]: other writers wait that long.
const LEARNERS_PER_BATCH: u32 = 200;

/// One batch of learners who changed, else of learners who were never built.
pub(super) fn settle_batch(shared: &Shared, db: &Connection) -> Result<Settled, StoreError> {
    forget_everything_changed(shared, db)?;
    let mut learners = pick(shared, db, &shared.sql.settle_changed)?;
    if learners.is_empty() {
        let (is_built, epoch): (bool, i64) =
            db.prepare_cached(&shared.sql.settle_is_built)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if is_built {
            return Ok(Settled::default());
        }
        learners = pick(shared, db, &shared.sql.settle_unbuilt)?;
        if learners.is_empty() {
            db.prepare_cached(&shared.sql.settle_done)?.execute([epoch])?;
            return Ok(Settled::default());
        }
    }
    let rows = fold(shared, db, &learners)?;
    Ok(Settled { learners: learners.len() as u64, rows, more: true })
}

/// Learners to fold. Changes of a text that is no UUID in lower case are nobody's and are removed on the way.
fn pick(shared: &Shared, db: &Connection, text: &str) -> Result<Vec<UserId>, StoreError> {
    loop {
        let (mut learners, mut nobody) = (Vec::new(), Vec::new());
        each(db, text, [LEARNERS_PER_BATCH], &mut |row| {
            match key_at(shared.keys, row, 0) {
                Ok(key) if row.get_ref(0)?.as_str().map_or(true, |text| text == key.to_string()) => {
                    learners.push(UserId::new(key));
                }
                _ => nobody.push(row.get::<_, Value>(0)?),
            }
            Ok(())
        })?;
        let mut removed = 0;
        for key in nobody {
            removed += db.prepare_cached(&shared.sql.fold_consume)?.execute([key])?;
        }
        if removed == 0 || !learners.is_empty() {
            return Ok(learners);
        }
    }
}

/// When anything of anybody may have changed: forgets all summaries by raising the epoch.
pub(super) fn forget_everything_changed(shared: &Shared, db: &Connection) -> Result<(), StoreError> {
    if db.prepare_cached(&shared.sql.settle_everything)?.execute([])? > 0 {
        db.execute("update tierkeep_outbox set settled = 1 where key is null and settled = 0", [])?;
    }
    Ok(())
}

/// Folds learners in the caller's transaction and returns how many rows that took.
pub(super) fn fold(shared: &Shared, db: &Connection, users: &[UserId]) -> Result<u64, StoreError> {
    fold_as(shared, db, users, Presence::AsFound)
}

/// The same, with learners taken for what `presence` says.
pub(super) fn fold_as(
    shared: &Shared,
    db: &Connection,
    users: &[UserId],
    presence: Presence<'_>,
) -> Result<u64, StoreError> {
    let (epoch, position): (i64, i64) = {
        let mut state = db.prepare_cached(&shared.sql.fold_state)?;
        let mut rows = state.query([])?;
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        check_days(row.get_ref(2)?.as_str_or_null().ok().flatten(), row.get(3)?, &shared.rules)?;
        (row.get(0)?, row.get(1)?)
    };
    let mut rows = 0;
    for user in users.iter().copied().filter(|user| user.key().key_type() == shared.keys) {
        let mut standing = standing(shared, db, &shared.sql.fold_lock, user)?;
        match presence {
            Presence::AsFound | Presence::Aged(_) => {}
            Presence::Anew => standing.is_built = false,
            Presence::Gone => standing.exists = false,
        }
        let plan = standing.plan(&shared.rules);
        if let (Presence::Aged(deleted), true) = (presence, standing.exists) {
            // before the bases are read, by the calendar that this plan found
            add_to_bases(shared, db, user, &plan.place(deleted.get(&user).into_iter().flatten()))?;
        }
        let Months { pages, bases } = months(shared, db, user, &plan)?;
        let folded = gather(shared, db, user, plan, standing.exists)?.finish(standing.record, pages, &bases);
        rows += folded.rows;
        save(shared, db, user, folded, epoch, position)?;
    }
    Ok(rows)
}

/// What is stored of a learner and what changed since.
pub(super) fn standing(shared: &Shared, db: &Connection, record: &str, user: UserId) -> Result<Standing, StoreError> {
    let zone = facts(shared, db, user)?;
    let mut standing = Standing { exists: zone.is_some(), zone: zone.flatten(), ..Standing::default() };
    each(db, record, [SqlKey(user.key())], &mut |row| {
        standing.is_built = row.get(0)?;
        standing.record = Some(LearnerRecord {
            zones: zones(row.get_ref(1)?.as_str_or_null(), user)?,
            active_days: active_days(row, 2, user)?,
            sessions: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
        });
        Ok(())
    })?;
    each(db, &shared.sql.fold_changes, [SqlKey(user.key())], &mut |row| {
        standing.changes.extend(change(row)?);
        Ok(())
    })?;
    Ok(standing)
}

/// What is stored of one learner by month.
#[derive(Debug, Default)]
pub(super) struct Months {
    pages: MonthPages,
    pub(super) bases: MonthPages,
}

/// The stored months that a plan needs, and their bases.
pub(super) fn months(shared: &Shared, db: &Connection, user: UserId, plan: &Plan) -> Result<Months, StoreError> {
    let mut stored = Months::default();
    let Some(months) = plan.months() else { return Ok(stored) };
    each(db, &shared.sql.fold_pages, (SqlKey(user.key()), months.start(), months.end()), &mut |row| {
        if row.get(2)? {
            let (month, base) = base_of(row, 0, user)?;
            stored.bases.insert(month, base);
            return Ok(());
        }
        let month = month_of(row.get(0)?, user)?;
        let bytes = row.get_ref(1)?.as_blob().map_err(|error| corrupt("month page", user, &error))?;
        let page = MonthPage::from_bytes(month, bytes).map_err(|error| corrupt("month page", user, &error))?;
        stored.pages.insert(month, page);
        Ok(())
    })?;
    Ok(stored)
}

/// Adds to the global sums.
pub(super) fn add_global(shared: &Shared, db: &Connection, delta: &GlobalDelta) -> Result<(), StoreError> {
    for (row, sessions, minutes) in delta.iter() {
        db.prepare_cached(&shared.sql.fold_global)?.execute((row.day, row.kind, &row.name, sessions, minutes))?;
    }
    Ok(())
}

/// First columns of `fold_changes` and `moved_zones`: at, first start, last start, zone, whether the learner's own row
/// changed. `None`: a session that starts at no time, and so lies on no day.
pub(super) fn change(row: &rusqlite::Row<'_>) -> Result<Option<Change>, StoreError> {
    if row.get(4)? {
        let zone = row.get_ref(3)?.as_str_or_null().ok().flatten();
        let at = instant_at(row, 0)?;
        return Ok(Some(zone.map_or(Change::Left, |zone| Change::Zone { at, zone: zone_of(Some(zone)) })));
    }
    if row.get_ref(1)?.data_type() == rusqlite::types::Type::Null {
        return Ok(None);
    }
    Ok(Some(Change::Sessions { first: instant_at(row, 1)?, last: instant_at(row, 2)? }))
}

fn save(
    shared: &Shared,
    db: &Connection,
    user: UserId,
    folded: Folded,
    epoch: i64,
    position: i64,
) -> Result<(), StoreError> {
    let sql = &shared.sql;
    let key = SqlKey(user.key());
    for (month, page) in &folded.pages {
        if page.is_empty() {
            db.prepare_cached(&sql.fold_delete_pages)?.execute((key, month.number()))?;
        } else {
            db.prepare_cached(&sql.fold_save_pages)?.execute((key, month.number(), page.to_bytes()))?;
        }
    }
    match folded.record {
        None => {
            db.prepare_cached(&sql.fold_delete_learners)?.execute([key])?;
            for text in shared.removal.only(&NIGHTLY) {
                db.prepare_cached(text)?.execute([key])?;
            }
            // from the changes, before they are consumed
            db.prepare_cached(&sql.erase_note_departed)?.execute([key])?;
        }
        Some(record) => {
            let zones = record.zones.as_ref().map(serde_json::to_string).transpose();
            let zones = zones.expect("a zone history is a JSON array of names and integers");
            let sessions = i64::try_from(record.sessions).unwrap_or(i64::MAX);
            db.prepare_cached(&sql.fold_claim)?.execute([key])?;
            db.prepare_cached(&sql.fold_save_learners)?.execute((
                key,
                zones,
                record.active_days.to_bytes(),
                sessions,
                epoch,
                position,
            ))?;
            if let Some(day) = folded.first_changed {
                db.prepare_cached(&sql.nightly_note)?.execute((key, day.number()))?;
            }
        }
    }
    add_global(shared, db, &folded.delta)?;
    db.prepare_cached(&sql.fold_consume)?.execute([key])?;
    Ok(())
}
