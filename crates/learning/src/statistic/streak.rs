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

/// Active days in the run that reaches `day`, which is over: without study it breaks a run. Linear in the length of the run and
/// in the number of later active days.
pub(super) fn streak_up_to(active: &ActiveDays, calendar: &Calendar, day: LocalDay) -> u32 {
    run_before(active.iter().rev().skip_while(|active| *active > day), calendar, day.plus(1)).map_or(0, |run| run.days)
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
    run_before(active.rev().skip_while(|day| *day > today), calendar, today)
}

/// The run of the first of these days, which are in falling order, if nothing parts it from `today`.
fn run_before(mut begun: impl Iterator<Item = LocalDay>, calendar: &Calendar, today: LocalDay) -> Option<Run> {
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
    // neighbours are most pairs; the search stops at the first day that exists, so a gap of years costs one look
    earlier.days_until(later) == 1 || earlier.plus(1).through(later.plus(-1)).all(|day| !calendar.exists(day))
}

fn instant<S: Serializer>(instant: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match instant {
        Some(instant) => serializer.collect_str(instant),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{DayStart, Zone, ZoneHistory};

    fn day(text: &str) -> LocalDay {
        text.parse().unwrap()
    }

    /// Streaks in New York over days of March 2025, asked on a day of that month.
    fn in_march(active: &[i32], today: i32) -> Streaks {
        let calendar = Calendar::new(ZoneHistory::new(Zone::new("America/New_York").unwrap()), DayStart::default());
        let of_month = |number: i32| day("2025-03-01").plus(number - 1);
        streaks(&active.iter().map(|number| of_month(*number)).collect(), &calendar, of_month(today))
    }

    #[test]
    fn of_two_longest_runs_the_earlier_is_named() {
        let found = in_march(&[1, 2, 5, 6, 9], 20);

        assert_eq!(found.longest_streak, 2);
        assert_eq!((found.longest_start, found.longest_end), (Some(day("2025-03-01")), Some(day("2025-03-02"))));
        assert_eq!((found.current_streak, found.current_start), (0, None));
    }

    #[test]
    fn an_empty_today_leaves_the_run_of_yesterday_at_risk_until_it_ends() {
        let found = in_march(&[6, 7, 8], 9);

        assert_eq!((found.current_streak, found.current_start), (3, Some(day("2025-03-06"))));
        // the clock goes forward on this day, so it ends 23 hours after it began
        assert_eq!(found.at_risk_until, Some("2025-03-10T04:00:00Z".parse().unwrap()));
    }

    #[test]
    fn nothing_is_at_risk_once_today_is_active() {
        assert_eq!(in_march(&[8, 9], 9).at_risk_until, None);
    }

    #[test]
    fn an_empty_yesterday_ends_the_run() {
        let found = in_march(&[6, 7], 9);

        assert_eq!((found.current_streak, found.at_risk_until), (0, None));
    }

    #[test]
    fn days_after_today_do_not_enter_the_current_run() {
        let found = in_march(&[8, 9, 10, 11, 20], 9);

        assert_eq!((found.current_streak, found.longest_streak), (2, 4));
        assert_eq!(found.longest_end, Some(day("2025-03-11")));
    }

    #[test]
    fn nobody_studied_at_all() {
        let found = in_march(&[], 9);

        assert_eq!((found.current_streak, found.longest_streak, found.longest_start), (0, 0, None));
        assert_eq!(found.at_risk_until, None);
    }

    #[test]
    fn the_ends_of_time_are_days_like_others() {
        let calendar = Calendar::new(ZoneHistory::new(Zone::utc()), DayStart::default());
        let active: ActiveDays = [LocalDay::MIN, LocalDay::MAX.plus(-1), LocalDay::MAX].into_iter().collect();

        let found = streaks(&active, &calendar, LocalDay::MAX);

        assert_eq!((found.current_streak, found.longest_streak), (2, 2));
    }
}
