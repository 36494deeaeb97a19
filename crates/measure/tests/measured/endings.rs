//! How calls end, counted apart.

use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tierkeep_measure::{FunctionReport, measured, report};
use tokio::task::yield_now;

/// What was counted under a name, which only one test uses.
pub(crate) fn counted(name: &str) -> FunctionReport {
    report().function(name).unwrap_or_else(|| panic!("{name} was not called")).clone()
}

fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn counts(name: &str) -> [u64; 4] {
    let counted = counted(name);
    [counted.values, counted.errors, counted.panics, counted.cancelled]
}

type Parsed = Result<u32, std::num::ParseIntError>;

#[measured("endings::alias")]
fn parsed(text: &str) -> Parsed {
    let number = text.parse()?;
    Ok(number)
}

#[test]
fn errors_are_counted_also_behind_an_alias_and_a_question_mark() {
    assert_eq!(parsed("7"), Ok(7));
    assert!(parsed("seven").is_err() && parsed("").is_err());

    assert_eq!(counts("endings::alias"), [1, 2, 0, 0]);
}

#[measured("endings::async_alias")]
async fn parsed_later(text: &str) -> Parsed {
    yield_now().await;
    let number = text.parse()?;
    Ok(number)
}

#[tokio::test]
async fn errors_of_async_functions_are_counted() {
    let _ = (parsed_later("7").await, parsed_later("seven").await);

    assert_eq!(counts("endings::async_alias"), [1, 1, 0, 0]);
}

#[measured("endings::panic")]
fn panics_at(number: u32, limit: u32) -> u32 {
    assert!(number < limit, "asked for");
    number
}

#[test]
fn panics_are_counted_and_go_on() {
    panics_at(1, 2);

    let panicked = catch_unwind(|| panics_at(3, 2));

    assert!(panicked.is_err());
    assert_eq!(counts("endings::panic"), [1, 0, 1, 0]);
}

#[measured("endings::async_panic")]
async fn panics_later(panics: bool) {
    yield_now().await;
    assert!(!panics, "asked for");
}

#[tokio::test]
async fn panics_of_async_functions_are_counted() {
    panics_later(false).await;

    assert!(tokio::spawn(panics_later(true)).await.unwrap_err().is_panic());

    assert_eq!(counts("endings::async_panic"), [1, 0, 1, 0]);
}

#[measured("endings::cancelled")]
async fn never_ends() {
    pending::<()>().await;
}

#[test]
fn a_future_that_is_dropped_half_way_is_cancelled_and_one_not_polled_has_not_begun() {
    drop(never_ends());
    {
        let mut future = pin!(never_ends());
        assert!(poll_once(future.as_mut()).is_pending() && poll_once(future).is_pending());
    }

    assert_eq!(counts("endings::cancelled"), [0, 0, 0, 1]);
}

#[measured("endings::bystander")]
async fn stands_by() {
    pending::<()>().await;
}

/// That the thread unwinds does not say that this future did.
#[test]
fn a_waiting_future_dropped_by_the_panic_of_another_is_cancelled() {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut future = Box::pin(stands_by());
        assert!(poll_once(future.as_mut()).is_pending());
        panic!("of somebody else");
    }));

    assert!(panicked.is_err());
    assert_eq!(counts("endings::bystander"), [0, 0, 0, 1]);
}

#[measured("endings::unwinding")]
fn called_while_unwinding() -> u8 {
    7
}

struct CallsWhenDropped;

impl Drop for CallsWhenDropped {
    fn drop(&mut self) {
        called_while_unwinding();
    }
}

#[test]
fn a_call_that_returns_while_its_thread_unwinds_has_not_panicked() {
    let panicked = catch_unwind(|| {
        let _guard = CallsWhenDropped;
        panic!("asked for");
    });

    assert!(panicked.is_err());
    assert_eq!(counts("endings::unwinding"), [1, 0, 0, 0]);
}

#[measured(name = "endings::busy", busy = true)]
async fn waits_for(mut gate: tokio::sync::oneshot::Receiver<()>) {
    let _ = (&mut gate).await;
}

#[measured("endings::not_busy")]
async fn is_ready() {
    ready(()).await;
}

/// Time passes between the polls of a future that waits, until something is done that surely takes longer than two polls.
#[tokio::test]
async fn time_between_polls_is_not_busy() {
    let (open, gate) = tokio::sync::oneshot::channel();
    let mut waiting = Box::pin(waits_for(gate));
    assert!(poll_once(waiting.as_mut()).is_pending());
    let until = std::time::Instant::now() + std::time::Duration::from_millis(20);
    while std::time::Instant::now() < until {
        yield_now().await;
    }
    open.send(()).unwrap();
    waiting.await;
    is_ready().await;

    let counted_waiting = counted("endings::busy");
    assert!(counted_waiting.total.get() >= 20e6, "{}", counted_waiting.total);
    let busy = counted_waiting.busy.unwrap();
    assert!(busy.get() <= counted_waiting.total.get() - 20e6, "{busy} of {}", counted_waiting.total);
    assert_eq!(counted("endings::not_busy").busy, None);
}
