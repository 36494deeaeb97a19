//! Benchmarks on a clock that the function itself moves.

use std::cell::Cell;
use std::time::Duration;

use super::*;

/// Time passes only when the function says so; a reading takes `tick`.
#[derive(Default)]
struct Simulated {
    now: Cell<u64>,
    tick: u64,
}

impl Simulated {
    fn pass(&self, nanoseconds: u64) {
        self.now.set(self.now.get() + nanoseconds);
    }
}

impl Clock for &Simulated {
    fn now(&self) -> Duration {
        self.pass(self.tick);
        Duration::from_nanos(self.now.get())
    }
}

#[test]
fn runs_are_timed_and_the_warm_up_is_not() {
    let (clock, calls) = (Simulated::default(), Cell::new(0_u64));

    let measurement = Benchmark::new("m").runs(50).clock(&clock).run(|| {
        calls.set(calls.get() + 1);
        clock.pass(if calls.get() <= 5 { 1_000_000 } else { calls.get() * 1000 });
    });

    assert_eq!(calls.get(), 55, "a tenth of the runs comes before");
    assert_eq!((measurement.runs, measurement.iterations), (50, 1));
    assert_eq!((measurement.min.get(), measurement.max.get()), (6_000.0, 55_000.0));
    assert_eq!(measurement.median.get(), 30_500.0);
    assert_eq!(measurement.per_second, 50.0 * 1e9 / measurement.total.get());
}

#[test]
fn the_warm_up_is_ten_calls_at_most_unless_told() {
    for (benchmark, expected) in [
        (Benchmark::new("default").runs(1000), 10),
        (Benchmark::new("few").runs(30), 3),
        (Benchmark::new("told").runs(30).warm_up(70), 70),
    ] {
        let (clock, calls) = (Simulated::default(), Cell::new(0_u32));
        let runs = benchmark.runs;

        benchmark.clock(&clock).run(|| {
            calls.set(calls.get() + 1);
            clock.pass(1000);
        });

        assert_eq!(calls.get() - runs, expected);
    }
}

#[test]
fn a_function_too_short_for_the_clock_is_called_in_batches() {
    // readings are 25 ns apart, the function takes 3 ns
    let clock = Simulated { tick: 25, ..Simulated::default() };

    let measurement = Benchmark::new("short").runs(20).clock(&clock).run(|| clock.pass(3));

    // 1024 calls take 3072 ns and a reading, the first power of two beyond 2500 ns
    assert_eq!(measurement.iterations, 1024);
    assert_eq!(measurement.runs, 20);
    assert!((measurement.mean.get() - 3.0).abs() < 0.03, "{}", measurement.mean);
}

#[test]
fn without_batches_the_clock_itself_would_be_measured() {
    let clock = Simulated { tick: 25, ..Simulated::default() };

    let from = (&clock).now();
    clock.pass(3);
    let took = (&clock).now() - from;

    assert_eq!(took, Duration::from_nanos(28));
}

#[test]
fn a_function_that_takes_no_time_ends_all_the_same() {
    let clock = Simulated::default();

    let measurement = Benchmark::new("nothing").runs(2).clock(&clock).run(|| ());

    assert_eq!((measurement.runs, measurement.mean.get(), measurement.per_second), (2, 0.0, 0.0));
}

#[test]
fn runs_have_a_least_and_a_greatest_number() {
    assert_eq!(Benchmark::new("none").runs(0).runs, 1);
    assert_eq!(Benchmark::new("many").runs(u32::MAX).runs, MAX_RUNS);
}

#[test]
fn an_async_function_is_measured_as_another() {
    let clock = Simulated::default();

    let benchmark = Benchmark::new("async").runs(10).warm_up(2).clock(&clock).run_async(async || clock.pass(5000));
    let measurement = futures_util::FutureExt::now_or_never(benchmark).expect("it waits for nothing");

    assert_eq!((measurement.runs, measurement.mean.get()), (10, 5000.0));
}

#[test]
fn threads_share_the_runs() {
    let calls = std::sync::atomic::AtomicU32::new(0);
    let count = || calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);

    let measurement = Benchmark::new("threads").runs(1000).warm_up(0).concurrency(4).run(count);

    assert_eq!((measurement.runs, calls.into_inner()), (1000, 1000));
}

#[test]
fn rates_are_numbers_above_zero() {
    assert_eq!("250".parse(), Rate::per_second(250.0));
    assert_eq!(Rate::per_second(0.5).unwrap().intended(3), Duration::from_secs(6));
    for text in ["0", "-1", "NaN", "inf", "2000000", "ten", ""] {
        let error = text.parse::<Rate>().unwrap_err().to_string();
        assert!(error.contains("accepted: calls a second"), "{error}");
    }
}
