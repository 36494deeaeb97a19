//! The rings against a list of everything that ever happened.

use proptest::prelude::*;

use super::*;

fn counts(memory_hits: u64, misses: u64) -> Counts {
    Counts { memory_hits, misses, loads: misses, ..Counts::default() }
}

/// All events of one span of a list, by hand.
fn by_hand(events: &[(u64, u64, u64)], number: u64, length: u64) -> Span {
    let within = events.iter().filter(|(at, ..)| at / length == number);
    within
        .map(|(_, hits, misses)| Span { memory_hits: *hits, misses: *misses, loads: *misses, ..Span::default() })
        .sum()
}

proptest! {
    #[test]
    fn every_minute_and_hour_is_what_a_list_of_all_events_says(
        steps in prop::collection::vec((prop_oneof![0u64..40_000, 0u64..9_000_000], 0u64..50, 0u64..50), 0..200),
        later in 0u64..200_000_000,
    ) {
        let origin = 400 * 24 * HOUR;
        let mut history = History::new(Tick::from_millis(origin), counts(7, 3));
        let (mut now, mut hits, mut misses, mut events) = (0, 7, 3, Vec::new());
        for (pause, more_hits, more_misses) in steps {
            now += pause;
            hits += more_hits;
            misses += more_misses;
            events.push((now, more_hits, more_misses));
            history.tick(Tick::from_millis(origin + now), counts(hits, misses));
        }
        now += later;

        let ratios = history.ratios(Tick::from_millis(origin + now));

        for (spans, length, most) in [(&ratios.last_minutes, MINUTE, MINUTES), (&ratios.last_hours, HOUR, HOURS)] {
            prop_assert_eq!(spans.len() as u64, (now / length + 1).min(most as u64));
            for (back, span) in spans.iter().enumerate() {
                prop_assert_eq!(*span, by_hand(&events, now / length - back as u64, length));
            }
        }
        prop_assert_eq!(ratios.minutes(5), ratios.last_minutes.iter().take(5).copied().sum());
    }
}

#[test]
fn a_ratio_is_of_its_own_span() {
    let mut history = History::new(Tick::from_millis(0), Counts::default());
    history.tick(Tick::from_millis(1_000), counts(1, 3));
    history.tick(Tick::from_millis(61_000), counts(10, 4));

    let ratios = history.ratios(Tick::from_millis(125_000));

    let minutes: Vec<_> = ratios.last_minutes.iter().map(Span::hit_ratio).collect();
    assert_eq!(minutes, [None, Some(0.9), Some(0.25)]);
    assert_eq!((ratios.minutes(60).reads(), ratios.hours(24).hit_ratio()), (14, Some(10.0 / 14.0)));
}

#[test]
fn counts_that_begin_anew_are_counted_from_nothing() {
    let mut history = History::new(Tick::from_millis(0), counts(1_000, 1_000));

    history.tick(Tick::from_millis(1), counts(3, 1));

    assert_eq!(history.ratios(Tick::from_millis(1)).minutes(1).reads(), 4);
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let mut history = History::new(Tick::from_millis(0), Counts::default());
    history.tick(Tick::from_millis(3 * MINUTE), counts(1, 0));

    history.tick(Tick::from_millis(MINUTE), counts(2, 0));

    assert_eq!(history.ratios(Tick::from_millis(0)).last_minutes[0].reads(), 2);
}
