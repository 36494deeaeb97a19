//! The dates of the global statistics: which sessions fall on today or one of the last seven dates.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use jiff::{SignedDuration, Timestamp};

use crate::calendar::{Calendar, Zone, ZoneHistory};
use crate::fold::DayRules;
use crate::local_day::LocalDay;

/// The last seven dates.
pub(super) fn recent_days(today: LocalDay) -> RangeInclusive<LocalDay> {
    today.plus(-6)..=today
}

/// Starts of all sessions that can lie on one of the last seven dates in any zone, with any start of the day.
pub(super) fn recent_starts(today: LocalDay) -> Range<Timestamp> {
    let utc = |day: LocalDay| {
        let midnight = day.date().to_zoned(jiff::tz::TimeZone::UTC);
        midnight.map_or(Timestamp::UNIX_EPOCH, |midnight| midnight.timestamp())
    };
    let margin = SignedDuration::from_hours(26 + 24);
    utc(today.plus(-6)).saturating_sub(margin).unwrap_or(Timestamp::MIN)
        ..utc(today.plus(1)).saturating_add(margin).unwrap_or(Timestamp::MAX)
}

/// Sessions by their own local date, for the last seven dates.
pub(super) struct RecentDays<'a> {
    rules: &'a DayRules,
    days: RangeInclusive<LocalDay>,
    counts: BTreeMap<LocalDay, u64>,
}

impl<'a> RecentDays<'a> {
    pub(super) fn new(today: LocalDay, rules: &'a DayRules) -> Self {
        Self { rules, days: recent_days(today), counts: BTreeMap::new() }
    }

    /// Counts a session of a learner with these zones: the stored history, else the zone in the learner's row.
    pub(super) fn add(&mut self, zone: Option<Zone>, stored: Option<ZoneHistory>, start: Timestamp) {
        let zones =
            stored.or_else(|| zone.map(ZoneHistory::new)).unwrap_or_else(|| ZoneHistory::new(self.rules.default_zone));
        let day = Calendar::new(zones, self.rules.day_start).day_of(start);
        if self.days.contains(&day) {
            *self.counts.entry(day).or_default() += 1;
        }
    }

    pub(super) fn into_counts(self) -> BTreeMap<LocalDay, u64> {
        self.counts
    }
}
