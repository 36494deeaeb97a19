//! The rules of one zone: offsets and the boundaries of days.

use std::ops::Range;

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::{DayStart, end_of_instants, first_instant, whole_second};
use crate::local_day::LocalDay;

/// No clock is further from UTC, and none is moved further than twice this at once: jiff's limit is 25:59:59.
const LARGEST_OFFSET: SignedDuration = SignedDuration::from_hours(26);
/// 2101-01-01T00:00:00Z in seconds. Zones with a rule for ever get steps up to here; jiff is asked about later instants.
/// A hundred zones' worth of steps takes half a megabyte.
const HORIZON: i64 = 4_133_980_800;

/// A zone's rules, unfolded into steps so that most questions need neither transitions nor calendar arithmetic.
///
/// Asking jiff costs about 100 ns per offset (measured, Europe/Paris), a step about 10.
#[derive(Debug)]
pub(super) struct Rules {
    time_zone: TimeZone,
    /// In order; each holds until the next one begins, the last until `known_until`. The first begins before all time.
    steps: Vec<Step>,
    /// Seconds since 1970.
    known_until: i64,
    /// Dates that the clock never shows, by number: those between which it was moved over the date line. A handful.
    skipped: Vec<i32>,
}

/// An offset and the second since 1970 from which it holds.
#[derive(Debug, Clone, Copy)]
struct Step {
    from: i64,
    offset_seconds: i32,
}

/// The seconds since 1970 during which one offset holds.
struct Steady {
    seconds: Range<i64>,
    offset_seconds: i32,
}

/// A generous interval that contains the days `first` to `last` in every zone.
pub(super) fn near(first: LocalDay, last: LocalDay, day_start: DayStart) -> Range<Timestamp> {
    let reach = LARGEST_OFFSET * 4;
    utc(first.date(), day_start) - reach..utc(last.date(), day_start) + reach
}

/// The wall time at which a date begins, as if the wall were in Greenwich.
fn utc(date: Date, day_start: DayStart) -> Timestamp {
    Offset::UTC.to_timestamp(day_start.on(date)).expect("local days keep away from the ends of time")
}

/// The dates that a step leaves out as a whole: those that begin and end while the clock is moved forward.
fn skipped_dates(before: Step, after: Step) -> impl Iterator<Item = i32> {
    let day = i64::from(SECONDS_OF_DATE);
    let from = after.from.saturating_add(before.offset_seconds.into());
    let to = after.from.saturating_add(after.offset_seconds.into());
    let (first, end) = (-(-from).div_euclid(day), to.div_euclid(day));
    (first..end).filter_map(|number| i32::try_from(number).ok())
}

/// A date on a wall clock that nobody moves: 24 hours. Only for wall times; days have other lengths.
const SECONDS_OF_DATE: i32 = 24 * 60 * 60;

impl Rules {
    pub(super) fn new(time_zone: TimeZone) -> Self {
        let before_all = Timestamp::MIN;
        let mut steps = vec![Step { from: i64::MIN, offset_seconds: time_zone.to_offset(before_all).seconds() }];
        let mut known_until = i64::MAX;
        for transition in time_zone.following(before_all) {
            let from = transition.timestamp().as_second();
            if from >= HORIZON {
                known_until = from;
                break;
            }
            let offset_seconds = transition.offset().seconds();
            if steps.last().is_some_and(|last| last.offset_seconds != offset_seconds) {
                steps.push(Step { from, offset_seconds });
            }
        }
        steps.shrink_to_fit();
        let skipped = steps.windows(2).flat_map(|pair| skipped_dates(pair[0], pair[1])).collect();
        Self { time_zone, steps, known_until, skipped }
    }

    pub(super) fn time_zone(&self) -> &TimeZone {
        &self.time_zone
    }

    /// Whether the clock never shows a date, so that the day is empty whatever hour days begin at.
    pub(super) fn skips(&self, day: LocalDay) -> bool {
        !self.skipped.is_empty() && self.skipped.contains(&day.number())
    }

    /// How far the clock is ahead of UTC.
    pub(super) fn offset_seconds(&self, t: Timestamp) -> i32 {
        match self.step(whole_second(t)) {
            Some(step) => step.offset_seconds,
            None => self.time_zone.to_offset(t).seconds(),
        }
    }

    /// The part around `t` of an interval that contains `t`, in which one offset holds, and that offset.
    pub(super) fn steady(&self, t: Timestamp, interval: &Range<Timestamp>) -> (i32, Range<Timestamp>) {
        let (start, end) = (interval.start, interval.end);
        match self.step(whole_second(t)) {
            Some(step) => {
                let holds = |second: i64, otherwise| Timestamp::from_second(second).unwrap_or(otherwise);
                let from = holds(step.seconds.start, Timestamp::MIN).max(start);
                let to = holds(step.seconds.end, Timestamp::MAX).min(end);
                (step.offset_seconds, from..to)
            }
            None => {
                let changes = self.time_zone.following(start).map(|transition| transition.timestamp());
                let (mut from, mut to) = (start, end);
                for change in changes.take_while(|change| *change < end) {
                    if change > t {
                        to = change;
                        break;
                    }
                    from = change;
                }
                (self.time_zone.to_offset(t).seconds(), from..to)
            }
        }
    }

    /// The local day of an instant, and the instants of that day in this zone.
    pub(super) fn day_around(&self, t: Timestamp, day_start: DayStart) -> (LocalDay, Range<Timestamp>) {
        let offset = Offset::from_seconds(self.offset_seconds(t)).expect("an offset jiff gave");
        // a first guess; what decides is the comparison with boundaries
        let wall = offset.to_datetime(t);
        let guess = if wall < day_start.on(wall.date()) { wall.date().yesterday() } else { Ok(wall.date()) };
        let mut day = LocalDay::clamped(guess.unwrap_or(wall.date()));

        let mut start = self.boundary(day.date(), day_start);
        while t < start && day > LocalDay::MIN {
            day = day.plus(-1);
            start = self.boundary(day.date(), day_start);
        }
        let mut end = self.boundary_after(day, day_start);
        while t >= end && day < LocalDay::MAX {
            day = day.plus(1);
            start = end;
            end = self.boundary_after(day, day_start);
        }
        (day, start..end)
    }

    /// The instant at which the day after `day` begins.
    pub(super) fn boundary_after(&self, day: LocalDay, day_start: DayStart) -> Timestamp {
        self.boundary(day.date().tomorrow().expect("the last local day is not the last date"), day_start)
    }

    /// The instant at which `date` begins: the first at which the clock shows `date` at `day_start`, or later. A date
    /// that is skipped as a whole begins with the next one.
    pub(super) fn boundary(&self, date: Date, day_start: DayStart) -> Timestamp {
        if date <= LocalDay::MIN.date() {
            return first_instant();
        }
        if date > LocalDay::MAX.date() {
            return end_of_instants();
        }
        let second = utc(date, day_start).as_second();
        let margin = LARGEST_OFFSET.as_secs();
        let boundary = match self.step(second) {
            // every instant at which a clock can show this wall time lies inside the step: it shows it once
            Some(Steady { seconds, offset_seconds })
                if seconds.start.saturating_add(margin) <= second && second < seconds.end.saturating_sub(margin) =>
            {
                let second = second - i64::from(offset_seconds);
                Timestamp::from_second(second).expect("local days keep away from the ends of time")
            }
            _ => self.boundary_by_search(date, day_start),
        };
        boundary.clamp(first_instant(), end_of_instants())
    }

    fn boundary_by_search(&self, date: Date, day_start: DayStart) -> Timestamp {
        let ambiguous = self.time_zone.to_ambiguous_timestamp(day_start.on(date));
        let why = "local days keep away from the ends of time";
        let earlier = ambiguous.earlier().expect(why);
        let AmbiguousOffset::Gap { before, after } = ambiguous.offset() else {
            return earlier;
        };
        // jiff's "compatible" rule would push the wall time forward by the length of the gap, which begins the day late
        let latest = ambiguous.later().expect(why);
        let transition = self
            .time_zone
            .following(earlier)
            .take_while(|transition| transition.timestamp() <= latest)
            .find(|transition| transition.offset() == after)
            .map_or(latest, |transition| transition.timestamp());
        let next = date.tomorrow().expect("the last local day is not the last date");
        let skipped = before.to_datetime(transition)..after.to_datetime(transition);
        if skipped.start <= date.at(0, 0, 0, 0) && next.at(0, 0, 0, 0) <= skipped.end {
            self.boundary(next, day_start)
        } else {
            transition
        }
    }

    /// The step a second lies in; `None` when it is too late to be known.
    fn step(&self, second: i64) -> Option<Steady> {
        if second >= self.known_until {
            return None;
        }
        let next = self.steps.partition_point(|step| step.from <= second);
        let step = self.steps.get(next.checked_sub(1)?)?;
        let end = self.steps.get(next).map_or(self.known_until, |step| step.from);
        Some(Steady { seconds: step.from..end, offset_seconds: step.offset_seconds })
    }
}
