//! The last days up to a date: means, preferences, the trend, and advice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Days;
use super::period::Period;
use crate::calendar::Calendar;
use crate::counts::{HourCounts, RatingCounts};
use crate::estimator::Estimator;
use crate::language::Language;
use crate::local_day::LocalDay;
use crate::recommendation::{Recommendation, recommendations};

/// How many local days an analysis looks back on, 2 to 365; 30 unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "i64")]
pub struct WindowDays(u16);

/// A window that is not answered for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a number of days to look back on; accepted: 2 to 365")]
pub struct WindowError(String);

impl WindowDays {
    /// The shortest window: each half needs a day.
    pub const MIN: u16 = 2;
    /// The longest window.
    pub const MAX: u16 = 365;

    /// Takes a number of days.
    ///
    /// # Errors
    /// [`WindowError`] outside 2..=365.
    pub fn new(days: u16) -> Result<Self, WindowError> {
        if (Self::MIN..=Self::MAX).contains(&days) { Ok(Self(days)) } else { Err(WindowError(days.to_string())) }
    }

    /// The number of days.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }

    /// The first day of the window that ends with `to`.
    #[must_use]
    pub fn first(self, to: LocalDay) -> LocalDay {
        to.plus(1 - i32::from(self.0))
    }

    /// The first day of the later half; of an odd number of days the middle one belongs to it.
    fn later_half(self, to: LocalDay) -> LocalDay {
        to.plus(1 - i32::from(self.0 - self.0 / 2))
    }
}

impl Default for WindowDays {
    fn default() -> Self {
        Self(30)
    }
}

impl TryFrom<i64> for WindowDays {
    type Error = WindowError;

    fn try_from(days: i64) -> Result<Self, WindowError> {
        u16::try_from(days).map_err(|_| WindowError(days.to_string())).and_then(Self::new)
    }
}

impl From<WindowDays> for u16 {
    fn from(window: WindowDays) -> Self {
        window.0
    }
}

impl fmt::Display for WindowDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for WindowDays {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        text.parse().ok().and_then(|days| Self::new(days).ok()).ok_or_else(|| WindowError(crate::key::clip(text)))
    }
}

/// How the ratings of the later half of a window compare with those of the earlier half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Trend {
    /// The mean rating rose by more than 0.2.
    Improving,
    /// The mean rating fell by more than 0.2.
    Declining,
    /// The mean rating moved by at most 0.2.
    Stable,
    /// A half has no rating.
    Unknown,
}

/// A text that names no trend.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a trend; accepted: improving, declining, stable, unknown")]
pub struct TrendError(String);

impl Trend {
    /// Its name: `improving`, `declining`, …
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Improving => "improving",
            Self::Declining => "declining",
            Self::Stable => "stable",
            Self::Unknown => "unknown",
        }
    }
}

impl FromStr for Trend {
    type Err = TrendError;

    fn from_str(text: &str) -> Result<Self, TrendError> {
        [Self::Improving, Self::Declining, Self::Stable, Self::Unknown]
            .into_iter()
            .find(|trend| trend.name() == text)
            .ok_or_else(|| TrendError(crate::key::clip(text)))
    }
}

/// What a learner did in the last local days up to a date, and what could be better.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Analytics {
    /// First local day of the window.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub from: LocalDay,
    /// Last local day of the window.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub to: LocalDay,
    /// Days in the window, `from` and `to` included.
    #[cfg_attr(feature = "openapi", schema(value_type = u16, minimum = 2, maximum = 365))]
    pub days: WindowDays,
    /// Valid sessions.
    pub total_sessions: u64,
    /// Minutes of all sessions.
    pub total_duration: u64,
    /// Mean minutes a session, unrounded; null without sessions.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub avg_session_duration: Option<f64>,
    /// Mean rating, 1 to 5, unrounded; null when nothing was rated.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub avg_effectiveness: Option<f64>,
    /// Mean focus score, 0 to 1, unrounded; null when no session has one.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub avg_focus_score: Option<f64>,
    /// The environment of the most sessions, of several the alphabetically first; null when none is known.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub preferred_environment: Option<String>,
    /// The device of the most sessions, of several the alphabetically first; null when none is known.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub preferred_device: Option<String>,
    /// Every local hour, "0" to "23", in which sessions start → sessions.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, u64>))]
    pub peak_hours: HourCounts,
    /// Mean rating of the later half of the window against that of the earlier half. Of an odd number of days the middle
    /// one belongs to the later half.
    pub improvement_trend: Trend,
    /// Active days in the run that reaches `to`, within the window. Only days that have ended break a run: neither
    /// today nor a later day does so by being empty.
    pub current_streak: u32,
    /// Active days in the longest run within the window.
    pub longest_streak: u32,
    /// Advice, in a fixed order; empty without sessions.
    pub recommendations: Vec<Recommendation>,
    /// Rules by which some of these sessions were inferred from activity (`kind`, `timeout_s`, `tail_s`, `version`);
    /// left out when all were recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub estimators: Vec<Estimator>,
}

/// The analytics of the `window` local days up to and including `to`, with messages in `language`.
///
/// `today` is the learner's present day: it may still be empty without breaking a streak, and so may days after it.
#[must_use]
pub fn analytics(
    to: LocalDay,
    window: WindowDays,
    days: &Days,
    calendar: &Calendar,
    today: LocalDay,
    language: Language,
) -> Analytics {
    let from = window.first(to);
    let period = Period::new(from, to, days);
    let total = period.total();
    let runs = period.runs(|day| day < today && calendar.exists(day));
    Analytics {
        from,
        to,
        days: window,
        total_sessions: total.sessions,
        total_duration: total.minutes,
        avg_session_duration: total.mean_minutes(),
        avg_effectiveness: total.mean_rating(),
        avg_focus_score: total.mean_focus(),
        preferred_environment: total.environments.most().map(str::to_owned),
        preferred_device: total.devices.most().map(str::to_owned),
        improvement_trend: trend_up_to(to, window, days),
        current_streak: runs.last,
        longest_streak: runs.longest,
        recommendations: recommendations(&total, language),
        peak_hours: total.hours,
        estimators: total.estimators,
    }
}

/// The trend of the `window` local days up to and including `to`.
pub(super) fn trend_up_to(to: LocalDay, window: WindowDays, days: &Days) -> Trend {
    trend(window.first(to), window.later_half(to), to, days)
}

fn trend(from: LocalDay, middle: LocalDay, to: LocalDay, days: &Days) -> Trend {
    let mut earlier = RatingCounts::default();
    let mut later = RatingCounts::default();
    for (day, summary) in days.range(from..=to) {
        if *day < middle { &mut earlier } else { &mut later }.merge(&summary.ratings);
    }
    if earlier.count() == 0 || later.count() == 0 {
        return Trend::Unknown;
    }
    if rose(&earlier, &later) {
        Trend::Improving
    } else if rose(&later, &earlier) {
        Trend::Declining
    } else {
        Trend::Stable
    }
}

/// Whether the mean of `after` is above the mean of `before` by more than 0.2, in whole numbers:
/// s₂/n₂ − s₁/n₁ > 1/5  ⇔  5·s₂·n₁ > 5·s₁·n₂ + n₁·n₂.
fn rose(before: &RatingCounts, after: &RatingCounts) -> bool {
    let (s1, n1) = (u128::from(before.sum()), u128::from(before.count()));
    let (s2, n2) = (u128::from(after.sum()), u128::from(after.count()));
    // sums beyond 2^61 would overflow; no database holds so many sessions
    (s2 * n1).saturating_mul(5) > (s1 * n2).saturating_mul(5).saturating_add(n1 * n2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{DayStart, Zone, ZoneHistory};
    use crate::efficiency::Rating;
    use crate::summary::DaySummary;

    fn day(text: &str) -> LocalDay {
        text.parse().unwrap()
    }

    fn utc() -> Calendar {
        Calendar::new(ZoneHistory::new(Zone::utc()), DayStart::default())
    }

    fn over(length: u16, to: &str, days: &Days, today: &str) -> Analytics {
        analytics(day(to), WindowDays::new(length).unwrap(), days, &utc(), day(today), Language::En)
    }

    /// A day with ratings: how many of each.
    fn rated(ratings: &[(i64, u64)]) -> DaySummary {
        let mut summary = DaySummary::default();
        for (rating, sessions) in ratings {
            summary.sessions += sessions;
            summary.ratings.add(Rating::new(*rating).unwrap(), *sessions);
        }
        summary
    }

    fn studied(days: &[&str]) -> Days {
        days.iter().map(|text| (day(text), DaySummary { sessions: 1, minutes: 30, ..DaySummary::default() })).collect()
    }

    #[test]
    fn the_trend_turns_beyond_a_difference_of_one_fifth() {
        let earlier = rated(&[(3, 5)]);
        for (later, expected) in [
            (rated(&[(3, 4), (4, 1)]), Trend::Stable), // 3.2, which floating point puts above 3 + 0.2
            (rated(&[(3, 799), (4, 201)]), Trend::Improving), // 3.201
            (rated(&[(3, 4), (2, 1)]), Trend::Stable), // 2.8
            (rated(&[(3, 799), (2, 201)]), Trend::Declining), // 2.799
            (rated(&[(3, 1)]), Trend::Stable),
            (rated(&[]), Trend::Unknown),
        ] {
            let days = [(day("2025-06-01"), earlier.clone()), (day("2025-06-02"), later)].into();

            assert_eq!(over(2, "2025-06-02", &days, "2025-06-02").improvement_trend, expected);
        }
    }

    #[test]
    fn an_odd_middle_day_belongs_to_the_later_half() {
        let days: Days = [(day("2025-06-01"), rated(&[(2, 1)])), (day("2025-06-02"), rated(&[(5, 1)]))].into();

        assert_eq!(over(3, "2025-06-03", &days, "2025-06-03").improvement_trend, Trend::Improving);
        assert_eq!(over(4, "2025-06-04", &days, "2025-06-04").improvement_trend, Trend::Unknown);
    }

    #[test]
    fn the_window_ends_with_its_last_day_and_holds_no_other() {
        let days = studied(&["2025-05-31", "2025-06-01", "2025-06-30", "2025-07-01"]);

        let found = over(30, "2025-06-30", &days, "2025-07-15");

        assert_eq!((found.from, found.to, found.days.get()), (day("2025-06-01"), day("2025-06-30"), 30));
        assert_eq!(found.total_sessions, 2);
    }

    #[test]
    fn only_the_real_today_may_be_empty_without_breaking_a_streak() {
        let days = studied(&["2025-06-25", "2025-06-26"]);
        let streaks = |to, today| {
            let found = over(30, to, &days, today);
            (found.current_streak, found.longest_streak)
        };

        assert_eq!(streaks("2025-06-27", "2025-06-27"), (2, 2));
        assert_eq!(streaks("2025-06-27", "2025-06-28"), (0, 2));
        assert_eq!(streaks("2025-06-28", "2025-06-27"), (2, 2), "tomorrow has not begun");
    }

    #[test]
    fn a_streak_does_not_reach_out_of_the_window() {
        let days = studied(&["2025-06-24", "2025-06-25", "2025-06-26", "2025-06-27"]);

        let found = over(2, "2025-06-27", &days, "2025-06-27");

        assert_eq!((found.current_streak, found.longest_streak), (2, 2));
    }

    #[test]
    fn the_first_day_there_is_can_be_asked_about() {
        let found = analytics(LocalDay::MIN, WindowDays::default(), &Days::new(), &utc(), LocalDay::MIN, Language::En);

        assert_eq!((found.from, found.total_sessions), (LocalDay::MIN, 0));
    }

    #[test]
    fn a_window_has_2_to_365_days() {
        for bad in ["1", "366", "-3", "70000", "30.0", "", "ten"] {
            let message = bad.parse::<WindowDays>().unwrap_err().to_string();
            assert!(message.contains(&format!("{bad:?}")) && message.contains("2 to 365"), "{message}");
        }
        assert_eq!("365".parse(), WindowDays::new(365));
        assert_eq!(WindowDays::default().get(), 30);
        assert_eq!(serde_json::from_str::<WindowDays>("2").unwrap().get(), 2);
        assert!(serde_json::from_str::<WindowDays>("-1").unwrap_err().to_string().contains("2 to 365"));
    }
}
