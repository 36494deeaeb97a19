//! Several statistics of many learners at once: what is computed before anybody asks.
//!
//! A statistic by itself reads the days it needs. Whoever wants daily, weekly and analytics of the same learners would read
//! the same stored months three times; here they are read once, over all the days that any of them needs.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use super::{Answer, Frame, ServiceError, Statistics, zip};
use crate::calendar::todays;
use crate::key::UserId;
use crate::local_day::{LocalDay, Year};
use crate::statistic::{
    self, Analytics, CourseSummary, Daily, Heatmap, Monthly, StatisticKind, Streaks, Weekly, WindowDays,
};
use crate::store::LearnerDays;

/// A learner's answers to the questions that name no date, each as the method of its name in [`Statistics`] gives it.
/// `None` where it was not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ready {
    /// Today.
    pub daily: Option<Answer<Daily>>,
    /// The week of today.
    pub weekly: Option<Answer<Weekly>>,
    /// The month of today.
    pub monthly: Option<Answer<Monthly>>,
    /// The default number of days up to today, in the installation's language.
    pub analytics: Option<Answer<Analytics>>,
    /// The year of today.
    pub heatmap: Option<Answer<Heatmap>>,
    /// Streaks over all history.
    pub streaks: Option<Answer<Streaks>>,
    /// Course progress.
    pub courses: Option<Answer<CourseSummary>>,
}

impl Statistics {
    /// The answers of some kinds about some learners (at most 1,000), one result for each learner in their order.
    ///
    /// One read of days for all kinds that rest on days, one of activity for streaks and one of courses; a kind that is not
    /// asked for costs nothing, and [`StatisticKind::Global`] is about no learner and is left out.
    ///
    /// # Errors
    /// As [`Statistics::daily`].
    pub async fn ready(
        &self,
        users: &[UserId],
        kinds: &[StatisticKind],
        now: Timestamp,
    ) -> Result<Vec<Result<Ready, ServiceError>>, ServiceError> {
        let kinds: BTreeSet<StatisticKind> = kinds.iter().copied().collect();
        let mut learners = vec![Some(Ready::default()); users.len()];
        if let Some(span) = kinds.iter().filter_map(|kind| span(*kind, now)).reduce(hull) {
            let read = self.store.learner_days(users, span).await?;
            for (learner, (user, days)) in learners.iter_mut().zip(zip(users, read)) {
                // a learner who is not there in one read has no answer at all
                fill(learner, days, |ready, days| self.add_days(ready, &kinds, user, &days, now));
            }
        }
        if kinds.contains(&StatisticKind::Streaks) {
            let read = self.store.learner_activity(users).await?;
            for (learner, (user, activity)) in learners.iter_mut().zip(zip(users, read)) {
                fill(learner, activity, |ready, activity| {
                    let frame = Frame::new(user, &activity.clock, now);
                    let calendar = &activity.clock.calendar;
                    ready.streaks =
                        Some(frame.around(statistic::streaks(&activity.active_days, calendar, frame.today)));
                });
            }
        }
        if kinds.contains(&StatisticKind::Courses) {
            let read = self.store.learner_courses(users).await?;
            for (learner, (user, courses)) in learners.iter_mut().zip(zip(users, read)) {
                fill(learner, courses, |ready, courses| {
                    let frame = Frame::new(user, &courses.clock, now);
                    ready.courses = Some(frame.around(statistic::course_summary(&courses.rows)));
                });
            }
        }
        Ok(zip(users, learners).map(|(user, ready)| ready.ok_or(ServiceError::UnknownLearner(user))).collect())
    }

    fn add_days(
        &self,
        ready: &mut Ready,
        kinds: &BTreeSet<StatisticKind>,
        user: UserId,
        learner: &LearnerDays,
        now: Timestamp,
    ) {
        let frame = Frame::new(user, &learner.clock, now);
        let (today, days, calendar) = (frame.today, &learner.days, &learner.clock.calendar);
        if kinds.contains(&StatisticKind::Daily) {
            ready.daily = Some(frame.around(statistic::daily(today, days)));
        }
        if kinds.contains(&StatisticKind::Weekly) {
            ready.weekly = Some(frame.around(statistic::weekly(today, days, calendar, today)));
        }
        if kinds.contains(&StatisticKind::Monthly) {
            ready.monthly = Some(frame.around(statistic::monthly(today.month(), days, calendar, today)));
        }
        if kinds.contains(&StatisticKind::Analytics) {
            let language = self.settings.language;
            let window = WindowDays::default();
            ready.analytics = Some(frame.around(statistic::analytics(today, window, days, calendar, today, language)));
        }
        if kinds.contains(&StatisticKind::Heatmap) {
            ready.heatmap = Some(frame.around(statistic::heatmap(Year::of(today), days)));
        }
    }
}

fn fill<T>(learner: &mut Option<Ready>, read: Option<T>, add: impl FnOnce(&mut Ready, T)) {
    match (&mut *learner, read) {
        (Some(ready), Some(read)) => add(ready, read),
        _ => *learner = None,
    }
}

/// The days that a statistic of today may need, wherever the learner is; `None` = it rests on no days.
fn span(kind: StatisticKind, now: Timestamp) -> Option<RangeInclusive<LocalDay>> {
    let (first, last) = todays(now).into_inner();
    match kind {
        StatisticKind::Daily => Some(first..=last),
        StatisticKind::Weekly => Some(first.monday()..=last.monday().plus(6)),
        StatisticKind::Monthly => Some(first.month().first()..=last.month().last()),
        StatisticKind::Analytics => Some(WindowDays::default().first(first)..=last),
        StatisticKind::Heatmap => Some(*Year::of(first).days().start()..=*Year::of(last).days().end()),
        StatisticKind::Streaks | StatisticKind::Courses | StatisticKind::Global => None,
    }
}

fn hull(a: RangeInclusive<LocalDay>, b: RangeInclusive<LocalDay>) -> RangeInclusive<LocalDay> {
    *a.start().min(b.start())..=*a.end().max(b.end())
}
