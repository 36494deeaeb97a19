//! Integration tests: the router on a real SQLite store, and the binary as a process.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may unwrap, like the tests")]

mod attach;
mod batch;
mod bench;
mod binary;
mod cache;
mod cleanup;
mod cleanup_http;
mod deploy;
mod doctor;
mod doctor_at_work;
mod edge;
mod erasure;
mod exchange;
mod fast_path;
mod fixture;
mod http;
mod import;
mod itself;
mod logs;
mod metrics;
mod node;
mod precompute;
mod problems;
mod schedule;
mod schedule_http;
mod serve;
mod served;
mod tiers;
mod tokens;
mod upkeep;
mod warmup;
mod writes;
