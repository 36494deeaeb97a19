//! What `#[measured]` costs, against two readings of the clock and against the function without it, taking turns.
//!
//! `cargo bench -p tierkeep-measure --bench overhead` prints nanoseconds of a call (medians of rounds) and ratios.

#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tierkeep_measure::{measured, report, set_enabled};

/// Enough that the median of one run differs by under a twentieth from that of the next.
const ROUNDS: usize = 300;
/// Calls of a round.
const CALLS: u32 = 20_000;

#[inline(never)]
fn bare(number: u64) -> Result<u64, ()> {
    black_box(number).checked_mul(3).ok_or(())
}

#[measured("bench::timed")]
#[inline(never)]
fn timed(number: u64) -> Result<u64, ()> {
    black_box(number).checked_mul(3).ok_or(())
}

#[measured(name = "bench::without_span", span = "off")]
#[inline(never)]
fn without_span(number: u64) -> Result<u64, ()> {
    black_box(number).checked_mul(3).ok_or(())
}

#[measured("bench::timed_async")]
async fn timed_async(number: u64) -> Result<u64, ()> {
    black_box(number).checked_mul(3).ok_or(())
}

async fn bare_async(number: u64) -> Result<u64, ()> {
    black_box(number).checked_mul(3).ok_or(())
}

#[inline(never)]
fn clock_twice(number: u64) -> Result<u64, ()> {
    let from = black_box(Instant::now());
    let to = black_box(Instant::now());
    black_box((from, to));
    black_box(number).checked_mul(3).ok_or(())
}

/// Polls what the compiler does not look into, as a runtime does.
fn polled<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let future: Pin<&mut dyn Future<Output = T>> = black_box(future.as_mut());
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Nanoseconds of a call.
fn round<T>(enabled: bool, call: impl Fn(u64) -> T) -> f64 {
    set_enabled(enabled);
    let from = Instant::now();
    for number in 0..CALLS {
        black_box(call(u64::from(number)));
    }
    from.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

/// A name, and a round of it.
type Contestant = (&'static str, fn() -> f64);

fn main() {
    let contestants: [Contestant; 8] = [
        ("function", || round(true, bare)),
        ("function and two clock readings", || round(true, clock_twice)),
        ("measured", || round(true, timed)),
        ("measured, without a span", || round(true, without_span)),
        ("measured, switched off", || round(false, timed)),
        ("async function", || round(true, |number| polled(bare_async(number)))),
        ("async, measured", || round(true, |number| polled(timed_async(number)))),
        ("async, measured, switched off", || round(false, |number| polled(timed_async(number)))),
    ];
    let mut rounds = contestants.map(|_| Vec::with_capacity(ROUNDS));
    for number in 0..ROUNDS {
        for place in 0..contestants.len() {
            // another one begins each time
            let place = (place + number) % contestants.len();
            rounds[place].push(contestants[place].1());
        }
    }
    set_enabled(true);
    let medians = rounds.map(|mut rounds| {
        rounds.sort_by(f64::total_cmp);
        rounds[ROUNDS / 2]
    });
    for ((name, _), median) in contestants.iter().zip(medians) {
        println!("{name:34} {median:7.1} ns a call");
    }
    let [function, clock, on, without_span, off, async_function, async_on, async_off] = medians;
    let readings = clock - function;
    println!();
    println!("two clock readings                     {readings:6.1} ns, of which");
    println!("measured                               {:6.2} times (wanted: at most 1.5)", (on - function) / readings);
    println!("measured, without a span               {:6.2} times", (without_span - function) / readings);
    println!(
        "measured, switched off                 {:6.2} times (wanted: none worth naming)",
        (off - function) / readings
    );
    println!("async, measured                        {:6.2} times", (async_on - async_function) / readings);
    println!("async, measured, switched off          {:6.2} times", (async_off - async_function) / readings);
    println!("\n{}", report());
    threads();
}

/// Calls of several threads at a time to one function: whether they get into each other's way.
fn threads() {
    println!();
    for count in [1, 2, 4, 8] {
        let from = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| {
                    for number in 0..CALLS * 20 {
                        let _ = black_box(timed(u64::from(number)));
                    }
                });
            }
        });
        let calls = f64::from(CALLS * 20 * count);
        println!("{count} threads: {:6.1} million calls/s together", calls / from.elapsed().as_secs_f64() / 1e6);
    }
}
