//! All learners together.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::counts::NameCounts;
use crate::local_day::LocalDay;
use crate::summary::mean;

/// Sums over the valid sessions of all learners: what [`global`] needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GlobalTotals {
    /// Learners with a valid session.
    pub users: u64,
    /// Valid sessions.
    pub sessions: u64,
    /// Their minutes.
    pub minutes: u64,
    /// Sessions by environment.
    pub environments: NameCounts,
    /// Sessions by device.
    pub devices: NameCounts,
    /// Sessions by their own local date (each in its learner's zone); at least the last seven dates.
    pub by_day: BTreeMap<LocalDay, u64>,
}

/// What all learners did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Global {
    /// Learners with a valid session.
    pub total_users: u64,
    /// Valid sessions of all time.
    pub total_sessions: u64,
    /// Sessions whose own local date is today's date in the default time zone.
    pub total_sessions_today: u64,
    /// Sessions whose own local date is one of the last seven dates, today included, in the default time zone.
    pub total_sessions_week: u64,
    /// Mean minutes a session, unrounded; null without sessions.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub avg_session_duration: Option<f64>,
    /// The environment of the most sessions, of several the alphabetically first; null when none is known.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub most_popular_environment: Option<String>,
    /// The device of the most sessions, of several the alphabetically first; null when none is known.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub most_popular_device: Option<String>,
}

/// The global statistic. `today` is the present day in the default zone; other days of `totals` are passed over.
#[must_use]
pub fn global(totals: &GlobalTotals, today: LocalDay) -> Global {
    let week = totals.by_day.range(today.plus(-6)..=today).map(|(_, sessions)| *sessions);
    Global {
        total_users: totals.users,
        total_sessions: totals.sessions,
        total_sessions_today: totals.by_day.get(&today).copied().unwrap_or(0),
        total_sessions_week: week.fold(0, u64::saturating_add),
        avg_session_duration: mean(totals.minutes, totals.sessions),
        most_popular_environment: totals.environments.most().map(str::to_owned),
        most_popular_device: totals.devices.most().map(str::to_owned),
    }
}
