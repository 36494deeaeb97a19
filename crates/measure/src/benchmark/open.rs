//! Calls that come when they come.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;

use super::load::Tally;
use super::{Benchmark, MAX_RUNS, Rate};
use crate::clock::Timer;
use crate::measurement::Measurement;

/// How long calls that are left at the end are waited for unless told.
const PATIENCE: Duration = Duration::from_secs(30);

/// A benchmark whose calls begin at times that are fixed before, whether or not earlier ones were answered, as users come.
///
/// A latency counts from the *intended* time: what a call waits because the program, or this one, stood still is part
/// of it. So a stall of a second is seen by all who came within that second. Memory grows with the calls under way, up to all of
/// them.
#[derive(Clone, Debug)]
pub struct OpenLoop<C> {
    benchmark: Benchmark<C>,
    rate: Rate,
    patience: Duration,
}

impl<C> OpenLoop<C> {
    pub(super) fn new(benchmark: Benchmark<C>, rate: Rate) -> Self {
        Self { benchmark, rate, patience: PATIENCE }
    }

    /// As many runs as this rate has in this time, instead of [`Benchmark::runs`]; at least 1, at most [`MAX_RUNS`].
    #[must_use]
    pub fn lasting(mut self, lasting: Duration) -> Self {
        // the cast saturates
        self.benchmark.runs = ((self.rate.get() * lasting.as_secs_f64()).round() as u32).clamp(1, MAX_RUNS);
        self
    }

    /// How long after the last intended time answers are waited for, 30 s unless told. Calls that are left then count in
    /// [`Measurement::unanswered`], with the time that they waited.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl<C: Timer> OpenLoop<C> {
    /// Calls an async function with the number of the call, from 0. All calls are polled by the task that polls this;
    /// a function that spawns a task and awaits it is spread over threads.
    ///
    /// Calls that fail are counted in [`Measurement::failed`] and not timed. The warm-up's calls come one after the other, and have
    /// the same numbers.
    pub async fn run_async<F, T, E>(self, function: impl Fn(u32) -> F) -> Measurement
    where
        F: Future<Output = Result<T, E>>,
    {
        let Self { benchmark, rate, patience } = self;
        let clock = &benchmark.clock;
        for number in 0..benchmark.warm_up_calls() {
            black_box(function(number).await.is_ok());
        }
        let begun = clock.now();
        let intended = |number| begun.saturating_add(rate.intended(number));
        let call = |number| {
            let called = function(number);
            async move {
                let succeeded = black_box(called.await).is_ok();
                (number, clock.now().saturating_sub(intended(number)), succeeded)
            }
        };
        let (mut all, mut flying, mut next) = (Tally::default(), FuturesUnordered::new(), 0);
        let mut answered = vec![false; benchmark.runs as usize];
        let last = intended(benchmark.runs - 1).saturating_add(patience);
        loop {
            while next < benchmark.runs && intended(next) <= clock.now() {
                flying.push(call(next));
                next += 1;
            }
            if next == benchmark.runs && flying.is_empty() {
                break;
            }
            let until = if next < benchmark.runs { intended(next) } else { last };
            let due = pin!(clock.sleep_until(until));
            // an empty set would end at once instead of waiting
            let ended = if flying.is_empty() {
                due.await;
                None
            } else {
                match select(flying.next(), due).await {
                    Either::Left((ended, _)) => ended,
                    Either::Right(_) => None,
                }
            };
            match ended {
                Some((number, took, succeeded)) => {
                    answered[number as usize] = true;
                    all.add(took, succeeded);
                }
                None if next == benchmark.runs => break,
                None => {}
            }
        }
        let now = clock.now();
        for number in (0..benchmark.runs).filter(|number| !answered[*number as usize]) {
            all.give_up(now.saturating_sub(intended(number)));
        }
        all.measurement(benchmark.name, now.saturating_sub(begun))
    }
}
