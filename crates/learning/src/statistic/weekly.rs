//! One week, Monday to Sunday.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Days;
use super::period::{DayTotals, Period};
use crate::calendar::Calendar;
use crate::estimator::Estimator;
use crate::local_day::LocalDay;

/// What a learner did in one week of local days, Monday to Sunday.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Weekly {
    /// The Monday.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub week_start: LocalDay,
    /// The Sunday.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub week_end: LocalDay,
    /// Valid sessions.
    pub total_sessions: u64,
    /// Minutes of all sessions.
    pub total_duration: u64,
    /// Mean minutes a session, unrounded; null without sessions.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub avg_session_duration: Option<f64>,
    /// Each of the seven days, in order.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, DayTotals>))]
    pub daily_breakdown: BTreeMap<LocalDay, DayTotals>,
    /// Days with a duration above 0.
    pub active_days: u32,
    /// Longest run of consecutive active days within the week, in days. Days that do not exist in the learner's time
    /// zone neither break a run nor count.
    pub streak_days: u32,
    /// The day with the most productive sessions, then the longest duration, then the earlier; null without sessions.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Date, required))]
    pub most_productive_day: Option<LocalDay>,
    /// How even the days are, 0 to 1: max(0, 1 − population standard deviation / mean) of the daily durations over the
    /// days that have begun; 0 when nothing was studied.
    pub consistency_score: f64,
    /// Rules by which some of these sessions were inferred from activity (`kind`, `timeout_s`, `tail_s`, `version`);
    /// left out when all were recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub estimators: Vec<Estimator>,
}

/// The weekly statistic of the week that `any_day` lies in. `today` is the learner's present day; later days have not begun.
#[must_use]
pub fn weekly(any_day: LocalDay, days: &Days, calendar: &Calendar, today: LocalDay) -> Weekly {
    let week_start = any_day.monday();
    // counted from the day given: at the first day there is, the Monday before it does not exist
    let week_end = any_day.plus(any_day.date().weekday().until(jiff::civil::Weekday::Sunday).into());
    let period = Period::new(week_start, week_end, days);
    let total = period.total();
    Weekly {
        week_start,
        week_end,
        total_sessions: total.sessions,
        total_duration: total.minutes,
        avg_session_duration: total.mean_minutes(),
        daily_breakdown: period.breakdown(),
        active_days: period.active_days(),
        streak_days: period.runs(|day| calendar.exists(day)).longest,
        most_productive_day: period.most_productive_day(),
        consistency_score: period.consistency(calendar, today),
        estimators: total.estimators,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{DayStart, Zone, ZoneHistory};

    #[test]
    fn a_week_has_seven_days_wherever_it_is_asked_for() {
        let calendar = Calendar::new(ZoneHistory::new(Zone::utc()), DayStart::default());
        let monday: LocalDay = "2025-06-23".parse().unwrap();
        for any_day in monday.through(monday.plus(6)) {
            let week = weekly(any_day, &Days::new(), &calendar, any_day);

            assert_eq!((week.week_start, week.week_end), (monday, monday.plus(6)));
            assert_eq!(week.daily_breakdown.len(), 7);
        }
    }

    #[test]
    fn the_weeks_at_the_ends_of_time_are_cut_short() {
        let calendar = Calendar::new(ZoneHistory::new(Zone::utc()), DayStart::default());
        for (day, length) in [(LocalDay::MIN, 6), (LocalDay::MAX, 3)] {
            let week = weekly(day, &Days::new(), &calendar, day);

            assert_eq!(week.daily_breakdown.len(), length, "{} to {}", week.week_start, week.week_end);
            assert!((week.week_start..=week.week_end).contains(&day));
        }
    }
}
