//! Days that went wrong somewhere, checked to the second, and the names and histories of zones.
//!
//! The golden days were computed with jiff (data 2026e) and, independently, with Python's zoneinfo (data 2025b).

use jiff::ToSpan;

use super::*;

mod properties;

pub(super) fn zone(name: &str) -> Zone {
    Zone::new(name).unwrap()
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn day(text: &str) -> LocalDay {
    text.parse().unwrap()
}

fn in_zone(name: &str, day_start: i64) -> Calendar {
    Calendar::new(ZoneHistory::new(zone(name)), DayStart::new(day_start).unwrap())
}

/// Zone, day, `day_start`, first instant, first instant after, minutes; and what is special.
type Golden = (&'static str, &'static str, i64, &'static str, &'static str, i64);

#[rustfmt::skip]
pub(super) const GOLDEN: [Golden; 22] = [
    // spring forward; fall back, 01:30 twice; with a rollover the previous day is the short one
    ("America/New_York", "2025-03-09", 0, "2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z", 23 * 60),
    ("America/New_York", "2025-11-02", 0, "2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z", 25 * 60),
    ("America/New_York", "2025-03-08", 4, "2025-03-08T09:00:00Z", "2025-03-09T08:00:00Z", 23 * 60),
    ("America/New_York", "2025-03-09", 4, "2025-03-09T08:00:00Z", "2025-03-10T08:00:00Z", 24 * 60),
    // a day that a flashcard program once lost, at midnight and at its default rollover
    ("Europe/Paris", "2023-10-29", 0, "2023-10-28T22:00:00Z", "2023-10-29T23:00:00Z", 25 * 60),
    ("Europe/Paris", "2023-10-28", 4, "2023-10-28T02:00:00Z", "2023-10-29T03:00:00Z", 25 * 60),
    // 00:00 does not exist; the clock goes from 24:00 back to 23:00 of the same date
    ("America/Sao_Paulo", "2018-11-04", 0, "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z", 23 * 60),
    ("America/Sao_Paulo", "2019-02-16", 0, "2019-02-16T02:00:00Z", "2019-02-17T03:00:00Z", 25 * 60),
    // half-hour daylight saving
    ("Australia/Lord_Howe", "2025-10-05", 0, "2025-10-04T13:30:00Z", "2025-10-05T13:00:00Z", 23 * 60 + 30),
    ("Australia/Lord_Howe", "2025-04-06", 0, "2025-04-05T13:00:00Z", "2025-04-06T13:30:00Z", 24 * 60 + 30),
    // the neighbour of a missing date keeps its length
    ("Pacific/Apia", "2011-12-29", 4, "2011-12-29T14:00:00Z", "2011-12-30T14:00:00Z", 24 * 60),
    // negative daylight saving: Ramadan, and Irish winter
    ("Africa/Casablanca", "2025-02-23", 0, "2025-02-22T23:00:00Z", "2025-02-24T00:00:00Z", 25 * 60),
    ("Europe/Dublin", "2025-10-26", 0, "2025-10-25T23:00:00Z", "2025-10-27T00:00:00Z", 25 * 60),
    // two hours at once
    ("Antarctica/Troll", "2025-03-30", 0, "2025-03-30T00:00:00Z", "2025-03-30T22:00:00Z", 22 * 60),
    // at 00:01 back to 23:01: the date on the wall runs 7, 6, 7
    ("America/St_Johns", "2010-11-07", 0, "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z", 25 * 60),
    // 23:30 jumps to 00:30: midnight plus the length of the gap would be half an hour late
    ("America/Toronto", "1919-03-31", 0, "1919-03-31T04:30:00Z", "1919-04-01T04:00:00Z", 23 * 60 + 30),
    // a new standard time
    ("America/Caracas", "2016-05-01", 0, "2016-05-01T04:30:00Z", "2016-05-02T04:00:00Z", 23 * 60 + 30),
    // +12:45, +05:45, +14
    ("Pacific/Chatham", "2025-09-28", 0, "2025-09-27T11:15:00Z", "2025-09-28T10:15:00Z", 23 * 60),
    ("Asia/Kathmandu", "2025-01-01", 0, "2024-12-31T18:15:00Z", "2025-01-01T18:15:00Z", 24 * 60),
    ("Pacific/Kiritimati", "2025-01-01", 0, "2024-12-31T10:00:00Z", "2025-01-01T10:00:00Z", 24 * 60),
    // China had daylight saving from 1986 to 1991, and has none now
    ("Asia/Shanghai", "1986-05-04", 0, "1986-05-03T16:00:00Z", "1986-05-04T15:00:00Z", 23 * 60),
    ("Asia/Shanghai", "2025-05-04", 0, "2025-05-03T16:00:00Z", "2025-05-04T16:00:00Z", 24 * 60),
];

#[test]
fn golden_days_have_their_instants() {
    for (name, date, day_start, from, to, minutes) in GOLDEN {
        let calendar = in_zone(name, day_start);
        let (date, from, to) = (day(date), at(from), at(to));

        let row = format!("{name} {date} at {day_start}");
        assert_eq!(calendar.intervals(date), [from..to], "{row}");
        assert_eq!(calendar.capacity(date), SignedDuration::from_mins(minutes), "{row}");
        assert_eq!((calendar.begins(date), calendar.ends(date)), (Some(from), Some(to)), "{row}");
        assert_eq!(calendar.covering(date..=date), from..to, "{row}");
        assert!(calendar.exists(date), "{row}");
        let microsecond = SignedDuration::from_micros(1);
        assert_eq!(calendar.day_of(from), date, "{row}");
        assert_eq!(calendar.day_of(to - microsecond), date, "{row}");
        assert_eq!(calendar.day_of(from - microsecond), date.plus(-1), "{row}");
        let next = date.plus(1).through(LocalDay::MAX).find(|day| calendar.exists(*day));
        assert_eq!(Some(calendar.day_of(to)), next, "{row}");
    }
}

#[test]
fn a_date_the_zone_skips_is_empty_at_every_day_start() {
    for (name, date) in [
        ("Pacific/Apia", "2011-12-30"),
        ("Pacific/Kwajalein", "1993-08-21"),
        ("Pacific/Kiritimati", "1994-12-31"),
        ("Asia/Manila", "1844-12-31"),
    ] {
        for day_start in 0..24 {
            let calendar = in_zone(name, day_start);
            let date = day(date);

            assert_eq!(calendar.intervals(date), [], "{name} {day_start}");
            assert!(!calendar.exists(date), "{name} {day_start}");
            assert_eq!(calendar.capacity(date), SignedDuration::ZERO, "{name} {day_start}");
            assert_eq!((calendar.begins(date), calendar.ends(date)), (None, None), "{name} {day_start}");
            assert!(calendar.covering(date..=date).is_empty(), "{name} {day_start}");
            assert_eq!(calendar.ends(date.plus(-1)), calendar.begins(date.plus(1)), "{name} {day_start}");
            assert!(calendar.exists(date.plus(-1)) && calendar.exists(date.plus(1)), "{name} {day_start}");
        }
    }
}

/// The lengths, in minutes, of the days from `first` on, and how many intervals each has.
fn travel(from: &str, to: &str, instant: &str, first: &str, days: i32) -> Vec<(i64, usize)> {
    let zones = ZoneHistory::from_changes(zone(from), [(at(instant), zone(to))]);
    let calendar = Calendar::new(zones, DayStart::default());
    (0..days)
        .map(|n| day(first).plus(n))
        .map(|day| (calendar.capacity(day).as_mins(), calendar.intervals(day).len()))
        .collect()
}

#[test]
fn flying_east_over_the_pacific_lengthens_two_days() {
    let days = travel("Asia/Shanghai", "America/Los_Angeles", "2025-06-10T02:00:00Z", "2025-06-08", 4);

    assert_eq!(days, [(24 * 60, 1), (29 * 60, 2), (34 * 60, 2), (24 * 60, 1)]);
}

#[test]
fn flying_west_over_the_pacific_shortens_two_days() {
    let days = travel("America/Los_Angeles", "Asia/Shanghai", "2025-06-10T02:00:00Z", "2025-06-08", 4);

    assert_eq!(days, [(24 * 60, 1), (19 * 60, 1), (14 * 60, 1), (24 * 60, 1)]);
}

#[test]
fn flying_over_the_date_line_can_skip_a_day() {
    let days = travel("Pacific/Pago_Pago", "Pacific/Kiritimati", "2025-06-10T10:30:00Z", "2025-06-08", 5);

    assert_eq!(days, [(24 * 60, 1), (23 * 60 + 30, 1), (0, 0), (23 * 60 + 30, 1), (24 * 60, 1)]);
}

#[test]
fn intervals_around_a_change_of_zone_are_exact() {
    let zones =
        ZoneHistory::from_changes(zone("Asia/Shanghai"), [(at("2025-06-10T02:00:00Z"), zone("America/Los_Angeles"))]);
    let calendar = Calendar::new(zones, DayStart::default());
    let instants = |from: &str, to: &str| at(from)..at(to);

    let ninth = calendar.intervals(day("2025-06-09"));
    let tenth = calendar.intervals(day("2025-06-10"));

    assert_eq!(
        ninth,
        [
            instants("2025-06-08T16:00:00Z", "2025-06-09T16:00:00Z"),
            instants("2025-06-10T02:00:00Z", "2025-06-10T07:00:00Z")
        ]
    );
    assert_eq!(
        tenth,
        [
            instants("2025-06-09T16:00:00Z", "2025-06-10T02:00:00Z"),
            instants("2025-06-10T07:00:00Z", "2025-06-11T07:00:00Z")
        ]
    );
    assert_eq!(calendar.covering(day("2025-06-09")..=day("2025-06-09")), ninth[0].start..ninth[1].end);
    assert_eq!(calendar.covering(day("2025-06-09")..=day("2025-06-10")), ninth[0].start..tenth[1].end);
    assert_eq!(calendar.hour_of(at("2025-06-10T01:59:59.999999Z")), 9);
    assert_eq!(calendar.hour_of(at("2025-06-10T02:00:00Z")), 19);
}

#[test]
fn a_change_between_zones_with_one_clock_leaves_a_day_whole() {
    let zones = ZoneHistory::from_changes(zone("Europe/Paris"), [(at("2025-06-10T12:00:00Z"), zone("Europe/Berlin"))]);
    let calendar = Calendar::new(zones, DayStart::default());

    assert_eq!(calendar.intervals(day("2025-06-10")), [at("2025-06-09T22:00:00Z")..at("2025-06-10T22:00:00Z")]);
}

#[test]
fn nothing_covers_days_in_the_wrong_order() {
    let calendar = in_zone("Europe/Paris", 0);

    assert!(calendar.covering(RangeInclusive::new(day("2025-06-11"), day("2025-06-10"))).is_empty());
}

#[test]
fn the_hour_twice_shown_is_counted_as_shown() {
    let calendar = in_zone("America/New_York", 0);

    for instant in ["2025-11-02T05:30:00Z", "2025-11-02T06:30:00Z"] {
        assert_eq!(calendar.hour_of(at(instant)), 1);
    }
    assert_eq!(in_zone("America/New_York", 4).hour_of(at("2025-11-02T05:30:00Z")), 1, "day_start moves no hour");
    assert_eq!(in_zone("UTC", 0).hour_of(at("1969-12-31T23:59:59.5Z")), 23);
}

#[test]
fn every_instant_and_every_day_has_an_answer() {
    let outside = [Timestamp::MIN, at("0001-01-01T23:59:59.999999Z"), at("9999-01-01T00:00:00Z"), Timestamp::MAX];
    let ends = [first_instant(), end_of_instants() - SignedDuration::from_micros(1)];
    for zone in Zone::all() {
        for day_start in [0, 4, 23] {
            let calendar = Calendar::new(ZoneHistory::new(zone), DayStart::new(day_start).unwrap());
            let days: Vec<_> = outside.iter().map(|t| calendar.day_of(*t)).collect();

            assert_eq!((days[0], days[3]), (LocalDay::MIN, LocalDay::MAX), "{zone}");
            assert_eq!((days[1], days[2]), (calendar.day_of(ends[0]), calendar.day_of(ends[1])), "{zone}");
            for t in outside {
                assert_eq!(calendar.placer().place(t), (calendar.day_of(t), calendar.hour_of(t)), "{zone} {t}");
            }
            let all = first_instant()..end_of_instants();
            assert_eq!(calendar.covering(LocalDay::MIN..=LocalDay::MAX), all, "{zone}");
            assert_eq!(calendar.begins(LocalDay::MIN), Some(all.start), "{zone}");
            assert_eq!(calendar.ends(LocalDay::MAX), Some(all.end), "{zone}");
            for day in [LocalDay::MIN, LocalDay::MIN.plus(1), LocalDay::MAX.plus(-1), LocalDay::MAX] {
                assert_eq!(calendar.begins(day).map(|begin| calendar.day_of(begin)), Some(day), "{zone}");
            }
        }
    }
}

#[test]
fn a_change_of_zone_outside_the_accepted_instants_leaves_no_gap() {
    let zones = ZoneHistory::from_changes(
        zone("Asia/Tokyo"),
        [(Timestamp::MIN, zone("Europe/Paris")), (Timestamp::MAX, zone("Asia/Tokyo"))],
    );
    let calendar = Calendar::new(zones, DayStart::default());

    assert_eq!(calendar.intervals(LocalDay::MIN).len(), 1);
    assert_eq!(calendar.covering(LocalDay::MIN..=LocalDay::MAX), first_instant()..end_of_instants());
    assert_eq!(calendar.hour_of(Timestamp::MAX), 0, "taken as the last accepted instant, in Paris");
}

#[test]
fn a_day_start_is_an_hour() {
    assert_eq!(DayStart::default().get(), 0);
    assert_eq!(serde_json::from_str::<DayStart>("23").unwrap(), DayStart::new(23).unwrap());
    assert_eq!(serde_json::to_string(&DayStart::new(4).unwrap()).unwrap(), "4");
    for bad in [-1, 24, 256] {
        assert!(DayStart::new(bad).unwrap_err().to_string().contains("0 to 23"));
        assert!(serde_json::from_str::<DayStart>(&bad.to_string()).is_err());
    }
}

#[test]
fn a_zone_has_the_spelling_of_the_database() {
    assert_eq!(zone("europe/PARIS").name(), "Europe/Paris");
    assert_eq!(zone("europe/PARIS"), zone("Europe/Paris"));
    assert_eq!(zone("asia/calcutta").to_string(), "Asia/Calcutta", "a link keeps its name");
    assert_eq!(zone("utc"), Zone::utc());
    assert_eq!(serde_json::to_string(&zone("Asia/Tokyo")).unwrap(), r#""Asia/Tokyo""#);
    assert_eq!(serde_json::from_str::<Zone>(r#""Asia/Tokyo""#).unwrap(), zone("Asia/Tokyo"));
}

#[test]
fn what_names_no_zone_is_refused() {
    for bad in [
        "",
        " ",
        "local",
        "localtime",
        "/etc/localtime",
        "../Europe/Paris",
        "Europe/Paris\0",
        "Etc/Unknown",
        "Factory",
        "posixrules",
        "CET-1CEST",
        "EST5EDT,M3.2.0,M11.1.0",
        "+01:00",
        "-05",
        "UTC+1",
        "Europe",
        "Mars/Olympus",
    ] {
        let message = Zone::new(bad).unwrap_err().to_string();
        assert!(message.contains("accepted: an IANA time zone name such as Europe/Paris"), "{message}");
    }
    assert!(Zone::new(&"🦀".repeat(100_000)).unwrap_err().to_string().len() < 1000);
}

#[test]
fn an_unknown_zone_is_told_the_nearest_known_one() {
    for (given, nearest) in [
        ("Europe/Pariss", "Europe/Paris"),
        ("Berlin", "Europe/Berlin"),
        ("America/New York", "America/New_York"),
        ("Asia/Shangai", "Asia/Shanghai"),
        (" Asia/Tokyo ", "Asia/Tokyo"),
    ] {
        let message = Zone::new(given).unwrap_err().to_string();
        assert!(message.contains(&format!("the nearest is {nearest};")), "{message}");
    }
    assert!(!Zone::new("nowhere at all").unwrap_err().to_string().contains("nearest"));
}

/// When this fails the bundled data are of another version: compare the golden days with a second implementation,
/// then change the fingerprint together with [`tz_version`].
#[test]
fn the_bundled_rules_are_of_the_version_we_report() {
    let mut fingerprint: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            fingerprint = (fingerprint ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for zone in Zone::all() {
        add(zone.name().as_bytes());
        let first = zone.time_zone().to_offset(Timestamp::MIN);
        add(&first.seconds().to_le_bytes());
        for transition in
            zone.time_zone().following(Timestamp::MIN).take_while(|t| t.timestamp() < at("2050-01-01T00:00Z"))
        {
            add(&transition.timestamp().as_second().to_le_bytes());
            add(&transition.offset().seconds().to_le_bytes());
        }
    }

    assert_eq!((tz_version(), format!("{fingerprint:016x}").as_str()), ("2026e", "1465e69f33c53e88"));
}

mod history {
    use super::*;

    fn history(text: &str) -> ZoneHistory {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_zone_reaches_back_for_ever() {
        let zones = history(r#"["Asia/Shanghai",[1000000,"Europe/Paris"]]"#);

        assert_eq!(zones.zone_at(Timestamp::MIN).name(), "Asia/Shanghai");
        assert_eq!(zones.zone_at(at("1970-01-01T00:00:00.999999999Z")).name(), "Asia/Shanghai");
        assert_eq!(zones.zone_at(at("1970-01-01T00:00:01Z")).name(), "Europe/Paris");
        assert_eq!(zones.zone_at(Timestamp::MAX), zones.current());
        assert_eq!(zones.first().name(), "Asia/Shanghai");
    }

    #[test]
    fn changes_are_sorted_and_the_later_of_two_at_one_instant_wins() {
        let (second, third) = (at("2025-01-02T00:00:00Z"), at("2025-01-03T00:00:00Z"));

        let zones = ZoneHistory::from_changes(
            zone("UTC"),
            [(third, zone("Asia/Tokyo")), (second, zone("Europe/Rome")), (second, zone("Europe/Paris"))],
        );

        let changes: Vec<_> = zones.changes().map(|(at, zone)| (at, zone.name())).collect();
        assert_eq!(changes, [(second, "Europe/Paris"), (third, "Asia/Tokyo")]);
    }

    #[test]
    fn a_change_to_the_zone_in_force_is_left_out() {
        let zones = history(r#"["UTC",[1,"UTC"],[2,"Asia/Tokyo"],[3,"Asia/Tokyo"],[4,"UTC"],[4,"Asia/Tokyo"]]"#);

        assert_eq!(zones.to_string(), r#"["UTC",[2,"Asia/Tokyo"]]"#);
    }

    #[test]
    fn a_late_change_takes_its_place_in_order() {
        let mut zones = history(r#"["UTC",[10,"Asia/Tokyo"],[20,"Europe/Paris"]]"#);
        let micros = |micros| Timestamp::from_microsecond(micros).unwrap();

        zones.push(micros(15), zone("UTC"));
        assert_eq!(zones.to_string(), r#"["UTC",[10,"Asia/Tokyo"],[15,"UTC"],[20,"Europe/Paris"]]"#);
        zones.push(micros(10), zone("UTC"));
        assert_eq!(zones.to_string(), r#"["UTC",[20,"Europe/Paris"]]"#);
        zones.push(micros(12), zone("Europe/Paris"));
        assert_eq!(zones.to_string(), r#"["UTC",[12,"Europe/Paris"]]"#);
    }

    #[test]
    fn instants_of_changes_are_whole_microseconds() {
        let mut zones = ZoneHistory::new(zone("UTC"));

        zones.push(at("1969-12-31T23:59:59.9999985Z"), zone("Asia/Tokyo"));

        assert_eq!(zones.to_string(), r#"["UTC",[-2,"Asia/Tokyo"]]"#);
        assert_eq!(history(&zones.to_string()), zones);
    }

    #[test]
    fn a_stored_zone_that_is_unknown_here_is_told_apart() {
        let error = |text: &str| text.parse::<ZoneHistory>().unwrap_err();

        assert!(matches!(error(r#"["Europe/Kyivv"]"#), ZoneHistoryError::Zone(_)));
        assert!(matches!(error(r#"["UTC",[5,"Moon/Tycho"]]"#), ZoneHistoryError::Zone(_)));
        assert!(matches!(error(r#"["UTC",[9223372036854775807,"UTC"]]"#), ZoneHistoryError::Instant(i64::MAX)));
        for malformed in ["", "[]", "null", r#""UTC""#, r#"["UTC",[5]]"#, r#"["UTC","UTC"]"#, r#"["UTC",[1.5,"UTC"]]"#]
        {
            assert!(matches!(error(malformed), ZoneHistoryError::Malformed(_)), "{malformed}");
        }
        let inside_a_struct = serde_json::from_str::<Vec<ZoneHistory>>(r#"[["Europe/Kyivv"]]"#).unwrap_err();
        assert!(inside_a_struct.to_string().contains("Europe/Kyiv;"), "{inside_a_struct}");
    }

    #[test]
    fn the_compact_encoding_is_read_back_too() {
        let zones = history(r#"["UTC",[2,"Asia/Tokyo"],[1749520800000000,"America/Los_Angeles"]]"#);

        let bytes = postcard::to_allocvec(&zones).unwrap();

        assert_eq!(postcard::from_bytes::<ZoneHistory>(&bytes).unwrap(), zones);
    }
}

#[test]
fn a_date_is_not_had_from_the_wall() {
    // the wall of St John's shows 6 November again after midnight; the day stays the 7th
    let calendar = in_zone("America/St_Johns", 0);
    let tz = zone("America/St_Johns").time_zone();
    let minutes: Vec<_> = (0..4).map(|n| at("2010-11-07T02:29:00Z") + n.minutes()).collect();

    let on_the_wall: Vec<_> = minutes.iter().map(|t| tz.to_datetime(*t).date().day()).collect();
    let days: Vec<_> = minutes.iter().map(|t| calendar.day_of(*t).date().day()).collect();

    assert_eq!(on_the_wall, [6, 7, 6, 6]);
    assert_eq!(days, [6, 7, 7, 7]);
}
