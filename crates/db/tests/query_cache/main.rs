//! Answers that are kept, on real databases: they are what the database would say, through whatever door it changed.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod attribute;
mod defects;
mod doors;
mod examples;
mod oracle;
mod refusals;
mod shop;
mod sqlite;
