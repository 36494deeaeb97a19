//! Whether a node is worth asking.

use std::time::{Duration, Instant};

/// Failures in a row after which a node is left alone.
const FAILURES: u32 = 5;

/// How often a node that is left alone is tried.
const PROBE: Duration = Duration::from_secs(1);

/// What one node's calls have come to.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    next_probe: Option<Instant>,
    why: String,
}

impl Breaker {
    /// Whether the node may be asked now. Of the calls that come while it is left alone, one a second may.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        match self.next_probe {
            None => true,
            Some(next) if now < next => false,
            Some(_) => {
                self.next_probe = Some(now + PROBE);
                true
            }
        }
    }

    /// Why it failed last.
    pub(super) fn why(&self) -> &str {
        &self.why
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(super) fn failed(&mut self, now: Instant, why: String) {
        self.failures = self.failures.saturating_add(1);
        self.why = why;
        if self.failures >= FAILURES {
            self.next_probe = Some(now + PROBE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_close_it_and_one_call_a_second_tries() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.failed(start, "no".to_owned());
            assert!(breaker.admits(start));
        }

        breaker.failed(start, "no".to_owned());

        assert!(!breaker.admits(start + Duration::from_millis(999)));
        assert!(breaker.admits(start + PROBE));
        assert!(!breaker.admits(start + PROBE));
        assert!(breaker.admits(start + 2 * PROBE));
    }

    #[test]
    fn a_success_forgets_the_failures() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        (0..5).for_each(|_| breaker.failed(now, "no".to_owned()));

        breaker.succeeded();

        assert!(breaker.admits(now));
        (0..4).for_each(|_| breaker.failed(now, "no".to_owned()));
        assert!(breaker.admits(now));
    }
}
