//! Streaks and weeks where days are missing, short, long, or skipped by a traveller.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use tierkeep_learning::active_days::ActiveDays;
use tierkeep_learning::calendar::{Calendar, DayStart, Zone, ZoneHistory};
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::session::SessionFacts;
use tierkeep_learning::statistic::{streaks, weekly};

use super::learner::{at, calendar, day, days_of};

/// Zones with the year in which one of their days is odd.
const GOLDEN: &[(&str, i16)] = &[
    ("America/New_York", 2025),
    ("Europe/Paris", 2023),
    ("America/Sao_Paulo", 2018),
    ("America/Sao_Paulo", 2019),
    ("Australia/Lord_Howe", 2025),
    ("Pacific/Apia", 2011),
    ("Pacific/Kwajalein", 1993),
    ("Africa/Casablanca", 2025),
    ("Europe/Dublin", 2025),
    ("Antarctica/Troll", 2025),
    ("America/St_Johns", 2010),
    ("America/Toronto", 1919),
    ("America/Caracas", 2016),
    ("Pacific/Chatham", 2025),
    ("Asia/Shanghai", 1986),
    ("Asia/Kathmandu", 2025),
    ("Pacific/Kiritimati", 1994),
];

/// The days of a year that somebody lives through who looks at the clock every six hours.
fn lived_through(calendar: &Calendar, year: i16) -> BTreeSet<LocalDay> {
    let mut instant: Timestamp = format!("{:04}-12-30T00:00:00Z", year - 1).parse().unwrap();
    let mut days = BTreeSet::new();
    for _ in 0..4 * 370 {
        days.insert(calendar.day_of(instant));
        instant += SignedDuration::from_hours(6);
    }
    days.retain(|day| day.date().year() == year);
    days
}

#[test]
fn a_year_of_daily_study_is_one_streak_in_every_golden_zone() {
    for (zone, year) in GOLDEN {
        for day_start in [0, 4] {
            let zones = ZoneHistory::new(Zone::new(zone).unwrap());
            let calendar = Calendar::new(zones, DayStart::new(day_start).unwrap());
            let lived = lived_through(&calendar, *year);
            let (first, last) = (*lived.first().unwrap(), *lived.last().unwrap());
            let active: ActiveDays = lived.iter().copied().collect();

            let streaks = streaks(&active, &calendar, last);

            assert_eq!(streaks.longest_streak as usize, lived.len(), "{zone} {year}, days from {day_start}:00");
            assert_eq!(streaks.current_streak, streaks.longest_streak, "{zone} {year}");
            assert_eq!((streaks.current_start, streaks.longest_end), (Some(first), Some(last)), "{zone} {year}");
        }
    }
}

#[test]
fn a_missed_day_breaks_the_year_in_every_golden_zone() {
    for (zone, year) in GOLDEN {
        let calendar = calendar(zone);
        let mut lived = lived_through(&calendar, *year);
        let missed = *lived.iter().nth(200).unwrap();
        lived.remove(&missed);
        let active: ActiveDays = lived.iter().copied().collect();

        let streaks = streaks(&active, &calendar, *lived.last().unwrap());

        assert_eq!(streaks.longest_streak, 200, "{zone} {year}");
        assert_eq!(streaks.longest_end, Some(missed.plus(-1)), "{zone} {year}");
    }
}

#[test]
fn a_streak_bridges_the_day_that_samoa_skipped_and_does_not_count_it() {
    let apia = calendar("Pacific/Apia");
    let active: ActiveDays = [day("2011-12-28"), day("2011-12-29"), day("2011-12-31")].into_iter().collect();

    let found = streaks(&active, &apia, day("2011-12-31"));

    assert_eq!((found.current_streak, found.longest_streak), (3, 3));
    assert_eq!(found.current_start, Some(day("2011-12-28")));
}

#[test]
fn on_the_day_after_the_skipped_one_the_streak_of_the_day_before_is_only_at_risk() {
    let apia = calendar("Pacific/Apia");
    let active: ActiveDays = [day("2011-12-29")].into_iter().collect();

    let pending = streaks(&active, &apia, day("2011-12-31"));
    let missed = streaks(&active, &apia, day("2012-01-01"));

    assert_eq!((pending.current_streak, pending.at_risk_until), (1, Some(at("2011-12-31T10:00:00Z"))));
    assert_eq!((missed.current_streak, missed.at_risk_until), (0, None));
}

#[test]
fn a_week_with_a_skipped_day_has_seven_entries_and_judges_six() {
    let apia = calendar("Pacific/Apia");
    let row = |start: &str| SessionFacts::recorded(at(start), 30);
    // Monday 26 to Sunday 1, 09:00 there: UTC-10 before the change, UTC+14 after it
    let rows: Vec<SessionFacts> = ["26T19", "27T19", "28T19", "29T19", "30T19", "31T19"]
        .map(|hour| row(format!("2011-12-{hour}:00:00Z").as_str()))
        .to_vec();

    let week = weekly(day("2011-12-30"), &days_of(&rows, &apia), &apia, day("2012-01-05"));

    assert_eq!(week.daily_breakdown.len(), 7);
    assert_eq!(week.daily_breakdown[&day("2011-12-30")].sessions, 0);
    assert_eq!((week.active_days, week.streak_days), (6, 6));
    assert!((week.consistency_score - 1.0).abs() < f64::EPSILON, "{}", week.consistency_score);
}

#[test]
fn a_traveller_over_the_date_line_keeps_the_streak() {
    let move_at = at("2025-06-10T10:30:00Z");
    let zones = ZoneHistory::from_changes(
        Zone::new("Pacific/Pago_Pago").unwrap(),
        [(move_at, Zone::new("Pacific/Kiritimati").unwrap())],
    );
    let calendar = Calendar::new(zones, DayStart::default());
    let active: ActiveDays = [day("2025-06-08"), day("2025-06-09"), day("2025-06-11")].into_iter().collect();

    let found = streaks(&active, &calendar, day("2025-06-11"));

    assert!(!calendar.exists(day("2025-06-10")));
    assert_eq!((found.current_streak, found.current_start), (3, Some(day("2025-06-08"))));
}

#[test]
fn a_streak_changes_its_answer_exactly_at_the_boundary() {
    let lord_howe = calendar("Australia/Lord_Howe");
    let active: ActiveDays = [day("2025-10-03")].into_iter().collect();
    let boundary = lord_howe.ends(day("2025-10-04")).unwrap();
    let asked = |now| streaks(&active, &lord_howe, lord_howe.day_of(now));

    let before = asked(boundary - SignedDuration::from_micros(1));
    let after = asked(boundary);

    assert_eq!((before.current_streak, before.at_risk_until), (1, Some(boundary)));
    assert_eq!((after.current_streak, after.at_risk_until), (0, None));
}
