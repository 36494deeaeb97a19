//! The nightly row of a day, from the rows themselves.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::statistic::nightly;

use super::learner::{Learner, any_learner, calendar, day};
use super::model::{Model, first_of_most, is_valid};
use super::same::{assert_same, messages};

/// The row of a day that is over, by the words of its columns.
fn expected(learner: &Learner, date: LocalDay) -> Value {
    let model = Model { rows: &learner.rows, calendar: &learner.calendar, now: learner.now };
    let daily = model.daily(date);
    let window = model.analytics(date, 30, &messages(Language::En));
    let most = |names: &str| {
        let tally: BTreeMap<String, u64> = serde_json::from_value(daily[names].clone()).unwrap();
        first_of_most(&tally)
    };
    let hours: BTreeMap<u8, u64> = serde_json::from_value::<BTreeMap<String, u64>>(daily["hours"].clone())
        .unwrap()
        .into_iter()
        .map(|(hour, sessions)| (hour.parse().unwrap(), sessions))
        .collect();
    let (productive, total) = (&daily["productive_sessions"], &daily["total_sessions"]);
    let rate = Some(productive.as_f64().unwrap() / total.as_f64().unwrap()).filter(|rate| !rate.is_nan());
    let week = date.date().iso_week_date();
    json!({
        "date": date,
        "iso_year": week.year(),
        "iso_week": week.week(),
        "total_sessions": total,
        "total_duration": daily["total_duration"],
        "avg_effectiveness": daily["avg_effectiveness"],
        "avg_focus_score": daily["avg_focus_score"],
        "productive_sessions": productive,
        "productivity_rate": rate,
        "most_productive_hour": first_of_most(&hours),
        "preferred_environment": most("environments"),
        "preferred_device": most("devices"),
        "preferred_subject": most("subjects"),
        "improvement_trend": window["improvement_trend"],
        "current_streak": streak(learner, date),
        "time_zone": zone(learner, date),
    })
}

fn streak(learner: &Learner, date: LocalDay) -> u32 {
    let is_active = |day: LocalDay| {
        let rows = learner.rows.iter().filter(|row| is_valid(row) && learner.calendar.day_of(row.start) == day);
        rows.map(|row| row.duration_minutes).sum::<i32>() > 0
    };
    let mut streak = 0;
    for back in 0..200 {
        let day = date.plus(-back);
        if is_active(day) {
            streak += 1;
        } else if learner.calendar.exists(day) {
            break;
        }
    }
    streak
}

fn zone(learner: &Learner, date: LocalDay) -> &'static str {
    let zones = learner.calendar.zones();
    let last = learner.calendar.intervals(date).last().map(|interval| interval.end - SignedDuration::from_micros(1));
    last.map_or(zones.current(), |last| zones.zone_at(last)).name()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_night_is_what_the_rows_say(learner in any_learner(), shift in -40i32..=40) {
        let date = learner.day.plus(shift);
        let row = nightly(date, &learner.days(), &learner.active(), &learner.calendar);
        assert_same(row, expected(&learner, date))?;
    }
}

#[test]
fn a_streak_bridges_a_day_that_does_not_exist() {
    let active = ["2011-12-28", "2011-12-29", "2011-12-31"].into_iter().map(day).collect();
    let row = nightly(day("2011-12-31"), &BTreeMap::new(), &active, &calendar("Pacific/Apia"));

    assert_eq!((row.current_streak, row.time_zone.name()), (3, "Pacific/Apia"));
}
