//! The dates of the global statistics: which sessions fall on today or one of the last seven dates.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use jiff::{SignedDuration, Timestamp};

use crate::calendar::{Calendar, DayStart, Zone, ZoneHistory};
use crate::fold::{Change, DayRules, LearnerRecord, Standing, calendar};
use crate::key::UserId;
use crate::local_day::LocalDay;
use crate::month_page::MonthPage;
use crate::statistic::GlobalTotals;

/// The last seven dates.
pub(super) fn recent_days(today: LocalDay) -> RangeInclusive<LocalDay> {
    today.plus(-6)..=today
}

/// Adds what deleted sessions of a learner counted for. That the learner has sessions is not told here.
pub(super) fn add_base(totals: &mut GlobalTotals, today: LocalDay, base: &MonthPage) {
    let recent = recent_days(today);
    for (day, summary) in base.iter() {
        totals.sessions = totals.sessions.saturating_add(summary.sessions);
        totals.minutes = totals.minutes.saturating_add(summary.minutes);
        totals.environments.merge(&summary.environments);
        totals.devices.merge(&summary.devices);
        if recent.contains(&day) {
            *totals.by_day.entry(day).or_default() += summary.sessions;
        }
    }
}

/// Starts of all sessions that can lie on one of the last seven dates.
pub(super) fn recent_starts(today: LocalDay) -> Range<Timestamp> {
    starts_in_any_zone(&recent_days(today))
}

/// Starts of all sessions that can lie on some days in any zone, with any start of the day.
pub(super) fn starts_in_any_zone(days: &RangeInclusive<LocalDay>) -> Range<Timestamp> {
    let utc = Calendar::new(ZoneHistory::new(Zone::utc()), DayStart::default());
    // local mean times of the 19th century lie up to 16 hours from UTC, and a day begins up to 23 hours after midnight
    let (ahead, behind) = (SignedDuration::from_hours(16), SignedDuration::from_hours(16 + 23));
    let all = utc.covering(LocalDay::MIN..=LocalDay::MAX);
    let wanted = utc.covering(days.clone());
    let begin = wanted.start.saturating_sub(ahead).unwrap_or(all.start);
    let end = wanted.end.saturating_add(behind).unwrap_or(all.end);
    begin.max(all.start)..end.min(all.end)
}

/// Zones of learners who came or moved since their last fold.
#[derive(Debug, Default)]
pub(super) struct MovedZones(BTreeMap<UserId, Standing>);

impl MovedZones {
    /// Adds a change, the oldest first, with what is stored of the learner and what their own row says now.
    pub(super) fn add(&mut self, user: UserId, zone: Option<Zone>, stored: Option<ZoneHistory>, change: Change) {
        let standing = self.0.entry(user).or_insert_with(|| Standing {
            exists: true,
            zone,
            record: stored.map(|zones| LearnerRecord { zones: Some(zones), ..LearnerRecord::default() }),
            ..Standing::default()
        });
        standing.changes.push(change);
    }

    pub(super) fn into_calendars(self, rules: &DayRules) -> BTreeMap<UserId, Calendar> {
        self.0.into_iter().map(|(user, standing)| (user, standing.plan(rules).calendar().clone())).collect()
    }
}

/// Sessions by their own local date, for the last seven dates.
pub(super) struct RecentDays<'a> {
    rules: &'a DayRules,
    moved: BTreeMap<UserId, Calendar>,
    days: RangeInclusive<LocalDay>,
    counts: BTreeMap<LocalDay, u64>,
}

impl<'a> RecentDays<'a> {
    pub(super) fn new(today: LocalDay, rules: &'a DayRules, moved: MovedZones) -> Self {
        Self { rules, moved: moved.into_calendars(rules), days: recent_days(today), counts: BTreeMap::new() }
    }

    /// Counts a session of a learner who, unless moved since, has these zones: those stored, else the one of their row.
    pub(super) fn add(&mut self, user: UserId, zone: Option<Zone>, stored: Option<ZoneHistory>, start: Timestamp) {
        let day = match self.moved.get(&user) {
            Some(moved) => moved.day_of(start),
            None => calendar(stored.or_else(|| zone.map(ZoneHistory::new)).as_ref(), self.rules).day_of(start),
        };
        if self.days.contains(&day) {
            *self.counts.entry(day).or_default() += 1;
        }
    }

    pub(super) fn into_counts(self) -> BTreeMap<LocalDay, u64> {
        self.counts
    }
}
