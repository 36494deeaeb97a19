//! Integration tests: the router on a real SQLite store, and the binary as a process.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, like the tests")]

mod binary;
mod fixture;
mod http;
mod import;
mod problems;
mod serve;
