use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(instant: &str) -> Timestamp {
    instant.parse().unwrap()
}

fn windows(zone_name: &str, texts: &[&str]) -> Windows {
    Windows::parse(texts, zone(zone_name)).unwrap()
}

fn error(text: &str) -> String {
    Windows::parse(&["01:00-02:00", text], TimeZone::UTC).unwrap_err().to_string()
}

#[test]
fn without_windows_it_is_always_open() {
    let windows = windows("UTC", &[]);
    let now = at("2026-03-05T11:00:00Z");

    assert!(windows.is_open(now));
    assert_eq!(windows.closes_at(now), None);
    assert_eq!(windows.next_opening(now), Some(now));
}

#[test]
fn whole_days_of_the_whole_week_never_close() {
    let windows = windows("Europe/Berlin", &["00:00-24:00"]);

    assert_eq!(windows.closes_at(at("2026-03-05T11:00:00Z")), None);
}

#[test]
fn beginning_is_in_and_end_is_out() {
    let windows = windows("UTC", &["22:00-06:00"]);

    let is_open = ["21:59:59.999999", "22:00:00", "05:59:59.999999", "06:00:00"]
        .map(|time| windows.is_open(at(&format!("2026-03-05T{time}Z"))));

    assert_eq!(is_open, [false, true, true, false]);
    assert_eq!(windows.closes_at(at("2026-03-05T23:30:15.5Z")), Some(at("2026-03-06T06:00:00Z")));
    assert_eq!(windows.next_opening(at("2026-03-05T06:00:00Z")), Some(at("2026-03-05T22:00:00Z")));
}

#[test]
fn window_over_midnight_belongs_to_the_day_on_which_it_begins() {
    let windows = windows("UTC", &["Sun 22:00-06:00"]);

    assert!(windows.is_open(at("2026-03-09T05:00:00Z")), "Monday, after Sunday");
    assert!(!windows.is_open(at("2026-03-08T05:00:00Z")), "Sunday, after Saturday");
}

#[test]
fn span_of_days_goes_over_the_end_of_the_week() {
    let windows = windows("UTC", &["fri-MON,Wed 10:00-11:00"]);

    let open: Vec<i8> = (2..9).filter(|day| windows.is_open(at(&format!("2026-03-0{day}T10:30:00Z")))).collect();

    assert_eq!(open, [2, 4, 6, 7, 8], "2 March 2026 is a Monday");
}

#[test]
fn windows_that_touch_are_one() {
    let windows = windows("UTC", &["Sat,Sun 00:00-24:00", "Mon 00:00-03:00"]);

    assert_eq!(windows.closes_at(at("2026-03-07T12:00:00Z")), Some(at("2026-03-09T03:00:00Z")));
}

#[test]
fn window_that_begins_in_the_hour_left_out_begins_after_it() {
    // On 29 March 2026 Berlin's clocks go from 02:00 to 03:00, at 01:00 UTC.
    let windows = windows("Europe/Berlin", &["02:30-04:00"]);
    let before = at("2026-03-29T00:59:59Z");

    assert_eq!(windows.next_opening(before), Some(at("2026-03-29T01:00:00Z")));
    assert_eq!(windows.closes_at(at("2026-03-29T01:00:00Z")), Some(at("2026-03-29T02:00:00Z")));
}

#[test]
fn window_inside_the_hour_left_out_does_not_come_that_day() {
    let windows = windows("Europe/Berlin", &["02:10-02:50"]);

    assert_eq!(windows.next_opening(at("2026-03-28T12:00:00Z")), Some(at("2026-03-30T00:10:00Z")));
}

#[test]
fn hour_that_comes_twice_is_open_twice() {
    // On 25 October 2026 Berlin's clocks go from 03:00 back to 02:00, at 01:00 UTC.
    let whole = windows("Europe/Berlin", &["02:00-03:00"]);
    assert_eq!(whole.closes_at(at("2026-10-25T00:00:00Z")), Some(at("2026-10-25T02:00:00Z")));

    let half = windows("Europe/Berlin", &["02:00-02:30"]);
    assert_eq!(half.closes_at(at("2026-10-25T00:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
    assert_eq!(half.next_opening(at("2026-10-25T00:30:00Z")), Some(at("2026-10-25T01:00:00Z")));
}

#[test]
fn error_says_where_and_what_is_accepted() {
    assert_eq!(
        error("Sat,Xyz 00:00-24:00"),
        "window 2, character 5: \"Xyz\" is not a day: Mon, Tue, Wed, Thu, Fri, Sat or Sun; accepted is e.g. \
         `22:00-06:00`, `Sat,Sun 00:00-24:00` or `Mon-Fri 01:30-05:00`"
    );
    for (text, place) in [
        ("", "window 2, character 1: \"\" is not a span"),
        ("22:00", "character 1: \"22:00\" is not a span of two times"),
        ("24:00-06:00", "character 1: \"24:00\" is not a time from 00:00 to 23:59"),
        ("22:00-24:01", "character 7: \"24:01\" is not a time from 00:00 to 24:00"),
        ("22:60-23:00", "character 1: \"22:60\""),
        ("1:00-02:00", "character 1: \"1:00\""),
        ("+1:00-02:00", "character 1: \"+1:00\" is not a time"),
        ("  Mon  22:00 - 22:00", "character 16: \"22:00\" is not another time"),
        ("Mon- 22:00-23:00", "character 5: \"\" is not a day"),
        ("Mön 22:00-23:00", "character 1: \"Mön\""),
        ("Mon,Tué,Wed 22:00-23:00", "character 5: \"Tué\""),
        ("22:00-23:00-24:00", "character 7: \"23:00-24:00\""),
    ] {
        assert!(error(text).contains(place), "{text:?}: {}", error(text));
    }
}

/// What a window says, looked up in its text for one minute: the slow, obvious reading.
fn says(days: u8, begin: u16, length: u16, wall: DateTime) -> bool {
    let minute = u16::from(wall.hour().unsigned_abs()) * 60 + u16::from(wall.minute().unsigned_abs());
    let is_named = |weekday: jiff::civil::Weekday| days & (1 << weekday.to_monday_zero_offset()) != 0;
    let today = is_named(wall.weekday()) && minute >= begin && minute < begin + length;
    today || is_named(wall.weekday().previous()) && minute + DAY < begin + length
}

fn text_of(days: u8, begin: u16, length: u16) -> String {
    let names: Vec<&str> = (0..7)
        .filter(|day| days & (1 << day) != 0)
        .map(|day| ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][day])
        .collect();
    let end = if begin + length <= DAY { begin + length } else { begin + length - DAY };
    format!("{} {:02}:{:02}-{:02}:{:02}", names.join(","), begin / 60, begin % 60, end / 60, end % 60)
}

/// Instants shortly before the clocks of a zone change, and one day on which they do not. Lord Howe moves by half an
/// hour, Apia once left out a whole day, Kathmandu has quarters of an hour and no change.
const PLACES: [(&str, &str); 8] = [
    ("Europe/Berlin", "2026-03-28T12:00:00Z"),
    ("Europe/Berlin", "2026-10-24T12:00:00Z"),
    ("America/St_Johns", "2026-10-31T20:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T00:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T00:00:00Z"),
    ("Pacific/Apia", "2011-12-29T12:00:00Z"),
    ("Asia/Kathmandu", "2026-06-01T00:00:00Z"),
    ("America/Sao_Paulo", "2018-11-03T12:00:00Z"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn windows_agree_with_a_walk_minute_by_minute(
        place in 0..PLACES.len(),
        parts in proptest::collection::vec((1_u8..128, 0_u16..DAY, 1_u16..DAY), 1..3),
        seconds in 0_i64..60,
    ) {
        let (name, from) = PLACES[place];
        let (zone, from) = (zone(name), at(from));
        let texts: Vec<String> = parts.iter().map(|(days, begin, length)| text_of(*days, *begin, *length)).collect();
        let windows = Windows::parse(&texts, zone.clone()).unwrap();
        let minutes: Vec<(Timestamp, bool)> = (0..4 * 24 * 60)
            .map(|minute| {
                let now = from + SignedDuration::from_mins(minute);
                let wall = zone.to_datetime(now);
                (now, parts.iter().any(|(days, begin, length)| says(*days, *begin, *length, wall)))
            })
            .collect();

        for (now, is_open) in &minutes {
            prop_assert_eq!(windows.is_open(*now), *is_open, "{} {:?}", now, texts);
            prop_assert_eq!(windows.is_open(*now + SignedDuration::from_secs(seconds)), *is_open);
        }
        // The next change as the walk meets it, from some instants on the way.
        for index in (0..minutes.len()).step_by(97) {
            let (minute, is_open) = minutes[index];
            let Some((change, _)) = minutes[index..].iter().find(|(_, later)| *later != is_open) else { continue };
            let now = minute + SignedDuration::from_secs(seconds);
            let (opens, closes) = if is_open { (now, *change) } else { (*change, now) };
            prop_assert_eq!(windows.next_opening(now), Some(opens), "{} {:?}", now, texts);
            prop_assert_eq!(windows.closes_at(now), Some(closes), "{} {:?}", now, texts);
        }
    }
}
