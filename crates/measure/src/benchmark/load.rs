//! What calls of several callers come to.

use std::time::Duration;

use crate::measurement::{Measurement, Raw};
use crate::nanos::whole_nanoseconds;

/// Calls that were answered, failed, or are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Nanoseconds, in the order of the ends.
    times: Vec<f64>,
    failed: u64,
    unanswered: u64,
}

impl Tally {
    pub(super) fn add(&mut self, took: Duration, succeeded: bool) {
        if succeeded {
            self.times.push(whole_nanoseconds(took) as f64);
        } else {
            self.failed += 1;
        }
    }

    /// A call that was given up after this long: it takes longer than that, and counts as long as that.
    pub(super) fn give_up(&mut self, waited: Duration) {
        self.times.push(whole_nanoseconds(waited) as f64);
        self.unanswered += 1;
    }

    pub(super) fn append(&mut self, other: Self) {
        self.times.extend(other.times);
        self.failed += other.failed;
        self.unanswered += other.unanswered;
    }

    pub(super) fn measurement(self, name: String, elapsed: Duration) -> Measurement {
        let Self { times, failed, unanswered } = self;
        let elapsed = whole_nanoseconds(elapsed) as f64;
        Measurement::of(name, Raw { iterations: 1, times, elapsed, failed, unanswered })
    }
}
