//! Delays by chance.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tierkeep_schedule::jittered;

use super::at;

#[test]
fn both_ends_and_each_part_between_are_equally_likely() {
    let due = at("2026-11-22T02:00Z");
    let delay = |random| jittered(due, Duration::from_micros(3), random).duration_since(due).as_micros();

    let quarters = [0, 1 << 62, 2 << 62, 3 << 62].map(|first: u64| (delay(first), delay(first + ((1 << 62) - 1))));

    assert_eq!(quarters, [(0, 0), (1, 1), (2, 2), (3, 3)]);
}

#[test]
fn without_jitter_a_run_begins_when_it_is_due() {
    assert_eq!(jittered(at("2026-11-22T02:00Z"), Duration::ZERO, u64::MAX), at("2026-11-22T02:00Z"));
}

proptest! {
    #[test]
    fn delay_is_within_the_jitter_and_grows_with_the_number(jitter in any::<u64>(), numbers in any::<[u64; 2]>()) {
        let due = at("2026-11-22T02:00Z");
        let jitter = Duration::from_nanos(jitter);

        let [first, second] = numbers.map(|random| jittered(due, jitter, random));

        let longest = SignedDuration::try_from(jitter).unwrap();
        prop_assert!(first >= due && first.duration_since(due) <= longest);
        prop_assert_eq!(numbers[0] <= numbers[1] || first >= second, true);
        prop_assert!(jittered(Timestamp::MAX, Duration::MAX, numbers[0]) <= Timestamp::MAX);
    }
}
