//! The promises about freshness with real processes: `tierkeep serve` over real servers that fail, judged by wall time.
//!
//! Writers use plain SQL, readers HTTP. A session's minutes are the number of its last write, so that the statistics of a
//! learner are its version: a reader who sees less than was acknowledged a bound before they asked has seen the past.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, like the tests")]
#![expect(clippy::print_stdout, reason = "each test tells what it exercised")]

mod ending;
mod history;
mod http;
mod node;
mod place;
mod postgres;
mod readers;
mod sqlite;
mod takeover;
mod writers;
