//! Callers who wait for their answer before they call again.

use std::future::Future;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::Benchmark;
use super::load::Tally;
use crate::clock::Clock;
use crate::measurement::Measurement;

/// The most callers: each may be a thread.
const MAX_CALLERS: u32 = 1024;

/// A benchmark by several callers at a time, each of which calls again when it was answered.
///
/// It says how much can be done. **Its latencies are not those that users meet**: while one call stalls its caller does not
/// call, so a stall counts once and not for all who would have come meanwhile. For those there is
/// [`OpenLoop`](super::OpenLoop).
#[derive(Clone, Debug)]
pub struct ClosedLoop<C> {
    benchmark: Benchmark<C>,
    callers: u32,
    lasting: Duration,
}

impl<C: Clock> ClosedLoop<C> {
    pub(super) fn new(benchmark: Benchmark<C>, callers: u32) -> Self {
        Self { benchmark, callers: callers.clamp(1, MAX_CALLERS), lasting: Duration::MAX }
    }

    /// Begins no call after this long, warm-up not counted, even if there are runs left.
    #[must_use]
    pub fn lasting(self, lasting: Duration) -> Self {
        Self { lasting, ..self }
    }

    /// Calls a function in as many threads as there are callers, [`Benchmark::runs`] times altogether.
    ///
    /// # Panics
    /// When the function does.
    pub fn run<T>(self, function: impl Fn() -> T + Sync) -> Measurement
    where
        C: Sync,
    {
        let Self { benchmark, callers, lasting } = self;
        for _ in 0..benchmark.warm_up_calls() {
            black_box(function());
        }
        let (begun, taken) = (benchmark.clock.now(), AtomicU32::new(0));
        let caller = || {
            let mut tally = Tally::default();
            while taken.fetch_add(1, Relaxed) < benchmark.runs {
                let from = benchmark.clock.now();
                if from.saturating_sub(begun) >= lasting {
                    break;
                }
                black_box(function());
                tally.add(benchmark.clock.now().saturating_sub(from), true);
            }
            tally
        };
        let mut all = Tally::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..callers).map(|_| scope.spawn(caller)).collect();
            for thread in threads {
                all.append(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
        let elapsed = benchmark.clock.now().saturating_sub(begun);
        all.measurement(benchmark.name, elapsed)
    }

    /// Calls an async function with the number of the call, from 0. All calls are polled by the task that polls this;
    /// a function that spawns a task and awaits it is spread over threads.
    ///
    /// Calls that fail are counted in [`Measurement::failed`] and not timed. Those of the warm-up have the same numbers.
    pub async fn run_async<F, T, E>(self, function: impl Fn(u32) -> F) -> Measurement
    where
        F: Future<Output = Result<T, E>>,
    {
        let Self { benchmark, callers, lasting } = self;
        let clock = &benchmark.clock;
        let call = |number| {
            let called = function(number);
            async move {
                let from = clock.now();
                let succeeded = black_box(called.await).is_ok();
                (clock.now().saturating_sub(from), succeeded)
            }
        };
        let mut all = Tally::default();
        for (runs, counts) in [(benchmark.warm_up_calls(), false), (benchmark.runs, true)] {
            all = Tally::default();
            let begun = clock.now();
            let mut numbers = 0..runs;
            let mut next = || numbers.next().filter(|_| !counts || clock.now().saturating_sub(begun) < lasting);
            let mut flying: FuturesUnordered<_> = (0..callers).map_while(|_| next()).map(&call).collect();
            while let Some((took, succeeded)) = flying.next().await {
                all.add(took, succeeded);
                flying.extend(next().map(&call));
            }
            if counts {
                let elapsed = clock.now().saturating_sub(begun);
                return all.measurement(benchmark.name, elapsed);
            }
        }
        all.measurement(benchmark.name, Duration::ZERO)
    }
}
