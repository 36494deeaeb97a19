//! Stops asking a server that does not answer, and asks again in time: a pure state machine.

use std::time::Duration;

use crate::clock::Tick;

/// Failures in a row after which the server is not asked. Fewer would suspend it for one lost connection.
const FAILURES: u32 = 5;
/// The first pause: a restarted server is back within about this.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause, which is also how late a recovery may be noticed if no connection shows it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Closed until five failures in a row, then open: one request is let through per pause, the pause doubles
/// with each that fails, and any success closes it.
///
/// A request that was let through and never reported back does not matter: the next pause ends all the same.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    failures: u32,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    retry_at: Tick,
    pause: Duration,
    /// The connection at the last attempt; a newer one is worth an attempt at once.
    connection: u64,
}

/// What a request that was let through brings back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    is_probe: bool,
}

impl Breaker {
    /// Lets a request through, or not. `connection` counts the connections that were made so far.
    pub fn admit(&mut self, now: Tick, connection: u64) -> Option<Permit> {
        let Some(open) = &mut self.open else { return Some(Permit { is_probe: false }) };
        if now < open.retry_at && connection == open.connection {
            return None;
        }
        open.retry_at = now.after(open.pause);
        open.connection = connection;
        Some(Permit { is_probe: true })
    }

    /// The server answered, whatever it said.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The server did not answer.
    pub fn failed(&mut self, permit: Permit, now: Tick, connection: u64) {
        match &mut self.open {
            Some(open) if permit.is_probe => {
                open.pause = (open.pause * 2).min(LONGEST_PAUSE);
                open.retry_at = now.after(open.pause);
            }
            // Asked before it opened: says nothing new.
            Some(_) => {}
            None => {
                self.failures += 1;
                if self.failures >= FAILURES {
                    self.open = Some(Open { retry_at: now.after(FIRST_PAUSE), pause: FIRST_PAUSE, connection });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opened(now: Tick) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            let permit = breaker.admit(now, 1).unwrap();
            breaker.failed(permit, now, 1);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_success_closes_it() {
        let start = Tick::from_millis(1000);
        let mut breaker = opened(start);

        assert_eq!(breaker.admit(start, 1), None);
        assert!(breaker.admit(start.after(FIRST_PAUSE), 1).is_some(), "one probe");
        assert_eq!(breaker.admit(start.after(FIRST_PAUSE), 1), None, "one only");
        breaker.succeeded();
        assert_eq!(breaker.admit(start.after(FIRST_PAUSE), 1), Some(Permit { is_probe: false }));
    }

    #[test]
    fn a_new_connection_is_tried_at_once() {
        let start = Tick::from_millis(1000);
        let mut breaker = opened(start);

        assert!(breaker.admit(start, 2).is_some());
        assert_eq!(breaker.admit(start, 2), None);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Ask,
        Succeed,
        Fail,
        Wait(u64),
        Connect,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Ask),
            1 => Just(Step::Succeed),
            6 => Just(Step::Fail),
            4 => (0..7000u64).prop_map(Step::Wait),
            1 => Just(Step::Connect),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        #[test]
        fn it_opens_only_after_failures_in_a_row_and_is_never_stuck(steps in steps()) {
            let mut breaker = Breaker::default();
            let (mut now, mut connection, mut in_a_row) = (Tick::from_millis(0), 1, 0);
            // Outcomes may come in any order, late, or never.
            let mut permits = Vec::new();
            for step in steps {
                match step {
                    Step::Ask => {
                        let permit = breaker.admit(now, connection);
                        prop_assert!(permit.is_some() || in_a_row >= FAILURES, "refused after {in_a_row} failures");
                        permits.extend(permit);
                    }
                    Step::Succeed => if permits.pop().is_some() {
                        breaker.succeeded();
                        in_a_row = 0;
                        prop_assert!(breaker.clone().admit(now, connection).is_some(), "a success closes it");
                    },
                    Step::Fail => if let Some(permit) = permits.pop() {
                        breaker.failed(permit, now, connection);
                        in_a_row += 1;
                    },
                    Step::Wait(millis) => now = now.after(Duration::from_millis(millis)),
                    Step::Connect => connection += 1,
                }
                let later = now.after(LONGEST_PAUSE);
                prop_assert!(breaker.clone().admit(later, connection).is_some(), "stuck");
            }
        }

        #[test]
        fn a_server_that_stays_away_is_asked_once_per_pause(gaps in prop::collection::vec(0..200u64, 1..400)) {
            let mut now = Tick::from_millis(0);
            let mut breaker = opened(now);
            let mut asked = 0;
            for gap in gaps {
                now = now.after(Duration::from_millis(gap));
                if let Some(permit) = breaker.admit(now, 1) {
                    breaker.failed(permit, now, 1);
                    asked += 1;
                }
            }
            // Pauses of 200, 400, … 5000, 5000 ms: the sum of the first six is 12.6 s.
            let most = 7 + now.as_millis() / 5000;
            prop_assert!(asked <= most, "{asked} probes in {now:?}");
        }
    }
}
