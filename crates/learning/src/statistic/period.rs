//! What a week, a month and a window have in common: a range of days, its sums, its runs, its evenness.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Days;
use crate::calendar::Calendar;
use crate::local_day::LocalDay;
use crate::summary::DaySummary;

/// One day of a breakdown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DayTotals {
    /// Valid sessions that start on this local day.
    pub sessions: u64,
    /// Their minutes.
    pub duration: u64,
    /// How many of them have an end.
    pub completed: u64,
}

/// The days from `first` to `last`, both included.
pub(super) struct Period<'a> {
    first: LocalDay,
    last: LocalDay,
    days: &'a Days,
}

/// Minutes beyond which a day counts as this many when evenness is computed, so that the sums of 31 squares stay exact
/// in 128 bits. It takes 33 million sessions of the longest duration a row can hold.
const LARGEST_EXACT: u64 = 1 << 56;

impl<'a> Period<'a> {
    pub(super) fn new(first: LocalDay, last: LocalDay, days: &'a Days) -> Self {
        Self { first, last: last.max(first), days }
    }

    pub(super) fn total(&self) -> DaySummary {
        DaySummary::merged(self.summaries().map(|(_, summary)| summary))
    }

    pub(super) fn breakdown(&self) -> BTreeMap<LocalDay, DayTotals> {
        let totals = |day: LocalDay| {
            self.days.get(&day).map_or_else(DayTotals::default, |summary| DayTotals {
                sessions: summary.sessions,
                duration: summary.minutes,
                completed: summary.completed,
            })
        };
        self.first.through(self.last).map(|day| (day, totals(day))).collect()
    }

    /// Days with time studied.
    pub(super) fn active_days(&self) -> u32 {
        count(self.summaries().filter(|(_, summary)| summary.minutes > 0))
    }

    /// The longest run of active days, and the run that reaches the end of the period, each in active days.
    ///
    /// `breaks` says of a day without time whether it ends a run.
    pub(super) fn runs(&self, breaks: impl Fn(LocalDay) -> bool) -> Runs {
        let mut runs = Runs::default();
        for day in self.first.through(self.last) {
            if self.minutes(day) > 0 {
                runs.last += 1;
                runs.longest = runs.longest.max(runs.last);
            } else if breaks(day) {
                runs.last = 0;
            }
        }
        runs
    }

    /// The day with the most productive sessions, then the longest duration, then the earlier; `None` without sessions.
    pub(super) fn most_productive_day(&self) -> Option<LocalDay> {
        let mut best: Option<(LocalDay, (u64, u64))> = None;
        for (day, summary) in self.summaries().filter(|(_, summary)| summary.sessions > 0) {
            let merit = (summary.productive, summary.minutes);
            if best.is_none_or(|(_, most)| merit > most) {
                best = Some((day, merit));
            }
        }
        best.map(|(day, _)| day)
    }

    /// max(0, 1 − population standard deviation / mean) of the daily minutes, over the days that exist and have begun
    /// by `today`; 0 when the mean is 0.
    #[expect(clippy::cast_precision_loss, reason = "one rounding of each exact sum, as the contract asks of means")]
    pub(super) fn consistency(&self, calendar: &Calendar, today: LocalDay) -> f64 {
        let (mut n, mut sum, mut squares) = (0u128, 0u128, 0u128);
        for day in self.first.through(self.last.min(today)).filter(|day| calendar.exists(*day)) {
            let minutes = u128::from(self.minutes(day).min(LARGEST_EXACT));
            n += 1;
            sum += minutes;
            squares += minutes * minutes;
        }
        if sum == 0 {
            return 0.0;
        }
        // with n values x: sd / mean = sqrt(n·Σx² − (Σx)²) / Σx, exact up to the root
        let spread = n * squares - sum * sum;
        (1.0 - (spread as f64).sqrt() / sum as f64).max(0.0)
    }

    fn minutes(&self, day: LocalDay) -> u64 {
        self.days.get(&day).map_or(0, |summary| summary.minutes)
    }

    fn summaries(&self) -> impl Iterator<Item = (LocalDay, &'a DaySummary)> {
        self.days.range(self.first..=self.last).map(|(day, summary)| (*day, summary))
    }
}

/// Runs of consecutive active days, in active days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) longest: u32,
    pub(super) last: u32,
}

pub(super) fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{DayStart, Zone, ZoneHistory};

    const MONDAY: &str = "2025-06-23";

    fn day(text: &str) -> LocalDay {
        text.parse().unwrap()
    }

    fn utc() -> Calendar {
        Calendar::new(ZoneHistory::new(Zone::utc()), DayStart::default())
    }

    /// Days from Monday on with (productive sessions, minutes) each; one session where either is not 0.
    fn week(days: &[(u64, u64)]) -> Days {
        let summary = |(productive, minutes): (u64, u64)| DaySummary {
            sessions: productive.max(u64::from(minutes > 0)),
            productive,
            minutes,
            ..DaySummary::default()
        };
        (0..).zip(days).map(|(shift, numbers)| (day(MONDAY).plus(shift), summary(*numbers))).collect()
    }

    fn period(days: &Days) -> Period<'_> {
        Period::new(day(MONDAY), day(MONDAY).plus(6), days)
    }

    fn consistency(minutes: &[u64], begun: i32) -> f64 {
        let days = week(&minutes.iter().map(|minutes| (0, *minutes)).collect::<Vec<_>>());
        period(&days).consistency(&utc(), day(MONDAY).plus(begun - 1))
    }

    fn is_close(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-12
    }

    #[test]
    fn equal_days_are_perfectly_consistent() {
        assert!(is_close(consistency(&[30; 7], 7), 1.0));
        assert!(is_close(consistency(&[45, 45, 45], 3), 1.0));
    }

    #[test]
    fn consistency_falls_with_the_spread_and_stops_at_0() {
        // 20 and 40: mean 30, standard deviation 10
        assert!(is_close(consistency(&[20, 40], 2), 2.0 / 3.0));
        // one day of seven: the standard deviation is 2.4 times the mean
        assert!(is_close(consistency(&[70], 7), 0.0));
    }

    #[test]
    fn consistency_of_nothing_is_0() {
        assert!(is_close(consistency(&[], 7), 0.0));
        assert!(is_close(consistency(&[30], 0), 0.0), "the week has not begun");
    }

    #[test]
    fn days_after_today_do_not_enter_the_consistency_even_when_studied() {
        assert!(is_close(consistency(&[30, 30, 600], 2), 1.0));
    }

    #[test]
    fn consistency_of_the_largest_sums_is_a_number() {
        assert!(is_close(consistency(&[u64::MAX; 7], 7), 1.0));
        assert!((0.0..1.0).contains(&consistency(&[u64::MAX, 1, 5], 7)));
    }

    #[test]
    fn the_most_productive_day_is_by_productive_sessions_then_duration_then_date() {
        let most = |days: &[(u64, u64)]| period(&week(days)).most_productive_day().map(|day| day.to_string());

        assert_eq!(most(&[(0, 600), (1, 25), (1, 26)]).as_deref(), Some("2025-06-25"));
        assert_eq!(most(&[(1, 30), (1, 30)]).as_deref(), Some("2025-06-23"));
        assert_eq!(most(&[(0, 0), (0, 5)]).as_deref(), Some("2025-06-24"));
        assert_eq!(most(&[(0, 0)]), None);
    }

    #[test]
    fn a_day_with_a_session_of_no_minutes_can_be_the_most_productive_but_is_not_active() {
        let days: Days = [(day(MONDAY), DaySummary { sessions: 1, ..DaySummary::default() })].into();

        assert_eq!(period(&days).most_productive_day(), Some(day(MONDAY)));
        assert_eq!(period(&days).active_days(), 0);
    }

    #[test]
    fn days_outside_the_period_do_not_count() {
        let mut days = week(&[(0, 10); 9]);
        days.insert(day(MONDAY).plus(-1), DaySummary { sessions: 1, minutes: 999, ..DaySummary::default() });

        assert_eq!((period(&days).total().minutes, period(&days).active_days()), (70, 7));
        assert_eq!(period(&days).runs(|_| true), Runs { longest: 7, last: 7 });
    }
}
