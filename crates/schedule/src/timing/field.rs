//! What a field of a cron expression may hold, and where it does not.

use std::fmt;

use super::{Piece, TimingError};

/// A field of a cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// 0-59; only in expressions of six fields.
    Second,
    /// 0-59.
    Minute,
    /// 0-23.
    Hour,
    /// Of the month, 1-31.
    Day,
    /// 1-12 or JAN-DEC.
    Month,
    /// 0-7 or SUN-SAT, where 0 and 7 are Sunday.
    Weekday,
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const SUNDAY_AT_THE_END: u16 = 7;

impl Field {
    /// In the order in which they stand.
    pub(super) const ALL: [Self; 6] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Weekday];

    /// What the field may hold, for people.
    #[must_use]
    pub fn accepted(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => "0-59, *, ranges a-b, lists, steps */n or a-b/n",
            Self::Hour => "0-23, *, ranges a-b, lists, steps */n or a-b/n",
            Self::Day => "1-31, *, ranges a-b, lists, steps */n or a-b/n",
            Self::Month => "1-12 or JAN-DEC, *, ranges a-b, lists, steps */n or a-b/n",
            Self::Weekday => "0-7 or SUN-SAT (0 and 7 are SUN), *, ranges a-b, lists, steps */n or a-b/n",
        }
    }

    /// Refuses what the field may not hold. What it lets through croner reads, too, and in the same way.
    pub(super) fn check(self, given: Piece<'_>) -> Result<(), TimingError> {
        if given.text == "*" {
            return Ok(());
        }
        let mut rest = Some(given);
        while let Some(list) = rest {
            let (part, after) = list.split(',').map_or((list, None), |(part, after)| (part, Some(after)));
            self.check_part(part)?;
            rest = after;
        }
        Ok(())
    }

    fn check_part(self, part: Piece<'_>) -> Result<(), TimingError> {
        let Some((values, step)) = part.split('/') else {
            return self.check_values(part);
        };
        let has_step = number(step.text).is_some_and(|step| (1..=self.last()).contains(&step));
        if !has_step {
            return Err(self.wrong(step));
        }
        match values.text {
            "*" => Ok(()),
            text if text.contains('-') => self.check_values(values),
            // croner and cron of old refuse `5/10`: some read it as `5-59/10`, some as `5`.
            _ => Err(self.wrong(part)),
        }
    }

    /// One value, or a range.
    fn check_values(self, values: Piece<'_>) -> Result<(), TimingError> {
        let Some((first, last)) = values.split('-') else {
            return self.value(values.text).map(drop).ok_or_else(|| self.wrong(values));
        };
        let from = self.value(first.text).ok_or_else(|| self.wrong(first))?;
        let to = self.value(last.text).ok_or_else(|| self.wrong(last))?;
        let is_sunday = self == Self::Weekday && last.text.eq_ignore_ascii_case(WEEKDAYS[0]);
        let to = if is_sunday { SUNDAY_AT_THE_END } else { to };
        if from <= to { Ok(()) } else { Err(self.wrong(values)) }
    }

    fn value(self, text: &str) -> Option<u16> {
        let names: &[&str] = match self {
            Self::Month => &MONTHS,
            Self::Weekday => &WEEKDAYS,
            _ => &[],
        };
        let named = names.iter().zip(self.first()..).find(|(name, _)| name.eq_ignore_ascii_case(text));
        named
            .map(|(_, value)| value)
            .or_else(|| number(text))
            .filter(|value| (self.first()..=self.last()).contains(value))
    }

    fn first(self) -> u16 {
        match self {
            Self::Second | Self::Minute | Self::Hour | Self::Weekday => 0,
            Self::Day | Self::Month => 1,
        }
    }

    fn last(self) -> u16 {
        match self {
            Self::Second | Self::Minute => 59,
            Self::Hour => 23,
            Self::Day => 31,
            Self::Month => 12,
            Self::Weekday => SUNDAY_AT_THE_END,
        }
    }

    fn wrong(self, piece: Piece<'_>) -> TimingError {
        TimingError::Field { field: self, column: piece.column, found: piece.shown() }
    }
}

/// Digits alone, without a sign.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Weekday => "weekday",
        })
    }
}
