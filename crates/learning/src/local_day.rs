//! A learner's calendar day, and the arithmetic on such days.
//!
//! A [`LocalDay`] is only a date; which instants belong to it is decided by a [`crate::calendar::Calendar`], and only there.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A learner's calendar day, between 0001-01-02 and 9998-12-30.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDay(Date);

/// A text or a number that is no day, month or year we can answer for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is not a {what}; accepted: {accepted}")]
pub struct DayError {
    given: String,
    what: &'static str,
    accepted: &'static str,
}

impl LocalDay {
    /// The first day there is.
    pub const MIN: Self = Self(Date::constant(1, 1, 2));
    /// The last day there is.
    pub const MAX: Self = Self(Date::constant(9998, 12, 30));

    /// Takes a date.
    ///
    /// # Errors
    /// [`DayError`] outside [`LocalDay::MIN`]..=[`LocalDay::MAX`].
    pub fn new(date: Date) -> Result<Self, DayError> {
        if (Self::MIN.0..=Self::MAX.0).contains(&date) { Ok(Self(date)) } else { Err(day_error(&date.to_string())) }
    }

    /// Takes a date, moved into the range there is.
    #[must_use]
    pub fn clamped(date: Date) -> Self {
        Self(date.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// The date of this day.
    #[must_use]
    pub fn date(self) -> Date {
        self.0
    }

    /// The day `days` later (earlier when negative), stopping at the ends of the range.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        let number = self.number().saturating_add(days).clamp(Self::MIN.number(), Self::MAX.number());
        Self::from_number(number).expect("clamped to the range")
    }

    /// How many days `other` lies after this one; negative when before.
    #[must_use]
    pub fn days_until(self, other: Self) -> i32 {
        other.number() - self.number()
    }

    /// Days since 1970-01-01: the stored form.
    ///
    /// Computed in integers as years that begin in March, so that a leap day is the last of its year
    /// (<https://howardhinnant.github.io/date_algorithms.html>); some ten times faster than a difference of dates, and
    /// streaks over ten years ask a few thousand times.
    #[must_use]
    pub fn number(self) -> i32 {
        let (month, day) = (i32::from(self.0.month()), i32::from(self.0.day()));
        let year = i32::from(self.0.year()) - i32::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * DAYS_OF_ERA + day_of_era - DAYS_TO_1970
    }

    /// The inverse of [`LocalDay::number`]; `None` outside the range.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let shifted = number.checked_add(DAYS_TO_1970)?;
        let (era, day_of_era) = (shifted.div_euclid(DAYS_OF_ERA), shifted.rem_euclid(DAYS_OF_ERA));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + i32::from(month <= 2);
        let date = Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()?;
        Self::new(date).ok()
    }

    /// The Monday of this day's week.
    #[must_use]
    pub fn monday(self) -> Self {
        self.plus(-i32::from(self.0.weekday().since(Weekday::Monday)))
    }

    /// The month this day lies in.
    #[must_use]
    pub fn month(self) -> Month {
        Month(self.0.first_of_month())
    }

    /// All days from this one to `last`, both included.
    pub fn through(self, last: Self) -> impl DoubleEndedIterator<Item = Self> {
        (self.number()..=last.number()).filter_map(Self::from_number)
    }
}

/// Days of the 400 years after which the calendar repeats.
const DAYS_OF_ERA: i32 = 146_097;
/// Days from the 1st of March of the year 0 to 1970-01-01.
const DAYS_TO_1970: i32 = 719_468;

fn day_error(given: &str) -> DayError {
    DayError { given: crate::key::clip(given), what: "date", accepted: "YYYY-MM-DD from 0001-01-02 to 9998-12-30" }
}

impl fmt::Display for LocalDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for LocalDay {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        // jiff also reads week dates and times; a day is written in one way only
        let shape = text.len() == 10
            && text.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        let date = shape.then(|| text.parse::<Date>().ok()).flatten().ok_or_else(|| day_error(text))?;
        Self::new(date)
    }
}

impl Serialize for LocalDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LocalDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A calendar month, written `2026-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(Date);

impl Month {
    /// The first day of the month (the first day there is, in the month of [`LocalDay::MIN`]).
    #[must_use]
    pub fn first(self) -> LocalDay {
        LocalDay::clamped(self.0)
    }

    /// The last day of the month.
    #[must_use]
    pub fn last(self) -> LocalDay {
        LocalDay::clamped(self.0.last_of_month())
    }

    /// First to last day.
    #[must_use]
    pub fn days(self) -> RangeInclusive<LocalDay> {
        self.first()..=self.last()
    }

    /// A day of the month by its number, from 1; `None` if the month has no such day.
    #[must_use]
    pub fn day(self, number: i8) -> Option<LocalDay> {
        Date::new(self.0.year(), self.0.month(), number).ok().and_then(|date| LocalDay::new(date).ok())
    }

    /// Months since January of year 0: the stored form.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::from(self.0.year()) * 12 + i32::from(self.0.month()) - 1
    }

    /// The inverse of [`Month::number`]; `None` outside the range of days.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let year = i16::try_from(number.div_euclid(12)).ok()?;
        let month = i8::try_from(number.rem_euclid(12) + 1).ok()?;
        Self::of(Date::new(year, month, 1).ok()?)
    }

    fn of(first: Date) -> Option<Self> {
        LocalDay::new(first.last_of_month().min(LocalDay::MAX.0)).ok().filter(|day| day.0 >= first).map(|_| Self(first))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

impl FromStr for Month {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let error =
            || DayError { given: crate::key::clip(text), what: "month", accepted: "YYYY-MM from 0001-01 to 9998-12" };
        let shape = text.len() == 7
            && text.bytes().enumerate().all(|(at, byte)| match at {
                4 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !shape {
            return Err(error());
        }
        format!("{text}-01").parse::<Date>().ok().and_then(Self::of).ok_or_else(error)
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A calendar year, 1 to 9998.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Year(i16);

impl Year {
    /// # Errors
    /// [`DayError`] outside 1..=9998.
    pub fn new(year: i16) -> Result<Self, DayError> {
        if (1..=9998).contains(&year) {
            Ok(Self(year))
        } else {
            Err(DayError { given: year.to_string(), what: "year", accepted: "1 to 9998" })
        }
    }

    /// The year a day lies in.
    #[must_use]
    pub fn of(day: LocalDay) -> Self {
        Self(day.0.year())
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i16 {
        self.0
    }

    /// First to last day of the year (to the last day there is, in 9998).
    #[must_use]
    pub fn days(self) -> RangeInclusive<LocalDay> {
        let first = Date::new(self.0, 1, 1).expect("the constructor checked the year");
        LocalDay::clamped(first)..=LocalDay::clamped(first.last_of_year())
    }
}

impl fmt::Display for Year {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Year {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let error = || DayError { given: crate::key::clip(text), what: "year", accepted: "1 to 9998" };
        text.parse().map_err(|_| error()).and_then(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_is_written_in_one_way() {
        assert_eq!("2025-06-27".parse::<LocalDay>().unwrap().to_string(), "2025-06-27");
        for bad in
            ["2025-6-27", "2025-06-31", "0000-01-01", "0001-01-01", "9999-12-31", "2025-W26-5", "20250627", "", "🦀"]
        {
            let message = bad.parse::<LocalDay>().unwrap_err().to_string();
            assert!(message.contains("accepted"), "{message}");
        }
    }

    #[test]
    fn a_week_begins_on_monday() {
        let friday: LocalDay = "2025-06-27".parse().unwrap();

        assert_eq!(friday.monday().to_string(), "2025-06-23");
        assert_eq!(friday.monday().monday(), friday.monday());
        assert_eq!(friday.plus(2).monday(), friday.monday());
        assert_eq!(friday.plus(3).monday(), friday.plus(3));
    }

    #[test]
    fn months_know_their_length() {
        let february: Month = "2024-02".parse().unwrap();

        assert_eq!(february.last().to_string(), "2024-02-29");
        assert_eq!(february.to_string(), "2024-02");
        for bad in ["2024-13", "2024-2", "0000-05", "9999-01", "2024-02-01"] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(LocalDay::MAX.plus(1), LocalDay::MAX);
        assert_eq!(LocalDay::MIN.plus(-400), LocalDay::MIN);
        assert_eq!(LocalDay::MIN.through(LocalDay::MIN.plus(-5)).count(), 1);
    }

    #[test]
    fn numbers_are_days_since_1970_by_the_calendar_of_jiff() {
        let mut date = LocalDay::MIN.date();
        let first = Date::constant(1970, 1, 1);
        while date < LocalDay::MAX.date() {
            let expected = first.until(date).unwrap().get_days();
            assert_eq!(LocalDay::new(date).unwrap().number(), expected, "{date}");
            date = date.saturating_add(jiff::Span::new().days(97));
        }
        assert_eq!(LocalDay::from_number(LocalDay::MAX.number() + 1), None);
        assert_eq!(LocalDay::from_number(LocalDay::MIN.number() - 1), None);
        assert_eq!(LocalDay::from_number(i32::MAX), None);
    }

    proptest! {
        #[test]
        fn numbers_are_read_back(number in -719_000i32..2_900_000) {
            let day = LocalDay::from_number(number).unwrap();
            prop_assert_eq!(day.number(), number);
            prop_assert_eq!(Month::from_number(day.month().number()), Some(day.month()));
            prop_assert_eq!(day.plus(1).number(), number + 1);
            prop_assert!(day.month().days().contains(&day));
            prop_assert!(Year::of(day).days().contains(&day));
        }
    }
}
