//! One calendar month.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Days;
use super::period::{DayTotals, Period};
use crate::calendar::Calendar;
use crate::estimator::Estimator;
use crate::local_day::{LocalDay, Month};

/// What a learner did in one calendar month of local days.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Monthly {
    /// The month, such as "2026-01".
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^\d{4}-\d{2}$"))]
    pub month: Month,
    /// Valid sessions.
    pub total_sessions: u64,
    /// Minutes of all sessions.
    pub total_duration: u64,
    /// Mean minutes a session, unrounded; null without sessions.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub avg_session_duration: Option<f64>,
    /// Each day of the month, in order.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, DayTotals>))]
    pub daily_breakdown: BTreeMap<LocalDay, DayTotals>,
    /// Days with a duration above 0.
    pub active_days: u32,
    /// Longest run of consecutive active days within the month, in days. Days that do not exist in the learner's time
    /// zone neither break a run nor count.
    pub streak_days: u32,
    /// The day with the most productive sessions, then the longest duration, then the earlier; null without sessions.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Date, required))]
    pub most_productive_day: Option<LocalDay>,
    /// How even the days are, 0 to 1: max(0, 1 − population standard deviation / mean) of the daily durations over the
    /// days that have begun; 0 when nothing was studied.
    pub consistency_score: f64,
    /// Every Monday whose week touches the month → minutes of that week's days that lie within the month.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, u64>))]
    pub weeks: BTreeMap<LocalDay, u64>,
    /// Rules by which some of these sessions were inferred from activity (`kind`, `timeout_s`, `tail_s`, `version`);
    /// left out when all were recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub estimators: Vec<Estimator>,
}

/// The monthly statistic of a month. `today` is the learner's present day; later days have not begun.
#[must_use]
pub fn monthly(month: Month, days: &Days, calendar: &Calendar, today: LocalDay) -> Monthly {
    let period = Period::new(month.first(), month.last(), days);
    let total = period.total();
    let daily_breakdown = period.breakdown();
    Monthly {
        month,
        total_sessions: total.sessions,
        total_duration: total.minutes,
        avg_session_duration: total.mean_minutes(),
        active_days: period.active_days(),
        streak_days: period.runs(|day| calendar.exists(day)).longest,
        most_productive_day: period.most_productive_day(),
        consistency_score: period.consistency(calendar, today),
        weeks: weeks(&daily_breakdown),
        daily_breakdown,
        estimators: total.estimators,
    }
}

fn weeks(breakdown: &BTreeMap<LocalDay, DayTotals>) -> BTreeMap<LocalDay, u64> {
    let mut weeks = BTreeMap::new();
    for (day, totals) in breakdown {
        let minutes: &mut u64 = weeks.entry(day.monday()).or_default();
        *minutes = minutes.saturating_add(totals.duration);
    }
    weeks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{DayStart, Zone, ZoneHistory};
    use crate::summary::DaySummary;

    #[test]
    fn weeks_of_a_month_hold_only_the_minutes_within_it() {
        let calendar = Calendar::new(ZoneHistory::new(Zone::utc()), DayStart::default());
        let day = |text: &str| text.parse::<LocalDay>().unwrap();
        let studied = |minutes| DaySummary { sessions: 1, minutes, ..DaySummary::default() };
        // 1 March 2025 is a Saturday, 31 March a Monday
        let days: Days = [
            (day("2025-02-28"), studied(1)),
            (day("2025-03-01"), studied(10)),
            (day("2025-03-31"), studied(100)),
            (day("2025-04-01"), studied(1000)),
        ]
        .into();

        let month = monthly("2025-03".parse().unwrap(), &days, &calendar, day("2025-05-01"));

        let weeks: Vec<(String, u64)> =
            month.weeks.iter().map(|(monday, minutes)| (monday.to_string(), *minutes)).collect();
        let expected = [
            ("2025-02-24", 10),
            ("2025-03-03", 0),
            ("2025-03-10", 0),
            ("2025-03-17", 0),
            ("2025-03-24", 0),
            ("2025-03-31", 100),
        ];
        assert_eq!(weeks, expected.map(|(monday, minutes)| (monday.to_owned(), minutes)));
        assert_eq!((month.total_duration, month.daily_breakdown.len()), (110, 31));
    }
}
