//! Learners made by chance: rows as bad as a platform's, in zones whose days are not all 24 hours long.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tierkeep_learning::active_days::ActiveDays;
use tierkeep_learning::calendar::{Calendar, DayStart, Zone, ZoneHistory};
use tierkeep_learning::estimator::Estimator;
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::session::SessionFacts;
use tierkeep_learning::statistic::Days;

/// A learner's rows, what the learner's clock shows, and an instant to ask at.
#[derive(Debug, Clone)]
pub(crate) struct Learner {
    pub(crate) rows: Vec<SessionFacts>,
    pub(crate) calendar: Calendar,
    pub(crate) now: Timestamp,
    /// A day near the rows to ask about.
    pub(crate) day: LocalDay,
}

impl Learner {
    pub(crate) fn today(&self) -> LocalDay {
        self.calendar.day_of(self.now)
    }

    pub(crate) fn days(&self) -> Days {
        days_of(&self.rows, &self.calendar)
    }

    pub(crate) fn active(&self) -> ActiveDays {
        active_of(&self.days())
    }
}

/// The day summaries of rows: what a store keeps.
pub(crate) fn days_of(rows: &[SessionFacts], calendar: &Calendar) -> Days {
    let mut days: Days = BTreeMap::new();
    for row in rows {
        days.entry(calendar.day_of(row.start)).or_default().add(row, calendar.hour_of(row.start));
    }
    days
}

pub(crate) fn active_of(days: &Days) -> ActiveDays {
    days.iter().filter(|(_, summary)| summary.minutes > 0).map(|(day, _)| *day).collect()
}

pub(crate) fn calendar(zone: &str) -> Calendar {
    Calendar::new(ZoneHistory::new(Zone::new(zone).unwrap()), DayStart::default())
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn day(text: &str) -> LocalDay {
    text.parse().unwrap()
}

/// Zones and instants around which their days are odd: no change; spring and autumn; half an hour; a missing day; a
/// journey over the date line that skips a day; one that goes back to a day.
fn any_calendar() -> impl Strategy<Value = (Calendar, Timestamp)> {
    let fixed = |zone, around| (calendar(zone), at(around));
    let journey = |from, to, instant| {
        let zones = ZoneHistory::from_changes(Zone::new(from).unwrap(), [(at(instant), Zone::new(to).unwrap())]);
        (Calendar::new(zones, DayStart::default()), at(instant))
    };
    let rollover = Calendar::new(ZoneHistory::new(Zone::new("America/New_York").unwrap()), DayStart::new(4).unwrap());
    prop::sample::select(vec![
        fixed("Asia/Shanghai", "2025-06-27T08:00:00Z"),
        fixed("America/New_York", "2025-03-09T07:00:00Z"),
        fixed("America/New_York", "2025-11-02T06:00:00Z"),
        (rollover, at("2025-11-02T06:00:00Z")),
        fixed("Australia/Lord_Howe", "2025-04-05T15:00:00Z"),
        fixed("Australia/Lord_Howe", "2025-10-04T15:30:00Z"),
        fixed("Pacific/Apia", "2011-12-30T10:00:00Z"),
        journey("Pacific/Pago_Pago", "Pacific/Kiritimati", "2025-06-10T10:30:00Z"),
        journey("Asia/Shanghai", "America/Los_Angeles", "2025-06-10T02:00:00Z"),
    ])
}

/// Minutes on either side of the odd instant within which rows begin: five weeks, so that some lie outside any window.
const SPREAD: i64 = 35 * 24 * 60;

pub(crate) fn any_row(around: Timestamp) -> impl Strategy<Value = SessionFacts> {
    // half of the rows are close together, so that days hold several
    let start = prop_oneof![-SPREAD..SPREAD, -4 * 24 * 60i64..4 * 24 * 60];
    let name = prop::sample::select(vec!["", "home", "library", "自习室"]);
    let minutes = prop_oneof![4 => 0i32..120, 1 => prop::sample::select(vec![-1, 0, 24, 25, 29, 30, 1440])];
    let rating = prop::option::weighted(0.7, prop_oneof![12 => 1i16..=5, 1 => prop::sample::select(vec![0i16, 6])]);
    let focus = prop::option::weighted(0.7, prop_oneof![12 => 0i16..=100, 1 => prop::sample::select(vec![-1i16, 101])]);
    let length = prop::option::of(prop_oneof![12 => 0i64..300, 1 => Just(-1i64)]);
    let timeout = prop::option::weighted(0.1, prop::sample::select(vec![300u32, 600]));
    ((start, length, minutes, rating, focus), (0i32..5, any::<bool>(), name.clone(), name.clone(), name, timeout))
        .prop_map(move |((start, length, minutes, rating, focus), (breaks, open, place, device, subject, timeout))| {
            let start = around + SignedDuration::from_mins(start);
            SessionFacts {
                start,
                end: length.map(|minutes| start + SignedDuration::from_mins(minutes)),
                duration_minutes: minutes,
                rating,
                focus_hundredths: focus,
                break_count: breaks,
                is_active: open,
                environment: place.into(),
                device: device.into(),
                subject: subject.into(),
                estimator: timeout.and_then(|timeout| Estimator::gap(timeout, 0).ok()),
            }
        })
}

pub(crate) fn any_learner() -> impl Strategy<Value = Learner> {
    (any_calendar(), 0usize..60).prop_flat_map(|((calendar, around), rows)| {
        (prop::collection::vec(any_row(around), 0..=rows), -SPREAD..SPREAD, -5i32..=5).prop_map(
            move |(rows, now, shift)| {
                let now = around + SignedDuration::from_mins(now);
                let day = calendar.day_of(around).plus(shift);
                Learner { rows, calendar: calendar.clone(), now, day }
            },
        )
    })
}
