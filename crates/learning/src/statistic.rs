//! The statistics: pure functions from day summaries (or course rows, or totals) to the values that are shown.
//!
//! Every value here is what an answer says about its subject; whose it is, in which zone and as of when is added by the
//! caller. Rules that hold for all of them: a mean over nothing is null; means are doubles of exact sums, unrounded;
//! every comparison with a threshold is made in integers; ties between names go to the alphabetically first, ties
//! between days or hours to the earlier; a day that is absent from [`Days`] is an empty day.

mod analytics;
mod course;
mod daily;
mod global;
mod heatmap;
mod monthly;
mod nightly;
mod period;
mod streak;
mod weekly;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::analytics::{Analytics, Trend, TrendError, WindowDays, WindowError, analytics};
pub use self::course::{CourseRow, CourseSummary, course_summary};
pub use self::daily::{Daily, daily};
pub use self::global::{Global, GlobalTotals, global};
pub use self::heatmap::{Heatmap, HeatmapDay, heatmap};
pub use self::monthly::{Monthly, monthly};
pub use self::nightly::{Nightly, nightly};
pub use self::period::DayTotals;
pub use self::streak::{Streaks, streaks};
pub use self::weekly::{Weekly, weekly};
use crate::local_day::LocalDay;
use crate::summary::DaySummary;

/// The summaries of one learner's days. A day that is absent has no sessions.
pub type Days = BTreeMap<LocalDay, DaySummary>;

/// The statistics there are, by the names they have in addresses and on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum StatisticKind {
    /// One local day: [`Daily`].
    Daily,
    /// One week from Monday: [`Weekly`].
    Weekly,
    /// One calendar month: [`Monthly`].
    Monthly,
    /// The last days up to a date, with advice: [`Analytics`].
    Analytics,
    /// Runs of consecutive active days over all history: [`Streaks`].
    Streaks,
    /// One calendar year, a cell for each day: [`Heatmap`].
    Heatmap,
    /// Course progress: [`CourseSummary`].
    Courses,
    /// All learners together: [`Global`].
    Global,
}

/// A text that names no statistic.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a statistic; accepted: daily, weekly, monthly, analytics, streaks, heatmap, courses, global")]
pub struct StatisticKindError(String);

impl StatisticKind {
    /// Every statistic, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::Analytics,
        Self::Streaks,
        Self::Heatmap,
        Self::Courses,
        Self::Global,
    ];

    /// Its name: `daily`, `weekly`, …
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Analytics => "analytics",
            Self::Streaks => "streaks",
            Self::Heatmap => "heatmap",
            Self::Courses => "courses",
            Self::Global => "global",
        }
    }
}

impl fmt::Display for StatisticKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StatisticKind {
    type Err = StatisticKindError;

    fn from_str(text: &str) -> Result<Self, StatisticKindError> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| StatisticKindError(crate::key::clip(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statistic_is_read_by_the_name_it_is_written_with() {
        for kind in StatisticKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let message = "yearly".parse::<StatisticKind>().unwrap_err().to_string();

        assert!(message.contains("\"yearly\"") && message.contains("heatmap"), "{message}");
    }

    #[cfg(feature = "openapi")]
    #[test]
    fn the_description_of_an_answer_has_its_fields_in_order_and_requires_all_but_the_estimators() {
        use jiff::Timestamp;
        use utoipa::PartialSchema;

        use crate::active_days::ActiveDays;
        use crate::calendar::{Calendar, DayStart, Zone, ZoneHistory};
        use crate::language::Language;
        use crate::local_day::Year;

        fn check<T: Serialize + PartialSchema>(answer: &T) {
            let body = serde_json::to_value(answer).unwrap();
            let schema = serde_json::to_value(T::schema()).unwrap();
            let fields = |object: &serde_json::Value| -> Vec<String> {
                object.as_object().unwrap().keys().filter(|name| *name != "estimators").cloned().collect()
            };
            let required: Vec<String> = serde_json::from_value(schema["required"].clone()).unwrap();

            assert_eq!(fields(&schema["properties"]), fields(&body));
            assert_eq!(required, fields(&body));
            for (name, property) in schema["properties"].as_object().unwrap() {
                assert!(property.get("description").is_some(), "{name} is not described: {property}");
            }
        }

        let calendar = Calendar::new(ZoneHistory::new(Zone::utc()), DayStart::default());
        let (days, today) = (Days::new(), calendar.day_of(Timestamp::UNIX_EPOCH));
        let window = WindowDays::default();
        check(&daily(today, &days));
        check(&weekly(today, &days, &calendar, today));
        check(&monthly(today.month(), &days, &calendar, today));
        check(&analytics(today, window, &days, &calendar, today, Language::En));
        check(&streaks(&ActiveDays::default(), &calendar, today));
        check(&heatmap(Year::of(today), &days));
        check(&heatmap(Year::of(today), &days).days[0]);
        check(&course_summary(&[]));
        check(&global(&GlobalTotals::default(), today));
    }
}
