//! The rows that a platform reads about its learners' days: written at night, and again when late data comes.
//!
//! `tierkeep_analytics_due` is the list of work: a learner and the first day whose row is missing or may be wrong. A fold puts
//! every learner on it of whom a day is not what it was, with that day, in its own transaction; most of the time that is a
//! look that finds them there. Writing the rows takes a learner off it, or, while a session still asks for a row tomorrow,
//! leaves them there with the day that begins. So late data, a night on which nobody ran and a change of zones are one case,
//! and no clock decides what is written again.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tierkeep_db::Fence;

use super::StoreError;
use crate::active_days::ActiveDays;
use crate::calendar::Calendar;
use crate::key::UserId;
use crate::local_day::LocalDay;
use crate::statistic::{Days, Nightly, WindowDays, nightly};

/// How many days back from a learner's yesterday rows are written; older ones stay as they are.
pub const LOOK_BACK_DAYS: u32 = 400;

/// The tables of nightly rows, by their names in a receipt.
pub(super) const NIGHTLY: [&str; 2] = ["tierkeep_learning_analytics", "tierkeep_analytics_due"];

/// Rows after which a batch takes no further learner. It is what is in memory at once.
const ROWS_PER_BATCH: usize = 20_000;

/// What a batch of nightly rows came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Updated {
    /// Learners whose rows were looked at.
    pub learners: u64,
    /// Rows that are new or were wrong.
    pub rows_written: u64,
    /// Rows that were right; nothing was written.
    pub rows_unchanged: u64,
    /// Rows that went: sessions went, and the learner was not active on that day after all.
    pub rows_removed: u64,
    /// After whom the next batch goes on; `None` after the last.
    pub last: Option<UserId>,
}

/// Writing a row for each day of each active learner that is over.
///
/// A learner has a row for a day that exists in their zone if a valid session lies on it or on one of the `active_days` - 1
/// dates before it.
#[async_trait]
pub trait NightlyAnalytics {
    /// Brings the rows of one batch of learners up to their local yesterday, in one transaction. Rows come from stored
    /// summaries: call [`super::Store::settle`] first until nothing is left; what is not folded by then comes with a later
    /// call. Learners whose summaries wait to be built anew are passed over.
    ///
    /// `active_days` counts from 1 to [`LOOK_BACK_DAYS`] and is moved into that range. The transaction holds `fence`. Nothing is
    /// done through a store that only reads. If the future is dropped the batch is undone, or has been committed.
    ///
    /// # Errors
    /// [`tierkeep_db::Error::Fenced`] as [`StoreError::Database`] if the fence was raised; [`StoreError::Corrupt`].
    async fn update_analytics(
        &self,
        now: Timestamp,
        active_days: u32,
        after: Option<UserId>,
        limit: u32,
        fence: Option<&Fence>,
    ) -> Result<Updated, StoreError>;

    /// A learner's rows after a date, at most `limit`. None where nothing is stored.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] among others.
    async fn nightly_rows(&self, user: UserId, after: Option<LocalDay>, limit: u32)
    -> Result<Vec<Nightly>, StoreError>;
}

/// Which rows a call is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nights {
    now: Timestamp,
    active_days: i32,
}

/// A learner on the list.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) first_day: LocalDay,
    pub(super) calendar: Calendar,
    /// Over all history.
    pub(super) active_days: ActiveDays,
    /// Those of the months from [`Nights::first_month`] on.
    pub(super) days: Days,
}

/// What is to be written about a learner.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) user: UserId,
    /// The day that was on the list.
    pub(super) seen: i32,
    /// The days whose rows are these and no others.
    pub(super) span: RangeInclusive<LocalDay>,
    pub(super) rows: Vec<Nightly>,
    /// The first day that is due next; `None` = the learner is not active any more.
    pub(super) next: Option<LocalDay>,
}

/// What is to be written about several learners.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) due: Vec<Due>,
    rows: usize,
}

impl Nights {
    pub(super) fn new(now: Timestamp, active_days: u32) -> Self {
        let active_days = active_days.clamp(1, LOOK_BACK_DAYS);
        Self { now, active_days: i32::try_from(active_days).expect("moved into a range that fits") }
    }

    /// The last day that may be over in any zone: the date farthest ahead is that of UTC or the next.
    pub(super) fn last_day(&self) -> LocalDay {
        LocalDay::clamped(TimeZone::UTC.to_datetime(self.now).date())
    }

    /// The first month whose days decide on rows from `first_day` on.
    pub(super) fn first_month(&self, first_day: LocalDay) -> i32 {
        // behind UTC by 12 hours, with days that begin at 23:00, and days that do not exist
        const BEHIND: i32 = 5;
        let window = i32::from(WindowDays::default().get());
        let first = first_day.max(self.last_day().plus(-BEHIND - LOOK_BACK));
        first.plus(1 - window.max(self.active_days)).month().number()
    }

    /// What is to be written about a learner; `None` if none of the days that are due is over.
    pub(super) fn due(&self, user: UserId, seen: i32, waiting: &Waiting) -> Option<Due> {
        let Waiting { first_day, calendar, active_days, days } = waiting;
        let yesterday = last_day_over(calendar, self.now);
        let first = (*first_day).max(yesterday.plus(1 - LOOK_BACK));
        if first > yesterday {
            return None;
        }
        let asks = |date: LocalDay| days.range(date.plus(1 - self.active_days)..=date).next().is_some();
        let dates = first.through(yesterday).filter(|date| asks(*date) && calendar.exists(*date));
        let rows = dates.map(|date| nightly(date, days, active_days, calendar)).collect();
        // sessions of tomorrow and later are on the list already, and stay on it
        let tomorrow = yesterday.plus(1);
        let next = days.range(tomorrow.plus(1 - self.active_days)..).next().map(|(day, _)| (*day).max(tomorrow));
        Some(Due { user, seen, span: first..=yesterday, rows, next })
    }
}

/// [`LOOK_BACK_DAYS`] as a difference of days.
const LOOK_BACK: i32 = LOOK_BACK_DAYS.cast_signed();

/// The last local day that exists and is over.
fn last_day_over(calendar: &Calendar, now: Timestamp) -> LocalDay {
    let mut day = calendar.day_of(now).plus(-1);
    while day > LocalDay::MIN && !calendar.exists(day) {
        day = day.plus(-1);
    }
    day
}

impl Batch {
    /// Whether no further learner is to be taken.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= ROWS_PER_BATCH
    }

    pub(super) fn push(&mut self, due: Due) {
        self.rows += due.rows.len();
        self.due.push(due);
    }

    /// What it came to, from how many rows were written and removed.
    pub(super) fn updated(&self, rows_written: u64, rows_removed: u64, last: Option<UserId>) -> Updated {
        Updated {
            learners: self.due.len() as u64,
            rows_written,
            rows_unchanged: (self.rows as u64).saturating_sub(rows_written),
            rows_removed,
            last,
        }
    }
}

/// The first day of learners on the list as it is stored; what is no day is the first there is.
pub(super) fn stored_day(number: i32) -> LocalDay {
    LocalDay::from_number(number).unwrap_or(LocalDay::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{DayStart, Zone, ZoneHistory};
    use crate::key::Key;
    use crate::summary::DaySummary;

    fn day(text: &str) -> LocalDay {
        text.parse().unwrap()
    }

    fn calendar(zone: &str) -> Calendar {
        Calendar::new(ZoneHistory::new(Zone::new(zone).unwrap()), DayStart::default())
    }

    fn due(zone: &str, first: &str, sessions: &[&str], now: &str) -> Option<(Vec<String>, Option<String>)> {
        let days: Days = sessions
            .iter()
            .map(|date| (day(date), DaySummary { sessions: 1, minutes: 30, ..DaySummary::default() }))
            .collect();
        let active_days = days.keys().copied().collect();
        let waiting = Waiting { first_day: day(first), calendar: calendar(zone), active_days, days };
        let due = Nights::new(now.parse().unwrap(), 3).due(UserId::new(Key::Int(1)), 0, &waiting)?;
        let dates = due.rows.iter().map(|row| row.date.to_string()).collect();
        Some((dates, due.next.map(|next| next.to_string())))
    }

    #[test]
    fn a_session_asks_for_rows_until_it_is_too_old() {
        let due = |now| due("UTC", "2025-06-10", &["2025-06-10"], now);
        let rows = |dates: &[&str]| dates.iter().map(ToString::to_string).collect::<Vec<_>>();

        assert_eq!(due("2025-06-10T23:59:59Z"), None, "the day is not over");
        assert_eq!(due("2025-06-11T00:00:00Z"), Some((rows(&["2025-06-10"]), Some("2025-06-11".to_owned()))));
        let three = rows(&["2025-06-10", "2025-06-11", "2025-06-12"]);
        assert_eq!(due("2025-06-13T00:00:00Z"), Some((three.clone(), None)));
        assert_eq!(due("2025-06-20T00:00:00Z"), Some((three, None)), "nights on which nobody ran");
    }

    #[test]
    fn each_learner_has_another_yesterday() {
        let due = |zone| due(zone, "2025-06-10", &["2025-06-10", "2025-06-11"], "2025-06-11T11:00:00Z").unwrap().0;

        assert_eq!(due("UTC"), ["2025-06-10"]);
        assert_eq!(due("Pacific/Kiritimati"), ["2025-06-10", "2025-06-11"]);
        assert_eq!(due("Pacific/Pago_Pago"), ["2025-06-10"]);
    }

    #[test]
    fn a_day_that_does_not_exist_has_no_row_and_is_nobodys_yesterday() {
        let found = due("Pacific/Apia", "2011-12-29", &["2011-12-29"], "2011-12-30T20:00:00Z").unwrap();
        assert_eq!(found, (vec!["2011-12-29".to_owned()], Some("2011-12-30".to_owned())));

        let later = due("Pacific/Apia", "2011-12-30", &["2011-12-29"], "2011-12-31T20:00:00Z").unwrap();
        assert_eq!(later, (vec!["2011-12-31".to_owned()], None));
    }

    #[test]
    fn a_session_of_the_future_stays_on_the_list() {
        let found = due("UTC", "2025-06-01", &["2025-06-20"], "2025-06-11T00:00:00Z").unwrap();

        assert_eq!(found, (Vec::new(), Some("2025-06-20".to_owned())));
    }

    #[test]
    fn rows_older_than_the_look_back_are_left_alone() {
        let waiting = Waiting {
            first_day: LocalDay::MIN,
            calendar: calendar("UTC"),
            active_days: ActiveDays::default(),
            days: Days::new(),
        };
        let nights = Nights::new("2025-06-11T00:00:00Z".parse().unwrap(), 7);

        let due = nights.due(UserId::new(Key::Int(1)), LocalDay::MIN.number(), &waiting).unwrap();

        assert_eq!(due.span, day("2024-05-07")..=day("2025-06-10"));
        assert_eq!(due.span.start().days_until(*due.span.end()) + 1, LOOK_BACK);
        assert!(nights.first_month(LocalDay::MIN) <= due.span.start().plus(-29).month().number());
    }

    #[test]
    fn the_first_day_there_is_has_the_number_that_statements_use() {
        assert_eq!(LocalDay::MIN.number(), -719_161);
        assert_eq!(stored_day(i32::MIN), LocalDay::MIN);
    }
}
