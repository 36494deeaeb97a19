//! One calendar year, a cell for each day.

use serde::Serialize;

use super::Days;
use super::period::Period;
use crate::estimator::Estimator;
use crate::local_day::{LocalDay, Year};
use crate::summary::DaySummary;

/// A learner's year, a cell for each local day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Heatmap {
    /// The calendar year.
    #[cfg_attr(feature = "openapi", schema(value_type = i16, minimum = 1, maximum = 9998))]
    pub year: Year,
    /// Every day of the year, in order, 365 or 366.
    pub days: Vec<HeatmapDay>,
    /// Rules by which some of these sessions were inferred from activity (`kind`, `timeout_s`, `tail_s`, `version`);
    /// left out when all were recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub estimators: Vec<Estimator>,
}

/// One day of a heat-map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeatmapDay {
    /// The local day.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub date: LocalDay,
    /// Minutes of its sessions.
    pub duration: u64,
    /// Its valid sessions.
    pub sessions: u64,
    /// 0 for a day without time, else 1 to 4 by the quartiles of the year's days with time: 1 more than the number of
    /// quartiles strictly below the duration. Equal durations have equal levels.
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 4))]
    pub level: u8,
}

/// The heat-map of a year.
#[must_use]
pub fn heatmap(year: Year, days: &Days) -> Heatmap {
    let (first, last) = year.days().into_inner();
    let empty = DaySummary::default();
    let summaries: Vec<(LocalDay, &DaySummary)> =
        first.through(last).map(|day| (day, days.get(&day).unwrap_or(&empty))).collect();
    let quartiles = quartiles(summaries.iter().map(|(_, summary)| summary.minutes));
    let cell = |(date, summary): (LocalDay, &DaySummary)| HeatmapDay {
        date,
        duration: summary.minutes,
        sessions: summary.sessions,
        level: level(summary.minutes, quartiles),
    };
    Heatmap {
        year,
        days: summaries.into_iter().map(cell).collect(),
        estimators: Period::new(first, last, days).total().estimators,
    }
}

/// The values at ranks ⌈n/4⌉, ⌈2n/4⌉ and ⌈3n/4⌉ of the n values above 0.
fn quartiles(minutes: impl Iterator<Item = u64>) -> [u64; 3] {
    let mut sorted: Vec<u64> = minutes.filter(|minutes| *minutes > 0).collect();
    sorted.sort_unstable();
    [1, 2, 3].map(|k| (k * sorted.len()).div_ceil(4).checked_sub(1).map_or(0, |place| sorted[place]))
}

fn level(minutes: u64, quartiles: [u64; 3]) -> u8 {
    if minutes == 0 { 0 } else { 1 + quartiles.map(|quartile| u8::from(quartile < minutes)).iter().sum::<u8>() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(minutes: &[u64]) -> Vec<u8> {
        let quartiles = quartiles(minutes.iter().copied());
        minutes.iter().map(|minutes| level(*minutes, quartiles)).collect()
    }

    #[test]
    fn levels_follow_the_quartiles_of_the_days_with_time() {
        assert_eq!(levels(&[7]), [1]);
        assert_eq!(levels(&[7, 9]), [1, 3]);
        assert_eq!(levels(&[7, 8, 9]), [1, 2, 3]);
        assert_eq!(levels(&[7, 8, 9, 10]), [1, 2, 3, 4]);
        assert_eq!(levels(&[7, 8, 9, 10, 11]), [1, 1, 2, 3, 4]);
    }

    #[test]
    fn days_without_time_have_level_0_and_move_no_quartile() {
        assert_eq!(levels(&[0, 7, 0, 9, 0, 0]), [0, 1, 0, 3, 0, 0]);
        assert_eq!(levels(&[0, 0]), [0, 0]);
    }

    #[test]
    fn equal_days_have_equal_levels() {
        assert_eq!(levels(&[30; 9]), [1; 9]);
    }

    #[test]
    fn a_bigger_day_raises_no_other_days_level() {
        let before = levels(&[10, 20, 30, 40, 50]);
        let after = levels(&[10, 20, 30, 40, 50, 600]);

        assert!(before.iter().zip(&after).all(|(before, after)| after <= before), "{before:?} {after:?}");
    }

    #[test]
    fn every_day_of_the_year_has_a_cell() {
        for (year, cells) in [(2023, 365), (2024, 366), (1900, 365), (2000, 366)] {
            assert_eq!(heatmap(Year::new(year).unwrap(), &Days::new()).days.len(), cells, "{year}");
        }
    }
}
