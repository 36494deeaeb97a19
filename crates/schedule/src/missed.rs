//! What becomes of the times at which a task was due and nobody ran it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::Timing;
use crate::timing::{Period, Piece};

/// The rule for missed runs.
///
/// Its text is `skip`, `once` or `all 5 within 1d`.
///
/// Of the times at which a task was due the latest is *on time* if it is at most 60 s ago. It runs by every rule; all others
/// are missed. So of a task that is due each second and looked at each second, one run begins and not two, however many of
/// its times are less than a minute old: runs of one task never overlap, and a task that falls behind must not pile them up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// None is made up for.
    Skip,
    /// One run makes up for all: the one on time, if there is one, or else the latest missed.
    Once,
    /// The latest `at_most` missed ones are made up for, as far as they were due within `within`, before the one on time.
    All {
        /// How many, 1 to 1,000; more count as 1,000.
        at_most: u32,
        /// How far back from now; in text 1 s to 366 d.
        within: SignedDuration,
    },
}

/// What is to run now, and when the next is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The instants to run for, the earliest first.
    pub runs: Vec<Timestamp>,
    /// How many times were due and are not run for; of an expression, 10,000 stands for that many or more.
    pub skipped: u64,
    /// The first instant after now at which the task is due; while `next` is to come, that; `None` = never again.
    pub next: Option<Timestamp>,
}

/// How late a run may begin without counting as missed.
pub(crate) const ON_TIME: SignedDuration = SignedDuration::from_secs(60);

/// The most missed runs that are made up for.
const AT_MOST: u32 = 1_000;

/// The most times of an expression that are counted: a few milliseconds.
const COUNTED_MAX: u64 = 10_000;

/// What is to run at `now` of a task whose next instant was to be `next`, which counts as due whatever the timing says.
///
/// While `now` is before `next`, as after a jump back of the clock, nothing is due and `next` stays.
///
/// Costs no more when nobody ran for years: of a period it is arithmetic; of an expression at most 10,000 times are counted
/// and at most 1,001 found from the end, each by at most 80 looks. At most 1,001 instants are returned.
#[must_use]
pub fn due(timing: &Timing, zone: &TimeZone, missed: Missed, next: Timestamp, now: Timestamp) -> Due {
    if now < next {
        return Due { runs: Vec::new(), skipped: 0, next: Some(next) };
    }
    let kept = match missed {
        Missed::Skip | Missed::Once => 1,
        Missed::All { at_most, .. } => at_most.min(AT_MOST) as usize + 1,
    };
    let (passed, counted_max) = match timing {
        Timing::Every(period) => (Passed::of_period(Period::of(*period), next, now, kept), u64::MAX),
        Timing::Cron(_) => (Passed::of_times(timing, zone, next, now, kept), COUNTED_MAX),
    };
    let runs = to_run(passed.latest, missed, now);
    let skipped = passed.count.saturating_sub(runs.len() as u64).min(counted_max);
    Due { runs, skipped, next: timing.next_after(now, zone) }
}

/// Those of the latest times for which there is a run.
fn to_run(mut latest: VecDeque<Timestamp>, missed: Missed, now: Timestamp) -> Vec<Timestamp> {
    let is_within = |instant: &Timestamp, span| now.duration_since(*instant) <= span;
    let on_time = latest.pop_back_if(|instant| is_within(instant, ON_TIME));
    let made_up = match missed {
        Missed::Skip => VecDeque::new(),
        Missed::Once if on_time.is_some() => VecDeque::new(),
        Missed::Once => latest,
        Missed::All { at_most, within } => {
            latest.retain(|instant| is_within(instant, within));
            latest.split_off(latest.len().saturating_sub(at_most.min(AT_MOST) as usize))
        }
    };
    made_up.into_iter().chain(on_time).collect()
}

/// The times at which a task was due.
struct Passed {
    /// The latest ones, the earliest first.
    latest: VecDeque<Timestamp>,
    /// How many there were; at least as many as are counted.
    count: u64,
}

impl Passed {
    fn of_period(period: Period, next: Timestamp, now: Timestamp, kept: usize) -> Self {
        let (first, last) = (period.number_at(next), period.number_at(now));
        let further = (first + 1..=last).rev().map_while(|number| period.multiple(number)).take(kept);
        let mut latest: VecDeque<Timestamp> = further.collect();
        latest.make_contiguous().reverse();
        if latest.len() < kept {
            latest.push_front(next);
        }
        Self { latest, count: last.abs_diff(first) + 1 }
    }

    fn of_times(timing: &Timing, zone: &TimeZone, next: Timestamp, now: Timestamp, kept: usize) -> Self {
        let mut latest = VecDeque::from([next]);
        let mut count = 1;
        let mut at = next;
        while let Some(found) = timing.next_after(at, zone).filter(|found| *found <= now) {
            if count == COUNTED_MAX {
                return Self { latest: from_the_end(timing, zone, next, now, kept), count: u64::MAX };
            }
            if latest.len() == kept {
                latest.pop_front();
            }
            latest.push_back(found);
            count += 1;
            at = found;
        }
        Self { latest, count }
    }
}

/// The last times after `next` up to `now`, the earliest first.
fn from_the_end(timing: &Timing, zone: &TimeZone, next: Timestamp, now: Timestamp, kept: usize) -> VecDeque<Timestamp> {
    let mut latest = VecDeque::new();
    let mut until = now;
    while latest.len() < kept
        && let Some(last) = last_time(timing, zone, next, until)
    {
        latest.push_front(last);
        until = last.saturating_sub(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN);
    }
    latest
}

/// The last time after `next` up to `until`: looked for in ever longer spans before `until`, then by halves of the span.
fn last_time(timing: &Timing, zone: &TimeZone, next: Timestamp, until: Timestamp) -> Option<Timestamp> {
    let after = |at: Timestamp| timing.next_after(at.max(next), zone).filter(|found| *found <= until);
    let back = |seconds: i64| until.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN);
    let mut none_after = 0;
    let mut reach = 1;
    let mut last = loop {
        match after(back(reach)) {
            Some(found) => break found,
            None if back(reach) <= next => return None,
            None => (none_after, reach) = (reach, reach * 2),
        }
    };
    loop {
        // Times are whole seconds: none is between if less than one is left.
        let left = until.duration_since(last).as_secs() - none_after;
        if left <= 0 {
            return Some(last);
        }
        let half = (left + 1) / 2;
        match after(back(none_after + half)) {
            Some(found) => last = found,
            None => none_after += half,
        }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip => f.write_str("skip"),
            Self::Once => f.write_str("once"),
            Self::All { at_most, within } => {
                write!(f, "all {} within {}", (*at_most).clamp(1, AT_MOST), Period::of(*within))
            }
        }
    }
}

/// A text that is no rule for missed runs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "missed runs (column {column}): {found}; accepted: skip, once, or all N within T with N from 1 to 1000 and T from 1s to 366d, such as all 5 within 1d"
)]
pub struct MissedError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What stands there.
    pub found: String,
}

impl FromStr for Missed {
    type Err = MissedError;

    fn from_str(text: &str) -> Result<Self, MissedError> {
        let wrong = |piece: Piece<'_>| MissedError { column: piece.column, found: piece.shown() };
        let (name, rest) = Piece::of(text).trimmed().first_word();
        let alone = match name.text {
            "skip" => Self::Skip,
            "once" => Self::Once,
            "all" => {
                let (number, rest) = rest.first_word();
                let (within, rest) = rest.first_word();
                let is_number = number.text.bytes().all(|byte| byte.is_ascii_digit());
                let at_most = number.text.parse().ok().filter(|number| is_number && (1..=AT_MOST).contains(number));
                let at_most = at_most.ok_or_else(|| wrong(number))?;
                if within.text != "within" {
                    return Err(wrong(within));
                }
                return Ok(Self::All { at_most, within: Period::read(rest).map_err(wrong)?.duration() });
            }
            _ => return Err(wrong(name)),
        };
        if rest.text.is_empty() { Ok(alone) } else { Err(wrong(rest)) }
    }
}

impl Serialize for Missed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Missed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
