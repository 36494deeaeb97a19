//! When tasks are due: texts, nights on which clocks change, and missed runs, against models that walk through time.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod golden;
mod jitter;
mod missed;
mod model;
mod occurrences;
mod text;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tierkeep_schedule::Timing;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(instant: &str) -> Timestamp {
    instant.parse().unwrap()
}

fn timing(text: &str) -> Timing {
    text.parse().unwrap()
}

/// All instants after `from` up to `to`.
fn enumerate(timing: &Timing, zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let next = |at: &Timestamp| timing.next_after(*at, zone);
    std::iter::successors(next(&from), next).take_while(|found| *found <= to).collect()
}
