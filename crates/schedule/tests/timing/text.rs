//! Texts of timings: what is accepted, what is refused and where, and that croner reads the same.

use std::str::FromStr;

use croner::Cron;
use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan};
use proptest::prelude::*;
use proptest::sample::select;
use tierkeep_schedule::{Expression, Field, Timing, TimingError};

use super::model::Model;
use super::{at, timing};

fn error(text: &str) -> String {
    text.parse::<Timing>().unwrap_err().to_string()
}

/// The field, the column and what stands there.
fn wrong(text: &str) -> (Field, usize, String) {
    match text.parse::<Timing>().unwrap_err() {
        TimingError::Field { field, column, found } => (field, column, found),
        other => panic!("{text}: {other}"),
    }
}

#[test]
fn mistakes_in_fields_are_told_with_field_column_and_what_is_accepted() {
    assert_eq!(
        error("61 2 * * *"),
        "minute field (column 1): 61; accepted: 0-59, *, ranges a-b, lists, steps */n or a-b/n"
    );
    assert_eq!(
        error("0 2 * * MON-FRY"),
        "weekday field (column 13): FRY; accepted: 0-7 or SUN-SAT (0 and 7 are SUN), *, ranges a-b, lists, steps */n or a-b/n"
    );
}

#[test]
fn mistakes_are_found_where_they_stand() {
    let cases = [
        ("0 24 * * *", Field::Hour, 3, "24"),
        ("0 2 0 * *", Field::Day, 5, "0"),
        ("0 2 * 13 *", Field::Month, 7, "13"),
        ("0 2 * * 8", Field::Weekday, 9, "8"),
        ("60 0 2 * * *", Field::Second, 1, "60"),
        ("  0   2  *  MAI  * ", Field::Month, 13, "MAI"),
        ("0,15,61 2 * * *", Field::Minute, 6, "61"),
        ("0,,15 2 * * *", Field::Minute, 3, "nothing"),
        ("0, 2 * * *", Field::Minute, 3, "nothing"),
        ("30-10 2 * * *", Field::Minute, 1, "30-10"),
        ("10-x 2 * * *", Field::Minute, 4, "x"),
        ("-10 2 * * *", Field::Minute, 1, "nothing"),
        ("1-2-3 2 * * *", Field::Minute, 3, "2-3"),
        ("*/0 2 * * *", Field::Minute, 3, "0"),
        ("*/60 2 * * *", Field::Minute, 3, "60"),
        ("*/ 2 * * *", Field::Minute, 3, "nothing"),
        ("/5 2 * * *", Field::Minute, 1, "/5"),
        ("5/10 2 * * *", Field::Minute, 1, "5/10"),
        ("*,5 2 * * *", Field::Minute, 1, "*"),
        ("+5 2 * * *", Field::Minute, 1, "+5"),
        ("99999999999999999999 2 * * *", Field::Minute, 1, "99999999999999999999"),
        ("MON 2 * * *", Field::Minute, 1, "MON"),
        ("0 2 * MON *", Field::Month, 7, "MON"),
        ("0 2 L * *", Field::Day, 5, "L"),
        ("0 2 ? * *", Field::Day, 5, "?"),
        ("0 2 * * 1#2", Field::Weekday, 9, "1#2"),
        ("0 2 * * SAT-MON", Field::Weekday, 9, "SAT-MON"),
        ("ä\u{7} 2 * * *", Field::Minute, 1, "ä\\u{7}"),
    ];

    for (text, field, column, found) in cases {
        assert_eq!(wrong(text), (field, column, found.to_owned()), "{text}");
    }
}

#[test]
fn missing_and_surplus_fields_are_told() {
    let accepted = "accepted: minute hour day month weekday (such as 0 2 * * *), with seconds before them, or a period such as every 5m";

    assert_eq!(error(""), format!("minute field (column 1): nothing; {accepted}"));
    assert_eq!(error("5m"), format!("hour field (column 4): nothing; {accepted}"));
    assert_eq!(error("0 2 * *"), format!("weekday field (column 9): nothing; {accepted}"));
    assert_eq!(error("0 0 2 * * * 2026 x"), format!("after the last field (column 13): 2026; {accepted}"));
}

#[test]
fn expressions_that_never_fire_are_refused() {
    assert_eq!(
        error("0 0 31 2 *"),
        "day field (column 5): 31 is in no month of 2, so that it would never run; accepted: a day that one of the months has"
    );
    assert_eq!(
        "0 0 30-31 feb *".parse::<Timing>(),
        Err(TimingError::Never { column: 5, days: "30-31".to_owned(), months: "feb".to_owned() })
    );
    assert!("0 0 31 2,4,6,9,11 *".parse::<Timing>().is_err());
    assert!("0 0 29 2 *".parse::<Timing>().is_ok());
    // Every Monday of February.
    assert!("0 0 31 2 MON".parse::<Timing>().is_ok());
}

#[test]
fn nicknames_stand_for_what_croner_reads_in_them() {
    let from = at("2026-11-22T10:20:30Z");
    for name in ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"] {
        let cron = Cron::from_str(name).unwrap();

        let next = timing(name).next_after(from, &TimeZone::UTC).unwrap();

        let expected = cron.find_next_occurrence(&from.to_zoned(TimeZone::UTC), false).unwrap();
        assert_eq!(next, expected.timestamp(), "{name}");
        assert_eq!(timing(&name.to_uppercase()).to_string(), name);
    }
    assert_eq!(
        error(" @dayly"),
        "nickname (column 2): @dayly; accepted: @hourly, @daily, @weekly, @monthly, @yearly or @annually"
    );
}

#[test]
fn periods_are_read_with_units_and_shown_in_seconds() {
    let cases = [
        ("every 300s", 300),
        ("every 300 s", 300),
        ("every 5m", 300),
        ("Every 1h 30m", 5_400),
        ("every 1h30m", 5_400),
        ("every 1d 1s", 86_401),
        ("every 366d", 366 * 86_400),
    ];

    for (text, seconds) in cases {
        assert_eq!(timing(text), Timing::Every(SignedDuration::from_secs(seconds)), "{text}");
        assert_eq!(timing(text).to_string(), format!("every {seconds}s"));
    }
}

#[test]
fn mistakes_in_periods_are_found_where_they_stand() {
    let cases = [
        ("every", 6, "nothing"),
        ("every 0s", 7, "0s"),
        ("every 367d", 7, "367d"),
        ("every 5", 7, "5"),
        ("every m", 7, "m"),
        ("every 1h 5x", 10, "5x"),
        ("every 5m 1h", 10, "1h"),
        ("every 5m 5m", 10, "5m"),
        ("every -5m", 7, "-5m"),
        ("every 99999999999999999999s", 7, "99999999999999999999s"),
        ("every 999999999999999999d", 7, "999999999999999999d"),
    ];

    for (text, column, found) in cases {
        let expected = TimingError::Period { column, found: found.to_owned() };
        assert_eq!(text.parse::<Timing>(), Err(expected), "{text}");
    }
    assert_eq!(
        error("every 0s"),
        "period (column 7): 0s; accepted: 1s to 366d, as numbers with d, h, m or s in this order, such as 300s, 5m or 1h 30m"
    );
}

#[test]
fn giant_texts_are_not_looked_at() {
    let text = "0,".repeat(1_000_000);

    assert_eq!(text.parse::<Timing>(), Err(TimingError::Length { characters: 2_000_000 }));
    assert_eq!(error(&text), "2000000 characters; accepted: at most 1000");
}

#[test]
fn expressions_are_shown_as_written_with_single_spaces_and_capitals() {
    assert_eq!(timing("  0\t2  *  jan-mar  Mon ").to_string(), "0 2 * JAN-MAR MON");
}

#[test]
fn timings_are_text_in_json() {
    let timings: Vec<Timing> = serde_json::from_str(r#"["every 5m", "0 2 * * *"]"#).unwrap();

    assert_eq!(serde_json::to_string(&timings).unwrap(), r#"["every 300s","0 2 * * *"]"#);
    let refused = serde_json::from_str::<Timing>(r#""0 25 * * *""#).unwrap_err().to_string();
    assert!(refused.starts_with("hour field (column 3): 25; accepted: 0-23"), "{refused}");
}

#[test]
fn day_or_weekday_is_enough_unless_one_of_them_is_a_star() {
    let next = |text, count| {
        let from = at("2026-11-01T12:00Z");
        super::enumerate(&timing(text), &TimeZone::UTC, from, from + SignedDuration::from_hours(24 * 30))[..count]
            .iter()
            .map(|found| TimeZone::UTC.to_datetime(*found).day())
            .collect::<Vec<_>>()
    };

    // November 2026 begins on a Sunday.
    assert_eq!(next("0 0 13 * MON", 5), [2, 9, 13, 16, 23]);
    assert_eq!(next("0 0 * * MON", 4), [2, 9, 16, 23]);
    assert_eq!(next("0 0 13 * *", 1), [13]);
    // Not as Vixie cron, which takes a step for a star here.
    assert_eq!(next("0 0 */10 * MON", 5), [2, 9, 11, 16, 21]);
}

/// Lists, ranges and steps of a field, most of them right.
fn field(values: std::ops::RangeInclusive<i8>, names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let value = move || {
        let values = values.clone();
        let number = values.prop_map(|value| value.to_string());
        if names.is_empty() {
            number.boxed()
        } else {
            prop_oneof![number, select(names).prop_map(str::to_owned)].boxed()
        }
    };
    let part = prop_oneof![
        3 => value(),
        1 => (value(), value()).prop_map(|(from, to)| format!("{from}-{to}")),
        1 => (value(), value(), 1..9_u8).prop_map(|(from, to, step)| format!("{from}-{to}/{step}")),
        1 => (1..14_u8).prop_map(|step| format!("*/{step}")),
    ];
    prop_oneof![1 => Just("*".to_owned()), 1 => prop::collection::vec(part, 1..4).prop_map(|parts| parts.join(","))]
}

fn expressions() -> impl Strategy<Value = String> {
    let months = &["JAN", "feb", "Mar", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    let weekdays = &["SUN", "mon", "Tue", "WED", "THU", "FRI", "SAT"];
    let seconds = prop_oneof![3 => Just(String::new()), 1 => field(0..=59, &[]).prop_map(|field| format!("{field} "))];
    (seconds, field(0..=59, &[]), field(0..=23, &[]), field(1..=31, &[]), field(1..=12, months), field(0..=7, weekdays))
        .prop_map(|(second, minute, hour, day, month, weekday)| {
            format!("{second}{minute} {hour} {day} {month} {weekday}")
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_accepted_croner_reads_in_the_same_way(
        text in expressions(), days in 0..3_000_i64, seconds in 0..86_400_i64,
    ) {
        let Ok(timing) = text.parse::<Timing>() else { return Ok(()) };
        let cron = Cron::from_str(&text).expect("croner accepts what is accepted");
        let from = date(2026, 11, 22).at(0, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap() + days.days() + seconds.seconds();

        let next = timing.next_after(from.timestamp(), &TimeZone::UTC).unwrap();

        let expected = cron.find_next_occurrence(&from, false).unwrap();
        prop_assert_eq!(next, expected.timestamp());
        prop_assert!(Model::of(&text).names(TimeZone::UTC.to_datetime(next)));
    }

    #[test]
    fn refused_are_only_ranges_that_end_before_they_begin_wide_steps_and_days_there_are_not(text in expressions()) {
        match text.parse::<Timing>() {
            Ok(_) => {
                prop_assert!(Model::of(&text).has_a_day());
            }
            Err(TimingError::Never { .. }) => prop_assert!(!Model::of(&text).has_a_day()),
            Err(TimingError::Field { found, .. }) => {
                prop_assert!(found.contains('-') || found.parse().is_ok_and(|step: i32| step > 7), "{}: {}", text, found);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn any_text_is_a_timing_that_is_read_again_or_an_error_that_says_what_is_accepted(
        text in prop_oneof![
            any::<String>(),
            "[0-9*/, @a-zA-Z-]{0,40}",
            "(every|@)[ ]?[0-9dhms ]{0,12}",
            "[0-9*][0-9*/,-]{0,4}( [0-9*][0-9*/,-]{0,2}){3,6}",
            expressions(),
        ],
    ) {
        match text.parse::<Timing>() {
            Ok(timing) => {
                let shown = timing.to_string();
                prop_assert_eq!(shown.parse::<Timing>(), Ok(timing.clone()));
                prop_assert_eq!(serde_json::from_str::<Timing>(&serde_json::to_string(&timing).unwrap()).unwrap(), timing);
            }
            Err(error) => {
                prop_assert!(!matches!(error, TimingError::Unread { .. }), "{}", error);
                prop_assert!(error.to_string().contains("; accepted: "), "{}", error);
                prop_assert!(!error.to_string().contains('\n'), "{}", error);
            }
        }
    }
}

#[test]
fn expression_alone_is_read_without_periods() {
    assert_eq!("0 2 * * *".parse::<Expression>().map(Timing::Cron), Ok(timing("0 2 * * *")));
    assert!("every 5m".parse::<Expression>().is_err());
}
