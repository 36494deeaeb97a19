//! The obvious way to know when an expression is due: look at the clock again and again.

use jiff::civil::{DateTime, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

const MINUTE: SignedDuration = SignedDuration::from_secs(60);

const NAMES: [&str; 19] = [
    "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP",
    "OCT", "NOV", "DEC",
];

/// The numbers that each field of an expression names, 7 among the weekdays as well.
pub(crate) struct Model {
    numbers: [Vec<i8>; 6],
    has_distances: bool,
    is_any_day: bool,
    is_any_weekday: bool,
    /// How often it looks: every minute, or every second for expressions with seconds.
    step: SignedDuration,
}

impl Model {
    pub(crate) fn of(text: &str) -> Self {
        let mut fields: Vec<String> = text.split_whitespace().map(str::to_ascii_uppercase).collect();
        let has_seconds = fields.len() == 6;
        if !has_seconds {
            fields.insert(0, "0".to_owned());
        }
        let bounds = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
        Self {
            numbers: std::array::from_fn(|place| numbers(&fields[place], bounds[place])),
            has_distances: fields[..3].iter().any(|field| field.contains('*')),
            is_any_day: fields[3] == "*",
            is_any_weekday: fields[5] == "*",
            step: SignedDuration::from_secs(if has_seconds { 1 } else { 60 }),
        }
    }

    /// The instants after `from` up to `to`.
    pub(crate) fn enumerate(&self, zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let mut found = Vec::new();
        let mut instant = from.round(jiff::Unit::Minute).unwrap() - MINUTE;
        let mut reached = self.reached_before(zone, instant);
        while instant <= to {
            let shown = zone.to_datetime(instant);
            let is_due = if self.has_distances { self.names(shown) } else { self.is_reached(reached, shown) };
            if is_due && instant > from {
                found.push(instant);
            }
            reached = reached.max(shown);
            instant += self.step;
        }
        found
    }

    /// The latest time that the clock has shown, in two days: at minutes, and at the ends of minutes.
    fn reached_before(&self, zone: &TimeZone, instant: Timestamp) -> DateTime {
        let minutes = (0..2 * 24 * 60).map(|minute| instant - MINUTE * minute);
        let shown = minutes.flat_map(|minute| [minute - self.step, minute - MINUTE].map(|at| zone.to_datetime(at)));
        shown.max().unwrap()
    }

    /// Whether one of the times is after one and not after another.
    fn is_reached(&self, after: DateTime, until: DateTime) -> bool {
        let mut time = after + self.step;
        while time <= until {
            if self.names(time) {
                return true;
            }
            time += self.step;
        }
        false
    }

    pub(crate) fn names(&self, time: DateTime) -> bool {
        let of_week = time.weekday().to_sunday_zero_offset();
        let [seconds, minutes, hours, days, months, weekdays] = &self.numbers;
        let is_day = days.contains(&time.day());
        let is_weekday = weekdays.contains(&of_week) || of_week == 0 && weekdays.contains(&7);
        let is_date = match (self.is_any_day, self.is_any_weekday) {
            (true, _) => is_weekday,
            (_, true) => is_day,
            _ => is_day || is_weekday,
        };
        is_date
            && months.contains(&time.month())
            && hours.contains(&time.hour())
            && minutes.contains(&time.minute())
            && seconds.contains(&time.second())
    }

    /// Whether there is a day on which it is due, in 28 years, after which weekdays repeat.
    pub(crate) fn has_a_day(&self) -> bool {
        let days = date(2000, 1, 1).at(0, 0, 0, 0).series(1.day()).take(28 * 366);
        let first = |numbers: &[i8]| numbers.first().copied().unwrap();
        let [seconds, minutes, hours, ..] = &self.numbers;
        days.map(|day| day.date().at(first(hours), first(minutes), first(seconds), 0)).any(|time| self.names(time))
    }
}

fn numbers(field: &str, (first, last): (i8, i8)) -> Vec<i8> {
    let part = |part: &str| {
        let (values, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = match values.split_once('-') {
            _ if values == "*" => (first, last),
            Some((from, to)) => (number(from), if to == "SUN" { 7 } else { number(to) }),
            None => (number(values), number(values)),
        };
        (from..=to).step_by(step.parse().unwrap()).collect::<Vec<_>>()
    };
    field.split(',').flat_map(part).collect()
}

fn number(text: &str) -> i8 {
    let named = NAMES.iter().zip(0..).find(|(name, _)| **name == text);
    named.map_or_else(|| text.parse().unwrap(), |(_, place)| if place < 7 { place } else { place - 6 })
}
