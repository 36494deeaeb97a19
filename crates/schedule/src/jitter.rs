//! When a run begins that is due together with others.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A time from `due` to `due + jitter`, both included: each microsecond equally likely when each `random` is.
///
/// The same for the same number, so that all nodes agree on it if they agree on that. Ends at the end of the calendar.
#[must_use]
pub fn jittered(due: Timestamp, jitter: Duration, random: u64) -> Timestamp {
    let longest = i64::try_from(jitter.as_micros()).unwrap_or(i64::MAX);
    let choices = u128::from(longest.unsigned_abs()) + 1;
    let chosen = (u128::from(random) * choices) >> u64::BITS;
    let delay = SignedDuration::from_micros(i64::try_from(chosen).unwrap_or(longest));
    due.checked_add(delay).unwrap_or(Timestamp::MAX)
}
