//! The statistics as callers ask for them: a learner, a date or none, and the store behind.
//!
//! Command line, HTTP and library calls all come through here, so equal questions get equal answers.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;

use crate::calendar::{Calendar, DayStart, Zone, ZoneHistory, todays};
use crate::key::UserId;
use crate::language::Language;
use crate::local_day::{LocalDay, Month, Year};
use crate::statistic::{self, Analytics, CourseSummary, Daily, Global, Heatmap, Monthly, Streaks, Weekly, WindowDays};
use crate::store::{Basis, LearnerClock, LearnerDays, Store, StoreError};

mod ready;

pub use self::ready::Ready;

/// How this installation counts days and speaks.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Zone of learners without one, and of the global statistics.
    pub default_zone: Zone,
    /// Hour at which a local day begins.
    pub day_start: DayStart,
    /// Language of messages when the caller names none.
    pub language: Language,
}

/// What an answer stands on; not a part of what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footing {
    /// What it was computed from.
    pub basis: Basis,
    /// The local day in which it was asked: the same question in another day has another answer, if only because
    /// "today" is another date. While the data stay the same, the answer is the same at all of these instants.
    pub today: Range<Timestamp>,
}

impl Footing {
    fn new(basis: Basis, calendar: &Calendar, now: Timestamp) -> Self {
        // around a change of zone a day comes in pieces
        let pieces = calendar.intervals(calendar.day_of(now));
        let today = pieces.into_iter().find(|piece| piece.contains(&now)).unwrap_or(now..now);
        Self { basis, today }
    }
}

/// A statistic of one learner, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer<T> {
    /// Whose.
    pub user_id: UserId,
    /// The zone in force for this learner now.
    pub time_zone: String,
    /// Every change whose commit was acknowledged before this instant is in the answer.
    pub as_of: Timestamp,
    /// The statistic itself.
    #[serde(flatten)]
    pub statistic: T,
    /// What it was computed from, and while which instants it holds.
    #[serde(skip)]
    pub footing: Footing,
}

/// A statistic over all learners, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GlobalAnswer {
    /// The installation's zone: its date is "today".
    pub time_zone: String,
    /// Every change whose commit was acknowledged before this instant is in the answer.
    pub as_of: Timestamp,
    /// The statistic itself.
    #[serde(flatten)]
    pub statistic: Global,
    /// What it was computed from, and while which instants it holds.
    #[serde(skip)]
    pub footing: Footing,
}

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// No such learner.
    #[error("learner {0} is unknown")]
    UnknownLearner(UserId),
    /// A date that lies further ahead than any zone is.
    #[error("{what} {given} lies after the learner's tomorrow; accepted: up to {latest}")]
    Future {
        /// Which parameter.
        what: &'static str,
        /// What was asked for.
        given: String,
        /// The last accepted value.
        latest: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Answers about many learners, one result per learner, in the order in which they were asked for.
pub type Answers<T> = Vec<Result<Answer<T>, ServiceError>>;

/// The statistics over one store.
#[derive(Debug, Clone)]
pub struct Statistics {
    store: Arc<dyn Store>,
    settings: Settings,
}

impl Statistics {
    /// Statistics of `store`, counted and worded as `settings` say.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, settings: Settings) -> Self {
        Self { store, settings }
    }

    /// The store behind.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// How this installation counts days and speaks.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// One local day; `None` = the learner's today.
    ///
    /// # Errors
    /// [`ServiceError`], here and in every method below; a failure of the store fails all learners at once.
    pub async fn daily(
        &self,
        users: &[UserId],
        date: Option<LocalDay>,
        now: Timestamp,
    ) -> Result<Answers<Daily>, ServiceError> {
        let span = date.map_or_else(|| todays(now), |date| date..=date);
        self.over_days(
            users,
            span,
            |learner, today| {
                let day = date.unwrap_or(today);
                check_future("date", day, today)?;
                Ok(statistic::daily(day, &learner.days))
            },
            now,
        )
        .await
    }

    /// The week of a day, from its Monday; `None` = the learner's today.
    ///
    /// # Errors
    /// As [`Statistics::daily`].
    pub async fn weekly(
        &self,
        users: &[UserId],
        week_of: Option<LocalDay>,
        now: Timestamp,
    ) -> Result<Answers<Weekly>, ServiceError> {
        let asked = week_of.map_or_else(|| todays(now), |day| day..=day);
        let span = asked.start().monday()..=asked.end().monday().plus(6);
        self.over_days(
            users,
            span,
            |learner, today| {
                let day = week_of.unwrap_or(today);
                check_future("week_start", day.monday(), today)?;
                Ok(statistic::weekly(day, &learner.days, &learner.clock.calendar, today))
            },
            now,
        )
        .await
    }

    /// A calendar month; `None` = the month of the learner's today.
    ///
    /// # Errors
    /// As [`Statistics::daily`].
    pub async fn monthly(
        &self,
        users: &[UserId],
        month: Option<Month>,
        now: Timestamp,
    ) -> Result<Answers<Monthly>, ServiceError> {
        let span = month.map_or_else(
            || {
                let days = todays(now);
                days.start().month().first()..=days.end().month().last()
            },
            Month::days,
        );
        self.over_days(
            users,
            span,
            |learner, today| {
                let month = month.unwrap_or_else(|| today.month());
                check_future("month", month, today)?;
                Ok(statistic::monthly(month, &learner.days, &learner.clock.calendar, today))
            },
            now,
        )
        .await
    }

    /// The last `window` days up to and including `to`; `None` = the learner's today.
    ///
    /// # Errors
    /// As [`Statistics::daily`].
    pub async fn analytics(
        &self,
        users: &[UserId],
        to: Option<LocalDay>,
        window: WindowDays,
        language: Option<Language>,
        now: Timestamp,
    ) -> Result<Answers<Analytics>, ServiceError> {
        let language = language.unwrap_or(self.settings.language);
        let ends = to.map_or_else(|| todays(now), |day| day..=day);
        let span = ends.start().plus(1 - i32::from(window.get()))..=*ends.end();
        self.over_days(
            users,
            span,
            |learner, today| {
                let to = to.unwrap_or(today);
                check_future("to", to, today)?;
                Ok(statistic::analytics(to, window, &learner.days, &learner.clock.calendar, today, language))
            },
            now,
        )
        .await
    }

    /// A calendar year as a heat-map; `None` = the year of the learner's today.
    ///
    /// # Errors
    /// As [`Statistics::daily`].
    pub async fn heatmap(
        &self,
        users: &[UserId],
        year: Option<Year>,
        now: Timestamp,
    ) -> Result<Answers<Heatmap>, ServiceError> {
        let span = year.map_or_else(
            || {
                let days = todays(now);
                *Year::of(*days.start()).days().start()..=*Year::of(*days.end()).days().end()
            },
            Year::days,
        );
        self.over_days(
            users,
            span,
            |learner, today| {
                let year = year.unwrap_or_else(|| Year::of(today));
                check_future("year", year, today)?;
                Ok(statistic::heatmap(year, &learner.days))
            },
            now,
        )
        .await
    }

    /// Streaks over all history.
    ///
    /// # Errors
    /// As [`Statistics::daily`].
    pub async fn streaks(&self, users: &[UserId], now: Timestamp) -> Result<Answers<Streaks>, ServiceError> {
        let learners = self.store.learner_activity(users).await?;
        Ok(zip(users, learners)
            .map(|(user, learner)| {
                let learner = learner.ok_or(ServiceError::UnknownLearner(user))?;
                let today = learner.clock.calendar.day_of(now);
                let streaks = statistic::streaks(&learner.active_days, &learner.clock.calendar, today);
                Ok(answer(user, &learner.clock, now, streaks))
            })
            .collect())
    }

    /// Course progress.
    ///
    /// # Errors
    /// As [`Statistics::daily`].
    pub async fn courses(&self, users: &[UserId], now: Timestamp) -> Result<Answers<CourseSummary>, ServiceError> {
        let learners = self.store.learner_courses(users).await?;
        Ok(zip(users, learners)
            .map(|(user, learner)| {
                let learner = learner.ok_or(ServiceError::UnknownLearner(user))?;
                Ok(answer(user, &learner.clock, now, statistic::course_summary(&learner.rows)))
            })
            .collect())
    }

    /// All learners together.
    ///
    /// # Errors
    /// As [`Statistics::daily`].
    pub async fn global(&self, now: Timestamp) -> Result<GlobalAnswer, ServiceError> {
        let calendar = Calendar::new(ZoneHistory::new(self.settings.default_zone), self.settings.day_start);
        let today = calendar.day_of(now);
        let snapshot = self.store.global_totals(today).await?;
        Ok(GlobalAnswer {
            time_zone: self.settings.default_zone.name().to_owned(),
            as_of: snapshot.as_of,
            statistic: statistic::global(&snapshot.totals, today),
            footing: Footing::new(snapshot.basis, &calendar, now),
        })
    }

    async fn over_days<T>(
        &self,
        users: &[UserId],
        span: RangeInclusive<LocalDay>,
        compute: impl Fn(&LearnerDays, LocalDay) -> Result<T, ServiceError>,
        now: Timestamp,
    ) -> Result<Answers<T>, ServiceError> {
        let learners = self.store.learner_days(users, span).await?;
        Ok(zip(users, learners)
            .map(|(user, learner)| {
                let learner = learner.ok_or(ServiceError::UnknownLearner(user))?;
                let today = learner.clock.calendar.day_of(now);
                let statistic = compute(&learner, today)?;
                Ok(answer(user, &learner.clock, now, statistic))
            })
            .collect())
    }
}

fn zip<T>(users: &[UserId], learners: Vec<Option<T>>) -> impl Iterator<Item = (UserId, Option<T>)> {
    users.iter().copied().zip(learners)
}

fn answer<T>(user: UserId, clock: &LearnerClock, now: Timestamp, statistic: T) -> Answer<T> {
    Frame::new(user, clock, now).around(statistic)
}

/// What all answers about one learner have in common, found once.
struct Frame {
    user: UserId,
    time_zone: &'static str,
    as_of: Timestamp,
    /// The learner's today.
    today: LocalDay,
    footing: Footing,
}

impl Frame {
    fn new(user: UserId, clock: &LearnerClock, now: Timestamp) -> Self {
        let calendar = &clock.calendar;
        Self {
            user,
            time_zone: calendar.zones().zone_at(now).name(),
            as_of: clock.as_of,
            today: calendar.day_of(now),
            footing: Footing::new(clock.basis, calendar, now),
        }
    }

    fn around<T>(&self, statistic: T) -> Answer<T> {
        Answer {
            user_id: self.user,
            time_zone: self.time_zone.to_owned(),
            as_of: self.as_of,
            statistic,
            footing: self.footing.clone(),
        }
    }
}

/// A day, month or year that holds no day up to the learner's tomorrow is refused.
fn check_future<P: Period>(what: &'static str, asked: P, today: LocalDay) -> Result<(), ServiceError> {
    let tomorrow = today.plus(1);
    if asked.first_day() <= tomorrow {
        return Ok(());
    }
    Err(ServiceError::Future { what, given: asked.to_string(), latest: P::holding(tomorrow).to_string() })
}

trait Period: ToString {
    fn first_day(&self) -> LocalDay;
    fn holding(day: LocalDay) -> Self;
}

impl Period for LocalDay {
    fn first_day(&self) -> LocalDay {
        *self
    }
    fn holding(day: LocalDay) -> Self {
        day
    }
}

impl Period for Month {
    fn first_day(&self) -> LocalDay {
        self.first()
    }
    fn holding(day: LocalDay) -> Self {
        day.month()
    }
}

impl Period for Year {
    fn first_day(&self) -> LocalDay {
        *self.days().start()
    }
    fn holding(day: LocalDay) -> Self {
        Self::of(day)
    }
}
