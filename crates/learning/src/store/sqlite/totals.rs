//! Totals over all learners.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::super::tables::zone_of;
use super::super::totals::{MovedZones, RecentDays, add_base, recent_days, recent_starts};
use super::super::{Basis, GlobalSnapshot, StoreError};
use super::folding::change;
use super::reading::{base_of, zones};
use super::wire::{instant_at, key_at, micros};
use super::{Shared, SqliteStore, each};
use crate::fold::{KIND_ALL, KIND_DEVICE, KIND_ENVIRONMENT, KIND_LEARNERS};
use crate::instant::{END_MICROS, MIN_MICROS};
use crate::key::UserId;
use crate::local_day::LocalDay;
use crate::statistic::GlobalTotals;

impl SqliteStore {
    pub(super) async fn read_totals(&self, today: LocalDay) -> Result<GlobalSnapshot, StoreError> {
        self.timed(move |shared, db, as_of| {
            let stored = if shared.trusts_summaries() { stored_totals(shared, db, today)? } else { None };
            let (basis, totals) = match stored {
                Some(totals) => (Basis::Summaries, totals),
                None => (Basis::Rows, pass_over_rows(shared, db, today)?),
            };
            Ok(GlobalSnapshot { as_of, basis, totals })
        })
        .await
    }
}

/// The stored sums; `None` while a change is not folded into them.
fn stored_totals(shared: &Shared, db: &Connection, today: LocalDay) -> Result<Option<GlobalTotals>, StoreError> {
    let days = recent_days(today);
    let mut totals = Some(GlobalTotals::default());
    each(db, &shared.sql.global_stored, (days.start().number(), days.end().number()), &mut |row| {
        if !row.get::<_, bool>(0)? {
            totals = None;
        }
        let (Some(totals), Some(kind)) = (&mut totals, row.get::<_, Option<i16>>(1)?) else { return Ok(()) };
        let name: String = row.get(2)?;
        let sessions = count(row.get(4)?);
        match (row.get::<_, Option<i32>>(3)?.and_then(LocalDay::from_number), kind) {
            (Some(_), _) if sessions == 0 => {}
            (Some(day), _) => {
                totals.by_day.insert(day, sessions);
            }
            (None, KIND_ALL) => {
                totals.sessions = sessions;
                totals.minutes = count(row.get(5)?);
            }
            (None, KIND_ENVIRONMENT) => totals.environments.add(&name, sessions),
            (None, KIND_DEVICE) => totals.devices.add(&name, sessions),
            (None, KIND_LEARNERS) => totals.users = sessions,
            (None, _) => {}
        }
        Ok(())
    })?;
    Ok(totals)
}

/// One pass over all rows, and the recent ones placed on their learners' days.
fn pass_over_rows(shared: &Shared, db: &Connection, today: LocalDay) -> Result<GlobalTotals, StoreError> {
    let mut totals = GlobalTotals::default();
    let mut learners = BTreeSet::new();
    each(db, &shared.sql.global_pass, (MIN_MICROS, END_MICROS), &mut |row| {
        let sessions = count(row.get(3)?);
        totals.environments.add(&row.get::<_, Option<String>>(0)?.unwrap_or_default(), sessions);
        totals.devices.add(&row.get::<_, Option<String>>(1)?.unwrap_or_default(), sessions);
        learners.insert(key_at(shared.keys, row, 2)?);
        totals.sessions += sessions;
        totals.minutes += count(row.get(4)?);
        Ok(())
    })?;
    totals.users = learners.len() as u64;
    let moved = moved_zones(shared, db)?;
    let starts = recent_starts(today);
    let mut days = RecentDays::new(today, &shared.rules, moved);
    each(db, &shared.sql.global_recent, (micros(starts.start), micros(starts.end)), &mut |row| {
        let user = UserId::new(key_at(shared.keys, row, 0)?);
        let stored = zones(row.get_ref(2)?.as_str_or_null(), user)?;
        let zone: Option<String> = row.get(1)?;
        days.add(user, zone_of(zone.as_deref()), stored, instant_at(row, 3)?);
        Ok(())
    })?;
    totals.by_day = days.into_counts();
    if shared.tables.have_summaries() {
        each(db, &shared.sql.base_known, [], &mut |row| {
            let user = UserId::new(key_at(shared.keys, row, 0)?);
            add_base(&mut totals, today, &base_of(row, 1, user)?.1);
            Ok(())
        })?;
    }
    Ok(totals)
}

/// Zones of learners who came or moved since their last fold.
pub(super) fn moved_zones(shared: &Shared, db: &Connection) -> Result<MovedZones, StoreError> {
    let mut moved = MovedZones::default();
    if shared.tables.have_summaries() {
        each(db, &shared.sql.moved_zones, [], &mut |row| {
            let user = UserId::new(key_at(shared.keys, row, 5)?);
            let stored = zones(row.get_ref(7)?.as_str_or_null(), user)?;
            let zone: Option<String> = row.get(6)?;
            if let Some(change) = change(row)? {
                moved.add(user, zone_of(zone.as_deref()), stored, change);
            }
            Ok(())
        })?;
    }
    Ok(moved)
}

fn count(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}
