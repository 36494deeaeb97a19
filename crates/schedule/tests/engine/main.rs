//! Schedulers on real databases.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]
#![expect(clippy::print_stdout, reason = "a child process speaks through it, and a search says what it found")]

mod fixture;
mod histories;
mod idle;
mod leases;
mod processes;
mod rules;
mod switching;
