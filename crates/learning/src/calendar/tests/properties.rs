//! Properties, against a model that knows nothing of boundaries but what a clock shows.

use std::ops::Range;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;

use super::super::{Calendar, DayStart, Zone, ZoneHistory, first_instant};
use super::{GOLDEN, at, day};
use crate::local_day::{LocalDay, Year};

/// The model: watches the clock on the wall.
mod model {
    use super::*;

    /// Within each of these the clock only goes forward: from five days before a wall time to five days after.
    fn runs(tz: &TimeZone, wall: DateTime) -> Vec<Range<Timestamp>> {
        let about = jiff::tz::Offset::UTC.to_timestamp(wall).unwrap();
        let (from, to) = (about - 120.hours(), about + 120.hours());
        let mut cuts = vec![from];
        cuts.extend(tz.following(from).map(|transition| transition.timestamp()).take_while(|cut| *cut < to));
        cuts.push(to);
        cuts.windows(2).map(|cut| cut[0]..cut[1]).collect()
    }

    /// The first second of a run at which the clock shows `wall` or later.
    fn first_showing(tz: &TimeZone, run: &Range<Timestamp>, wall: DateTime) -> Option<Timestamp> {
        let (mut too_early, mut shows) = (run.start.as_second() - 1, run.end.as_second());
        while shows - too_early > 1 {
            let middle = too_early + (shows - too_early) / 2;
            if tz.to_datetime(Timestamp::from_second(middle).unwrap()) >= wall {
                shows = middle;
            } else {
                too_early = middle;
            }
        }
        (shows < run.end.as_second()).then(|| Timestamp::from_second(shows).unwrap())
    }

    fn boundary(tz: &TimeZone, date: Date, day_start: DayStart) -> Timestamp {
        let runs = runs(tz, date.at(12, 0, 0, 0));
        let shown = |run: &Range<Timestamp>| {
            first_showing(tz, run, date.at(0, 0, 0, 0)).is_some_and(|t| tz.to_datetime(t).date() == date)
        };
        if !runs.iter().any(shown) {
            return boundary(tz, date.tomorrow().unwrap(), day_start);
        }
        let wall = date.at(day_start.get().cast_signed(), 0, 0, 0);
        runs.iter().find_map(|run| first_showing(tz, run, wall)).unwrap()
    }

    pub(super) fn day_of(calendar: &Calendar, t: Timestamp) -> LocalDay {
        let mut zone = *calendar.zones().first();
        for (change, next) in calendar.zones().changes() {
            if change <= t {
                zone = *next;
            }
        }
        let tz = zone.time_zone();
        let about = tz.to_datetime(t).date();
        let last_begun =
            (-3..=3).map(|days| about + days.days()).rfind(|date| boundary(tz, *date, calendar.day_start()) <= t);
        LocalDay::new(last_begun.unwrap()).unwrap()
    }
}

/// Half of them golden, half any.
fn any_zone() -> impl Strategy<Value = Zone> {
    let golden: Vec<Zone> = GOLDEN.iter().map(|row| super::zone(row.0)).collect();
    prop_oneof![prop::sample::select(golden), prop::sample::select(Zone::all().collect::<Vec<_>>())]
}

fn any_day_start() -> impl Strategy<Value = DayStart> {
    (0..24i64).prop_map(|hour| DayStart::new(hour).unwrap())
}

/// A zone with instants around one of its transitions, whole minutes and microseconds off, between 1845 and 2110.
fn zone_and_instants() -> impl Strategy<Value = (Zone, Vec<Timestamp>)> {
    let off = prop_oneof![
        (-4000i64..4000).prop_map(|minutes| minutes * 60_000_000),
        -240_000_000_000i64..240_000_000_000,
        Just(0),
        Just(-1),
    ];
    (any_zone(), -3_944_000_000i64..4_420_000_000, prop::collection::vec(off, 1..12)).prop_map(
        |(zone, second, offs)| {
            let second = Timestamp::from_second(second).unwrap();
            let about = zone.time_zone().following(second).next().map_or(second, |transition| transition.timestamp());
            (zone, offs.into_iter().map(|off| about + SignedDuration::from_micros(off)).collect())
        },
    )
}

/// A calendar with up to three changes of zone within days of each other, and instants around them.
fn calendar_and_instants() -> impl Strategy<Value = (Calendar, Vec<Timestamp>)> {
    let change = (-6000i64..6000, any_zone());
    (zone_and_instants(), any_day_start(), prop::collection::vec(change, 0..4)).prop_map(
        |((zone, instants), day_start, changes)| {
            let changes = changes.into_iter().map(|(minutes, zone)| (instants[0] + minutes.minutes(), zone));
            (Calendar::new(ZoneHistory::from_changes(zone, changes), day_start), instants)
        },
    )
}

fn microsecond() -> SignedDuration {
    SignedDuration::from_micros(1)
}

proptest! {
    #[test]
    fn a_day_is_what_the_clock_on_the_wall_says((calendar, instants) in calendar_and_instants()) {
        for t in instants {
            prop_assert_eq!(calendar.day_of(t), model::day_of(&calendar, t), "{}", t);
            let zone = calendar.zones().zone_at(t);
            prop_assert_eq!(calendar.hour_of(t).cast_signed(), zone.time_zone().to_datetime(t).hour(), "{}", t);
        }
    }

    #[test]
    fn an_instant_lies_in_its_day_and_in_no_other((calendar, instants) in calendar_and_instants()) {
        for t in instants {
            let own = calendar.day_of(t);
            for day in (-4..=4).map(|days| own.plus(days)) {
                let holding = calendar.intervals(day).iter().filter(|interval| interval.contains(&t)).count();
                prop_assert_eq!(holding, usize::from(day == own), "{} {}", t, day);
            }
        }
    }

    #[test]
    fn the_answers_about_a_day_agree((calendar, instants) in calendar_and_instants(), span in 0i32..4) {
        let own = calendar.day_of(instants[0]);
        for day in (-4..=4).map(|days| own.plus(days)) {
            let intervals = calendar.intervals(day);
            prop_assert!(intervals.iter().all(|interval| interval.start < interval.end));
            prop_assert!(intervals.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(calendar.exists(day), !intervals.is_empty());
            prop_assert_eq!(calendar.begins(day), intervals.first().map(|interval| interval.start));
            prop_assert_eq!(calendar.ends(day), intervals.last().map(|interval| interval.end));
            let length: SignedDuration =
                intervals.iter().map(|interval| interval.start.duration_until(interval.end)).sum();
            prop_assert_eq!(calendar.capacity(day), length);
            for interval in &intervals {
                prop_assert_eq!(calendar.day_of(interval.start), day);
                prop_assert_eq!(calendar.day_of(interval.end - microsecond()), day);
            }
            let days: Vec<LocalDay> = day.through(day.plus(span)).collect();
            let all: Vec<_> = days.iter().flat_map(|day| calendar.intervals(*day)).collect();
            let hull = calendar.covering(day..=day.plus(span));
            prop_assert_eq!(hull.is_empty(), all.is_empty());
            if let Some(start) = all.iter().map(|interval| interval.start).min() {
                prop_assert_eq!(hull, start..all.iter().map(|interval| interval.end).max().unwrap());
            }
        }
    }

    #[test]
    fn a_placer_says_what_the_calendar_says(
        (calendar, mut instants) in calendar_and_instants(),
        far in prop::collection::vec(-377_705_000_000_000_000i64..=253_402_200_000_000_000, 0..6),
        sorted: bool,
    ) {
        // the middle of nowhere, beyond the ends, and after the horizon up to which rules are unfolded
        instants.extend(far.into_iter().filter_map(|micros| Timestamp::from_microsecond(micros).ok()));
        instants.extend_from_within(..);
        if sorted {
            instants.sort();
        }
        let mut placer = calendar.placer();
        for t in instants {
            prop_assert_eq!(placer.place(t), (calendar.day_of(t), calendar.hour_of(t)), "{}", t);
        }
    }

    #[test]
    fn far_from_the_present_days_and_hours_are_still_those_of_the_clock(
        zone in any_zone(),
        micros in -62_135_000_000_000_000i64..253_370_000_000_000_000,
    ) {
        let t = Timestamp::from_microsecond(micros).unwrap();
        let calendar = Calendar::new(ZoneHistory::new(zone), DayStart::default());

        prop_assert_eq!(calendar.day_of(t), model::day_of(&calendar, t));
        prop_assert_eq!(calendar.hour_of(t).cast_signed(), zone.time_zone().to_datetime(t).hour());
    }

    #[test]
    fn changing_the_present_zone_changes_no_past_answer(
        (calendar, instants) in calendar_and_instants(),
        zone in any_zone(),
        later in 0i64..6000,
    ) {
        let last = calendar.zones().changes().map(|(change, _)| change).last();
        let now = last.unwrap_or(instants[0]).max(instants[0]) + later.minutes();
        let mut zones = calendar.zones().clone();
        zones.push(now, zone);
        let changed = Calendar::new(zones, calendar.day_start());

        for t in instants.iter().copied().filter(|t| *t < now).chain([now - microsecond()]) {
            prop_assert_eq!(changed.day_of(t), calendar.day_of(t));
            prop_assert_eq!(changed.hour_of(t), calendar.hour_of(t));
        }
        prop_assert_eq!(changed.zones().zone_at(now), &zone);
    }

    #[test]
    fn the_lengths_of_days_sum_to_the_time_passed_whatever_happens_to_the_zone(
        (calendar, instants) in calendar_and_instants(),
    ) {
        let first = calendar.day_of(instants[0]).plus(-20);
        let last = first.plus(40);

        let sum: SignedDuration = first.through(last).map(|day| calendar.capacity(day)).sum();

        // 20 days away all is quiet, so no other day lies between the first and the last instant
        let hull = calendar.covering(first..=last);
        prop_assert_eq!(sum, hull.start.duration_until(hull.end));
    }

    #[test]
    fn histories_are_read_back_and_do_not_depend_on_the_order_of_changes(
        first in any_zone(),
        changes in prop::collection::btree_map(-5000i64..5000, any_zone(), 0..6),
        probe in -6000i64..6000,
    ) {
        let micros = |micros| Timestamp::from_microsecond(micros).unwrap();
        let in_order: Vec<_> = changes.iter().map(|(at, zone)| (micros(*at), *zone)).collect();

        let zones = ZoneHistory::from_changes(first, in_order.iter().rev().copied());

        let mut pushed = ZoneHistory::new(first);
        for (at, zone) in &in_order {
            pushed.push(*at, *zone);
        }
        prop_assert_eq!(&pushed, &zones);
        prop_assert_eq!(&zones.to_string().parse::<ZoneHistory>().unwrap(), &zones);
        prop_assert_eq!(&serde_json::from_value::<ZoneHistory>(serde_json::to_value(&zones).unwrap()).unwrap(), &zones);
        let expected = changes.range(..=probe).last().map_or(first, |(_, zone)| *zone);
        prop_assert_eq!(*zones.zone_at(micros(probe)), expected);
    }
}

/// All zones at all hours take a minute; so each `day_start` has one zone in this many, and each zone one `day_start`.
const SHARE: usize = 8;

#[test]
fn boundaries_never_go_back_and_begin_their_day() {
    let end = at("2038-01-01T00:00:00Z");
    let day_starts = [0, 1, 2, 3, 4, 6, 12, 23];
    let mut empty = 0;
    for (nth, hour) in day_starts.into_iter().enumerate() {
        let day_start = DayStart::new(hour).unwrap();
        for zone in Zone::all().skip(nth % SHARE).step_by(SHARE) {
            let calendar = Calendar::new(ZoneHistory::new(zone), day_start);
            for transition in zone.time_zone().following(first_instant()).take_while(|t| t.timestamp() < end) {
                let about = jiff::tz::Offset::UTC.to_datetime(transition.timestamp()).date();
                let mut before = None;
                for date in (-2..=3).map(|days| about + days.days()) {
                    let boundary = zone.rules().boundary(date, day_start);
                    assert!(before <= Some(boundary), "{zone} {date} {hour}");
                    before = Some(boundary);
                    let date = LocalDay::new(date).unwrap();
                    let begun = calendar.day_of(boundary);
                    if calendar.exists(date) {
                        assert_eq!(begun, date, "{zone} {hour}");
                        assert_eq!(calendar.begins(date), Some(boundary), "{zone} {date} {hour}");
                    } else {
                        empty += 1;
                        assert_eq!(begun, date.plus(1), "{zone} {hour}");
                    }
                }
            }
        }
    }
    assert!(empty > 0);
}

#[test]
fn the_lengths_of_a_years_days_sum_to_the_year() {
    for (nth, row) in GOLDEN.iter().enumerate() {
        let golden_year = Year::of(day(row.1)).get();
        let calendar =
            Calendar::new(ZoneHistory::new(super::zone(row.0)), DayStart::new(i64::try_from(nth).unwrap()).unwrap());
        for year in [golden_year, 1994, 2011, 2024].map(|year| Year::new(year).unwrap()) {
            let days = year.days();
            let (first, last) = (*days.start(), *days.end());

            let sum: SignedDuration = first.through(last).map(|day| calendar.capacity(day)).sum();

            let year_begins = first.through(last).find_map(|day| calendar.begins(day)).unwrap();
            let next_begins = last.plus(1).through(last.plus(3)).find_map(|day| calendar.begins(day)).unwrap();
            assert_eq!(sum, year_begins.duration_until(next_begins), "{} {year}", row.0);
        }
    }
}

#[test]
fn a_day_whose_wall_time_is_skipped_begins_at_the_transition() {
    let mut skipped = 0;
    for zone in Zone::all() {
        let mut before = zone.time_zone().to_offset(Timestamp::MIN);
        for transition in
            zone.time_zone().following(first_instant()).take_while(|t| t.timestamp() < at("2038-01-01T00:00Z"))
        {
            let would_show = before.to_datetime(transition.timestamp());
            before = transition.offset();
            let shows = before.to_datetime(transition.timestamp());
            // whether the full hour before what the clock shows now was skipped
            let full_hour = shows.date().at(shows.hour(), 0, 0, 0);
            if full_hour <= would_show {
                continue;
            }
            let day_start = DayStart::new(shows.hour().into()).unwrap();

            let boundary = zone.rules().boundary(shows.date(), day_start);

            assert_eq!(boundary, transition.timestamp(), "{zone}");
            skipped += 1;
        }
    }
    assert!(skipped > 100, "{skipped}");
}
