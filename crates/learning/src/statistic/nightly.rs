//! A learner's day as it is written down for others at night, when it is over.

use jiff::SignedDuration;
use serde::Serialize;

use super::analytics::trend_up_to;
use super::streak::streak_up_to;
use super::{Days, Trend, WindowDays};
use crate::active_days::ActiveDays;
use crate::calendar::{Calendar, Zone};
use crate::local_day::LocalDay;
use crate::summary::DaySummary;

/// What is written about a local day of a learner that is over: a row of `tierkeep_learning_analytics`.
///
/// Counts, means and preferences are those of the day; the trend is that of the 30 days up to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Nightly {
    /// The local day.
    pub date: LocalDay,
    /// The year its ISO week belongs to, which is not always its own: 2024-12-30 lies in a week of 2025.
    pub iso_year: i16,
    /// Its ISO week, 1 to 53.
    pub iso_week: i8,
    /// Valid sessions.
    pub total_sessions: u64,
    /// Minutes of all sessions.
    pub total_duration: u64,
    /// Mean rating, 1 to 5, unrounded; null when nothing was rated.
    pub avg_effectiveness: Option<f64>,
    /// Mean focus score, 0 to 1, unrounded; null when no session has one.
    pub avg_focus_score: Option<f64>,
    /// Productive sessions.
    pub productive_sessions: u64,
    /// Productive of all sessions, 0 to 1; null without sessions.
    pub productivity_rate: Option<f64>,
    /// The local hour, 0 to 23, in which most sessions began, of several the earlier; null without sessions. Sessions of any
    /// outcome count: a day's summary does not tell in which hours the productive ones began.
    pub most_productive_hour: Option<u8>,
    /// The environment of the most sessions, of several the alphabetically first; null when none is known.
    pub preferred_environment: Option<String>,
    /// The device of the most sessions, of several the alphabetically first; null when none is known.
    pub preferred_device: Option<String>,
    /// The subject of the most sessions, of several the alphabetically first; null when none is known.
    pub preferred_subject: Option<String>,
    /// Mean rating of the later half of the 30 days up to the date against that of the earlier half.
    pub improvement_trend: Trend,
    /// Active days in the run that reaches the date, over all history. The day is over, so without study it ends a run.
    pub current_streak: u32,
    /// The learner's zone at the end of the day.
    pub time_zone: Zone,
}

/// The row of a day that is over. `days` holds the 30 days up to it, `active` all days with study.
#[must_use]
pub fn nightly(date: LocalDay, days: &Days, active: &ActiveDays, calendar: &Calendar) -> Nightly {
    let nothing = DaySummary::default();
    let day = days.get(&date).unwrap_or(&nothing);
    let week = date.date().iso_week_date();
    Nightly {
        date,
        iso_year: week.year(),
        iso_week: week.week(),
        total_sessions: day.sessions,
        total_duration: day.minutes,
        avg_effectiveness: day.mean_rating(),
        avg_focus_score: day.mean_focus(),
        productive_sessions: day.productive,
        productivity_rate: share(day.productive, day.sessions),
        most_productive_hour: day.hours.busiest(),
        preferred_environment: day.environments.most().map(str::to_owned),
        preferred_device: day.devices.most().map(str::to_owned),
        preferred_subject: day.subjects.most().map(str::to_owned),
        improvement_trend: trend_up_to(date, WindowDays::default(), days),
        current_streak: streak_up_to(active, calendar, date),
        time_zone: zone_at_the_end_of(date, calendar),
    }
}

#[expect(clippy::cast_precision_loss, reason = "one rounding of each exact count, as the contract asks of means")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Later moves change nothing about a day that is over. Of a day that does not exist, the zone there is now.
fn zone_at_the_end_of(date: LocalDay, calendar: &Calendar) -> Zone {
    let last = calendar.ends(date).map(|end| end - SignedDuration::from_micros(1));
    *last.map_or(calendar.zones().current(), |last| calendar.zones().zone_at(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{DayStart, ZoneHistory};
    use crate::efficiency::Rating;

    fn day(text: &str) -> LocalDay {
        text.parse().unwrap()
    }

    fn utc() -> Calendar {
        Calendar::new(ZoneHistory::new(Zone::utc()), DayStart::default())
    }

    #[test]
    fn the_week_of_a_date_has_a_year_of_its_own() {
        let week = |text| {
            let row = nightly(day(text), &Days::new(), &ActiveDays::default(), &utc());
            (row.iso_year, row.iso_week)
        };

        assert_eq!(week("2024-12-30"), (2025, 1));
        assert_eq!(week("2027-01-03"), (2026, 53));
    }

    #[test]
    fn a_day_without_sessions_has_no_rate_and_no_hour() {
        let row = nightly(day("2025-06-27"), &Days::new(), &ActiveDays::default(), &utc());

        assert_eq!((row.productivity_rate, row.most_productive_hour, row.current_streak), (None, None, 0));
        assert_eq!(row.improvement_trend, Trend::Unknown);
    }

    #[test]
    fn the_rate_is_productive_of_all_sessions() {
        let summary = DaySummary { sessions: 4, productive: 3, minutes: 120, ..DaySummary::default() };
        let days: Days = [(day("2025-06-27"), summary)].into();

        let row = nightly(day("2025-06-27"), &days, &ActiveDays::default(), &utc());

        assert_eq!((row.productivity_rate, row.productive_sessions, row.total_duration), (Some(0.75), 3, 120));
    }

    #[test]
    fn a_streak_ends_on_an_empty_day_and_does_not_see_later_ones() {
        let active: ActiveDays = ["2025-06-24", "2025-06-25", "2025-06-27"].into_iter().map(day).collect();
        let streak = |text| nightly(day(text), &Days::new(), &active, &utc()).current_streak;

        assert_eq!(["2025-06-23", "2025-06-24", "2025-06-25", "2025-06-26", "2025-06-27"].map(streak), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn the_trend_is_that_of_thirty_days() {
        let rated = |rating| {
            let mut summary = DaySummary { sessions: 1, ..DaySummary::default() };
            summary.ratings.add(Rating::new(rating).unwrap(), 1);
            summary
        };
        let days: Days = [(day("2025-06-01"), rated(2)), (day("2025-06-30"), rated(4))].into();
        let trend = |text| nightly(day(text), &days, &ActiveDays::default(), &utc()).improvement_trend;

        assert_eq!(trend("2025-06-30"), Trend::Improving);
        assert_eq!(trend("2025-07-01"), Trend::Unknown, "the first of June is 31 days ago");
    }

    #[test]
    fn the_zone_is_the_one_the_day_ended_in() {
        let zones = ZoneHistory::from_changes(
            Zone::new("Asia/Shanghai").unwrap(),
            [("2025-06-10T02:00:00Z".parse().unwrap(), Zone::new("Europe/Paris").unwrap())],
        );
        let calendar = Calendar::new(zones, DayStart::default());
        let zone = |text| nightly(day(text), &Days::new(), &ActiveDays::default(), &calendar).time_zone.name();

        assert_eq!(["2025-06-09", "2025-06-10"].map(zone), ["Asia/Shanghai", "Europe/Paris"]);
    }
}
