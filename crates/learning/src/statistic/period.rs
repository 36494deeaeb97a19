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
