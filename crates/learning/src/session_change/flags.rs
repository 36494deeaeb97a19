//! What is odd about a session that is stored all the same. Flags are told, and nothing is changed for them.

use std::fmt;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use crate::rows::SessionRow;

/// Longest session that is not odd.
const LONG: SignedDuration = SignedDuration::from_hours(16);
/// Clocks of devices may be ahead by this much.
const AHEAD: SignedDuration = SignedDuration::from_hours(1);

/// Something odd about a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// It shares time with another session of the learner; touching ends do not.
    Overlap,
    /// It is open and began more than 16 hours ago.
    OpenTooLong,
    /// It has more than 16 hours.
    OverLong,
    /// It begins more than an hour from now.
    Future,
}

impl Flag {
    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::OpenTooLong => "open_too_long",
            Self::OverLong => "over_long",
            Self::Future => "future",
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Flag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The flags of a session, in the order of [`Flag`]. Whether it overlaps another one the database knows.
#[must_use]
pub fn flags(row: &SessionRow, overlaps: bool, now: Timestamp) -> Vec<Flag> {
    let is_open_too_long = row.is_active && row.end_time.is_none() && now.duration_since(row.start_time) > LONG;
    let is_over_long = SignedDuration::from_mins(row.duration_minutes.into()) > LONG;
    let is_future = row.start_time.duration_since(now) > AHEAD;
    [
        (overlaps, Flag::Overlap),
        (is_open_too_long, Flag::OpenTooLong),
        (is_over_long, Flag::OverLong),
        (is_future, Flag::Future),
    ]
    .into_iter()
    .filter_map(|(is_raised, flag)| is_raised.then_some(flag))
    .collect()
}

/// The time a session takes: up to its end; without one up to now while it is open, else for its minutes.
#[must_use]
pub fn occupied(row: &SessionRow, now: Timestamp) -> Range<Timestamp> {
    let studied = SignedDuration::from_mins(row.duration_minutes.clamp(0, LONGEST_MINUTES).into());
    let end = row.end_time.unwrap_or_else(|| {
        let studied = row.start_time.checked_add(studied).unwrap_or(row.start_time);
        if row.is_active { studied.max(now) } else { studied }
    });
    row.start_time..end.max(row.start_time)
}

/// Minutes that count at most for the time a session takes: a week, as far back as overlaps are looked for.
const LONGEST_MINUTES: i32 = 7 * 24 * 60;
