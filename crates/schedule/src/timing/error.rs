//! Why a text is no timing, and where.

use thiserror::Error;

use super::Field;
use super::piece::LENGTH_MAX;

/// What a whole timing may be, for errors.
const ACCEPTED: &str =
    "minute hour day month weekday (such as 0 2 * * *), with seconds before them, or a period such as every 5m";

/// Why a text is no timing. Columns are counted in characters, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimingError {
    /// Longer than anything that makes sense.
    #[error("{characters} characters; accepted: at most {}", LENGTH_MAX)]
    Length {
        /// How many there are.
        characters: usize,
    },
    /// After `every`, no time between two runs.
    #[error(
        "period (column {column}): {found}; accepted: 1s to 366d, as numbers with d, h, m or s in this order, such as 300s, 5m or 1h 30m"
    )]
    Period {
        /// Where.
        column: usize,
        /// What stands there.
        found: String,
    },
    /// A field holds what it may not.
    #[error("{field} field (column {column}): {found}; accepted: {}", field.accepted())]
    Field {
        /// Which field.
        field: Field,
        /// Where.
        column: usize,
        /// What stands there.
        found: String,
    },
    /// Fewer than five fields.
    #[error("{field} field (column {column}): nothing; accepted: {ACCEPTED}")]
    Missing {
        /// The first that is missing.
        field: Field,
        /// Where it should begin.
        column: usize,
    },
    /// More than six fields.
    #[error("after the last field (column {column}): {found}; accepted: {ACCEPTED}")]
    Surplus {
        /// Where.
        column: usize,
        /// What stands there.
        found: String,
    },
    /// A name with `@` that stands for no expression.
    #[error("nickname (column {column}): {found}; accepted: @hourly, @daily, @weekly, @monthly, @yearly or @annually")]
    Nickname {
        /// Where.
        column: usize,
        /// What stands there.
        found: String,
    },
    /// None of the months has any of the days.
    #[error(
        "day field (column {column}): {days} is in no month of {months}, so that it would never run; accepted: a day that one of the months has"
    )]
    Never {
        /// Where the days stand.
        column: usize,
        /// The field of the days.
        days: String,
        /// The field of the months.
        months: String,
    },
    /// The fields pass, but the whole cannot be read.
    #[error("cron expression: {reason}; accepted: {ACCEPTED}")]
    Unread {
        /// What the reader of expressions says.
        reason: String,
    },
}
