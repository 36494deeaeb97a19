//! Nights on which clocks change, with the instants written out.

use std::str::FromStr;

use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{at, enumerate, timing, zone};

/// Three days around a change of the clock: zone, first day at noon UTC before it, expression, the instants.
const NIGHTS: [(&str, &str, &str, [&str; 3]); 20] = [
    // 02:00 becomes 03:00.
    ("Europe/Berlin", "2026-03-27", "0 2 * * *", ["2026-03-28T01:00Z", "2026-03-29T01:00Z", "2026-03-30T00:00Z"]),
    ("Europe/Berlin", "2026-03-27", "30 2 * * *", ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"]),
    ("Europe/Berlin", "2026-03-27", "0 3 * * *", ["2026-03-28T02:00Z", "2026-03-29T01:00Z", "2026-03-30T01:00Z"]),
    // 03:00 becomes 02:00.
    ("Europe/Berlin", "2026-10-23", "0 2 * * *", ["2026-10-24T00:00Z", "2026-10-25T00:00Z", "2026-10-26T01:00Z"]),
    ("Europe/Berlin", "2026-10-23", "30 2 * * *", ["2026-10-24T00:30Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z"]),
    ("Europe/Berlin", "2026-10-23", "0 3 * * *", ["2026-10-24T01:00Z", "2026-10-25T02:00Z", "2026-10-26T02:00Z"]),
    // 02:00 becomes 03:00.
    ("America/New_York", "2026-03-06", "0 2 * * *", ["2026-03-07T07:00Z", "2026-03-08T07:00Z", "2026-03-09T06:00Z"]),
    ("America/New_York", "2026-03-06", "30 2 * * *", ["2026-03-07T07:30Z", "2026-03-08T07:00Z", "2026-03-09T06:30Z"]),
    ("America/New_York", "2026-03-06", "0 3 * * *", ["2026-03-07T08:00Z", "2026-03-08T07:00Z", "2026-03-09T07:00Z"]),
    // 02:00 becomes 01:00.
    ("America/New_York", "2026-10-30", "0 2 * * *", ["2026-10-31T06:00Z", "2026-11-01T07:00Z", "2026-11-02T07:00Z"]),
    ("America/New_York", "2026-10-30", "30 2 * * *", ["2026-10-31T06:30Z", "2026-11-01T07:30Z", "2026-11-02T07:30Z"]),
    ("America/New_York", "2026-10-30", "0 3 * * *", ["2026-10-31T07:00Z", "2026-11-01T08:00Z", "2026-11-02T08:00Z"]),
    ("America/New_York", "2026-10-30", "30 1 * * *", ["2026-10-31T05:30Z", "2026-11-01T05:30Z", "2026-11-02T06:30Z"]),
    // 02:00 becomes 01:30.
    ("Australia/Lord_Howe", "2026-04-03", "0 2 * * *", ["2026-04-03T15:00Z", "2026-04-04T15:30Z", "2026-04-05T15:30Z"]),
    (
        "Australia/Lord_Howe",
        "2026-04-03",
        "30 2 * * *",
        ["2026-04-03T15:30Z", "2026-04-04T16:00Z", "2026-04-05T16:00Z"],
    ),
    ("Australia/Lord_Howe", "2026-04-03", "0 3 * * *", ["2026-04-03T16:00Z", "2026-04-04T16:30Z", "2026-04-05T16:30Z"]),
    (
        "Australia/Lord_Howe",
        "2026-04-03",
        "45 1 * * *",
        ["2026-04-03T14:45Z", "2026-04-04T14:45Z", "2026-04-05T15:15Z"],
    ),
    // 02:00 becomes 02:30.
    ("Australia/Lord_Howe", "2026-10-02", "0 2 * * *", ["2026-10-02T15:30Z", "2026-10-03T15:30Z", "2026-10-04T15:00Z"]),
    (
        "Australia/Lord_Howe",
        "2026-10-02",
        "30 2 * * *",
        ["2026-10-02T16:00Z", "2026-10-03T15:30Z", "2026-10-04T15:30Z"],
    ),
    ("Australia/Lord_Howe", "2026-10-02", "0 3 * * *", ["2026-10-02T16:30Z", "2026-10-03T16:00Z", "2026-10-04T16:00Z"]),
];

fn instants(texts: &[&str]) -> Vec<Timestamp> {
    texts.iter().map(|text| at(text)).collect()
}

/// All instants of an expression after one up to another.
fn of(expression: &str, zone_name: &str, from: &str, to: &str) -> Vec<Timestamp> {
    enumerate(&timing(expression), &zone(zone_name), at(from), at(to))
}

/// What croner finds in a zone by a rule of its own; empty where it gives up.
fn by_croner(expression: &str, zone_name: &str, from: &str, to: &str) -> Vec<Timestamp> {
    let cron = Cron::from_str(expression).unwrap();
    let start = at(from).to_zoned(zone(zone_name));
    let found = cron.iter_after(start).map(|found| found.timestamp());
    found.take_while(|found| *found <= at(to)).collect()
}

#[test]
fn times_of_a_day_run_once_on_each_night_on_which_clocks_change() {
    for (zone_name, eve, expression, expected) in NIGHTS {
        let from = at(&format!("{eve}T12:00Z"));

        let found = enumerate(&timing(expression), &zone(zone_name), from, from + SignedDuration::from_hours(72));

        assert_eq!(found, instants(&expected), "{expression} in {zone_name} after {eve}");
    }
}

#[test]
fn table_of_nights_refuses_the_usual_reading_of_times_left_out() {
    let shifted = |(zone_name, eve, expression, expected): &(&str, &str, &str, [&str; 3])| {
        let from = at(&format!("{eve}T12:00Z"));
        let clock = enumerate(&timing(expression), &TimeZone::UTC, from, from + SignedDuration::from_hours(84));
        let zone = zone(zone_name);
        let wall = clock.iter().map(|time| zone.to_timestamp(TimeZone::UTC.to_datetime(*time)).unwrap());
        let found: Vec<Timestamp> = wall.filter(|found| *found > from).take(3).collect();
        found != instants(expected)
    };

    let wrong: Vec<_> = NIGHTS.iter().filter(|night| shifted(night)).map(|night| (night.0, night.2)).collect();

    // A time in the gap is moved by the length of the gap there, not to its end.
    assert_eq!(wrong, [("Europe/Berlin", "30 2 * * *"), ("America/New_York", "30 2 * * *")]);
}

#[test]
fn times_of_one_gap_run_once_together() {
    let found = of("0,15,30,45 2 * * *", "Europe/Berlin", "2026-03-29T00:00Z", "2026-03-29T12:00Z");

    assert_eq!(found, instants(&["2026-03-29T01:00Z"]));
}

#[test]
fn distances_follow_elapsed_time_through_an_hour_that_comes_twice() {
    let found = of("*/15 * * * *", "Europe/Berlin", "2026-10-24T23:00Z", "2026-10-25T03:00Z");

    let quarters = (1..=16).map(|number| at("2026-10-24T23:00Z") + SignedDuration::from_mins(15 * number));
    assert_eq!(found, quarters.collect::<Vec<_>>());
}

#[test]
fn distances_make_up_for_nothing_in_an_hour_left_out() {
    let hourly = of("0 * * * *", "Europe/Berlin", "2026-03-28T23:30Z", "2026-03-29T02:00Z");
    let in_the_gap = of("*/15 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", "2026-03-29T12:00Z");
    let each_second_hour = of("0 */2 * * *", "Europe/Berlin", "2026-03-28T22:30Z", "2026-03-29T02:00Z");

    assert_eq!(hourly, instants(&["2026-03-29T00:00Z", "2026-03-29T01:00Z", "2026-03-29T02:00Z"]));
    assert_eq!(in_the_gap, []);
    assert_eq!(each_second_hour, instants(&["2026-03-28T23:00Z", "2026-03-29T02:00Z"]));
}

#[test]
fn distance_in_the_hour_alone_comes_twice_too() {
    let found = of("0 */2 * * *", "Europe/Berlin", "2026-10-24T22:30Z", "2026-10-25T03:00Z");

    // 02:00, 02:00 and 04:00.
    assert_eq!(found, instants(&["2026-10-25T00:00Z", "2026-10-25T01:00Z", "2026-10-25T03:00Z"]));
}

#[test]
fn day_left_out_runs_as_the_next_begins() {
    let found = of("0 2 * * *", "Pacific/Apia", "2011-12-29T11:00Z", "2011-12-31T11:00Z");

    assert_eq!(found, instants(&["2011-12-29T12:00Z", "2011-12-30T10:00Z", "2011-12-30T12:00Z"]));
}

#[test]
fn midnight_left_out_runs_at_the_first_instant_of_the_day() {
    let found = of("0 0 * * *", "Africa/Cairo", "2026-04-22T23:00Z", "2026-04-25T00:00Z");

    // On Friday 24 April 00:00 becomes 01:00.
    assert_eq!(found, instants(&["2026-04-23T22:00Z", "2026-04-24T21:00Z"]));
}

#[test]
fn last_hour_of_a_day_left_out_runs_as_the_next_day_begins() {
    let found = of("30 23 * * SAT", "America/Nuuk", "2026-03-25T00:00Z", "2026-04-01T00:00Z");

    assert_eq!(found, instants(&["2026-03-29T01:00Z"]));
}

#[test]
fn croner_alone_would_lose_days_and_repeat_times() {
    let of_the_last_hour = by_croner("30 23 * * SAT", "America/Nuuk", "2026-03-25T00:00Z", "2026-04-01T00:00Z");
    let twice = by_croner("0,30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-25T12:00Z");
    let of_a_day_left_out = by_croner("0 2 * * *", "Pacific/Apia", "2011-12-29T11:00Z", "2011-12-31T11:00Z");

    assert_eq!(of_the_last_hour, []);
    assert_eq!(twice.len(), 4);
    assert_eq!(of_a_day_left_out, instants(&["2011-12-29T12:00Z"]));
}
