//! A server that stands still for a second, as it looks to a caller who waits for each answer, and to those who come
//! when they come.
//!
//! `cargo run -p tierkeep-measure --example open_and_closed_loop`; time is simulated, so it takes no twenty seconds.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use tierkeep_measure::{Benchmark, Measurement, Rate, TokioTimer};
use tokio::time::{Instant, sleep, sleep_until};

/// Answers within ten milliseconds, but nobody between the tenth second and the eleventh.
async fn answer(begun: Instant) -> Result<(), ()> {
    let (stall, end) = (begun + Duration::from_secs(10), begun + Duration::from_secs(11));
    if (stall..end).contains(&Instant::now()) {
        sleep_until(end).await;
    }
    sleep(Duration::from_millis(10)).await;
    Ok(())
}

fn benchmark(name: &str) -> Benchmark<TokioTimer> {
    Benchmark::new(name).runs(2000).warm_up(0).clock(TokioTimer::new())
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let closed = benchmark("one caller who waits").concurrency(1).run_async(|_| answer(begun)).await;
    let begun = Instant::now();
    let rate = Rate::per_second(100.0)?;
    let open = benchmark("a hundred a second").rate(rate).run_async(|_| answer(begun)).await;

    println!("{}", Measurement::text_of(&[closed.clone(), open.clone()]));
    let milliseconds = |measured: &Measurement| measured.p99.get() / 1e6;
    assert!(milliseconds(&closed) < 20.0, "one call in two thousand met the stall");
    assert!(milliseconds(&open) > 750.0, "a call in twenty came during the stall");
    Ok(())
}
