//! What is asked, and the text that names it: the key of its answer.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use tierkeep_cache::{CacheKey, KeyWriter};
use tierkeep_learning::key::UserId;
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::{LocalDay, Month, Year};
use tierkeep_learning::statistic::{StatisticKind, WindowDays};

/// A statistic with its parameters. A date that is left out is the learner's today: that answer is kept under `today`,
/// and holds until the learner's day ends.
///
/// As text, in commands and as key: `daily/USER/DATE`, `weekly/USER/MONDAY`, `monthly/USER/MONTH`,
/// `analytics/USER/TO/DAYS/LANGUAGE`, `streaks/USER`, `heatmap/USER/YEAR`, `courses/USER`, `global`, with `today` for a
/// date, month or year that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// One local day.
    Daily {
        /// Whose.
        user: UserId,
        /// The day.
        date: Option<LocalDay>,
    },
    /// One week.
    Weekly {
        /// Whose.
        user: UserId,
        /// Any day of it.
        week_of: Option<LocalDay>,
    },
    /// One calendar month.
    Monthly {
        /// Whose.
        user: UserId,
        /// The month.
        month: Option<Month>,
    },
    /// The last days up to a date.
    Analytics {
        /// Whose.
        user: UserId,
        /// The last day.
        to: Option<LocalDay>,
        /// How many days.
        days: WindowDays,
        /// Language of the recommendations.
        language: Language,
    },
    /// Runs of active days.
    Streaks {
        /// Whose.
        user: UserId,
    },
    /// One calendar year.
    Heatmap {
        /// Whose.
        user: UserId,
        /// The year.
        year: Option<Year>,
    },
    /// Course progress.
    Courses {
        /// Whose.
        user: UserId,
    },
    /// All learners together.
    Global,
}

impl Question {
    /// Which statistic.
    #[must_use]
    pub fn kind(&self) -> StatisticKind {
        match self {
            Self::Daily { .. } => StatisticKind::Daily,
            Self::Weekly { .. } => StatisticKind::Weekly,
            Self::Monthly { .. } => StatisticKind::Monthly,
            Self::Analytics { .. } => StatisticKind::Analytics,
            Self::Streaks { .. } => StatisticKind::Streaks,
            Self::Heatmap { .. } => StatisticKind::Heatmap,
            Self::Courses { .. } => StatisticKind::Courses,
            Self::Global => StatisticKind::Global,
        }
    }

    /// The same question about another learner; `global` is about nobody.
    #[must_use]
    pub(crate) fn about(self, user: UserId) -> Self {
        match self {
            Self::Daily { date, .. } => Self::Daily { user, date },
            Self::Weekly { week_of, .. } => Self::Weekly { user, week_of },
            Self::Monthly { month, .. } => Self::Monthly { user, month },
            Self::Analytics { to, days, language, .. } => Self::Analytics { user, to, days, language },
            Self::Streaks { .. } => Self::Streaks { user },
            Self::Heatmap { year, .. } => Self::Heatmap { user, year },
            Self::Courses { .. } => Self::Courses { user },
            Self::Global => Self::Global,
        }
    }

    /// Equal exactly where the keys are: every day of a week asks for the same.
    #[must_use]
    pub(crate) fn canonical(self) -> Self {
        match self {
            Self::Weekly { user, week_of } => Self::Weekly { user, week_of: week_of.map(LocalDay::monday) },
            other => other,
        }
    }

    /// The last day that is asked about by name; `None` = it is the learner's today, or all days.
    pub(crate) fn last_day(&self) -> Option<LocalDay> {
        match *self {
            Self::Daily { date: day, .. } | Self::Analytics { to: day, .. } => day,
            Self::Weekly { week_of, .. } => week_of.map(|day| day.monday().plus(6)),
            Self::Monthly { month, .. } => month.map(Month::last),
            Self::Heatmap { year, .. } => year.map(|year| *year.days().end()),
            Self::Streaks { .. } | Self::Courses { .. } | Self::Global => None,
        }
    }

    /// Whose statistic; `None` = everybody's.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        match *self {
            Self::Daily { user, .. }
            | Self::Weekly { user, .. }
            | Self::Monthly { user, .. }
            | Self::Analytics { user, .. }
            | Self::Streaks { user }
            | Self::Heatmap { user, .. }
            | Self::Courses { user } => Some(user),
            Self::Global => None,
        }
    }
}

/// A date, or `today`.
struct OrToday<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrToday<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(period) => period.fmt(f),
            None => f.write_str("today"),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        if let Some(user) = self.user() {
            write!(f, "/{user}")?;
        }
        match *self {
            Self::Daily { date, .. } => write!(f, "/{}", OrToday(date)),
            // every day of a week asks for the same
            Self::Weekly { week_of, .. } => write!(f, "/{}", OrToday(week_of.map(LocalDay::monday))),
            Self::Monthly { month, .. } => write!(f, "/{}", OrToday(month)),
            Self::Analytics { to, days, language, .. } => write!(f, "/{}/{days}/{language}", OrToday(to)),
            Self::Heatmap { year, .. } => write!(f, "/{}", OrToday(year)),
            Self::Streaks { .. } | Self::Courses { .. } | Self::Global => Ok(()),
        }
    }
}

impl CacheKey for Question {
    fn write(&self, key: &mut KeyWriter) {
        self.to_string().write(key);
    }
}

/// A text that names no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no key; accepted: daily/USER/DATE, weekly/USER/DATE, monthly/USER/MONTH, analytics/USER/DATE/DAYS/LANGUAGE, \
     streaks/USER, heatmap/USER/YEAR, courses/USER, global; `today` stands for a date, month or year that is left out"
)]
pub struct QuestionError(String);

impl FromStr for Question {
    type Err = QuestionError;

    fn from_str(text: &str) -> Result<Self, QuestionError> {
        read(text).ok_or_else(|| QuestionError(text.chars().take(60).collect()))
    }
}

fn read(text: &str) -> Option<Question> {
    let mut parts = text.split('/');
    let kind: StatisticKind = parts.next()?.parse().ok()?;
    let mut next = || parts.next();
    let question = match kind {
        StatisticKind::Daily => Question::Daily { user: value(next())?, date: period(next())? },
        StatisticKind::Weekly => {
            Question::Weekly { user: value(next())?, week_of: period(next())?.map(LocalDay::monday) }
        }
        StatisticKind::Monthly => Question::Monthly { user: value(next())?, month: period(next())? },
        StatisticKind::Analytics => Question::Analytics {
            user: value(next())?,
            to: period(next())?,
            days: value(next())?,
            language: value(next())?,
        },
        StatisticKind::Streaks => Question::Streaks { user: value(next())? },
        StatisticKind::Heatmap => Question::Heatmap { user: value(next())?, year: period(next())? },
        StatisticKind::Courses => Question::Courses { user: value(next())? },
        StatisticKind::Global => Question::Global,
    };
    parts.next().is_none().then_some(question)
}

fn value<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

/// `Some(None)` is today.
#[expect(clippy::option_option, reason = "unreadable, today, or a period")]
fn period<T: FromStr>(text: Option<&str>) -> Option<Option<T>> {
    match text? {
        "today" => Some(None),
        text => text.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "daily/7/2026-01-31",
            "daily/00000000-0000-4000-8000-000000000001/today",
            "weekly/-7/2026-01-26",
            "monthly/7/2026-01",
            "analytics/7/today/30/zh",
            "streaks/7",
            "heatmap/7/2026",
            "courses/7",
            "global",
        ] {
            assert_eq!(text.parse::<Question>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_period_ends_with_its_last_day() {
        for (text, last) in [
            ("daily/7/2026-01-31", Some("2026-01-31")),
            ("weekly/7/2026-01-26", Some("2026-02-01")),
            ("monthly/7/2024-02", Some("2024-02-29")),
            ("analytics/7/2026-01-31/30/en", Some("2026-01-31")),
            ("heatmap/7/2026", Some("2026-12-31")),
            ("daily/7/today", None),
            ("streaks/7", None),
            ("global", None),
        ] {
            let question: Question = text.parse().unwrap();
            assert_eq!(question.last_day(), last.map(|day| day.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn days_of_one_week_are_one_question() {
        let monday: Question = "weekly/7/2026-01-26".parse().unwrap();

        assert_eq!("weekly/7/2026-02-01".parse::<Question>().unwrap(), monday);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "dayly/7/today", "daily", "daily/x/today", "daily/7", "daily/7/today/1", "global/7", "streaks/"]
        {
            assert!(text.parse::<Question>().is_err(), "{text}");
        }
    }
}
