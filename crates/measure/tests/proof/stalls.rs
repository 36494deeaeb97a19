//! A server that stands still for a second in each ten, on paused time: who waits for answers before asking again does not see it.

use std::time::Duration;

use tierkeep_measure::{Benchmark, Measurement, Rate, TokioTimer};
use tokio::time::{Instant, sleep, sleep_until};

const STALL: Duration = Duration::from_secs(1);

/// Answers within ten milliseconds, but nobody from the tenth second to the eleventh.
async fn answer(begun: Instant) -> Result<(), ()> {
    let stall = begun + Duration::from_secs(10);
    if (stall..stall + STALL).contains(&Instant::now()) {
        sleep_until(stall + STALL).await;
    }
    sleep(Duration::from_millis(10)).await;
    Ok(())
}

fn benchmark(runs: u32) -> Benchmark<TokioTimer> {
    Benchmark::new("stalling").runs(runs).warm_up(0).clock(TokioTimer::new())
}

fn seconds(measurement: &Measurement) -> [f64; 3] {
    [measurement.median, measurement.p99, measurement.max].map(|time| time.get() / 1e9)
}

#[tokio::test(start_paused = true)]
async fn an_open_loop_sees_the_stall_for_all_who_came() {
    let begun = Instant::now();

    let measurement = benchmark(2000).rate(Rate::per_second(100.0).unwrap()).run_async(|_| answer(begun)).await;

    let [median, p99, max] = seconds(&measurement);
    assert_eq!((measurement.runs, measurement.failed, measurement.unanswered), (2000, 0, 0));
    assert!(median < 0.02, "{median}");
    // a twentieth of all came during the stall, evenly; so one in a hundred waited 0.8 s and more
    assert!((0.79..0.85).contains(&p99), "{p99}");
    assert!((1.0..1.05).contains(&max), "{max}");
}

/// The control: the same server, as often asked.
#[tokio::test(start_paused = true)]
async fn a_closed_loop_hides_the_same_stall() {
    let begun = Instant::now();

    let measurement = benchmark(2000).concurrency(1).run_async(|_| answer(begun)).await;

    let [median, p99, max] = seconds(&measurement);
    assert_eq!(measurement.runs, 2000);
    assert!(median < 0.02 && p99 < 0.02, "{median} {p99}");
    assert!(max >= 1.0, "it met it once: {max}");
}

#[tokio::test(start_paused = true)]
async fn callers_of_a_closed_loop_call_at_the_same_time() {
    let begun = Instant::now();

    benchmark(100).concurrency(10).run_async(|_| answer(begun)).await;

    // ten calls of 10 ms for each caller
    let took = begun.elapsed();
    assert!((Duration::from_millis(100)..Duration::from_millis(150)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_ends_at_its_time() {
    let begun = Instant::now();

    let measurement =
        benchmark(1_000_000).concurrency(2).lasting(Duration::from_secs(5)).run_async(|_| answer(begun)).await;

    assert!(begun.elapsed() <= Duration::from_millis(5_020), "{:?}", begun.elapsed());
    assert!((800..=1000).contains(&measurement.runs), "{}", measurement.runs);
    assert!((160.0..=200.0).contains(&measurement.per_second), "{}", measurement.per_second);
}

#[tokio::test(start_paused = true)]
async fn an_open_loop_asks_as_often_as_its_rate_and_time_say() {
    let begun = Instant::now();
    let rate = Rate::per_second(50.0).unwrap();

    let measurement = benchmark(1).rate(rate).lasting(Duration::from_secs(4)).run_async(|_| answer(begun)).await;

    assert_eq!(measurement.runs, 200);
    assert!((49.0..51.0).contains(&measurement.per_second), "{}", measurement.per_second);
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_or_are_never_answered_are_counted_apart() {
    let begun = Instant::now();
    let load = benchmark(100).rate(Rate::per_second(10.0).unwrap()).patience(Duration::from_secs(3));

    let measurement = load
        .run_async(|number| async move {
            match number {
                7 => Err("refused"),
                8 => std::future::pending().await,
                _ => Ok(()),
            }
        })
        .await;

    assert_eq!((measurement.runs, measurement.failed, measurement.unanswered), (99, 1, 1));
    // it was to begin at 0.8 s and was given up 3 s after the last one was to, at 9.9 s
    assert!((12.0..12.2).contains(&(measurement.max.get() / 1e9)), "{}", measurement.max);
    assert!(begun.elapsed() < Duration::from_secs(14));
}
