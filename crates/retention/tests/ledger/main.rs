//! Who works and what is recorded of it, on real databases.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod chain;
mod fixture;
mod histories;
mod lease;
mod processes;
mod runs;
