//! Cron expressions: which times of a wall clock they name.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time};

use super::{Field, Piece, TimingError};

/// What the names with `@` stand for.
const NICKNAMES: [(&str, &str); 6] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * SUN"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// How many days each month can have.
const MONTH_LENGTHS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A cron expression: `minute hour day month weekday`, or six fields with seconds first, or `@hourly`, `@daily`, `@weekly`,
/// `@monthly`, `@yearly` or `@annually`.
///
/// A field is `*`, or a list of values, ranges `a-b` and steps `*/n` or `a-b/n`; months and weekdays also have names (JAN,
/// MON, in any case), and the weekdays 0 and 7 are both Sunday. An expression that names a day that no year has is refused.
///
/// **Day and weekday.** If neither of the two fields is exactly `*`, a day needs to match *either*, as with Vixie cron:
/// `0 0 13 * FRI` is every 13th and every Friday. If one is `*`, the other decides. (Vixie cron takes `*/2` for a `*` here and
/// demands both; this does not.)
///
/// **When the clocks of the zone change** there are two kinds of expressions, as with Vixie cron:
///
/// - *Times of a day*: no `*` in the fields of hour, minute and second, such as `30 2 * * *` or `0 1-5 * * *`. Each time runs
///   once on each day that has it or leaves it out. If the clock leaves it out it runs at the first instant after the gap,
///   together with all others of that gap; if the clock shows it twice, at the first of the two.
/// - *Distances*: a `*` in one of these fields, such as `*/15 * * * *` or `0 * * * *`. They run whenever the clock shows such
///   a time: in an hour that comes twice, twice; of an hour that is left out, not at all, and nothing is made up for. So
///   `*/15 2 * * *` does not run on a day without the hour from 02:00.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// As it was written, with single spaces, names of months and days in capitals.
    text: String,
    times: Times,
    days: Days,
    /// Whether it is of the second kind.
    pub(super) has_distances: bool,
}

impl Expression {
    /// The first time from `from` on, whole seconds, of a clock that leaves out and repeats nothing.
    pub(super) fn at_or_after(&self, from: DateTime) -> Option<DateTime> {
        let from = match from.subsec_nanosecond() {
            0 => from,
            _ => from.with().subsec_nanosecond(0).build().ok()?.checked_add(1.second()).ok()?,
        };
        let today = self.days.contain(from.date()).then(|| self.times.at_or_after(from.time())).flatten();
        if let Some(time) = today {
            return Some(from.date().to_datetime(time));
        }
        let date = self.days.at_or_after(from.date().tomorrow().ok()?)?;
        Some(date.to_datetime(self.times.at_or_after(Time::midnight())?))
    }

    /// The five or six fields of a trimmed text, without a nickname.
    fn read(whole: Piece<'_>) -> Result<Self, TimingError> {
        let words = whole.words();
        let fields = match words.as_slice() {
            [] => return Err(TimingError::Missing { field: Field::Minute, column: whole.column }),
            [_, _, _, _, _] => &Field::ALL[1..],
            [_, _, _, _, _, _] => &Field::ALL[..],
            [_, _, _, _, _, _, surplus, ..] => {
                return Err(TimingError::Surplus { column: surplus.column, found: surplus.shown() });
            }
            few => return Err(TimingError::Missing { field: Field::ALL[few.len() + 1], column: whole.end() + 1 }),
        };
        for (field, word) in fields.iter().zip(&words) {
            field.check(*word)?;
        }
        let text = words.iter().map(|word| word.text.to_ascii_uppercase()).collect::<Vec<_>>().join(" ");
        let cron = Cron::from_str(&text).map_err(|refused| TimingError::Unread { reason: refused.to_string() })?;
        let (clock, calendar) = words.split_at(words.len() - 3);
        let days = Days::of(&cron);
        if days.is_never() {
            let (day, month) = (calendar[0], calendar[1]);
            return Err(TimingError::Never { column: day.column, days: day.shown(), months: month.shown() });
        }
        let has_distances = clock.iter().any(|field| field.text.contains('*'));
        Ok(Self { text, times: Times::of(&cron), days, has_distances })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Some of the numbers from 0 to 59.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers(u64);

impl Numbers {
    fn of(values: Vec<u16>) -> Self {
        Self(values.into_iter().fold(0, |numbers, number| numbers | 1 << number))
    }

    fn contain(self, number: i8) -> bool {
        self.0 >> number & 1 == 1
    }

    /// The first from `number` on; it may be one above the last.
    fn at_or_after(self, number: i8) -> Option<i8> {
        let rest = self.0 >> number << number;
        (rest != 0).then(|| i8::try_from(rest.trailing_zeros()).ok()).flatten()
    }
}

/// Times of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    hours: Numbers,
    minutes: Numbers,
    seconds: Numbers,
}

impl Times {
    fn of(cron: &Cron) -> Self {
        let pattern = &cron.pattern;
        Self {
            hours: Numbers::of(pattern.hours.values()),
            minutes: Numbers::of(pattern.minutes.values()),
            seconds: Numbers::of(pattern.seconds.values()),
        }
    }

    fn at_or_after(&self, from: Time) -> Option<Time> {
        let hour = self.hours.at_or_after(from.hour())?;
        if hour == from.hour() {
            if self.minutes.contain(from.minute())
                && let Some(second) = self.seconds.at_or_after(from.second())
            {
                return Time::new(hour, from.minute(), second, 0).ok();
            }
            if let Some(minute) = self.minutes.at_or_after(from.minute() + 1) {
                return Time::new(hour, minute, self.seconds.at_or_after(0)?, 0).ok();
            }
        }
        let hour = if hour == from.hour() { self.hours.at_or_after(hour + 1)? } else { hour };
        Time::new(hour, self.minutes.at_or_after(0)?, self.seconds.at_or_after(0)?, 0).ok()
    }
}

/// Days of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Days {
    months: Numbers,
    days: Numbers,
    /// 0 is Sunday.
    weekdays: Numbers,
    /// Whether one of day and weekday is enough: neither is `*`.
    is_one_enough: bool,
}

impl Days {
    fn of(cron: &Cron) -> Self {
        let pattern = &cron.pattern;
        Self {
            months: Numbers::of(pattern.months.values()),
            days: Numbers::of(pattern.days.values()),
            weekdays: Numbers::of(pattern.days_of_week.values()),
            is_one_enough: !pattern.is_dom_wildcard() && !pattern.is_dow_wildcard(),
        }
    }

    fn contain(&self, date: Date) -> bool {
        let is_day = self.days.contain(date.day());
        let is_weekday = self.weekdays.contain(date.weekday().to_sunday_zero_offset());
        let is_either = if self.is_one_enough { is_day || is_weekday } else { is_day && is_weekday };
        self.months.contain(date.month()) && is_either
    }

    /// At most 96 months and the days of those that match: eight years are the longest without a 29 February.
    fn at_or_after(&self, from: Date) -> Option<Date> {
        let mut date = from;
        while !self.contain(date) {
            date = if self.months.contain(date.month()) { date } else { date.last_of_month() }.tomorrow().ok()?;
        }
        Some(date)
    }

    fn is_never(&self) -> bool {
        let has_day = |(length, month): (u8, i8)| {
            let days = (2 << length) - 1;
            self.months.contain(month) && self.days.0 & days != 0
        };
        !self.is_one_enough && !MONTH_LENGTHS.into_iter().zip(1..).any(has_day)
    }
}

impl FromStr for Expression {
    type Err = TimingError;

    fn from_str(text: &str) -> Result<Self, TimingError> {
        let whole = Piece::of_limited(text)?;
        if !whole.text.starts_with('@') {
            return Self::read(whole);
        }
        let known = NICKNAMES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(whole.text));
        let (name, fields) =
            known.ok_or_else(|| TimingError::Nickname { column: whole.column, found: whole.shown() })?;
        Ok(Self { text: name.to_owned(), ..Self::read(Piece::of(fields))? })
    }
}
