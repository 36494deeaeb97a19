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
        improvement_trend: trend(from, window.later_half(to), to, days),
        current_streak: runs.last,
        longest_streak: runs.longest,
        recommendations: recommendations(&total, language),
        peak_hours: total.hours,
        estimators: total.estimators,
    }
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
