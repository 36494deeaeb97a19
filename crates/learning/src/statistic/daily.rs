//! One local day.

use serde::Serialize;

use super::Days;
use crate::counts::{HourCounts, NameCounts};
use crate::estimator::Estimator;
use crate::local_day::LocalDay;
use crate::summary::DaySummary;

/// What a learner did on one local day. A session belongs to the day in which it starts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Daily {
    /// The local day.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub date: LocalDay,
    /// Valid sessions.
    pub total_sessions: u64,
    /// Of these, sessions that have an end.
    pub completed_sessions: u64,
    /// Of these, sessions that are still open.
    pub active_sessions: u64,
    /// Of these, productive sessions: at least 25 minutes, rated at least 3, efficiency at least 0.60.
    pub productive_sessions: u64,
    /// Minutes of all sessions.
    pub total_duration: u64,
    /// Mean rating, 1 to 5, unrounded; null when nothing was rated.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub avg_effectiveness: Option<f64>,
    /// Mean focus score, 0 to 1, unrounded; null when no session has one.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub avg_focus_score: Option<f64>,
    /// Sessions by learning environment; sessions without one are left out.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, u64>))]
    pub environments: NameCounts,
    /// Sessions by device; sessions without one are left out.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, u64>))]
    pub devices: NameCounts,
    /// Sessions by subject; sessions without one are left out.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, u64>))]
    pub subjects: NameCounts,
    /// Sessions by the local hour they start in, "0" to "23"; hours without sessions are left out.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, u64>))]
    pub hours: HourCounts,
    /// Rules by which some of these sessions were inferred from activity (`kind`, `timeout_s`, `tail_s`, `version`);
    /// left out when all were recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub estimators: Vec<Estimator>,
}

/// The daily statistic of a day.
#[must_use]
pub fn daily(day: LocalDay, days: &Days) -> Daily {
    let empty = DaySummary::default();
    let summary = days.get(&day).unwrap_or(&empty);
    Daily {
        date: day,
        total_sessions: summary.sessions,
        completed_sessions: summary.completed,
        active_sessions: summary.active,
        productive_sessions: summary.productive,
        total_duration: summary.minutes,
        avg_effectiveness: summary.mean_rating(),
        avg_focus_score: summary.mean_focus(),
        environments: summary.environments.clone(),
        devices: summary.devices.clone(),
        subjects: summary.subjects.clone(),
        hours: summary.hours.clone(),
        estimators: summary.estimators.clone(),
    }
}
