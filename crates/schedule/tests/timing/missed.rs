//! Missed runs, against a model that lists all times at which the task was due.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;
use tierkeep_schedule::{Due, Missed, Timing, due};

use super::{at, enumerate, timing, zone};

const MINUTE: SignedDuration = SignedDuration::from_secs(60);

/// All times, then the rule, one by one.
fn model(timing: &Timing, zone: &TimeZone, missed: Missed, next: Timestamp, now: Timestamp) -> Due {
    if now < next {
        return Due { runs: vec![], skipped: 0, next: Some(next) };
    }
    let mut times = vec![next];
    times.extend(enumerate(timing, zone, next, now));
    let count = times.len();
    let latest = *times.last().unwrap();
    let is_on_time = now.duration_since(latest) <= MINUTE;

    let mut runs: Vec<Timestamp> = match missed {
        Missed::Skip => vec![],
        Missed::Once => vec![latest],
        Missed::All { at_most, within } => {
            let missed = if is_on_time { &times[..count - 1] } else { &times };
            let recent = missed.iter().copied().filter(|time| now.duration_since(*time) <= within);
            let recent: Vec<Timestamp> = recent.collect();
            recent[recent.len().saturating_sub(at_most as usize)..].to_vec()
        }
    };
    if is_on_time && runs.last() != Some(&latest) {
        runs.push(latest);
    }
    let skipped = (count - runs.len()) as u64;
    Due { runs, skipped, next: timing.next_after(now, zone) }
}

fn daily(missed: Missed, now: &str) -> Due {
    due(&timing("0 2 * * *"), &TimeZone::UTC, missed, at("2026-11-20T02:00Z"), at(now))
}

fn all(at_most: u32, hours: i64) -> Missed {
    Missed::All { at_most, within: SignedDuration::from_hours(hours) }
}

fn days(due: &Due) -> Vec<i8> {
    due.runs.iter().map(|run| TimeZone::UTC.to_datetime(*run).day()).collect()
}

#[test]
fn run_on_time_is_no_missed_run() {
    for missed in [Missed::Skip, Missed::Once, all(5, 48)] {
        let found = daily(missed, "2026-11-20T02:01:00Z");

        let next = Some(at("2026-11-21T02:00Z"));
        assert_eq!(found, Due { runs: vec![at("2026-11-20T02:00Z")], skipped: 0, next }, "{missed}");
    }
}

#[test]
fn missed_runs_follow_the_rule() {
    let now = "2026-11-23T03:00Z";

    let found = [Missed::Skip, Missed::Once, all(2, 72), all(5, 26), all(1_000, 72)].map(|rule| daily(rule, now));

    let skipped = found.each_ref().map(|due| due.skipped);
    assert_eq!(found.each_ref().map(days), [vec![], vec![23], vec![22, 23], vec![22, 23], vec![21, 22, 23]]);
    assert_eq!(skipped, [4, 3, 2, 2, 1]);
    assert!(found.iter().all(|due| due.next == Some(at("2026-11-24T02:00Z"))));
}

#[test]
fn run_on_time_makes_up_once_for_those_before_it() {
    let now = "2026-11-23T02:00:30Z";

    let found = [Missed::Skip, Missed::Once, all(2, 72)].map(|rule| daily(rule, now));

    assert_eq!(found.each_ref().map(days), [vec![23], vec![23], vec![21, 22, 23]]);
}

#[test]
fn task_of_each_second_begins_one_run_of_those_on_time() {
    let now = at("2026-11-22T10:00:07.5Z");

    let found = due(&timing("every 1s"), &TimeZone::UTC, Missed::Skip, at("2026-11-22T10:00:05Z"), now);

    let (runs, next) = (vec![at("2026-11-22T10:00:07Z")], Some(at("2026-11-22T10:00:08Z")));
    assert_eq!(found, Due { runs, skipped: 2, next });
}

#[test]
fn nothing_is_due_after_the_clock_went_back() {
    let found = daily(Missed::Once, "2026-11-19T02:00Z");

    assert_eq!(found, Due { runs: vec![], skipped: 0, next: Some(at("2026-11-20T02:00Z")) });
}

#[test]
fn instant_that_was_to_be_next_counts_even_if_the_timing_has_changed() {
    let (next, now) = (at("2026-11-22T10:07:09Z"), at("2026-11-22T10:08:00Z"));

    let found = ["every 1h", "0 2 * * *"].map(|text| due(&timing(text), &TimeZone::UTC, Missed::Skip, next, now).runs);

    assert_eq!(found, [[next], [next]]);
}

#[test]
fn jump_of_ten_years_is_arithmetic_for_a_period() {
    let (next, now) = (at("2026-11-22T10:00:00Z"), at("2036-11-22T10:00:00Z"));

    let found = due(&timing("every 1s"), &TimeZone::UTC, all(3, 1), next, now);

    let ten_years = now.duration_since(next).as_secs().unsigned_abs();
    assert_eq!(found.runs, [3, 2, 1, 0].map(|seconds| now - SignedDuration::from_secs(seconds)));
    assert_eq!(found.skipped, ten_years + 1 - 4);
}

#[test]
fn jump_of_ten_years_counts_an_expression_up_to_ten_thousand() {
    let (next, now) = (at("2026-11-22T10:00:00Z"), at("2036-11-22T10:00:00.25Z"));
    let second = timing("* * * * * *");

    let once = due(&second, &zone("Europe/Berlin"), Missed::Once, next, now);
    let many = due(&second, &zone("Europe/Berlin"), all(u32::MAX, 24 * 4_000), next, now);

    assert_eq!((once.runs, once.skipped), (vec![at("2036-11-22T10:00:00Z")], 10_000));
    assert_eq!((many.runs.len(), many.skipped), (1_001, 10_000));
    assert_eq!(many.runs[0], at("2036-11-22T09:43:20Z"));
    assert_eq!(once.next, Some(at("2036-11-22T10:00:01Z")));
}

#[test]
fn at_most_a_thousand_missed_runs_are_made_up_for() {
    let (next, now) = (at("2026-11-22T10:00:00Z"), at("2027-11-22T10:01:30Z"));

    for text in ["every 5m", "*/5 * * * *"] {
        let found = due(&timing(text), &TimeZone::UTC, all(u32::MAX, 24 * 400), next, now);

        assert_eq!(found.runs.len(), 1_000, "{text}");
        assert_eq!(found.runs.last(), Some(&at("2027-11-22T10:00:00Z")), "{text}");
    }
}

#[test]
fn whole_calendar_is_within_the_bounds() {
    for text in ["every 1s", "every 366d", "* * * * * *", "0-59 0-59 0-23 * * *", "0 0 29 2 *"] {
        let found = due(&timing(text), &zone("Europe/Berlin"), all(1_000, 24), Timestamp::MIN, Timestamp::MAX);

        assert!(found.runs.len() <= 1_001, "{text}");
        assert_eq!(found.next, None, "{text}");
    }
}

fn rules() -> impl Strategy<Value = Missed> {
    let within = prop_oneof![0..4_000_i64, 0..200_000_i64].prop_map(SignedDuration::from_secs);
    let all =
        (prop_oneof![0..4_u32, 0..1_000_u32], within).prop_map(|(at_most, within)| Missed::All { at_most, within });
    prop_oneof![1 => Just(Missed::Skip), 1 => Just(Missed::Once), 3 => all]
}

const EXPRESSIONS: [&str; 8] = [
    "0 2 * * *",
    "30 2 * * *",
    "* * * * *",
    "*/15 * * * *",
    "0,15,30,45 1-3 * * *",
    "*/10 * 2 * * *",
    "0-59/20 0-59 0-23 * * *",
    "0 0 1 * MON",
];

fn timings() -> impl Strategy<Value = Timing> {
    let periods = prop_oneof![40..200_i64, 1..100_000_i64];
    prop_oneof![
        periods.prop_map(|seconds| Timing::Every(SignedDuration::from_secs(seconds))),
        select(&EXPRESSIONS[..]).prop_map(timing),
    ]
}

/// In the days around the end of Berlin's summer time, to the millisecond.
fn instants() -> impl Strategy<Value = Timestamp> {
    (0..3 * 86_400_000_i64).prop_map(|passed| at("2026-10-23T22:00Z") + SignedDuration::from_millis(passed))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_due_is_what_the_list_of_all_times_says(
        timing in timings(), missed in rules(), start in instants(), late in prop_oneof![-60_000..200_000_i64, 0..2 * 86_400_000_i64],
        is_a_time in any::<bool>(),
    ) {
        let berlin = zone("Europe/Berlin");
        let next = if is_a_time { timing.next_after(start, &berlin).unwrap() } else { start };
        let now = next + SignedDuration::from_millis(late);
        prop_assume!(enumerate(&timing, &berlin, next, now).len() < 9_999);

        let found = due(&timing, &berlin, missed, next, now);

        prop_assert_eq!(&found, &model(&timing, &berlin, missed, next, now));
        prop_assert!(found.runs.windows(2).all(|pair| pair[0] < pair[1]));
        // Whoever looks again at once finds nothing more to do.
        if let Some(next) = found.next {
            prop_assert!(due(&timing, &berlin, missed, next, now).runs.is_empty());
        }
    }

    #[test]
    fn rules_are_read_as_they_are_shown(at_most in 1..=1_000_u32, seconds in 1..=366 * 86_400_i64) {
        for missed in [Missed::Skip, Missed::Once, Missed::All { at_most, within: SignedDuration::from_secs(seconds) }] {
            prop_assert_eq!(missed.to_string().parse(), Ok(missed));
            let json = serde_json::to_string(&missed).unwrap();
            prop_assert_eq!(serde_json::from_str::<Missed>(&json).unwrap(), missed);
        }
    }

    #[test]
    fn any_text_is_a_rule_or_an_error(text in prop_oneof![any::<String>(), "(all|once|skip)[ 0-9a-z]{0,20}"]) {
        match text.parse::<Missed>() {
            Ok(missed) => prop_assert_eq!(missed.to_string().parse(), Ok(missed)),
            Err(error) => prop_assert!(error.to_string().contains("; accepted: ")),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn latest_of_more_than_are_counted_are_the_same(
        text in select(&["* * * * *", "0-59 0-23 * * *", "*/7 * * * * *", "0-59/9 0-59 1-4 * * *"][..]),
        start in instants(), passed_hours in 200..400_i64, at_most in 0..1_000_u32,
    ) {
        let (timing, berlin) = (timing(text), zone("Europe/Berlin"));
        let (missed, now) = (all(at_most, 300), start + SignedDuration::from_hours(passed_hours));

        let found = due(&timing, &berlin, missed, start, now);

        let expected = model(&timing, &berlin, missed, start, now);
        prop_assert_eq!(found.runs, expected.runs);
        prop_assert_eq!(found.skipped, expected.skipped.min(10_000));
    }
}

#[test]
fn texts_that_are_no_rule_say_where() {
    let cases = [
        ("", 1, "nothing"),
        (" never", 2, "never"),
        ("skip all", 6, "all"),
        ("all", 4, "nothing"),
        ("all five within 1d", 5, "five"),
        ("all 0 within 1d", 5, "0"),
        ("all 1001 within 1d", 5, "1001"),
        ("all 5", 6, "nothing"),
        ("all 5 in 1d", 7, "in"),
        ("all 5 within", 13, "nothing"),
        ("all 5 within 1 day", 17, "ay"),
    ];

    for (text, column, found) in cases {
        let error = text.parse::<Missed>().unwrap_err();
        assert_eq!((error.column, error.found.as_str()), (column, found), "{text}");
    }
    assert_eq!(
        "all 5".parse::<Missed>().unwrap_err().to_string(),
        "missed runs (column 6): nothing; accepted: skip, once, or all N within T with N from 1 to 1000 and T from 1s to 366d, such as all 5 within 1d"
    );
    assert_eq!("all 5 within 1d".parse(), Ok(all(5, 24)));
    assert_eq!(all(5, 36).to_string(), "all 5 within 1d 12h");
}
