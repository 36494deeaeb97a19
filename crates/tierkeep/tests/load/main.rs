//! Reads and writes for a while, at a steady rate that leaves room, on real nodes: nothing fails, nothing that was written is
//! missed, nothing grows.
//!
//! 60 s, or `TIERKEEP_LOAD_SECONDS`.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, like the tests")]
#![expect(clippy::print_stdout, reason = "each test tells what it exercised")]

mod generator;
mod growth;
mod http;
mod installation;
mod learners;
mod nodes;
mod traffic;
mod watching;
