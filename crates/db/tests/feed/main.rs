//! The change feed against real databases: whoever writes, whatever happens to the triggers.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod doors;
mod fixture;
mod sqlite;
