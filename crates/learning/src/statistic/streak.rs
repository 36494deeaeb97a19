//! Runs of consecutive active days over all history.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::active_days::ActiveDays;
use crate::calendar::Calendar;
use crate::local_day::LocalDay;

/// A learner's streaks over all history. A day is active when its duration is above 0.
///
/// A day that has ended without study breaks a run; a day that does not exist in the learner's time zone neither breaks
/// nor lengthens it. Streaks are computed from the days each time, so a late session repairs a broken one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Streaks {
    /// Active days in the run that reaches today, or yesterday while today is still empty; 0 when there is none. Days
    /// after today (clocks that run ahead, travel) do not enter it.
    pub current_streak: u32,
    /// Active days in the longest run, days after today included.
    pub longest_streak: u32,
    /// First active day of the current run; null when there is none.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Date, required))]
    pub current_start: Option<LocalDay>,
    /// First active day of the longest run, of several the earliest; null without active days.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Date, required))]
    pub longest_start: Option<LocalDay>,
    /// Last active day of the longest run; null without active days.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Date, required))]
    pub longest_end: Option<LocalDay>,
    /// The end of today, when the current run is lost unless something is studied before; null when today is already
    /// active or there is no current run.
    #[serde(serialize_with = "instant")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime, required))]
    pub at_risk_until: Option<Timestamp>,
}

/// The streaks of a learner whose present day is `today`. Linear in the number of active days.
#[must_use]
pub fn streaks(active: &ActiveDays, calendar: &Calendar, today: LocalDay) -> Streaks {
    let longest = longest_run(active.iter(), calendar);
    let current = current_run(active.iter(), calendar, today);
    let pending = !active.contains(today);
    Streaks {
        current_streak: current.map_or(0, |run| run.days),
        longest_streak: longest.map_or(0, |run| run.days),
        current_start: current.map(|run| run.start),
        longest_start: longest.map(|run| run.start),
        longest_end: longest.map(|run| run.end),
        at_risk_until: current.filter(|_| pending).and_then(|_| calendar.ends(today)),
    }
}

/// Consecutive active days.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: LocalDay,
    end: LocalDay,
    days: u32,
}

impl Run {
    fn of(day: LocalDay) -> Self {
        Self { start: day, end: day, days: 1 }
    }
}

fn longest_run(active: impl Iterator<Item = LocalDay>, calendar: &Calendar) -> Option<Run> {
    let mut run: Option<Run> = None;
    let mut longest: Option<Run> = None;
    for day in active {
        let extended = run
            .filter(|run| unbroken(run.end, day, calendar))
            .map_or_else(|| Run::of(day), |run| Run { end: day, days: run.days.saturating_add(1), ..run });
        if longest.is_none_or(|longest| extended.days > longest.days) {
            longest = Some(extended);
        }
        run = Some(extended);
    }
    longest
}

fn current_run(active: impl DoubleEndedIterator<Item = LocalDay>, calendar: &Calendar, today: LocalDay) -> Option<Run> {
    let mut begun = active.rev().skip_while(|day| *day > today);
    let last = begun.next().filter(|last| unbroken(*last, today, calendar))?;
    let mut run = Run::of(last);
    for day in begun {
        if !unbroken(day, run.start, calendar) {
            break;
        }
        run = Run { start: day, days: run.days.saturating_add(1), ..run };
    }
    Some(run)
}

/// Whether no day that exists lies strictly between two days.
fn unbroken(earlier: LocalDay, later: LocalDay, calendar: &Calendar) -> bool {
    // stops at the first day that exists, so a gap of years costs one look
    earlier.plus(1).through(later.plus(-1)).all(|day| !calendar.exists(day))
}

fn instant<S: Serializer>(instant: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match instant {
        Some(instant) => serializer.collect_str(instant),
        None => serializer.serialize_none(),
    }
}
