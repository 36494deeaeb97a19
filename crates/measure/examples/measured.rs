//! What becomes of the calls of a function in the running program.
//!
//! `cargo run -p tierkeep-measure --example measured`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::future::pending;
use std::num::ParseIntError;
use std::time::Duration;

use tierkeep_measure::{measured, report, set_enabled};
use tokio::time::timeout;

#[measured("shop::parse")]
fn parse(cents: &str) -> Result<u32, ParseIntError> {
    cents.parse()
}

#[measured(name = "shop::fetch", busy = true)]
async fn fetch(id: u32) -> u32 {
    if id == 0 {
        // a server that never answers
        pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    id * 100
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    for text in ["250", "990", "free"] {
        println!("{text}: {:?}", parse(text));
    }
    for id in 1..=3 {
        fetch(id).await;
    }
    // whoever gives up drops the future, and the call counts as cancelled
    assert!(timeout(Duration::from_millis(20), fetch(0)).await.is_err());

    set_enabled(false);
    println!("not counted: {:?}", parse("1"));

    let report = report();
    println!("{report}");
    let parsed = report.function("shop::parse").ok_or("it was called")?;
    assert_eq!((parsed.calls(), parsed.values, parsed.errors), (3, 2, 1));
    let fetched = report.function("shop::fetch").ok_or("it was called")?;
    assert_eq!((fetched.values, fetched.cancelled), (3, 1));
    // those that returned waited for 5 ms each, and were polled for hardly any of it
    assert!(fetched.min.get() >= 4e6 && fetched.busy.is_some_and(|busy| busy < fetched.total));
    Ok(())
}
