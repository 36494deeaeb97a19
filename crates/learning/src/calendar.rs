//! Which local day an instant belongs to, and which instants belong to a local day.
//!
//! In one zone, day D is `[boundary(D), boundary(D + 1))`. Its boundary is the wall time D at `day_start`: the earlier
//! one when the clock shows it twice, the instant of the transition when the clock skips it. A date that a zone skips as
//! a whole has the boundary of the next date, so it is empty, whatever `day_start` is. Lengths are what they are: since
//! 1970 days of 0 to 31 hours have happened.
//!
//! A learner's zone has a history, and the zone in force at an instant decides that instant. Around a change of zone a
//! day may therefore consist of several intervals, or of none.
//!
//! Nothing here uses the length of a day, and no date is had by subtracting `day_start` from a wall time: at St John's
//! the clock went back at 00:01, over midnight, so the date on the wall went forth and back, which a day does not.
//! Instants are compared with boundaries instead.
//!
//! # Ends
//! [`LocalDay::MIN`] begins with the first instant there is and [`LocalDay::MAX`] ends with the last, so every instant
//! has a day; instants outside [`MIN_MICROS`]`..`[`END_MICROS`] are taken as the nearest inside.
//!
//! # Examples
//! ```
//! use jiff::SignedDuration;
//! use tierkeep_learning::calendar::{Calendar, DayStart, Zone, ZoneHistory};
//!
//! let new_york = ZoneHistory::new(Zone::new("America/New_York")?);
//! let calendar = Calendar::new(new_york, DayStart::default());
//!
//! assert_eq!(calendar.day_of("2025-03-09T04:59:59Z".parse()?).to_string(), "2025-03-08");
//! assert_eq!(calendar.capacity("2025-03-09".parse()?), SignedDuration::from_hours(23));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod history;
mod rules;
#[cfg(test)]
mod tests;
mod zone;

use std::fmt;
use std::ops::{Range, RangeInclusive};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::history::{ZoneHistory, ZoneHistoryError};
pub use self::zone::{Zone, ZoneError, tz_version};
use crate::efficiency::RangeError;
use crate::instant::{self, END_MICROS, MIN_MICROS};
use crate::local_day::LocalDay;

/// The hour, 0 to 23, at which a learner's day begins; 0 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u8")]
pub struct DayStart(u8);

/// Decides which local day an instant belongs to: a zone history and the hour at which days begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    zones: ZoneHistory,
    day_start: DayStart,
}

/// Places many instants, remembering where the last one lay: see [`Calendar::placer`].
#[derive(Debug, Clone)]
pub struct Placer<'a> {
    calendar: &'a Calendar,
    known: Stretch,
}

/// Instants of one local day under one offset.
#[derive(Debug, Clone)]
struct Stretch {
    instants: Range<Timestamp>,
    day: LocalDay,
    offset_seconds: i32,
}

/// A zone and the instants it decides.
#[derive(Debug, Clone)]
struct Era<'a> {
    zone: &'a Zone,
    instants: Range<Timestamp>,
}

impl DayStart {
    /// Takes an hour.
    ///
    /// # Errors
    /// [`RangeError`] outside 0..=23.
    pub fn new(hour: i64) -> Result<Self, RangeError> {
        match u8::try_from(hour) {
            Ok(hour @ 0..=23) => Ok(Self(hour)),
            _ => Err(RangeError::new("day_start", hour, "0 to 23")),
        }
    }

    /// 0 to 23.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// The wall time at which `date` begins.
    fn on(self, date: Date) -> jiff::civil::DateTime {
        date.at(self.0.cast_signed(), 0, 0, 0)
    }
}

impl fmt::Display for DayStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i64> for DayStart {
    type Error = RangeError;

    fn try_from(hour: i64) -> Result<Self, RangeError> {
        Self::new(hour)
    }
}

impl From<DayStart> for u8 {
    fn from(day_start: DayStart) -> Self {
        day_start.0
    }
}

impl Calendar {
    /// Puts a calendar together.
    #[must_use]
    pub fn new(zones: ZoneHistory, day_start: DayStart) -> Self {
        Self { zones, day_start }
    }

    /// The zones in force, by instant.
    #[must_use]
    pub fn zones(&self) -> &ZoneHistory {
        &self.zones
    }

    /// The hour at which days begin.
    #[must_use]
    pub fn day_start(&self) -> DayStart {
        self.day_start
    }

    /// The local day an instant belongs to. Around a change of zone a later instant may have an earlier day.
    #[must_use]
    pub fn day_of(&self, t: Timestamp) -> LocalDay {
        let t = clamped(t);
        self.zones.zone_at(t).rules().day_around(t, self.day_start).0
    }

    /// The hour, 0 to 23, on the clock of the zone in force.
    #[must_use]
    pub fn hour_of(&self, t: Timestamp) -> u8 {
        let t = clamped(t);
        hour_at(t, self.zones.zone_at(t).rules().offset_seconds(t))
    }

    /// A cursor that places instants one after the other, in any order.
    ///
    /// It is quickest when neighbours share a day: then an instant costs two comparisons.
    #[must_use]
    pub fn placer(&self) -> Placer<'_> {
        let nothing = first_instant()..first_instant();
        Placer { calendar: self, known: Stretch { instants: nothing, day: LocalDay::MIN, offset_seconds: 0 } }
    }

    /// The instants of a day: disjoint intervals in order, none touching the next. Empty for a day that does not exist,
    /// several around a change of zone.
    #[must_use]
    pub fn intervals(&self, day: LocalDay) -> Vec<Range<Timestamp>> {
        let mut intervals: Vec<Range<Timestamp>> = Vec::new();
        for interval in self.parts(day..=day) {
            match intervals.last_mut() {
                Some(last) if last.end == interval.start => last.end = interval.end,
                _ => intervals.push(interval),
            }
        }
        intervals
    }

    /// The smallest `[from, to)` that contains every instant of these days; empty when there is none.
    ///
    /// Around a change of zone it may contain instants of other days too: filter with [`Calendar::day_of`].
    #[must_use]
    pub fn covering(&self, days: RangeInclusive<LocalDay>) -> Range<Timestamp> {
        self.parts(days).reduce(|hull, part| hull.start..part.end).unwrap_or_else(|| first_instant()..first_instant())
    }

    /// Whether the day has any instant. A learner who flies west over the date line, or lives where it was moved, skips
    /// a day.
    #[must_use]
    pub fn exists(&self, day: LocalDay) -> bool {
        if self.zones.changes().next().is_none() {
            return !self.zones.first().rules().skips(day);
        }
        self.parts(day..=day).next().is_some()
    }

    /// The length of the day: the sum of its intervals.
    #[must_use]
    pub fn capacity(&self, day: LocalDay) -> SignedDuration {
        self.parts(day..=day).map(|part| part.start.duration_until(part.end)).sum()
    }

    /// The first instant of the day, if it exists.
    #[must_use]
    pub fn begins(&self, day: LocalDay) -> Option<Timestamp> {
        self.parts(day..=day).next().map(|part| part.start)
    }

    /// The first instant after the day, if it exists. Without a change of zone, the boundary of the next day.
    #[must_use]
    pub fn ends(&self, day: LocalDay) -> Option<Timestamp> {
        self.parts(day..=day).last().map(|part| part.end)
    }

    /// The instants of these days, one interval for each zone that decides some of them, in order.
    fn parts(&self, days: RangeInclusive<LocalDay>) -> impl Iterator<Item = Range<Timestamp>> {
        let (first, last) = days.into_inner();
        let day_start = self.day_start;
        let near = rules::near(first, last, day_start);
        self.zones
            .eras()
            .filter(move |era| first <= last && era.instants.start < near.end && near.start < era.instants.end)
            .filter_map(move |era| {
                let rules = era.zone.rules();
                let start = rules.boundary(first.date(), day_start).max(era.instants.start);
                let end = rules.boundary_after(last, day_start).min(era.instants.end);
                (start < end).then_some(start..end)
            })
    }

    /// The longest known stretch around an instant.
    fn stretch(&self, t: Timestamp) -> Stretch {
        let era = self.zones.era_at(t);
        let rules = era.zone.rules();
        let (day, around) = rules.day_around(t, self.day_start);
        let (offset_seconds, steady) = rules.steady(t, &around);
        let start = steady.start.max(era.instants.start);
        let end = steady.end.min(era.instants.end);
        Stretch { instants: start..end, day, offset_seconds }
    }
}

impl Placer<'_> {
    /// The local day of an instant and the hour, 0 to 23, on the clock: [`Calendar::day_of`] and [`Calendar::hour_of`].
    #[inline]
    pub fn place(&mut self, t: Timestamp) -> (LocalDay, u8) {
        if self.known.instants.contains(&t) {
            return (self.known.day, hour_at(t, self.known.offset_seconds));
        }
        let t = clamped(t);
        self.known = self.calendar.stretch(t);
        (self.known.day, hour_at(t, self.known.offset_seconds))
    }
}

/// The days that can be "today" somewhere at `now`: for whoever does not know the learner's zone yet.
#[cfg(feature = "stores")]
pub(crate) fn todays(now: Timestamp) -> RangeInclusive<LocalDay> {
    let utc = LocalDay::clamped(now.to_zoned(jiff::tz::TimeZone::UTC).date());
    // the day begins up to 23 h late by day_start and the zone lies up to 26 h from UTC
    utc.plus(-2)..=utc.plus(2)
}

/// The hour on a clock that is `offset_seconds` ahead of UTC.
fn hour_at(t: Timestamp, offset_seconds: i32) -> u8 {
    let hour = (whole_second(t) + i64::from(offset_seconds)).div_euclid(3600).rem_euclid(24);
    u8::try_from(hour).expect("a remainder of 24")
}

/// The second an instant lies in: rounded down, while `as_second` rounds towards 1970.
fn whole_second(t: Timestamp) -> i64 {
    t.as_second() - i64::from(t.subsec_nanosecond() < 0)
}

fn first_instant() -> Timestamp {
    Timestamp::from_microsecond(MIN_MICROS).expect("the first instant is one")
}

fn end_of_instants() -> Timestamp {
    Timestamp::from_microsecond(END_MICROS).expect("jiff knows the year 9999")
}

/// The nearest instant that is accepted.
fn clamped(t: Timestamp) -> Timestamp {
    let last = instant::from_micros(END_MICROS - 1).expect("the last instant is one");
    t.clamp(first_instant(), last)
}
