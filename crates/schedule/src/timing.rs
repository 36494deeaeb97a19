//! When a task is due.

mod error;
mod expression;
mod field;
mod instants;
mod period;
mod piece;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use error::TimingError;
pub use expression::Expression;
pub use field::Field;
pub(crate) use period::Period;
pub(crate) use piece::Piece;

/// When a task is due: at equal distances, or as a cron expression says.
///
/// Its text is `every 300s`, `every 5m` or `every 1h 30m`, or the expression, such as `0 2 * * *`; it is shown as `every 300s`
/// (always in seconds) or as the expression was written.
///
/// # Examples
///
/// ```
/// use jiff::{Timestamp, tz::TimeZone};
/// use tierkeep_schedule::Timing;
///
/// let timing: Timing = "30 2 * * *".parse()?;
/// let zone = TimeZone::get("Europe/Berlin")?;
/// let eve: Timestamp = "2026-03-28T12:00:00Z".parse()?;
///
/// // The clock goes from 02:00 to 03:00 that night.
/// assert_eq!(timing.next_after(eve, &zone), Some("2026-03-29T01:00:00Z".parse()?));
/// assert_eq!(
///     "61 2 * * *".parse::<Timing>().unwrap_err().to_string(),
///     "minute field (column 1): 61; accepted: 0-59, *, ranges a-b, lists, steps */n or a-b/n",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// At every multiple of a time since 1970-01-01T00:00:00Z: the same instants on every node, whenever it started. 1 s to
    /// 366 d, whole seconds; another time counts as the nearest of these below it, or as 1 s.
    Every(SignedDuration),
    /// At the times of a wall clock.
    Cron(Expression),
}

impl Timing {
    /// The first instant after `after` at which the task is due; `None`: it never is, up to the year 9999.
    ///
    /// The same on every node, since it depends on nothing else. What happens when the clocks of the zone change is told at
    /// [`Expression`]; a period knows no zone.
    #[must_use]
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(period) => {
                let period = Period::of(*period);
                period.multiple(period.number_at(after) + 1)
            }
            Self::Cron(expression) => expression.next_after(after, zone),
        }
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(period) => write!(f, "every {}s", Period::of(*period).seconds()),
            Self::Cron(expression) => expression.fmt(f),
        }
    }
}

impl FromStr for Timing {
    type Err = TimingError;

    fn from_str(text: &str) -> Result<Self, TimingError> {
        let (first, rest) = Piece::of_limited(text)?.first_word();
        if first.text.eq_ignore_ascii_case("every") {
            let wrong = |piece: Piece<'_>| TimingError::Period { column: piece.column, found: piece.shown() };
            return Ok(Self::Every(Period::read(rest).map_err(wrong)?.duration()));
        }
        text.parse().map(Self::Cron)
    }
}

impl Serialize for Timing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
