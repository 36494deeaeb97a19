//! Which instants there are, against a model that looks at the clock again and again.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tierkeep_schedule::Timing;

use super::model::Model;
use super::{at, enumerate, timing, zone};

/// Zones with rules of their own: half an hour of summer time, two hours, no midnight, no day, a day twice, a quarter of an
/// hour once, changes in each of the years or in a few.
const ZONES: [&str; 14] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Shanghai",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Africa/Cairo",
    "America/Havana",
    "America/Nuuk",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "UTC",
];

/// An instant near a change of the clock of a zone, after 1950, when their offsets are whole minutes.
fn places() -> impl Strategy<Value = (&'static str, Timestamp)> {
    let minutes = -40 * 60..20 * 60_i64;
    (select(&ZONES[..]), any::<Index>(), minutes, 0..60_000_000_000_i64).prop_map(
        |(name, index, minutes, nanoseconds)| {
            let zone = zone(name);
            let years = at("1950-01-01T00:00Z")..at("2038-01-01T00:00Z");
            let changes = zone.following(years.start).map(|change| change.timestamp());
            let mut changes: Vec<Timestamp> = changes.take_while(|change| *change < years.end).collect();
            changes.push(at("2026-11-22T00:00Z"));
            let near = SignedDuration::from_mins(minutes) + SignedDuration::from_nanos(nanoseconds);
            (name, changes[index.index(changes.len())] + near)
        },
    )
}

fn hours() -> impl Strategy<Value = String> {
    let written = vec!["*", "*/2", "0", "1", "2", "3", "23", "1-3", "0-23", "0-23/3", "22-23,0,2", "5,*/6"];
    let any = (0..24_u8).prop_map(|hour| hour.to_string());
    prop_oneof![4 => select(written).prop_map(str::to_owned), 1 => any]
}

fn minutes() -> impl Strategy<Value = String> {
    let written = vec!["*", "*/15", "*/7", "0", "30", "0,30", "15-45/10", "0-59", "59", "0-10,40-42"];
    let any = (0..60_u8).prop_map(|minute| minute.to_string());
    prop_oneof![4 => select(written).prop_map(str::to_owned), 1 => any]
}

fn dates() -> impl Strategy<Value = String> {
    let days = vec!["*", "*", "*", "*", "1", "*/2", "29-31", "1-31", "25-31,1-7"];
    let months = vec!["*", "*", "*", "3-4,SEP-NOV", "*/2", "jan-dec"];
    let weekdays = vec!["*", "*", "*", "SUN", "0", "7", "Fri-Sun", "MON-FRI", "*/2", "6-7", "1-7/3"];
    (select(days), select(months), select(weekdays))
        .prop_map(|(day, month, weekday)| format!("{day} {month} {weekday}"))
}

fn expressions() -> impl Strategy<Value = String> {
    (minutes(), hours(), dates()).prop_map(|(minute, hour, date)| format!("{minute} {hour} {date}"))
}

fn expressions_with_seconds() -> impl Strategy<Value = String> {
    let seconds = vec!["0", "*", "*/10", "0-59", "30,59", "1-59/7"];
    let minutes = vec!["*", "0", "59", "0-59", "29-31", "*/20"];
    let hours = vec!["*", "0-23", "0-3,22-23", "2", "*/2"];
    (select(seconds), select(minutes), select(hours))
        .prop_map(|(second, minute, hour)| format!("{second} {minute} {hour} * * *"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn expression_is_due_when_a_look_each_minute_finds_it_due(
        text in expressions(), (name, from) in places(), span_hours in 1..80_i64,
    ) {
        let zone = zone(name);
        let to = from + SignedDuration::from_hours(span_hours);

        let found = enumerate(&timing(&text), &zone, from, to);

        prop_assert_eq!(found, Model::of(&text).enumerate(&zone, from, to), "{} in {} after {}", text, name, from);
    }

    #[test]
    fn nodes_that_look_from_different_instants_find_the_same_next(
        text in expressions(), (name, from) in places(), part in 0.0..1.0_f64,
    ) {
        let (timing, zone) = (timing(&text), zone(name));
        let next = timing.next_after(from, &zone).unwrap();
        let later = from + next.duration_since(from).mul_f64(part);

        prop_assert!(next > from);
        prop_assert!(later >= next || timing.next_after(later, &zone) == Some(next));
    }

    #[test]
    fn period_is_due_at_its_multiples(
        seconds in 1..=366 * 86_400_i64, from in -4_000_000_000..8_000_000_000_i64, nanoseconds in 0..1_000_000_000,
    ) {
        let from = Timestamp::new(from, nanoseconds).unwrap();

        let next = Timing::Every(SignedDuration::from_secs(seconds)).next_after(from, &TimeZone::UTC).unwrap();

        prop_assert_eq!(next.as_nanosecond() % (i128::from(seconds) * 1_000_000_000), 0);
        prop_assert!(next > from && next.duration_since(from) <= SignedDuration::from_secs(seconds));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn expression_is_due_when_a_look_each_second_finds_it_due(
        text in expressions_with_seconds(), (name, from) in places(), span_minutes in 1..240_i64,
    ) {
        let zone = zone(name);
        let to = from + SignedDuration::from_mins(span_minutes);

        let found = enumerate(&timing(&text), &zone, from, to);

        prop_assert_eq!(found, Model::of(&text).enumerate(&zone, from, to), "{} in {} after {}", text, name, from);
    }
}

#[test]
fn look_each_minute_finds_what_croner_loses() {
    let zone = zone("America/Nuuk");
    let (from, to) = (at("2026-03-28T12:00Z"), at("2026-03-29T12:00Z"));

    let found = Model::of("30 23 * * SAT").enumerate(&zone, from, to);

    let croner: croner::Cron = "30 23 * * SAT".parse().unwrap();
    let next = croner.find_next_occurrence(&from.to_zoned(zone), false).unwrap();
    assert_eq!(found, [at("2026-03-29T01:00Z")]);
    assert!(next.timestamp() > to);
}

#[test]
fn leap_day_is_found_over_eight_years() {
    let next = timing("0 0 29 2 *").next_after(at("2096-03-01T00:00Z"), &TimeZone::UTC);

    assert_eq!(next, Some(at("2104-02-29T00:00Z")));
}

#[test]
fn nothing_is_due_after_the_end_of_the_calendar() {
    let berlin = zone("Europe/Berlin");

    for text in ["every 1s", "* * * * * *", "0 0 * * *", "0-59 0-59 0-23 * * *"] {
        assert_eq!(timing(text).next_after(Timestamp::MAX, &berlin), None, "{text}");
        assert!(timing(text).next_after(Timestamp::MIN, &berlin).is_some(), "{text}");
    }
}

#[test]
fn period_out_of_range_counts_as_the_nearest() {
    let next = |period| Timing::Every(period).next_after(at("1970-01-01T00:00:00.5Z"), &TimeZone::UTC);

    assert_eq!(next(SignedDuration::ZERO), Some(at("1970-01-01T00:00:01Z")));
    assert_eq!(next(SignedDuration::from_secs(-5)), Some(at("1970-01-01T00:00:01Z")));
    assert_eq!(next(SignedDuration::MAX), Some(at("1971-01-02T00:00:00Z")));
}

#[test]
fn half_a_second_before_1970_the_next_multiple_is_1970() {
    let next = timing("every 300s").next_after(at("1969-12-31T23:59:59.5Z"), &TimeZone::UTC);

    assert_eq!(next, Some(Timestamp::UNIX_EPOCH));
}
